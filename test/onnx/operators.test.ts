// Operators as no exporter at hand writes them, against plain loops over [N, C, H, W]: padding that differs on two
// sides, automatic padding, windows that reach beyond, other element types, later opsets.

import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Graph } from '../../src/engine/graph/graph.ts';
import { Layers, multiplyFloat } from '../../src/nn/layers.ts';
import { operatorNames } from '../../src/nn/onnx/operators.ts';
import type { Draft } from '../../src/onnx/messages.ts';
import type { NodeProto, TensorProto } from '../../src/onnx/schema.ts';
import { type Attributes, floats, folder, type Graphed, modelAt, modelProto, node, wholes, written } from './graphs.ts';
import { logitsOf } from './logits.ts';

const place = folder();
afterAll(() => rmSync(place, { recursive: true }));

const [C, H, W] = [2, 5, 6] as const;
const IMAGE = ['n', C, H, W] as const;
const numbers = (count: number, seed: number): number[] =>
  Array.from({ length: count }, (_, k) => (((k + seed) * 37) % 29) / 14 - 1);

/** Values of an image by channel, row and column. */
type Picture = readonly (readonly (readonly number[])[])[];

const picture: Picture = Array.from({ length: C }, (_, c) =>
  Array.from({ length: H }, (_, y) => Array.from({ length: W }, (_, x) => Math.sin(1 + c * 31 + y * 7 + x * 3))),
);
const channelsLast = Float32Array.from({ length: H * W * C }, (_, at) => {
  return picture[at % C]![Math.floor(at / C / W)]![Math.floor(at / C) % W]!;
});

/** What a graph makes of the picture: in the order of [N, C, H, W], behind a layer that changes nothing. */
async function resultOf(
  nodes: readonly Draft<NodeProto>[],
  count: number,
  graph: Partial<Graphed> = {},
  constants: readonly Draft<TensorProto>[] = [],
): Promise<readonly number[]> {
  const unit = Array.from({ length: count * count }, (_, k) => (Math.floor(k / count) === k % count ? 1 : 0));
  const path = written(
    place,
    modelProto({
      image: IMAGE,
      ...graph,
      nodes: [...nodes, node('Flatten', ['t'], ['f']), node('Gemm', ['f', 'unit'], ['y'])],
      constants: [...constants, floats('unit', [count, count], unit)],
    }),
  );
  const { logits } = await logitsOf(modelAt(path), [H, W, C], 1, channelsLast);
  return logits[0]!;
}

/** Windows over the picture: `of` gets the taps, undefined where they are padding. */
function windows(
  { size, stride, pads }: { size: number[]; stride: number[]; pads: number[] },
  outputs: readonly [number, number],
  of: (taps: readonly (number | undefined)[]) => number,
): number[] {
  return picture.flatMap((channel) =>
    Array.from({ length: outputs[0] * outputs[1] }, (_, at) => {
      const [oy, ox] = [Math.floor(at / outputs[1]), at % outputs[1]];
      const taps = Array.from({ length: size[0]! * size[1]! }, (_, tap) => {
        const y = oy * stride[0]! + Math.floor(tap / size[1]!) - pads[0]!;
        return channel[y]?.[ox * stride[1]! + (tap % size[1]!) - pads[1]!];
      });
      return of(taps);
    }),
  );
}

function near(found: readonly number[], wanted: readonly number[]): void {
  expect(found).toHaveLength(wanted.length);
  expect(Math.max(...found.map((value, k) => Math.abs(value - wanted[k]!)))).toBeLessThan(1e-5);
}

const inside = (taps: readonly (number | undefined)[]) => taps.filter((tap) => tap !== undefined);
const sum = (values: readonly number[]) => values.reduce((all, one) => all + one, 0);

describe('windows', () => {
  const kernel = numbers(9, 3);
  const depthwise = [floats('w', [C, 1, 3, 3], [...kernel, ...kernel])];
  const weighted = (taps: readonly (number | undefined)[]) => sum(taps.map((tap, k) => (tap ?? 0) * kernel[k]!));

  test.each([
    ['pads that differ', { pads: [0, 1, 2, 0] }, [1, 1], [0, 1, 2, 0], [5, 5]],
    ['SAME_UPPER with a stride', { auto_pad: 'SAME_UPPER', strides: [2, 2] }, [2, 2], [1, 0, 1, 1], [3, 3]],
    ['SAME_LOWER with a stride', { auto_pad: 'SAME_LOWER', strides: [2, 2] }, [2, 2], [1, 1, 1, 0], [3, 3]],
    ['VALID', { auto_pad: 'VALID' }, [1, 1], [0, 0, 0, 0], [3, 4]],
  ] as const)('a convolution with %s', async (_, attributes, stride, pads, outputs) => {
    const conv = node('Conv', ['x', 'w'], ['t'], { ...attributes, group: C } as Attributes);
    const found = await resultOf([conv], C * outputs[0] * outputs[1], {}, depthwise);
    near(found, windows({ size: [3, 3], stride: [...stride], pads: [...pads] }, outputs, weighted));
  });

  test.each([
    ['more padding behind', { pads: [0, 0, 1, 1], strides: [2, 2] }, [2, 2], [0, 0], [2, 3]],
    ['SAME_UPPER', { auto_pad: 'SAME_UPPER', strides: [2, 2] }, [2, 2], [1, 0], [3, 3]],
    ['ceil_mode', { ceil_mode: 1, strides: [2, 2] }, [2, 2], [0, 0], [2, 3]],
  ] as const)('the largest and the mean with %s', async (_, attributes, stride, [top, left], outputs) => {
    const shape = { size: [3, 3], stride: [...stride], pads: [top, left] };
    const count = C * outputs[0] * outputs[1];
    const of = (op: string, more: Attributes = {}) =>
      resultOf([node(op, ['x'], ['t'], { kernel_shape: [3, 3], ...attributes, ...more } as Attributes)], count);
    near(
      await of('MaxPool'),
      windows(shape, outputs, (taps) => Math.max(...inside(taps))),
    );
    near(
      await of('AveragePool'),
      windows(shape, outputs, (taps) => sum(inside(taps)) / inside(taps).length),
    );
    if ('ceil_mode' in attributes) return;
    near(
      await of('AveragePool', { count_include_pad: 1 }),
      windows(shape, outputs, (taps) => sum(inside(taps)) / 9),
    );
  });
});

describe('element types and forms of constants', () => {
  const kernel = numbers(C * 3, 5).map((value) => Math.round(value * 64) / 64);
  const wanted = Array.from({ length: 3 * H * W }, (_, at) => {
    const [o, y, x] = [Math.floor(at / H / W), Math.floor(at / W) % H, at % W];
    return sum(picture.map((channel, c) => channel[y]![x]! * kernel[o * C + c]!));
  });
  const conv = node('Conv', ['x', 'w'], ['t']);

  test('floats of 64 bits, and of 16 bits as raw bytes and in a list, are taken', async () => {
    near(await resultOf([conv], 3 * H * W, {}, [floats('w', [3, C, 1, 1], kernel, 'DOUBLE')]), wanted);
    // Sixty-fourths between -1 and 1 are halves exactly.
    const half = (value: number): number => {
      if (value === 0) return 0;
      const exponent = Math.floor(Math.log2(Math.abs(value)));
      return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | ((Math.abs(value) / 2 ** exponent - 1) * 1024);
    };
    const tensor = { name: 'w', dims: [3, C, 1, 1], dataType: 10 };
    const listed = { ...tensor, int32Data: kernel.map(half) };
    const raw = { ...tensor, rawData: new Uint8Array(Uint16Array.from(kernel, half).buffer) };
    for (const one of [listed, raw]) near(await resultOf([conv], 3 * H * W, {}, [one]), wanted);
  });
});

describe('forms of values', () => {
  const flat = picture.flat(2);
  const rows = H * W;

  test('parts, joins, transposes, gathers and pads', async () => {
    const split = [
      node('Split', ['x', 'sizes'], ['a', 'b'], { axis: 3 }),
      node('Concat', ['b', 'a'], ['t'], { axis: 3 }),
    ];
    const turned = picture.flat().flatMap((row) => [...row.slice(2), ...row.slice(0, 2)]);
    near(await resultOf(split, C * rows, {}, [wholes('sizes', [2, W - 2])]), turned);
    const taken = [node('Gather', ['x', 'at'], ['t'], { axis: 2 })];
    const chosen = picture.flatMap((channel) => [3, 4, 0].flatMap((y) => [...channel[y]!]));
    near(await resultOf(taken, C * 3 * W, {}, [wholes('at', [3, -1, 0])]), chosen);
    const cut = [node('Pad', ['x', 'pads'], ['t'])];
    const cropped = picture.flatMap((channel) => channel.slice(0, H - 1).flatMap((row) => [0, ...row.slice(0, W - 2)]));
    near(await resultOf(cut, C * (H - 1) * (W - 1), {}, [wholes('pads', [0, 0, 0, 1, 0, 0, -1, -2])]), cropped);
    const sliced = [node('Slice', ['x', 'from', 'to', 'axes'], ['t'])];
    const constants = [wholes('from', [-2, 1]), wholes('to', [2 ** 40, 3]), wholes('axes', [2, -1])];
    const part = picture.flatMap((channel) => channel.slice(H - 2).flatMap((row) => row.slice(1, 3)));
    near(await resultOf(sliced, C * 4, {}, constants), part);
    const transposed = [node('Transpose', ['x'], ['t'], { perm: [0, 3, 1, 2] })];
    const columns = Array.from({ length: W }, (_, x) =>
      picture.flatMap((channel) => channel.map((row) => row[x]!)),
    ).flat();
    near(await resultOf(transposed, C * rows), columns);
  });

  test('means and sums over any axes, and normalisation written with a positive axis', async () => {
    const means = picture.flatMap((channel) => channel.map((row) => sum(row) / W));
    near(await resultOf([node('ReduceMean', ['x'], ['t'], { axes: [3], keepdims: 0 })], C * H), means);
    const sums = Array.from({ length: rows }, (_, k) => flat[k]! + flat[k + rows]!);
    const over = [node('ReduceSum', ['x', 'axes'], ['t'])];
    near(await resultOf(over, rows, {}, [wholes('axes', [1])]), sums);
    const norm = [
      node('ReduceMean', ['x'], ['m'], { axes: [3] }),
      node('Sub', ['x', 'm'], ['d']),
      node('Mul', ['d', 'd'], ['s']),
      node('ReduceMean', ['s'], ['v'], { axes: [3] }),
      node('Add', ['v', 'e'], ['w']),
      node('Sqrt', ['w'], ['r']),
      node('Div', ['d', 'r'], ['t']),
    ];
    const normalised = picture.flat().flatMap((row) => {
      const mean = sum(row) / W;
      const variance = sum(row.map((value) => (value - mean) ** 2)) / W;
      return row.map((value) => (value - mean) / Math.sqrt(variance + 0.25));
    });
    near(await resultOf(norm, C * rows, {}, [floats('e', [], [0.25])]), normalised);
    const scale = [floats('s', [W], [1, 2, 3, 1, 2, 3])];
    const one = node('LayerNormalization', ['x', 's'], ['t'], { epsilon: 0.25 });
    near(
      await resultOf([one], C * rows, {}, scale),
      normalised.map((value, k) => value * ((k % 3) + 1)),
    );
  });

  test('operands that are repeated over each other in every way', async () => {
    const gate = (shape: number[]) =>
      resultOf([node('Mul', ['x', 'g'], ['t'])], C * rows, {}, [
        floats(
          'g',
          shape,
          numbers(
            shape.reduce((a, b) => a * b),
            2,
          ),
        ),
      ]);
    const by = (at: (c: number, y: number, x: number) => number, values: readonly number[]) =>
      flat.map((value, k) => value * values[at(Math.floor(k / rows), Math.floor(k / W) % H, k % W)]!);
    near(
      await gate([C, 1, 1]),
      by((c) => c, numbers(C, 2)),
    );
    near(
      await gate([W]),
      by((_, __, x) => x, numbers(W, 2)),
    );
    near(
      await gate([1, 1, H, 1]),
      by((_, y) => y, numbers(H, 2)),
    );
    near(
      await gate([1, C, 1, W]),
      by((c, _, x) => c * W + x, numbers(C * W, 2)),
    );
    near(
      await gate([H, W]),
      by((_, y, x) => y * W + x, numbers(H * W, 2)),
    );
    // Both are smaller than what they make.
    const both = [node('ReduceMean', ['x'], ['m'], { axes: [3] }), node('Add', ['m', 'g'], ['t'])];
    const found = await resultOf(both, C * rows, {}, [floats('g', [W], numbers(W, 2))]);
    near(
      found,
      flat.map((_, k) => sum(picture[Math.floor(k / rows)]![Math.floor(k / W) % H]!) / W + numbers(W, 2)[k % W]!),
    );
  });

  test('activations with bounds and slopes of their own', async () => {
    const clip = [node('Clip', ['x', 'low', 'high'], ['t'])];
    const bounds = [floats('low', [], [-0.25]), floats('high', [], [0.5])];
    near(
      await resultOf(clip, C * rows, {}, bounds),
      flat.map((x) => Math.min(Math.max(x, -0.25), 0.5)),
    );
    near(
      await resultOf([node('Clip', ['x'], ['t'], { min: 0, max: 0.5 })], C * rows, { opset: 9 }),
      flat.map((x) => Math.min(Math.max(x, 0), 0.5)),
    );
    near(
      await resultOf([node('HardSigmoid', ['x'], ['t'])], C * rows),
      flat.map((x) => Math.min(Math.max(0.2 * x + 0.5, 0), 1)),
    );
    const tanh = [node('Gelu', ['x'], ['t'], { approximate: 'tanh' })];
    const wanted = flat.map((x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))));
    near(await resultOf(tanh, C * rows, { opset: 20 }), wanted);
    near(
      await resultOf([node('Pow', ['x', 'p'], ['t'])], C * rows, {}, [floats('p', [], [3])]),
      flat.map((x) => x ** 3),
    );
    near(
      await resultOf([node('Div', ['one', 'b'], ['t']), node('Add', ['x', 'two'], ['b'])].reverse(), C * rows, {}, [
        floats('one', [], [1]),
        floats('two', [], [2]),
      ]),
      flat.map((x) => 1 / (x + 2)),
    );
  });
});

test('tokens before images, joined for a linear layer, in a file for one image', async () => {
  const kernel = numbers(C * 3, 4);
  const nodes = [
    node('Reshape', ['x', 'flat'], ['a']),
    node('Transpose', ['a'], ['b'], { perm: [2, 0, 1] }),
    node('Reshape', ['b', 'rows'], ['c']),
    node('Gemm', ['c', 'w'], ['d']),
    node('Reshape', ['d', 'tokens'], ['e']),
    node('Tanh', ['e'], ['f']),
    node('ReduceMean', ['f'], ['y'], { axes: [0], keepdims: 0 }),
  ];
  const shapes = { flat: [1, C, H * W], rows: [H * W, C], tokens: [H * W, 1, 3] };
  const constants = [
    ...Object.entries(shapes).map(([name, shape]) => wholes(name, shape)),
    floats('w', [C, 3], kernel),
  ];
  const model = modelAt(written(place, modelProto({ nodes, constants, image: [1, C, H, W] })));
  const input = Float32Array.from({ length: 2 * H * W * C }, (_, at) => Math.cos(at * at));
  const { logits, layers } = await logitsOf(model, [H, W, C], 2, input);
  const wanted = [0, 1].flatMap((image) =>
    [0, 1, 2].map((o) => {
      const tokens = Array.from({ length: H * W }, (_, token) => {
        const at = (image * H * W + token) * C;
        return Math.tanh(input[at]! * kernel[o]! + input[at + 1]! * kernel[3 + o]!);
      });
      return sum(tokens) / tokens.length;
    }),
  );
  near(logits.flat(), wanted);
  expect(layers[0]!.macs).toBe(H * W * C * 3);
});

test('a batch norm learns at the rate that the file says, whose momentum is what stays', () => {
  const vectors = ['s', 'b', 'm', 'v'].map((name) => floats(name, [C], [1, 2]));
  const norm = node('BatchNormalization', ['x', 's', 'b', 'm', 'v'], ['t'], { momentum: 0.75, epsilon: 1e-3 });
  const nodes = [norm, node('Flatten', ['t'], ['f']), node('Gemm', ['f', 'w'], ['y'])];
  const weights = floats('w', [C * H * W, 2], numbers(2 * C * H * W, 1));
  const model = modelAt(written(place, modelProto({ nodes, image: IMAGE, constants: [...vectors, weights] })));
  const nn = new Layers(new Graph(), { training: true, multiply: multiplyFloat });
  model.build(nn, nn.graph.input('images', [4, H, W, C]), 2);
  const running = nn.graph.assignments.get('BatchNormalization_t.running_mean')!.source;
  expect(running.kind === 'node' && running.node.attributes).toEqual({ alpha: 0.75, beta: 0.25 });
  expect(nn.graph.nodes.find(({ op }) => op === 'batchNorm')?.attributes).toEqual({ epsilon: 1e-3 });
});

test('the page lists every operator that is read, and no other', () => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/onnx.md'), 'utf8');
  const table = page.slice(page.indexOf('| kind | operators |'), page.indexOf('### What is refused'));
  const listed = new Set([...table.matchAll(/`(\w+)`/g)].map(([, name]) => name!));
  expect([...listed].sort()).toEqual(operatorNames);
});
