// The range that a quantiser observes holds 0: a channel of weights that are all positive, in a narrow band far from 0,
// stays within a step of what it was, calibrated and trained. The published observers clamp its zero point instead;
// they are kept for comparison.

import { describe, expect, test } from 'vitest';
import type { Backend } from '../../src/engine/backend.ts';
import { gradients } from '../../src/engine/graph/gradients.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { square } from '../../src/engine/graph/window.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { quantizedArithmetic } from '../../src/flow/multipliers/multipliers.ts';
import { parseConfiguration, published } from '../../src/flow/settings/config.ts';
import { usualLayers } from '../../src/flow/settings/layers.ts';
import { exactMultiplier } from '../../src/multiplier/multiplier.ts';
import type { MultiplyingLayer } from '../../src/nn/layers.ts';
import { findModel } from '../../src/nn/models/registry.ts';
import { clipLogit, multiplyQuantized, type RangeName, stateName } from '../../src/quant/quantized.ts';
import { f32 } from '../../src/tensor/tensor.ts';
import { imageTask } from '../../src/train/images.ts';
import { buildNetwork, type Mode, multiplyingLayers } from '../../src/train/task.ts';

const layer: MultiplyingLayer = {
  name: 'layer',
  kind: 'convolution',
  geometry: square({ padding: 1 }),
  weightShape: [3, 3, 4, 5],
  macs: 0,
};
const levels = 255;
const outputs = 5;

/** Channel 3 lies in 0.5 … 0.51, channel 4 in −0.51 … −0.5; the others straddle 0. */
const weight = Float32Array.from({ length: 3 * 3 * 4 * outputs }, (_, at) => {
  const i = Math.floor(at / outputs);
  const narrow = 0.5 + (0.01 * (i % 7)) / 7;
  return [Math.sin(i), 0.1 * Math.cos(3 * i), -0.2 + 0.01 * i, narrow, -narrow][at % outputs]!;
});
/** A narrow band of positive activations. */
const images = Float32Array.from({ length: 2 * 6 * 6 * 4 }, (_, i) => 3 + (0.05 * (i % 11)) / 11);

/** What a step in `mode` stores. */
async function observe(backend: Backend, mode: 'calibrate' | 'train', range: RangeName) {
  const session = await backend.openSession();
  session.write('layer.weight', f32(layer.weightShape, weight));
  for (const operand of ['weight', 'input'] as const) {
    const shape = operand === 'weight' ? [outputs] : [];
    for (const side of ['clip_upper', 'clip_lower'] as const) {
      session.write(stateName('layer', operand, side), f32(shape, new Float32Array(shape[0] ?? 1).fill(clipLogit(1))));
    }
  }
  session.write('layer.input_min', f32([], Float32Array.of(range === 'with-zero' ? 0 : 3)));
  session.write('layer.input_max', f32([], Float32Array.of(3.05)));
  const graph = new Graph();
  const x = graph.input('x', [2, 6, 6, 4]);
  const w = graph.variable('layer.weight', layer.weightShape);
  const widthsOf = () => ({ weightBits: 8, activationBits: 8 });
  const options = { widthsOf, mode, range, channelwise: true };
  const y = multiplyQuantized({ ...options, multiplierOf: exactMultiplier })(layer, x, w);
  graph.output('y', y);
  const program = await session.compile(graph);
  program.write('x', images);
  await program.run();
  const read = async (operand: 'weight' | 'input', name: 'scale' | 'zero_point') =>
    Array.from((await session.read(stateName('layer', operand, name))).data);
  const found = {
    scale: await read('weight', 'scale'),
    zero: await read('weight', 'zero_point'),
    inputScale: (await read('input', 'scale'))[0]!,
    inputZero: (await read('input', 'zero_point'))[0]!,
  };
  await session.dispose();
  return found;
}

/** Largest distance of dequantised values from the values, in steps. */
function worst(values: ArrayLike<number>, scale: number, zero: number): number {
  return Math.max(
    ...Array.from(values, (value) => {
      const code = Math.min(Math.max(Math.round(value / scale) + zero, 0), levels);
      return Math.abs((code - zero) * scale - value) / scale;
    }),
  );
}
const channel = (c: number) => weight.filter((_, at) => at % outputs === c);

describe.each([referenceBackend(), wasmBackend({ threads: 2 })])('on $name', (backend) => {
  test.each(['calibrate', 'train'] as const)(
    '%s: every channel and the activations stay within a step',
    async (mode) => {
      const { scale, zero, inputScale, inputZero } = await observe(backend, mode, 'with-zero');
      for (let c = 0; c < outputs; c++) {
        expect(zero[c], `zero point of channel ${c}`).toBeGreaterThanOrEqual(0);
        expect(zero[c], `zero point of channel ${c}`).toBeLessThanOrEqual(levels);
        // The clip search may cut the ends of a calibrated range, by at most the part that it chose for all channels.
        if (mode === 'train') expect(worst(channel(c), scale[c]!, zero[c]!), `channel ${c}`).toBeLessThanOrEqual(1.01);
      }
      expect(scale[3]).toBeCloseTo(0.5085714 / levels, mode === 'train' ? 6 : 3);
      expect([zero[3]! + 0, zero[4]]).toEqual([0, levels]);
      expect(worst(images, inputScale, inputZero)).toBeLessThanOrEqual(mode === 'train' ? 1.01 : 255 * 0.05);
    },
  );

  test('train: as observed, the published clamp of the zero point leaves weights a third off', async () => {
    const { scale, zero } = await observe(backend, 'train', 'as-observed');
    expect(zero[3]).toBe(-10000);
    expect(worst(channel(3), scale[3]!, zero[3]!) * scale[3]!).toBeGreaterThan(0.15);
    expect(worst(channel(0), scale[0]!, zero[0]!)).toBeLessThanOrEqual(1.01);
  });

  test('train: channels that straddle 0 are quantised alike either way', async () => {
    const one = await observe(backend, 'train', 'with-zero');
    const other = await observe(backend, 'train', 'as-observed');
    for (const c of [0, 1, 2]) expect([one.scale[c], one.zero[c]]).toEqual([other.scale[c], other.zero[c]]);
  });

  test('no gradient goes into an end of the range that is 0', async () => {
    const session = await backend.openSession();
    const graph = new Graph();
    const x = graph.input('x', [3, 3]);
    const [min, max] = graph.apply('minMax', [x], { granularity: 'channel', holdsZero: true });
    const weights = graph.input('weights', [3]);
    for (const [name, end] of [
      ['min', min],
      ['max', max],
    ] as const) {
      graph.output(name, end!);
      graph.output(`of ${name}`, gradients(graph.apply1('dot', [end!, weights], {}), [x])[0]!);
    }
    const program = await session.compile(graph);
    program.write('x', Float32Array.of(1, -3, -1, 2, -2, 5, 2, -1, -1));
    program.write('weights', Float32Array.of(10, 20, 30));
    await program.run();
    const read = async (name: string) => Array.from(await program.read(name), (value) => value + 0);
    expect([await read('min'), await read('max')]).toEqual([
      [0, -3, -1],
      [2, 0, 5],
    ]);
    expect(await read('of min')).toEqual([0, 20, 15, 0, 0, 0, 0, 0, 15]);
    expect(await read('of max')).toEqual([0, 0, 0, 5, 0, 30, 5, 0, 0]);
    await session.dispose();
  });
});

describe('the setting', () => {
  const images = { height: 8, width: 8, channels: 1, classes: 2, scale: 255, mean: [0], deviation: [1] };
  const ranges = (settings: Parameters<typeof parseConfiguration>[0], mode: Mode) => {
    const task = imageTask(findModel('resnet8'), images);
    const network = {
      configuration: parseConfiguration(settings, 'test'),
      layers: usualLayers(multiplyingLayers(task)),
    };
    const { graph } = buildNetwork(task, quantizedArithmetic(network, exactMultiplier), mode, 2);
    return new Set(
      graph.nodes.flatMap(({ op, attributes }) =>
        op === 'minMax' ? [(attributes as { holdsZero?: boolean }).holdsZero] : [],
      ),
    );
  };

  test.each(['calibrate', 'train'] as const)('reaches every observer of the graph that is to %s', (mode) => {
    expect([...ranges({ quantize: { quantizer: 'clips' } }, mode)]).toEqual([true]);
    expect([...ranges({ quantize: { quantizer: 'clips', range: 'as-observed' } }, mode)]).toEqual([false]);
    expect([...ranges(published, mode)]).toEqual([false]);
    // Sizes of steps are calibrated once; training learns them and observes nothing.
    expect([...ranges({ quantize: { quantizer: 'steps' } }, mode)]).toEqual(mode === 'calibrate' ? [true] : []);
  });
});

test.each([
  ['reference', referenceBackend()],
  ['wasm', wasmBackend({ threads: 1 })],
])('%s: a zero point half way between two codes is the even one', async (_, backend) => {
  const session = await backend.openSession();
  const graph = new Graph();
  // 255 steps of 1 from −0.5, −1.5, −2.5.
  const lows = [-0.5, -1.5, -2.5];
  const ends = [lows, lows.map((low) => low + levels)];
  const range = ends.map((values) => graph.constant(f32([3], values)));
  const [scale, zero] = graph.apply('rangeToScale', [...range, graph.scalar(1)], { bits: 8 });
  graph.output('scale', scale!);
  graph.output('zero', zero!);
  const program = await session.compile(graph);
  await program.run();
  expect(Array.from(await program.read('scale'))).toEqual([1, 1, 1]);
  expect(Array.from(await program.read('zero'))).toEqual([0, 2, 2]);
  await session.dispose();
});
