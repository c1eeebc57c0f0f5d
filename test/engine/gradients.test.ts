// The gradient table against finite differences, on the reference backend in double precision. Straight-through rules
// are not the derivative of what they compute; each is checked against the surrogate that the table names.

import { describe, expect, test } from 'vitest';
import { gradientRules, gradients } from '../../src/engine/graph/gradients.ts';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import { convOutputShape } from '../../src/engine/graph/inference.ts';
import type { OpAttributes, OpName } from '../../src/engine/graph/ops.ts';
import { square } from '../../src/engine/graph/window.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { forEachProduct } from '../../src/engine/reference/convolution.ts';
import { clamp, roundHalfEven } from '../../src/engine/reference/kernel.ts';
import { rowSlopesOf, slopesOf } from '../../src/multiplier/slopes.ts';
import { f32, type HostTensor, type Shape, sizeOf, tensor } from '../../src/tensor/tensor.ts';
import { type Case, cases } from './cases.ts';
import { collectiveCases } from './collective-cases.ts';
import { dropoutCases } from './dropout-cases.ts';
import { formulaCases } from './formula-cases.ts';
import { geometryCases } from './geometry-cases.ts';
import { matrixCases } from './matrix-cases.ts';
import { poolCases } from './pool-cases.ts';
import { repeatCases } from './repeat-cases.ts';
import { cotangentOf, graphOf, relativeError, runCase } from './run-case.ts';

/** Cases of every operation that has a rule. */
const differentiable: readonly Case[] = [
  ...cases,
  ...formulaCases,
  ...geometryCases,
  ...poolCases,
  ...repeatCases,
  ...dropoutCases,
  ...matrixCases,
  ...collectiveCases,
];

const double = referenceBackend({ precision: 'double' });
const single = referenceBackend();

/**
 * Central differences of the case's scalar in up to 16 elements of one input, with the analytic gradient at the same
 * elements.
 */
async function finiteDifferences(
  item: Case,
  input: number,
  step = 2 ** -10,
): Promise<{ numeric: Float32Array; analytic: Float32Array }> {
  const gradient = (await runCase(double, item))[`d${input}`]!;
  const count = gradient.length;
  const positions = Array.from({ length: Math.min(16, count) }, (_, k) =>
    Math.floor((k * count) / Math.min(16, count)),
  );
  const numeric: number[] = [];
  for (const at of positions) {
    const sides: number[] = [];
    for (const sign of [1, -1]) {
      const inputs = item.inputs.map((tensor, index): HostTensor => {
        if (index !== input) return tensor;
        const data = Float32Array.from(tensor.data);
        data[at]! += sign * step;
        return f32(tensor.shape, data);
      });
      sides.push((await scalarOf(item, inputs))!);
    }
    numeric.push((sides[0]! - sides[1]!) / (2 * step));
  }
  return { numeric: Float32Array.from(numeric), analytic: Float32Array.from(positions, (at) => gradient[at]!) };
}

async function scalarOf(item: Case, inputs: readonly HostTensor[]): Promise<number> {
  return (await runCase(double, item, inputs)).scalar![0]!;
}

describe('each differentiable rule is the derivative', () => {
  for (const item of differentiable) {
    for (const input of item.smooth ?? []) {
      test(`${item.name}, input ${input}`, async () => {
        // The output is linear in the structure, so there a large step loses nothing.
        const step = item.op === 'axmConv2d' ? 2 ** -3 : 2 ** -10;
        const { numeric, analytic } = await finiteDifferences(item, input, step);
        expect(relativeError(analytic, numeric)).toBeLessThan(2e-3);
      });
    }
  }
});

describe('each straight-through rule is the derivative of its surrogate', () => {
  test('clampStraightThrough passes the gradient everywhere', async () => {
    const item = cases.find((c) => c.op === 'clampStraightThrough')!;
    const { d0 } = await runCase(single, item);
    const identity: Case = { ...item, op: 'affine', attributes: { scale: 1, offset: 0 } };
    expect(d0).toEqual((await runCase(single, identity)).d0);
  });

  test('quantize: rounding residue and the side of the clamp frozen', async () => {
    for (const item of cases.filter((c) => c.op === 'quantize')) {
      const { bits, granularity } = item.attributes as { bits: number; granularity: string };
      const [x, scale, zero] = item.inputs.map(({ data }) => Float64Array.from(data)) as [
        Float64Array,
        Float64Array,
        Float64Array,
      ];
      const per = granularity === 'tensor' ? 1 : scale.length;
      // Of a zero point between codes the part is added before rounding.
      const below = zero.map(Math.floor);
      const part = (at: number) => zero[at % per]! - below[at % per]!;
      const residue = x.map(
        (v, i) =>
          roundHalfEven(Math.fround(Math.fround(v / scale[i % per]!) + part(i))) - part(i) - v / scale[i % per]!,
      );
      const surrogate = (xs: Float64Array, ss: Float64Array, at: number, zs = zero) => {
        const s = ss[at % per]!;
        const rounded = Math.round(x[at]! / scale[at % per]! + residue[at]! + part(at)) + below[at % per]!;
        const code = clamp(rounded, 0, 2 ** bits - 1);
        return code === rounded ? xs[at]! + residue[at]! * s : (code - zs[at % per]!) * s;
      };
      const found = await runCase(double, item);
      const weights = (await weightsOf(item)) as Float64Array;
      const derivative = (perturbed: Float64Array, at: number, value: (data: Float64Array) => number) => {
        const h = 1e-6;
        const up = perturbed.slice();
        up[at]! += h;
        const down = perturbed.slice();
        down[at]! -= h;
        return (value(up) - value(down)) / (2 * h);
      };
      const dx = x.map((_, i) => weights[i]! * derivative(x, i, (data) => surrogate(data, scale, i)));
      expect(relativeError(found.d0!, Float32Array.from(dx))).toBeLessThan(1e-5);
      const dscale = scale.map((_, c) =>
        derivative(scale, c, (data) => x.reduce((sum, _v, i) => sum + weights[i]! * surrogate(x, data, i), 0)),
      );
      expect(relativeError(found.d1!, Float32Array.from(dscale))).toBeLessThan(1e-4);
      if (granularity !== 'tensor') continue;
      const whole = (zs: Float64Array) => x.reduce((sum, _v, i) => sum + weights[i]! * surrogate(x, scale, i, zs), 0);
      const dzero = derivative(zero, 0, whole);
      expect(Math.abs(dzero)).toBeGreaterThan(bits === 3 ? 0.01 : -1);
      expect(Math.abs(found.d2![0]! - dzero)).toBeLessThan(1e-4 * Math.max(1, Math.abs(dzero)));
    }
  });

  test('clipScale: the derivative of its scale, the zero point frozen', async () => {
    const item = cases.find((c) => c.op === 'clipScale')!;
    for (const input of item.differentiate) {
      const { numeric, analytic } = await finiteDifferences(item, input, 2 ** -7);
      expect(relativeError(analytic, numeric)).toBeLessThan(2e-3);
    }
  });

  test('relu: away from zero', async () => {
    const { numeric, analytic } = await finiteDifferences(cases.find((c) => c.op === 'relu')!, 0);
    const kinks = cases.find((c) => c.op === 'relu')!.inputs[0]!.data.filter((v) => Math.abs(v) < 2 ** -10).length;
    expect(kinks).toBe(0);
    expect(relativeError(analytic, numeric)).toBeLessThan(2e-3);
  });

  test('softmaxCrossEntropy: of its mean loss over the labelled rows', async () => {
    const item = cases.find((c) => c.op === 'softmaxCrossEntropy')!;
    const { numeric, analytic } = await finiteDifferences(item, 0);
    expect(relativeError(analytic, numeric)).toBeLessThan(2e-3);
  });

  test('axmConv2d: operands as in the exact product of the dequantised operands', async () => {
    for (const item of cases.filter((c) => c.op === 'axmConv2d' && c.inputs.length < 9)) {
      const [xq, wq, xScale, xZero, wScale, wZero] = item.inputs;
      const dequantised = (codes: HostTensor, scale: HostTensor, zero: HostTensor) => {
        const per = scale.data.length;
        return f32(
          codes.shape,
          Float32Array.from(codes.data, (q, i) => (q - zero.data[i % per]!) * scale.data[i % per]!),
        );
      };
      const exact: Case = {
        ...item,
        op: 'conv2d',
        inputs: [dequantised(xq!, xScale!, xZero!), dequantised(wq!, wScale!, wZero!)],
        differentiate: [0, 1],
      };
      const found = await runCase(double, item);
      const expected = await runCase(double, exact);
      expect(relativeError(found.d0!, expected.d0!), item.name).toBeLessThan(1e-6);
      expect(relativeError(found.d1!, expected.d1!), item.name).toBeLessThan(1e-6);
    }
  });
});

describe('axmConv2d with slopes', () => {
  const geometries = cases.filter(({ name }) => name.startsWith('axmConv2d: error table with slopes, w3a5'));

  test.each(['pair', 'row'] as const)(
    'by %s is the derivative in operands and scales where slopes are derivatives: of an error 2wx − 3w + x + 5',
    async (per) => {
      for (const given of geometries) {
        const error = (w: number, x: number) => 2 * w * x - 3 * w + x + 5;
        const table = Int32Array.from({ length: 256 }, (_, pair) => error(pair >> 5, pair & 31));
        const { weight, activation } =
          per === 'row' ? rowSlopesOf(table, 3, 5) : slopesOf(table, 3, 5, { weights: 1, activations: 2 });
        const shapes =
          per === 'row'
            ? [[32], [8]]
            : [
                [8, 32],
                [8, 32],
              ];
        const item = {
          ...given,
          differentiate: [0, 1, 2, 4],
          inputs: [
            ...given.inputs.slice(0, 6),
            tensor('i32', [8, 32], table),
            f32(shapes[0]!, weight),
            f32(shapes[1]!, activation),
          ],
        };
        const found = await runCase(double, item);
        const [x, w, xScale, xZero, wScale, wZero] = Array.from({ length: 6 }, (_, k) =>
          Float64Array.from(item.inputs[k]!.data),
        ) as [Float64Array, Float64Array, Float64Array, Float64Array, Float64Array, Float64Array];
        const outputs = wScale.length;
        const [xShape, wShape] = item.inputs.map(({ shape }) => shape) as [Shape, Shape];
        const yShape = convOutputShape(xShape, wShape, item.attributes as OpAttributes['axmConv2d']);
        const r = cotangentOf(yShape, 0).data;
        // Values, not codes, are the variables: v = (q − zero)·scale.
        const values = [
          x.map((q) => (q - xZero[0]!) * xScale[0]!),
          w.map((q, at) => (q - wZero[at % outputs]!) * wScale[at % outputs]!),
          xScale,
          wScale,
        ] as const;
        const scalar = ([xs, ws, sx, sw]: readonly Float64Array[]) => {
          let sum = 0;
          forEachProduct(xShape, wShape, item.attributes as OpAttributes['axmConv2d'], (xi, wi, oi) => {
            const o = oi % outputs;
            const xq = xs![xi]! / sx![0]! + xZero[0]!;
            const wq = ws![wi]! / sw![o]! + wZero[o]!;
            sum += r[oi]! * (ws![wi]! * xs![xi]! + sx![0]! * sw![o]! * error(wq, xq));
          });
          return sum;
        };
        for (const [variable, name] of ['d0', 'd1', 'd2', 'd4'].entries()) {
          const analytic = found[name]!;
          const picked = Array.from({ length: Math.min(8, analytic.length) }, (_, k) =>
            Math.floor((k * analytic.length) / Math.min(8, analytic.length)),
          );
          const numeric = picked.map((at) => {
            const step = 1e-5 * values[variable]!.reduce((most, v) => Math.max(most, Math.abs(v)), 0);
            const moved = (by: number) =>
              scalar(values.map((value, k) => (k === variable ? value.with(at, value[at]! + by) : value)));
            return (moved(step) - moved(-step)) / (2 * step);
          });
          const gap = relativeError(
            Float32Array.from(picked, (at) => analytic[at]!),
            Float32Array.from(numeric),
          );
          expect(gap, `${item.name}, ${name}`).toBeLessThan(2e-5);
        }
      }
    },
  );

  test.each([
    [
      'pair',
      [
        [8, 32],
        [8, 32],
      ],
    ],
    ['row', [[32], [8]]],
  ] as const)('by %s is the straight-through estimator where the slopes are zero', async (_, shapes) => {
    for (const item of geometries) {
      const nothing = shapes.map((shape) => f32(shape, new Float32Array(sizeOf(shape))));
      const found = await runCase(double, { ...item, inputs: [...item.inputs.slice(0, 7), ...nothing] });
      const expected = await runCase(double, { ...item, inputs: item.inputs.slice(0, 7) });
      for (const [name, data] of Object.entries(expected))
        expect(relativeError(found[name]!, data), name).toBeLessThan(1e-7);
    }
  });
});

describe('the scales of axmConv2d in front of a batch norm', () => {
  /** The case with a batch norm behind it: at once, or behind a copy, through which no rule sees it. */
  const normalized = (item: Case, epsilon: number, isBehindCopy: boolean): Case => ({
    ...item,
    build: (graph, values) => {
      const y = graph.apply1('axmConv2d', values, item.attributes as OpAttributes['axmConv2d']);
      const x = isBehindCopy ? graph.apply1('affine', [y], { scale: 1, offset: 0 }) : y;
      const channels = y.shape.at(-1)!;
      const [gamma, beta] = [0.5, -1].map((least) =>
        graph.constant(
          f32(
            [channels],
            Float32Array.from({ length: channels }, (_, at) => least + (at % 5) / 2),
          ),
        ),
      );
      return [graph.apply1('batchNorm', [x, gamma!, beta!], { epsilon })];
    },
  });
  const withScales = cases.filter(({ op, name, differentiate }) => {
    const isKnown = op === 'axmConv2d' && !name.includes('exact');
    return isKnown && [2, 4].some((scale) => differentiate.includes(scale));
  });

  test('have the gradient that sums over all outputs give, with no pass over them', async () => {
    expect(withScales.length).toBeGreaterThan(10);
    for (const item of withScales) {
      // As large as the variances, so that what the norm leaves of a scale is a good part.
      const epsilon = 30;
      const [at, behind] = [false, true].map((isBehindCopy) => normalized(item, epsilon, isBehindCopy));
      const reads = [at!, behind!].map((one) => {
        const { nodes } = graphOf(one);
        const [y] = nodes.find(({ op }) => op === 'axmConv2d')!.outputs;
        return nodes.filter(({ op, inputs }) => op === 'channelDotDifference' && inputs.includes(y!)).length;
      });
      expect(reads, item.name).toEqual([0, 1]);
      const [found, expected] = [await runCase(double, at!), await runCase(double, behind!)];
      expect(Object.keys(found)).toEqual(Object.keys(expected));
      for (const [name, data] of Object.entries(expected))
        expect(relativeError(found[name]!, data), `${item.name}, ${name}`).toBeLessThan(1e-6);
    }
  });
});

/** The fixed weights r of the case's scalar, read off as the gradient of the identity. */
async function weightsOf(item: Case): Promise<ArrayLike<number>> {
  const identity: Case = { ...item, op: 'affine', attributes: { scale: 1, offset: 0 }, differentiate: [0] };
  return Float64Array.from((await runCase(double, identity, [item.inputs[0]!])).d0!);
}

test('every rule of the table is reached by a case', () => {
  const covered = new Set<OpName>(differentiable.filter((c) => c.differentiate.length > 0).map((c) => c.op));
  const composed: OpName[] = ['dequantize'];
  const constants: OpName[] = ['gatherImages', 'mixImages', 'imageToFloat', 'stopGradient'];
  const rules = Object.keys(gradientRules) as OpName[];
  expect(rules.filter((op) => !covered.has(op) && !composed.includes(op) && !constants.includes(op))).toEqual([]);
});

test('an operation without a rule throws its name', () => {
  const graph = new Graph();
  const x = graph.variable('x', [4]);
  const y = graph.apply1('sum', [x], {});
  expect(() => gradients(y, [x])).toThrow(/no gradient rule for the operation sum/);
});

test('the gradient of a structure matrix says which entries read one parameter, unless it is asked for itself', () => {
  const build = (targets: (theta: Value, m: Value) => readonly Value[]) => {
    const graph = new Graph();
    const theta = graph.input('theta', [2]);
    const index = [0, 1, -1, 1];
    const m = graph.apply1('structureMatrix', [theta], { weightBits: 2, activationBits: 2, index });
    const renamed = graph.apply1('reshape', [m], { shape: [2, 2] });
    const codes = ['x', 'w'].map((name) => graph.input(name, [1, 1, 1, 1], 'u8'));
    const [xScale, xZero] = ['xScale', 'xZero'].map((name) => graph.input(name, []));
    const [wScale, wZero] = ['wScale', 'wZero'].map((name) => graph.input(name, [1]));
    const operands = [...codes, xScale!, xZero!, wScale!, wZero!, renamed];
    const error = { kind: 'removal', integer: false } as const;
    const y = graph.apply1('axmConv2d', operands, { ...square(), weightBits: 2, activationBits: 2, error });
    gradients(graph.apply1('reshape', [y], { shape: [] }), targets(theta, m));
    const node = graph.nodes.find(({ op }) => op === 'axmConv2dGradients')!;
    return (node.attributes as OpAttributes['axmConv2dGradients']).index;
  };
  expect(build((theta) => [theta])).toEqual([0, 1, -1, 1]);
  expect(build((theta, m) => [theta, m])).toBeUndefined();
  expect(build((_, m) => [m])).toBeUndefined();
});
