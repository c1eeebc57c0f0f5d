// Cases with many channels, and with structures, tables and slopes that are constants of the graph: what kernels for
// matrix units tell apart (wide copies, several tiles and parts, planes that merge, tables that factor, reductions over
// several blocks).

import { convOutputShape } from '../../src/engine/graph/inference.ts';
import { type PerAxis, square } from '../../src/engine/graph/window.ts';
import { tableOfRemoval } from '../../src/multiplier/removal.ts';
import { slopesOf } from '../../src/multiplier/slopes.ts';
import { expandTheta } from '../../src/multiplier/structure.ts';
import { Random } from '../../src/tensor/random.ts';
import { f32, type HostTensor, type Shape, sizeOf, tensor } from '../../src/tensor/tensor.ts';
import { type Case, codes, floats, make } from './cases.ts';

/**
 * Error tables that factor: as products of bits (of both signs, beside a constant), and as functions without and with a
 * sign.
 */
function factoredTables(weightBits: number, activationBits: number): [note: string, table: HostTensor][] {
  const random = new Random(20261122, weightBits, activationBits);
  const [weights, activations] = [2 ** weightBits, 2 ** activationBits];
  const among = (low: number, high: number) => low + random.integer(high - low + 1);
  const values = (count: number, low: number, high: number) => Array.from({ length: count }, () => among(low, high));
  const table = (errorOf: (w: number, x: number) => number) =>
    tensor(
      'i32',
      [weights, activations],
      Int32Array.from({ length: weights * activations }, (_, at) =>
        errorOf(Math.floor(at / activations), at % activations),
      ),
    );
  const masks = values(12, 0, activations - 1);
  const coefficients = masks.map((_, at) => values(weights, at < 6 ? -90 : 0, at < 3 ? 600 : 30));
  const [u, v, signed] = [values(weights, -20, 90), values(activations, 0, 230), values(activations, -100, 100)];
  return [
    [
      'products of bits',
      table((w, x) => masks.reduce((sum, mask, at) => sum + ((x & mask) === mask ? coefficients[at]![w]! : 0), 0)),
    ],
    ['a function', table((w, x) => (x > 0 ? u[w]! * v[x]! : 5))],
    ['a signed function', table((w, x) => u[w]! * signed[x]!)],
  ];
}

function wideConvolutions(): Case[] {
  const geometries: [
    string,
    x: Shape,
    w: Shape,
    stride: PerAxis,
    padding: PerAxis,
    groups: number,
    dilation?: PerAxis,
  ][] = [
    ['64 to 128 channels', [5, 9, 11, 64], [3, 3, 64, 128], 1, 1, 1],
    ['192 to 64 channels of small images', [7, 2, 2, 192], [3, 3, 192, 64], 1, 1, 1],
    ['5×5 to 64 channels', [2, 6, 5, 128], [5, 5, 128, 64], 1, 2, 1],
    ['48 to 64 channels', [2, 13, 13, 48], [3, 3, 48, 64], 1, 1, 1],
    ['16 to 160 channels with stride 2', [3, 14, 14, 16], [3, 3, 16, 160], 2, 1, 1],
    ['1×1 to 68 channels with stride 2', [4, 16, 16, 64], [1, 1, 64, 68], 2, 0, 1],
    ['image layer', [3, 16, 16, 3], [3, 3, 3, 64], 1, 1, 1],
    ['image layer with stride 2', [2, 15, 17, 3], [3, 3, 3, 64], 2, 1, 1],
    ['two groups of 16', [2, 9, 9, 32], [3, 3, 16, 64], 1, 1, 2],
    ['1×7 of 64 channels', [2, 9, 9, 64], [1, 7, 64, 64], 1, [0, 3], 1],
    ['16 to 160 channels, dilation 2×1', [3, 14, 13, 16], [3, 3, 16, 160], [1, 2], [2, 1], 1, [2, 1]],
    ['two groups of 16, dilation 4', [2, 17, 15, 32], [3, 3, 16, 96], 2, [4, 3], 2, 4],
    ['eight groups of 8', [3, 13, 13, 64], [3, 3, 8, 64], 1, 1, 8],
  ];
  return geometries.flatMap(([note, x, w, stride, padding, groups, dilation = 1]) => {
    const geometry = square({ stride, padding, dilation, groups });
    const o = w[3]!;
    const operands = [
      codes(x, 8),
      codes(w, 8),
      f32([], [0.03125]),
      f32([], [101]),
      floats([o], 0.01, 0.02),
      f32(
        [o],
        Float32Array.from({ length: o }, (_, c) => 120 + (c % 17)),
      ),
    ];
    const axm = { ...geometry, weightBits: 8, activationBits: 8 };
    const removed = f32(
      [8, 8],
      Float32Array.from({ length: 64 }, (_, at) => (Math.floor(at / 8) + (at % 8) < 5 ? 1 : 0)),
    );
    const products = codes([256, 256], 8).data;
    // Errors that keep every product between 0 and 65 535.
    const table = tensor(
      'i32',
      [256, 256],
      Int32Array.from(products, (v, at) => v * 257 - Math.floor(at / 256) * (at % 256)),
    );
    const smoothing = { weights: 16, activations: 4 };
    const truncated = slopesOf(tableOfRemoval(expandTheta([1, 1, 1, 1, 1, 1], 8, 8)), 8, 8, smoothing);
    const slopes = (data: Float32Array) => f32([256, 256], data);
    const y = convOutputShape(x, w, geometry);
    return [
      make(
        'axmErrorWeightGradient',
        `constant slopes of a truncation, ${note}`,
        [floats(y), operands[0]!, operands[1]!, operands[2]!, slopes(truncated.weight)],
        axm,
        { constants: [4] },
      ),
      make(
        'axmErrorInputGradient',
        `constant slopes of a truncation, ${note}`,
        [floats(y), operands[0]!, operands[1]!, operands[4]!, slopes(truncated.activation)],
        axm,
        { constants: [4] },
      ),
      make('conv2d', note, [floats(x), floats(w)], geometry, { differentiate: [0, 1] }),
      make('axmConv2d', `exact, ${note}`, operands, { ...axm, error: { kind: 'none' } }, { differentiate: [0, 1] }),
      make(
        'axmConv2d',
        `trained structure, ${note}`,
        [...operands, floats([8, 8], 0, 1)],
        {
          ...axm,
          error: { kind: 'removal', integer: false },
        },
        { differentiate: [0, 1, 2, 4, 6] },
      ),
      make(
        'axmConv2d',
        `constant truncation, ${note}`,
        [...operands, removed],
        { ...axm, error: { kind: 'removal', integer: true } },
        {
          constants: [6],
        },
      ),
      make(
        'axmConv2d',
        `table with slopes, ${note}`,
        [...operands, table, floats([256, 256], -32, 32), floats([256, 256], -32, 32)],
        { ...axm, error: { kind: 'table' } },
        { differentiate: [0, 1, 4] },
      ),
      make('axmConv2d', `table, ${note}`, [...operands, table], { ...axm, error: { kind: 'table' } }),
      make(
        'axmConv2d',
        `constant table, ${note}`,
        [...operands, table],
        { ...axm, error: { kind: 'table' } },
        {
          constants: [6],
        },
      ),
      ...factoredTables(8, 8).map(([form, factored]) =>
        make(
          'axmConv2d',
          `${form}, ${note}`,
          [...operands, factored],
          { ...axm, error: { kind: 'table', emulation: 'lowrank' } },
          { constants: [6] },
        ),
      ),
      ...factoredTables(4, 5).map(([form, factored]) =>
        make(
          'axmConv2d',
          `${form}, w4a5, ${note}`,
          [codes(x, 5), codes(w, 4), ...operands.slice(2), factored],
          { ...axm, weightBits: 4, activationBits: 5, error: { kind: 'table', emulation: 'lowrank' } },
          { constants: [6] },
        ),
      ),
    ];
  });
}

export const wideCases: readonly Case[] = [
  make('sum', 'many blocks', [floats([100_003])], {}),
  make('dot', 'many blocks', [floats([100_003]), floats([100_003])], {}),
  make('channelSum', 'many blocks', [floats([3000, 70])], {}),
  make(
    'batchNorm',
    'many blocks',
    [floats([16, 16, 16, 64], -1, 3), floats([64], 0.5, 1.5), floats([64])],
    { epsilon: 1e-5 },
    {
      differentiate: [0, 1, 2],
    },
  ),
  ...(['tensor', 'channel'] as const).flatMap((granularity) => {
    const per = granularity === 'tensor' ? [] : [48];
    return [
      make(
        'minMax',
        `many blocks per ${granularity}`,
        [floats([40_000 / 50, 50, 48])],
        { granularity },
        { differentiate: [0] },
      ),
      make(
        'minMax',
        `many blocks per ${granularity}, with 0`,
        [floats([40_000 / 50, 50, 48], 1, 2)],
        { granularity, holdsZero: true },
        { differentiate: [0] },
      ),
      make(
        'quantize',
        `many blocks per ${granularity}`,
        [floats([500, 48], -2, 2), floats(per, 0.01, 0.012), f32(per, new Float32Array(sizeOf(per)).fill(100))],
        {
          bits: 8,
          granularity,
        },
        { differentiate: [0, 1] },
      ),
    ];
  }),
  ...wideConvolutions(),
];
