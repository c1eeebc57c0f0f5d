// Kernels run on this processor (host-device.ts) and agree with the reference, with threads and blocks in either order:
// a few cases of each kind, because each needs compilations of its own; of those with matrix units the warpgroups' own,
// convolutions on f16 and counts of bits.
// TRAM_HOST_KERNELS=FILTER takes all whose name matches it, TRAM_HOST_TARGET=tf32 lowers them for that device (a name
// of test/engine/devices.ts) in place of fp32, and for it with 2 multiprocessors; those of other kernels then fail, and
// say so.

import { afterAll, describe, expect, test } from 'vitest';
import { bitLayout, packBits } from '../../src/engine/cuda/lower/approximate-bits.ts';
import { type Convolution, convolutionOf } from '../../src/engine/cuda/lower/geometry.ts';
import { sumParts } from '../../src/engine/cuda/lower/lowering.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { convOutputShape } from '../../src/engine/graph/inference.ts';
import type { ConvGeometry, OperandWidths } from '../../src/engine/graph/ops.ts';
import { square } from '../../src/engine/graph/window.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import type { Shape } from '../../src/tensor/tensor.ts';
import { cases, processorCases } from '../engine/all-cases.ts';
import { type Case, codes, floats, make } from '../engine/cases.ts';
import { expectedOf, problemsOf } from '../engine/conformance.ts';
import { cudaTargets } from '../engine/devices.ts';
import { graphOf, type Results } from '../engine/run-case.ts';
import { lowerGraph } from './fake-memory.ts';
import { BASE, findHostCompiler, HostDevice } from './host-device.ts';

const filter = process.env.TRAM_HOST_KERNELS;
const targetName = process.env.TRAM_HOST_TARGET ?? 'fp32';
const relative = cudaTargets[targetName]?.precision === 'fp32' ? 1e-5 : 2e-3;
const few = [
  ...['conv2d: depthwise, stride 2 of 12 channels', 'axmConv2d: structure, w4a5, two outputs per channel'],
  'relu: batch norm with an addition and a relu and a range behind it, [3000, 32]',
  'maxPool: 3×3 with padding of 6 channels, ties',
  ...['mean: 256', 'mean: 3×8', 'divergence: 6×10 at 20, logits up to 40'],
  ...['softmaxCrossEntropy: 21 rows of 10 classes, smoothed by 0.1', 'batchNorm: [600, 2]'],
  ...['sgd: Nesterov, 33 elements', 'adam: decoupled decay, 33 elements', 'movingAverage: 33 elements'],
  ...['mixImages: boxes of partners and of nothing, over every edge', 'dropout: elements: 5×7, rate 0.75'],
  ...['quantize: 3 bits per tensor', 'quantize: per channel', 'clipScale', 'channelSum', 'dot'],
];
/** With so few it is summed whole by each block. */
const twoMultiprocessors = 'conv2d: 192 channels, magnitudes near the largest';
/** On Hopper's matrix units, lowered for tf32. */
const onWarpgroups = [
  twoMultiprocessors,
  ...['conv2d: 64 channels, 23 columns', 'conv2d: 192 to 64 channels of small images'],
  ...['conv2d: 64 channels with stride 2, pointwise', 'conv2d: 64 channels to 15 columns, stride 2'],
  ...['conv2d: 192 to 64 channels of small images, stride 2', 'conv2d: 128 to 192 channels, stride 2'],
  ...['conv2d: one pixel of 192 channels to 128, pointwise', 'conv2d: 192 to 64 channels, pointwise'],
  'conv2d: a batch norm with nothing and running averages behind, 192 to 64 channels of small images',
  'conv2d: a batch norm with a relu behind, 320 to 64 channels of small images',
  'conv2d: a batch norm with a relu behind, 64 to 64 channels, whole tiles',
  'conv2d: a batch norm with nothing and running averages behind, 64 to 128 channels, stride 2',
  'conv2d: a batch norm with a relu and running averages behind, 64 to 192 channels, pointwise',
  ...['axmConv2d: truncation, w4a5, codes of 64 channels, 23 columns'],
  ...['axmConv2d: truncation, w4a5, codes of 192 to 64 channels, pointwise'],
  ...['axmConv2d: truncation, w4a5, codes of 64 channels to 15 columns, stride 2'],
  ...['axmConv2d: structure, w4a5, bits: one unit, half of it empty'],
  ...['axmConv2d: truncation, w4a5, bits: three units, strided'],
  ...['axmConv2d: parameters, w8a8, bits: windows of 100 codes, dilated, by columns'],
];
const withBias = [
  ['conv2d', '64 channels'],
  ['axmConv2d', 'structure, 64 channels'],
] as const;
const poolBehindNorm = 'maxPool: batch norm and a relu in front, 3×3, [2, 13, 11, 32]';
const withOtherMatrixUnits = 'conv2d: 3×3 with padding';
const chosen = (filter === undefined ? processorCases : cases).filter(({ name }) =>
  filter === undefined ? few.includes(name) : new RegExp(filter).test(name),
);
const present = findHostCompiler() !== undefined;

type Packing = readonly [x: Shape, w: Shape, window: ConvGeometry];
/** Of each what is packed, bits of weights and activations, and multiprocessors: with one, threads take several. */
const packings: readonly (readonly [string, Packing, readonly [number, number], number])[] = [
  ['windows of 27 codes', [[2, 17, 13, 3], [3, 3, 3, 64], square({ padding: 1 })], [8, 8], 1],
  ['windows of 32 codes', [[3, 5, 7, 8], [2, 2, 8, 10], square({ stride: [1, 2] })], [8, 8], 132],
  ['windows of 147 codes', [[2, 33, 27, 3], [7, 7, 3, 70], square({ stride: 2, padding: 3 })], [8, 8], 1],
  ['windows of 63 codes, dilated', [[1, 9, 8, 7], [3, 3, 7, 5], square({ padding: 4, dilation: [4, 2] })], [4, 5], 1],
  ['windows of 5 codes', [[5, 4, 9, 1], [1, 5, 1, 65], square({ padding: [2, 1] })], [4, 5], 132],
  ['windows of 128 codes', [[3, 9, 9, 8], [4, 4, 8, 130], square({ padding: 1 })], [8, 8], 1],
  ['single taps of 200 codes', [[1, 9, 7, 200], [1, 1, 200, 3], square({ stride: 2 })], [8, 8], 1],
  ['pixels of 64 codes', [[2, 5, 5, 64], [1, 1, 64, 3], square()], [4, 5], 1],
  ['pixels of 128 codes', [[1, 5, 5, 128], [1, 1, 128, 65], square()], [8, 8], 1],
];

/** The packed windows, the packed weights and the sums of 64 codes, as the kernels of bits want them. */
function packedBits(g: Convolution, { weightBits, activationBits }: OperandWidths, x: Uint8Array, w: Uint8Array) {
  const pieces = Math.ceil(g.inner / 64);
  const [block, units] = [pieces % 2 === 0 ? 128 : 64, Math.ceil(pieces / 2)];
  const columns = Math.ceil(g.outputs / 64) * 64;
  const packedX = new Uint8Array(g.pixels * pieces * 8 * activationBits);
  const packedW = new Uint8Array(units * columns * 16 * weightBits);
  const sums = new Int32Array(g.pixels * pieces);
  for (let k = 0; k < g.inner; k++) {
    const [tap, channel] = [Math.floor(k / g.c), k % g.c];
    const [ky, kx] = [Math.floor(tap / g.kw), tap % g.kw];
    for (let pixel = 0; pixel < g.pixels; pixel++) {
      const row = Math.floor(pixel / g.ow);
      const sy = (row % g.oh) * g.stride[0] - g.padding[0] + ky * g.dilation[0];
      const sx = (pixel % g.ow) * g.stride[1] - g.padding[1] + kx * g.dilation[1];
      if (sy < 0 || sy >= g.h || sx < 0 || sx >= g.w) continue;
      const code = x[((Math.floor(row / g.oh) * g.h + sy) * g.w + sx) * g.c + channel]!;
      sums[pixel * pieces + Math.floor(k / 64)]! += code;
      const before = (pixel * pieces * 64) / block + Math.floor(k / block);
      for (let plane = 0; plane < activationBits; plane++) {
        const byte = ((before * activationBits + plane) * block) / 8 + ((k % block) >> 3);
        packedX[byte]! |= ((code >> plane) & 1) << (k % 8);
      }
    }
    for (let o = 0; o < g.outputs; o++) {
      const unit = Math.floor(o / 64) * units + Math.floor(k / 128);
      for (let plane = 0; plane < weightBits; plane++) {
        const byte = ((unit * weightBits + weightBits - 1 - plane) * 64 + (o % 64)) * 16 + ((k % 128) >> 3);
        packedW[byte]! |= ((w[k * g.outputs + o]! >> plane) & 1) << (k % 8);
      }
    }
  }
  return [packedX, packedW, sums] as const;
}

describe(present ? 'on the host' : 'on the host (skipped: there is no g++)', () => {
  const device = present ? new HostDevice() : undefined;
  afterAll(() => device?.dispose());
  test.runIf(present).each(chosen.map((item) => [item.name, item] as const))('%s', async (_, item) => {
    const inputs = new Map(item.inputs.map((input, at) => [`x${at}`, input]));
    for (const name of filter === undefined ? ['fp32'] : [targetName, `${targetName}, 2 multiprocessors`]) {
      const target = cudaTargets[name];
      if (!target) continue;
      const found = device!.run(graphOf(item), inputs, target);
      expect(problemsOf(item, found, await expectedOf(item), relative)).toEqual([]);
      expect(device!.run(graphOf(item), inputs, target, true)).toEqual(found);
    }
  });

  test.runIf(present && filter === undefined).each(onWarpgroups)('%s, by warpgroups', async (name) => {
    const item = cases.find((one) => one.name === name)!;
    const inputs = new Map(item.inputs.map((input, at) => [`x${at}`, input]));
    const target = cudaTargets[name === twoMultiprocessors ? 'tf32, 2 multiprocessors' : 'tf32']!;
    const found = device!.run(graphOf(item), inputs, target);
    expect(problemsOf(item, found, await expectedOf(item), 2e-3)).toEqual([]);
    expect(device!.run(graphOf(item), inputs, target, true)).toEqual(found);
  });

  test.runIf(present && filter === undefined).each(withBias)(
    '%s: a bias that the product adds gives the bits of the two operations',
    (op, note) => {
      const [joined, apart] = ['a bias', 'a bias of what is read twice'].map(
        (form) => cases.find(({ name }) => name === `${op}: ${form}, ${note}`)!,
      ) as [Case, Case];
      const inputs = new Map(joined.inputs.map((input, at) => [`x${at}`, input]));
      const [found, expected] = [joined, apart].map((item) => device!.run(graphOf(item), inputs, cudaTargets.tf32!));
      expect(found!.y0).toEqual(expected!.y0);
    },
  );

  test.runIf(present && (filter === undefined || new RegExp(filter).test(poolBehindNorm)))(
    `${poolBehindNorm}: what is joined gives the bits of the single operations`,
    () => {
      const item = cases.find(({ name }) => name === poolBehindNorm)!;
      const inputs = new Map(item.inputs.map((input, at) => [`x${at}`, input]));
      const [joined, apart] = [graphOf(item), graphOf(item)];
      // A gradient that is not known to be this pool's leaves all of them as they are.
      for (const node of apart.nodes) {
        if (node.op === 'maxPoolGradient') Object.assign(node, { attributes: { ...node.attributes } });
      }
      const kernels = [joined, apart].map((graph) =>
        lowerGraph(graph, cudaTargets.tf32!).launches.map(({ name }) => name),
      );
      expect(kernels[0]).toEqual(expect.arrayContaining(['normalized_max_pool', 'pooled_normalize_gradient']));
      expect(kernels[1]).toEqual(expect.arrayContaining(['normalize', 'max_pool_gradient', 'rectified_gradient_sums']));
      const [found, expected] = [joined, apart].map((graph) => device!.run(graph, inputs, cudaTargets.tf32!));
      expect(found).toEqual(expected);
    },
  );

  test.runIf(present && filter === undefined).each([1, 3])(
    'NaN and infinity spoil no other products of windows of %i on f16',
    async (k) => {
      const [x, w] = [floats([2, 9, 9, 128]), floats([k, k, 128, 64])];
      x.data.set([Number.NaN, Number.POSITIVE_INFINITY], 128 * 40 + 3);
      // In the middle, which meets no zero outside the image.
      w.data[((k * k - 1) / 2) * 128 * 64 + 64 * 70 + 5] = Number.NEGATIVE_INFINITY;
      const item = make('conv2d', `windows of ${k}, with NaN and infinity`, [x, w], square({ padding: (k - 1) / 2 }), {
        differentiate: [0, 1],
      });
      const inputs = new Map(item.inputs.map((input, at) => [`x${at}`, input]));
      // Where it should be finite and is not, or the other way about, it is zero on one side alone.
      const ofNumbers = ({ y0, d0, d1 }: Results): Results =>
        Object.fromEntries(
          Object.entries({ y0, d0, d1 }).map(([name, data]) => [
            name,
            Float32Array.from(data!, (value) => (Number.isFinite(value) ? value : 0)),
          ]),
        );
      const found = device!.run(graphOf(item), inputs, cudaTargets.tf32!);
      expect(problemsOf(item, ofNumbers(found), ofNumbers(await expectedOf(item)), 2e-3)).toEqual([]);
    },
  );

  test.runIf(present)('a channel with a NaN or an infinity has no numbers behind batch norm and relu', async () => {
    const graph = new Graph();
    const values = [floats([64, 4]), floats([4]), floats([4])];
    values[0]!.data.set([Number.NaN, Number.POSITIVE_INFINITY], 4 * 5 + 1);
    const inputs = new Map(values.map((value, at) => [`x${at}`, value]));
    const operands = [...inputs].map(([name, { shape }]) => graph.input(name, shape));
    const [y, mean, variance] = graph.apply('batchNorm', operands, { epsilon: 1e-5 });
    graph.output('mean', mean!);
    graph.output('variance', variance!);
    graph.output('y', graph.apply1('relu', [y!], {}));
    expect(lowerGraph(graph, cudaTargets.fp32!).launches.map(({ name }) => name)).toEqual(['moments', 'normalize']);
    const found = device!.run(graph, inputs, cudaTargets.fp32!);
    const session = await referenceBackend().openSession();
    const program = await session.compile(graph);
    for (const [name, { data }] of inputs) program.write(name, data);
    await program.run();
    for (const name of ['mean', 'variance', 'y'] as const) {
      const data = await program.read(name);
      expect(Array.from(found[name]!, (value) => Number.isNaN(value))).toEqual(
        Array.from(data, (value) => Number.isNaN(value)),
      );
    }
    await session.dispose();
    expect([...found.variance!].map(Number.isNaN)).toEqual([false, true, true, false]);
  });

  test.runIf(present)('kernels with other matrix units end with an error', () => {
    const item = processorCases.find(({ name }) => name === withOtherMatrixUnits)!;
    const inputs = new Map(item.inputs.map((input, at) => [`x${at}`, input]));
    expect(() => device!.run(graphOf(item), inputs, cudaTargets.bf16!)).toThrow(
      /an instruction that a host has not: .*bf16/,
    );
  });

  test.runIf(present).each(packings)(
    '%s are packed as plain code packs them',
    (_, [x, w, window], bits, multiprocessors) => {
      const g = convolutionOf(x, w, convOutputShape(x, w, window), window);
      const [weightBits, activationBits] = bits;
      const widths = { weightBits, activationBits };
      const target = { ...cudaTargets.tf32!, multiprocessors };
      const layout = bitLayout(g, widths, target)!;
      const operands = [codes(x, activationBits).data, codes(w, weightBits).data] as [Uint8Array, Uint8Array];
      const expected = packedBits(g, widths, ...operands);
      const sizes = [...operands, ...expected].map(({ byteLength }) => byteLength);
      const [inputAt, weightAt, ...places] = sizes.map((_, at) =>
        sizes.slice(0, at).reduce((sum, size) => sum + Math.ceil(size / 256) * 256 + 256, 0),
      ) as [number, number, number, number, number];
      expect([layout.packedBytes, layout.weightBytes, layout.sumBytes]).toEqual(sizes.slice(2));
      const memory = new Uint8Array(places[2] + layout.sumBytes + 256).fill(0xff);
      memory.set(operands[0], inputAt);
      memory.set(operands[1], weightAt);
      const addressOf = (at: number) => BASE + BigInt(at);
      const packed = { x: addressOf(places[0]), w: addressOf(places[1]), sums: addressOf(places[2]) };
      const launches = packBits(g, widths, layout, [addressOf(inputAt), addressOf(weightAt)], packed, target);
      const wanted = memory.slice();
      for (const [at, data] of expected.entries()) wanted.set(new Uint8Array(data.buffer), places[at]!);
      for (const descending of [false, true]) {
        // The whole of memory: nothing is written elsewhere.
        const found = device!.execute(memory, launches, descending);
        expect(Buffer.compare(found, wanted), `${descending}`).toBe(0);
      }
    },
  );

  // Elements and parts: one thread for each and several, fours and single ones, blocks that are not filled.
  test.runIf(present).each([
    ...[
      [64, 128],
      [7, 130],
      [12, 9],
      [1028, 33],
      [4099, 16],
    ],
    [2 ** 19, 8],
  ] as [number, number][])('%i sums of %i parts', (count, number) => {
    const bytes = 4 * count;
    const [partsAt, sumsAt] = [0, Math.ceil((bytes * number) / 256) * 256 + 256];
    const memory = new Uint8Array(sumsAt + Math.ceil(bytes / 256) * 256 + 256).fill(0xff);
    const parts = Float32Array.from({ length: count * number }, (_, at) => (at * 7919) % 1013);
    memory.set(new Uint8Array(parts.buffer), partsAt);
    const wanted = memory.slice();
    const sums = new Float32Array(count);
    for (const [at, part] of parts.entries()) sums[at % count]! += part;
    wanted.set(new Uint8Array(sums.buffer), sumsAt);
    const launches = [sumParts(BASE + BigInt(partsAt), BASE + BigInt(sumsAt), count, number)];
    for (const descending of [false, true]) {
      expect(Buffer.compare(device!.execute(memory, launches, descending), wanted), `${descending}`).toBe(0);
    }
  });

  test('each of the few is a case', () => {
    const names = cases.map(({ name }) => name);
    expect([...few, ...onWarpgroups, poolBehindNorm].filter((name) => !names.includes(name))).toEqual([]);
  });
});
