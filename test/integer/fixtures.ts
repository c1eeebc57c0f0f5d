// Small networks at rest, made by hand: random weights, quantisers set by a calibration pass on random images, batch
// norms with negative factors, and every kind of multiplier and layer that an export meets. Images of 8×8 with 3
// channels, 5 classes; no run folder and no training: each is made in a fifth of a second.

import { referenceBackend } from '../../src/engine/reference/backend.ts';
import type { ExportImages } from '../../src/export/exporter.ts';
import { exactFrozen, freeze, type LayerMultiplier } from '../../src/flow/results/frozen.ts';
import type { FrozenMultiplier, FrozenNetwork } from '../../src/integer/frozen.ts';
import { errorByCodes } from '../../src/multiplier/error.ts';
import { concreteMultiplier, exactMultiplier, multiplierError } from '../../src/multiplier/multiplier.ts';
import { exactTable, firstDifference, productTable } from '../../src/multiplier/table.ts';
import { bestWeightCodes } from '../../src/multiplier/weight-codes.ts';
import { generateFromSpec } from '../../src/netlist/generators/registry.ts';
import { relabelled } from '../../src/netlist/network.ts';
import { simulate } from '../../src/netlist/simulate.ts';
import type { Layers } from '../../src/nn/layers.ts';
import type { ModelBuilder } from '../../src/nn/models/model.ts';
import { initialTensor } from '../../src/nn/parameters.ts';
import { stateName } from '../../src/quant/quantized.ts';
import { codesName } from '../../src/quant/weight-codes.ts';
import { given } from '../../src/tensor/given.ts';
import { Random } from '../../src/tensor/random.ts';
import { f32 } from '../../src/tensor/tensor.ts';
import { imageTask } from '../../src/train/images.ts';
import { buildNetwork, type QuantizedArithmetic } from '../../src/train/task.ts';

export const SIZE = 8;
const CHANNELS = 3;
const CLASSES = 5;
const IMAGES = 8;

type Value = Parameters<ModelBuilder>[1];

/** The statistics are those of the one batch. */
const moments = { momentum: 1 };

const convNorm = (nn: Layers, name: string, x: Value, spec: Parameters<Layers['conv']>[2]) =>
  nn.batchNorm(`${name}.bn`, nn.conv(name, x, spec), moments);

/** Residual: padding, stride, groups, a shortcut, max pool, mean over the image. */
const residual: ModelBuilder = (nn, image, classes) => {
  const stem = nn.relu(convNorm(nn, 'stem', image, { out: 4, kernel: 3, padding: 1 }));
  const pooled = nn.maxPool(stem, 3, 2, 1);
  const joined = nn.block('block', () => {
    const inner = nn.relu(convNorm(nn, 'block.conv1', pooled, { out: 8, kernel: 3, stride: 2, padding: 1, groups: 2 }));
    const main = convNorm(nn, 'block.conv2', inner, { out: 8, kernel: [3, 1], padding: [1, 0] });
    const shortcut = convNorm(nn, 'block.shortcut', pooled, { out: 8, kernel: 1, stride: 2 });
    return nn.relu(nn.add(main, shortcut));
  });
  return nn.linear('fc', nn.globalAveragePool(joined), classes);
};

/** Dense: batch norm before the convolution, concatenation, an average pool with padding. */
const dense: ModelBuilder = (nn, image, classes) => {
  const stem = nn.conv('stem', image, { out: 4, kernel: 3, padding: 1, bias: true });
  const grown = nn.block('dense', () => {
    const inner = nn.conv('dense.conv', nn.relu(nn.batchNorm('dense.bn', stem, moments)), {
      out: 3,
      kernel: 3,
      padding: 1,
    });
    return nn.concat([stem, inner], -1);
  });
  const pooled = nn.averagePool(nn.relu(nn.batchNorm('norm', grown, moments)), 3, 2, 1);
  return nn.linear('fc', nn.flatten(pooled), classes);
};

/** Mobile: a depthwise convolution, ReLU6 and a sum without a ReLU behind it. */
const mobile: ModelBuilder = (nn, image, classes) => {
  const stem = nn.relu6(convNorm(nn, 'stem', image, { out: 6, kernel: 3, stride: 2, padding: 1 }));
  const depth = nn.relu6(convNorm(nn, 'depth', stem, { out: 6, kernel: 3, padding: 1, groups: 6 }));
  const point = convNorm(nn, 'point', depth, { out: 6, kernel: 1 });
  return nn.linear('fc', nn.globalAveragePool(nn.add(stem, point)), classes);
};

/** What no integer operation expresses: a hard swish with a gate, then tokens with attention of one head. */
const islands: ModelBuilder = (nn, image, classes) => {
  const stem = nn.hardSwish(nn.conv('stem', image, { out: 8, kernel: 4, stride: 4, bias: true }));
  const tokens = nn.reshape(stem, [stem.shape[0]!, 4, 8]);
  const normed = nn.layerNorm('norm', tokens);
  const [query, key, value] = ['query', 'key', 'value'].map((name) => nn.linear(name, normed, 8));
  const weights = nn.softmax(nn.matrixProduct(query!, key!, 'second', 0.35));
  const seen = nn.add(tokens, nn.linear('project', nn.matrixProduct(weights, value!), 8));
  const hidden = nn.add(seen, nn.linear('mlp', nn.gelu(nn.linear('hidden', seen, 8)), 8));
  return nn.linear('head', nn.reshape(hidden, [hidden.shape[0]!, 32]), classes);
};

export interface Recipe {
  readonly model: ModelBuilder;
  readonly weightBits?: number;
  /** Of each layer; layers that are not named have the one of '*', and else an exact one. */
  readonly multipliers: Readonly<Record<string, FrozenMultiplier>>;
  /** The zero point of all weights; default: as calibrated. */
  readonly weightZero?: number;
  readonly ownZero?: boolean;
  readonly best?: boolean;
  readonly folded?: readonly string[];
}

export function generated(spec: string): FrozenMultiplier {
  const { network, signed = false } = generateFromSpec(spec);
  const table = simulate(network, { signed });
  const exact = !firstDifference(table, exactTable(table.weightBits, table.activationBits, signed));
  const name = spec.replaceAll(/[^a-z0-9]+/g, '_');
  return { name, table, exact, netlist: relabelled(network, name) };
}

/** A signed table without gates: exact products with errors of −40 … 40, as a file from elsewhere has them. */
export function signedTable(): FrozenMultiplier {
  const random = new Random(17, 0);
  const { data } = exactTable(8, 8, true);
  const products = data.map((product) => product + Math.floor(81 * random.uniform()) - 40);
  return { name: 'signed_table', table: productTable(8, 8, true, products), exact: false };
}

const truncated = () => generated('truncated:8x8:columns=7');

const recipes = {
  /** 8×8, a truncation; the first and the last layer are exact. */
  residual: () => ({
    model: residual,
    multipliers: { '*': truncated(), stem: exactFrozen(w8a8), fc: exactFrozen(w8a8) },
  }),
  /** A signed table that has no gates. */
  signed: () => ({ model: residual, multipliers: { '*': signedTable() } }),
  /** Weights of 4 bits, all layers. */
  narrow: () => ({ model: residual, weightBits: 4, multipliers: { '*': generated('truncated:4x8:columns=4') } }),
  /** Three kinds of layers, and one that is exact. */
  kinds: () => ({
    model: residual,
    multipliers: {
      '*': truncated(),
      'block.conv1': generated('drum:8x8:bits=4'),
      'block.conv2': signedTable(),
      fc: exactFrozen(w8a8),
    },
  }),
  /** Weights have their zero between two codes. */
  between: () => ({ model: residual, weightZero: 127.5, multipliers: { '*': truncated() } }),
  /** The products of a weight of 0 are the multiplier's own. */
  ownZero: () => ({ model: residual, weightZero: 128, ownZero: true, multipliers: { '*': signedTable() } }),
  /** Weights are stored as the codes of the nearest rows. */
  best: () => ({ model: residual, best: true, multipliers: { '*': generated('upper:8x8:weights=4,activations=8') } }),
  /** Batch norms are folded into the layers. */
  folded: () => ({
    model: residual,
    folded: ['stem', 'block.conv1', 'block.conv2', 'block.shortcut'],
    multipliers: { '*': truncated() },
  }),
  dense: () => ({ model: dense, multipliers: { '*': truncated() } }),
  mobile: () => ({ model: mobile, multipliers: { '*': truncated() } }),
  islands: () => ({ model: islands, multipliers: { '*': truncated() } }),
} satisfies Record<string, () => Recipe>;

export const w8a8 = { weightBits: 8, activationBits: 8 };

export type FixtureName = keyof typeof recipes;
export const fixtureNames = Object.keys(recipes) as FixtureName[];

export interface Fixture {
  readonly frozen: FrozenNetwork;
  /** Random, with a gradient, and labels that mean nothing. */
  readonly images: ExportImages;
}

const made = new Map<FixtureName, Promise<Fixture>>();

/** A network of this name; the same one each time. */
export function fixture(name: FixtureName): Promise<Fixture> {
  const known = made.get(name);
  if (known) return known;
  const one = makeFixture(name, recipes[name]());
  made.set(name, one);
  return one;
}

/** Blurred noise over a gradient: neighbours are alike, all values occur. */
function randomImages(seed: number): ExportImages {
  const random = new Random(seed, 1);
  const pixels = new Uint8Array(IMAGES * SIZE * SIZE * CHANNELS);
  for (let at = 0; at < pixels.length; at++) {
    const [x, y] = [Math.floor(at / CHANNELS) % SIZE, Math.floor(at / CHANNELS / SIZE) % SIZE];
    const before = at % (SIZE * CHANNELS) < CHANNELS ? 128 : pixels[at - CHANNELS]!;
    pixels[at] = Math.min(255, Math.max(0, before / 3 + 12 * x + 8 * y + 120 * random.uniform() - 30));
  }
  return { count: IMAGES, pixels, labels: Int32Array.from({ length: IMAGES }, (_, k) => k % CLASSES) };
}

/** The network of a recipe under a name, anew each time. */
export async function makeFixture(name: string, recipe: Recipe): Promise<Fixture> {
  const { model: build, weightBits = 8, multipliers, weightZero, best = false, folded } = recipe;
  const format = {
    ...{ height: SIZE, width: SIZE, channels: CHANNELS, classes: CLASSES, scale: 255 },
    ...{ mean: [0.45, 0.5, 0.4], deviation: [0.25, 0.2, 0.3] },
  };
  const model = { name, description: '', minimumSize: SIZE, build };
  const task = imageTask(model, format);
  const chosen = new Map<string, LayerMultiplier>();
  const multiplierFor = (layer: string): LayerMultiplier => {
    const multiplier = multipliers[layer] ?? multipliers['*']!;
    const one = { multiplier, ...given({ ownZero: recipe.ownZero ? weightZero : undefined }) };
    chosen.set(layer, one);
    return one;
  };
  const arithmetic: QuantizedArithmetic = {
    ...{ kind: 'quantized', weightBits, activationBits: 8, channelwise: true },
    quantizer: weightZero === undefined ? 'clips' : 'steps',
    weightCodes: best ? 'best' : 'nearest',
    multiplierOf: (layer) => {
      const { multiplier, ownZero } = multiplierFor(layer);
      return multiplier.exact ? exactMultiplier() : concreteMultiplier(multiplier.table, 'auto', ownZero);
    },
    ...given({ folded: folded && new Map(folded.map((layer) => [layer, { name: `${layer}.bn`, epsilon: 1e-5 }])) }),
  };
  const images = randomImages(3);
  const session = await referenceBackend().openSession();
  try {
    const { graph, layers } = buildNetwork(task, { ...arithmetic, weightCodes: 'nearest' }, 'calibrate', IMAGES);
    const program = await session.compile(graph);
    const random = new Random(5, 2);
    layers.parameters.forEach((parameter, position) => {
      const { data, ...type } = initialTensor(parameter, 11, position);
      const isFactor = /(bn|norm)\.weight$/.test(parameter.name);
      const isShift = /\.bias$/.test(parameter.name);
      const moved = Float32Array.from(data, (value) => {
        if (isFactor) return (random.uniform() < 0.3 ? -1 : 1) * (0.5 + random.uniform());
        return isShift ? value + 0.6 * random.normal() : value;
      });
      session.write(parameter.name, f32(type.shape, moved));
    });
    program.write('images', images.pixels);
    program.write('labels', images.labels);
    await program.run();
    for (const { name: layer, weightShape } of layers.multiplying) {
      if (weightZero !== undefined) {
        const outputs = weightShape.at(-1)!;
        const { data } = await session.read(`${layer}.weight`);
        const scales = new Float32Array(outputs);
        data.forEach((w, at) => {
          scales[at % outputs] = Math.max(scales[at % outputs]!, Math.abs(w) / 127);
        });
        session.write(stateName(layer, 'weight', 'scale'), f32([outputs], scales));
        session.write(
          stateName(layer, 'weight', 'zero_point'),
          f32([outputs], new Float32Array(outputs).fill(weightZero)),
        );
      }
      const multiplier = arithmetic.multiplierOf(layer);
      if (best && multiplier.kind !== 'exact') {
        const widths = { weightBits, activationBits: 8 };
        const codes = bestWeightCodes(multiplierError(multiplier, widths), widths, new Float64Array(256));
        session.write(codesName(layer, multiplier), f32([2 ** weightBits], codes));
      }
    }
    const frozen = await freeze(session, {
      ...{ model: name, stage: 'mapped', task, format, arithmetic },
      multipliersFor: (layer) => chosen.get(layer)!,
    });
    return { frozen, images };
  } finally {
    await session.dispose();
  }
}

/** Whether a multiplier errs at all: a fixture of exact products would show little. */
export const errs = ({ table }: FrozenMultiplier): boolean => errorByCodes(table).some((error) => error !== 0);
