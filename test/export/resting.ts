// Models at rest for tests of exports: parameters as they start but with statistics, factors and shifts that are not 0
// and 1, quantisers from one calibration pass on random images. A network of a few thousand weights takes some tens of
// milliseconds.

import { Graph } from '../../src/engine/graph/graph.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import type { ExportImages } from '../../src/export/exporter.ts';
import type { FrozenMultiplier, FrozenNetwork } from '../../src/integer/frozen.ts';
import { concreteMultiplier, exactMultiplier } from '../../src/multiplier/multiplier.ts';
import { Layers, type MultiplyingLayer } from '../../src/nn/layers.ts';
import type { Model } from '../../src/nn/models/model.ts';
import { initialTensor } from '../../src/nn/parameters.ts';
import { multiplyQuantized, type QuantMode } from '../../src/quant/quantized.ts';
import { Random } from '../../src/tensor/random.ts';
import { f32, type HostTensor } from '../../src/tensor/tensor.ts';

export interface RestingOptions {
  /** Height and width; default: the model's least. */
  readonly size?: number;
  readonly multiplier: FrozenMultiplier;
  /** Test images; default: 2. */
  readonly images?: number;
}

const CLASSES = 5;
const CHANNELS = 3;
const normalisation = { scale: 255, mean: [0.45, 0.5, 0.4], deviation: [0.25, 0.2, 0.3] };

export interface Resting {
  readonly frozen: FrozenNetwork;
  readonly images: ExportImages;
}

export async function resting(model: Model, options: RestingOptions): Promise<Resting> {
  const { multiplier, size = model.minimumSize, images: count = 2 } = options;
  const { weightBits, activationBits } = multiplier.table;
  const build = (mode: QuantMode, batch: number) => {
    const graph = new Graph();
    const image = graph.input('images', [batch, size, size, CHANNELS], 'u8');
    const multiply = multiplyQuantized({
      ...{ mode, channelwise: true, widthsOf: () => ({ weightBits, activationBits }) },
      multiplierOf: () =>
        mode === 'calibrate' || multiplier.exact ? exactMultiplier() : concreteMultiplier(multiplier.table),
    });
    const layers = new Layers(graph, { training: mode === 'calibrate', multiply });
    const { scale, mean, deviation } = normalisation;
    const pixels = graph.apply1('imageToFloat', [image], {
      scale: deviation.map((one) => 1 / (scale * one)),
      offset: deviation.map((one, c) => -mean[c]! / one),
    });
    const logits = model.build(layers, pixels, CLASSES);
    graph.output('logits', logits);
    return { graph, layers, image, logits };
  };
  const batch = Math.max(count, 4);
  const random = new Random(7, 3);
  const pixels = Uint8Array.from({ length: batch * size * size * CHANNELS }, () => Math.floor(256 * random.uniform()));
  const session = await wasmBackend({ threads: 1 }).openSession();
  try {
    const { graph, layers } = build('calibrate', batch);
    const program = await session.compile(graph);
    layers.parameters.forEach((parameter, position) => {
      const { shape, data } = initialTensor(parameter, 11, position);
      const moved = Float32Array.from(data, (value) => {
        if (parameter.initial.kind !== 'constant' || !parameter.trainable) return value;
        return value === 1 ? (random.uniform() < 0.3 ? -1 : 1) * (0.5 + random.uniform()) : 0.4 * random.normal();
      });
      session.write(parameter.name, f32(shape, moved));
    });
    program.write('images', pixels);
    await program.run();
    const built = build('evaluate', 1);
    const variables = new Map<string, HostTensor>();
    for (const name of built.graph.variables.keys()) variables.set(name, await session.read(name));
    const frozenLayer = (layer: MultiplyingLayer) => ({
      ...layer,
      operands: { weightBits, activationBits, multiplier: 0 },
    });
    const frozen: FrozenNetwork = {
      ...{ model: model.name, stage: 'mapped', classes: CLASSES, normalisation, variables, multipliers: [multiplier] },
      ...{ graph: built.graph, image: built.image, logits: built.logits },
      layers: built.layers.multiplying.map(frozenLayer),
    };
    const labels = Int32Array.from({ length: count }, (_, k) => k % CLASSES);
    return { frozen, images: { count, labels, pixels: pixels.slice(0, count * size * size * CHANNELS) } };
  } finally {
    await session.dispose();
  }
}
