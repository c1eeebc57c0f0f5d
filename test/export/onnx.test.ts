// Exported networks run by ONNX Runtime, an executor that is none of ours: the logits of the engine, and the classes of
// the integer interpreter. Each fixture has what an export meets: several multipliers, signed ones, narrow weights,
// zero points between codes, pools, concatenations, attention.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { exportOnnx, exportQonnx } from '../../src/export/onnx/exporter.ts';
import { lowerNetwork } from '../../src/export/onnx/lower.ts';
import type { FrozenNetwork } from '../../src/integer/frozen.ts';
import { classOf, interpreter, logitsOf } from '../../src/integer/interpret.ts';
import { lower } from '../../src/integer/lower.ts';
import { exactMultiplier } from '../../src/multiplier/multiplier.ts';
import { Layers, multiplyFloat } from '../../src/nn/layers.ts';
import { initialTensor } from '../../src/nn/parameters.ts';
import { type ModelProto, readModel } from '../../src/onnx/schema.ts';
import { elementTypes, readTensor } from '../../src/onnx/tensors.ts';
import { multiplyQuantized } from '../../src/quant/quantized.ts';
import { Random } from '../../src/tensor/random.ts';
import { f32, type HostTensor, sizeOf } from '../../src/tensor/tensor.ts';
import { type FixtureName, fixture } from '../integer/fixtures.ts';
import { runOnnx, withQuant } from './onnx-runtime.ts';

const backend = wasmBackend({ threads: 1 });

/** The logits of the engine, image by image. */
async function engineLogits(frozen: Pick<FrozenNetwork, 'graph' | 'image' | 'variables'>, pixels: Uint8Array) {
  const session = await backend.openSession();
  try {
    for (const [name, tensor] of frozen.variables) session.write(name, tensor);
    const program = await session.compile(frozen.graph);
    const each = frozen.image.shape.reduce((product, extent) => product * extent, 1);
    const logits: number[] = [];
    for (let at = 0; at < pixels.length; at += each) {
      program.write('images', pixels.subarray(at, at + each));
      await program.run();
      logits.push(...(await program.read('logits')));
    }
    return logits;
  } finally {
    await session.dispose();
  }
}

/** The same graph with exact products of the same codes. */
function withExactProducts({ graph, image }: FrozenNetwork): { readonly graph: Graph; readonly image: Value } {
  const copy = new Graph();
  const known = new Map<Value, Value>();
  const copied = (value: Value): Value => {
    const { source, shape, dtype } = value;
    if (source.kind === 'variable') return copy.variable(source.name, shape, dtype);
    const made = known.get(value) ?? (source.kind === 'input' ? copy.input(source.name, shape, dtype) : undefined);
    const found = made ?? copy.constant((source as { readonly tensor: HostTensor }).tensor);
    known.set(value, found);
    return found;
  };
  for (const { op, attributes, inputs, outputs, label } of graph.nodes) {
    const isProduct = op === 'axmConv2d';
    const given = (isProduct ? inputs.slice(0, 6) : inputs).map(copied);
    const asked = isProduct ? { ...attributes, error: { kind: 'none' } } : attributes;
    const made = copy.labelled(label, () => copy.apply(op, given, asked as typeof attributes));
    for (const [at, value] of outputs.entries()) known.set(value, made[at]!);
  }
  copy.output('logits', known.get(graph.outputs.get('logits')!)!);
  return { graph: copy, image: known.get(image)! };
}

const rowsOf = (values: ArrayLike<number>, classes: number): number[][] =>
  Array.from({ length: values.length / classes }, (_, row) =>
    Array.from({ length: classes }, (_, k) => values[row * classes + k]!),
  );

const largestDifference = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
  Math.max(...Array.from(a, (value, at) => Math.abs(value - b[at]!)));

const bytesIn = (files: ReadonlyMap<string, string | Uint8Array>, name: string) => files.get(name) as Uint8Array;

const evaluated = new Map<FixtureName, Promise<number[]>>();

/** The engine's logits of a fixture's own images. */
function engineOf(name: FixtureName): Promise<number[]> {
  const known = evaluated.get(name) ?? fixture(name).then(({ frozen, images }) => engineLogits(frozen, images.pixels));
  evaluated.set(name, known);
  return known;
}

async function networkOf(name: FixtureName) {
  const { frozen, images } = await fixture(name);
  const input = { frozen, network: lower(frozen), images };
  return { ...input, input, pixels: { ...images, shape: frozen.image.shape }, classes: frozen.classes };
}

/** Logits of 8 images by 5 classes are of the order of 1; float32 sums in another order differ by some 1e-6. */
const CLOSE = 2e-5;

describe('QDQ', () => {
  test.for<FixtureName>(['kinds', 'narrow', 'between', 'dense', 'islands'])(
    '%s: the logits of the engine, the classes of the integers',
    async (name) => {
      const { network, input, images, pixels, classes } = await networkOf(name);
      const logits = await runOnnx(bytesIn(exportOnnx(input), 'model.onnx'), pixels);
      expect(logits).toHaveLength(images.count * classes);
      expect(largestDifference(logits, await engineOf(name))).toBeLessThan(CLOSE);
      const run = interpreter(network);
      const each = images.pixels.length / images.count;
      const integers = Array.from({ length: images.count }, (_, k) =>
        classOf(logitsOf(network, run(images.pixels.subarray(k * each, (k + 1) * each)))),
      );
      expect(rowsOf(logits, classes).map(classOf)).toEqual(integers);
    },
  );

  test.for<FixtureName>(['kinds', 'between'])('%s: with exact products in standard operators', async (name) => {
    const { frozen, input, images, pixels, classes } = await networkOf(name);
    const bytes = bytesIn(exportOnnx(input), 'exact.onnx');
    const { functions, opsetImport } = readModel(bytes, name);
    expect([functions.length, opsetImport.length]).toEqual([0, 1]);
    const logits = await engineLogits({ ...frozen, ...withExactProducts(frozen) }, images.pixels);
    const made = rowsOf(await runOnnx(bytes, pixels), classes);
    const differences = rowsOf(logits, classes).map((row, image) => largestDifference(row, made[image]!));
    // Sums of floats in another order: a value on the boundary of two codes becomes the other one, in one image.
    expect(differences.filter((difference) => difference > CLOSE).length).toBeLessThan(3);
    expect(Math.max(...differences)).toBeLessThan(0.01);
    expect(largestDifference(logits, await engineOf(name))).toBeGreaterThan(0.1);
  });

  const initialisers = ({ graph }: ModelProto) => new Map(graph!.initializer.map((tensor) => [tensor.name, tensor]));

  test('weights are 8-bit initialisers with a scale and a zero point for each output', async () => {
    const { frozen, input } = await networkOf('narrow');
    const model = readModel(bytesIn(exportOnnx(input), 'exact.onnx'), 'narrow');
    const known = initialisers(model);
    const layers = model.graph!.node.filter(({ opType }) => opType === 'Conv' || opType === 'MatMul');
    expect(layers).toHaveLength(frozen.layers.length);
    const makers = new Map(model.graph!.node.map((node) => [node.output[0], node]));
    for (const layer of layers) {
      const [activation, weight] = layer.input.map((name) => makers.get(name)!);
      expect([activation!.opType, weight!.opType]).toEqual(['DequantizeLinear', 'DequantizeLinear']);
      const [codes, scale, zero] = weight!.input.map((name) => readTensor(known.get(name)!, 'narrow'));
      expect(codes!.type).toBe('UINT8');
      expect(Math.max(...codes!.data)).toBeLessThan(16);
      const outputs = layer.opType === 'Conv' ? codes!.shape[0] : codes!.shape[1];
      expect([scale!.shape, zero!.shape]).toEqual([[outputs], [outputs]]);
    }
  });

  test('an approximate layer carries its table, which equal layers share', async () => {
    const { frozen, input } = await networkOf('kinds');
    const model = readModel(bytesIn(exportOnnx(input), 'model.onnx'), 'kinds');
    const known = initialisers(model);
    const nodes = model.graph!.node.filter(({ domain }) => domain === 'tram.axm');
    const approximate = frozen.layers.filter(({ operands }) => !frozen.multipliers[operands!.multiplier]!.exact);
    expect(nodes.map(({ name }) => name)).toEqual(approximate.map(({ name }) => `${name}.AxMConv`));
    for (const [at, node] of nodes.entries()) {
      const { table, name } = frozen.multipliers[approximate[at]!.operands!.multiplier]!;
      const products = readTensor(known.get(node.input[6]!)!, 'kinds');
      expect(products.shape).toEqual([256, 256]);
      expect(products.data.every((product, pair) => product === table.data[pair])).toBe(true);
      expect(readTensor(known.get(node.input[3]!)!, 'kinds').type).toBe(table.signed ? 'INT8' : 'UINT8');
      const said = node.attribute.find((attribute) => attribute.name === 'multiplier')!;
      expect(Buffer.from(said.s!).toString()).toBe(name);
    }
    expect(new Set(nodes.map(({ input }) => input[6])).size).toBe(3);
    // Layers of all sizes call one function: an extent with a name would be the same in all of them.
    const bodies = model.functions.flatMap(({ node }) => node.flatMap(({ attribute }) => attribute.map(({ g }) => g)));
    const values = bodies.flatMap((body) => (body ? [...body.input, ...body.output] : []));
    expect(values).toHaveLength(6);
    expect(values.flatMap(({ type }) => type!.tensorType!.shape!.dim).every(({ dimParam }) => !dimParam)).toBe(true);
  });
});

describe('QONNX', () => {
  test.for<FixtureName>(['kinds', 'between'])('%s: the logits of the engine', async (name) => {
    const { input, pixels } = await networkOf(name);
    const logits = await runOnnx(withQuant(bytesIn(exportQonnx(input), 'model.onnx')), pixels);
    expect(largestDifference(logits, await engineOf(name))).toBeLessThan(CLOSE);
  });

  test('Quant nodes have the inputs and attributes of their description', async () => {
    const { frozen, input } = await networkOf('narrow');
    const model = readModel(bytesIn(exportQonnx(input), 'exact.onnx'), 'narrow');
    const nodes = model.graph!.node.filter(({ domain }) => domain === 'qonnx.custom_op.general');
    const known = new Map(model.graph!.initializer.map((tensor) => [tensor.name, tensor]));
    expect(nodes.every(({ opType }) => opType === 'Quant')).toBe(true);
    // Two layers read the pooled stem.
    expect(nodes).toHaveLength(2 * frozen.layers.length - 1);
    for (const { input, attribute } of nodes) {
      const values = Object.fromEntries(
        attribute.map((one) => [one.name, one.s ? Buffer.from(one.s).toString() : one.i]),
      );
      expect(values).toEqual({ signed: 0, narrow: 0, rounding_mode: 'ROUND' });
      expect(input).toHaveLength(4);
      const bits = readTensor(known.get(input[3]!)!, 'narrow');
      expect([bits.shape, bits.data[0]]).toEqual([[], known.has(input[0]!) ? 4 : 8]);
    }
    expect(model.graph!.input[0]!.type!.tensorType!.elemType).toBe(elementTypes.FLOAT);
  });
});

/** Every operation that a definition can ask for and the fixtures do not have, in float32. */
function rareOperations(nn: Layers, image: Value): Value {
  const { graph } = nn;
  let x = nn.hardSwish(nn.conv('a', image, { out: 8, kernel: 3, padding: 1, bias: true }));
  x = nn.add(x, nn.leakyRelu(nn.conv('b', x, { out: 8, kernel: 3, padding: 1, groups: 4 }), 0.2));
  x = nn.tanh(nn.layerNorm('norm', x));
  x = nn.gate(x, nn.hardSigmoid(nn.linear('gate', nn.globalAveragePool(x), 8)));
  x = nn.averagePool(x, 3, 2, 1, { ceil: true });
  x = nn.averagePool(nn.maxPool(x, 3, 2, 1, { ceil: true }), 2, 1, 1, { countPadding: false });
  x = nn.slice(nn.pad(nn.roll(x, [1, 2], [1, 2]), 1, 1, 0), 2, 1, 3);
  x = nn.silu(nn.batchNorm('bn', x));
  let tokens = nn.reshape(x, [1, x.shape[1]! * x.shape[2]!, 8]);
  tokens = nn.multiply(nn.batchNorm('bn2', tokens), nn.parameter('positions', [tokens.shape[1]!, 8]));
  // A token of every image, which none decides.
  tokens = nn.concat([nn.parameter('token', [1, 1, 8], 1), tokens], 1);
  tokens = nn.add(tokens, nn.multiply(tokens, nn.sigmoid(nn.slice(tokens, 1, 0, 1))));
  const [query, key, value] = nn.splitHeads(nn.linear('heads', tokens, 24), 3, 2);
  const seen = nn.matrixProduct(nn.softmax(nn.matrixProduct(query!, key!, 'second', 0.5)), value!);
  tokens = nn.reshape(nn.permute(seen, [0, 2, 1, 3]), [1, tokens.shape[1]!, 8]);
  // Back to front, which no slice says.
  const size = tokens.shape[1]! * 8;
  const box = { input: 0, extents: [size], from: { first: size - 1, strides: [-1] }, to: { first: 0, strides: [1] } };
  tokens = graph.apply1('move', [tokens], { name: 'reversed', shape: tokens.shape, boxes: [box] });
  return nn.linear('fc', nn.mean(tokens, 1), 5);
}

test('operations of definitions in float32', async () => {
  const graph = new Graph();
  const nn = new Layers(graph, { training: false, multiply: multiplyFloat });
  const image = graph.input('images', [1, 16, 12, 3], 'u8');
  const scaled = graph.apply1('imageToFloat', [image], { scale: [0.01, 0.02, 0.015], offset: [-1, -2, -1.5] });
  const logits = rareOperations(nn, scaled);
  graph.output('logits', logits);
  const random = new Random(3, 3);
  const variables = new Map(
    nn.parameters.map((parameter, at) => {
      const { shape, data } = initialTensor(parameter, 1, at);
      const isVariance = parameter.name.endsWith('running_var');
      const moved = Float32Array.from(data, (v) => (isVariance ? 0.5 + random.uniform() : v + 0.2 * random.normal()));
      return [parameter.name, f32(shape, moved)] as const;
    }),
  );
  const frozen: FrozenNetwork = {
    ...{ model: 'rare', stage: 'float', classes: 5, graph, image, logits, variables, multipliers: [] },
    ...{ layers: nn.multiplying, normalisation: { scale: 1, mean: [0, 0, 0], deviation: [1, 1, 1] } },
  };
  const { bytes, anyBatch } = lowerNetwork(frozen, { style: 'qdq', exact: false });
  expect(anyBatch).toBe(true);
  const pixels = Uint8Array.from({ length: 3 * 16 * 12 * 3 }, () => random.integer(256));
  const made = await runOnnx(bytes, { count: 3, pixels, shape: image.shape });
  expect(largestDifference(made, await engineLogits(frozen, pixels))).toBeLessThan(1e-6);
  const operators = new Set(readModel(bytes, 'rare').graph!.node.map(({ opType }) => opType));
  for (const op of ['HardSwish', 'LeakyRelu', 'Tanh', 'HardSigmoid', 'Sigmoid', 'Softmax', 'Gather']) {
    expect(operators, op).toContain(op);
  }
});

test('few bits, signed weights, zero points that are no codes', async () => {
  const graph = new Graph();
  const widths = { weightBits: 3, activationBits: 5 };
  const multiply = multiplyQuantized({
    ...{ mode: 'evaluate', channelwise: true, widthsOf: () => widths, multiplierOf: exactMultiplier },
  });
  const nn = new Layers(graph, { training: false, multiply });
  const image = graph.input('images', [1, 6, 6, 3], 'u8');
  const scaled = graph.apply1('imageToFloat', [image], { scale: [0.01, 0.01, 0.01], offset: [-1, -1, -1] });
  const between = nn.conv('between', scaled, { out: 4, kernel: 3, padding: 1, bias: true });
  const beyond = nn.conv('beyond', nn.relu(between), { out: 4, kernel: 2, stride: 2 });
  const tokens = nn.linear('tokens', nn.reshape(beyond, [1, 9, 4]), 4);
  const logits = nn.linear('fc', nn.reshape(tokens, [1, 36]), 5);
  graph.output('logits', logits);
  // Of activations, then of weights: the middle of 3 bits makes signed integers around 0.
  const zeros = { between: [10.5, 4], beyond: [-3, 3], tokens: [16, 3.5], fc: [15, -2] };
  const random = new Random(8, 1);
  const variables = new Map([...graph.variables.values()].map((value) => [nameOf(value), variable(value)] as const));
  function nameOf({ source }: Value): string {
    return (source as { readonly name: string }).name;
  }
  function variable(value: Value): HostTensor {
    const [, layer, what] = /^(.*)\.(.*)$/.exec(nameOf(value)) as unknown as [string, keyof typeof zeros, string];
    const operand = what.startsWith('input') ? 0 : 1;
    const size = sizeOf(value.shape);
    if (what.endsWith('zero_point')) return f32(value.shape, new Float32Array(size).fill(zeros[layer][operand]!));
    if (!what.endsWith('scale'))
      return f32(
        value.shape,
        Float32Array.from({ length: size }, () => random.normal()),
      );
    return f32(
      value.shape,
      Float32Array.from({ length: size }, () => 0.2 + 0.2 * random.uniform()),
    );
  }
  const frozen: FrozenNetwork = {
    ...{ model: 'few', stage: 'quantized', classes: 5, graph, image, logits, variables, multipliers: [] },
    ...{ layers: nn.multiplying, normalisation: { scale: 1, mean: [0, 0, 0], deviation: [1, 1, 1] } },
  };
  const pixels = Uint8Array.from({ length: 4 * 6 * 6 * 3 }, () => random.integer(256));
  const expected = await engineLogits(frozen, pixels);
  const images = { count: 4, pixels, shape: image.shape };
  const qdq = lowerNetwork(frozen, { style: 'qdq', exact: false }).bytes;
  expect(largestDifference(await runOnnx(qdq, images), expected)).toBeLessThan(1e-4);
  const qonnx = withQuant(lowerNetwork(frozen, { style: 'qonnx', exact: false }).bytes);
  expect(largestDifference(await runOnnx(qonnx, images), expected)).toBeLessThan(1e-4);
  expect(Math.max(...expected.map(Math.abs))).toBeGreaterThan(1);
  const types = readModel(qdq, 'few').graph!.initializer.map(({ name, dataType }) => [name, dataType]);
  expect(new Map(types as [string, number][]).get('between.weight')).toBe(elementTypes.INT8);
});

const python = '/usr/bin/python3';
const hasChecker = spawnSync(python, ['-c', 'import onnx']).status === 0;

// Needs Debian's python3-onnx (1.12), which is not where it is not installed.
test.skipIf(!hasChecker)('files satisfy the checker and the shape inference of the onnx package', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'onnx-'));
  try {
    for (const name of ['kinds', 'islands'] as const) {
      for (const [file, bytes] of exportOnnx((await networkOf(name)).input)) {
        if (file.endsWith('.onnx')) writeFileSync(join(folder, `${name}-${file}`), bytes);
      }
    }
    const script = [
      'import glob, onnx, sys',
      'for path in sorted(glob.glob(sys.argv[1] + "/*.onnx")):',
      '    onnx.checker.check_model(path, full_check=True)',
      '    made = onnx.shape_inference.infer_shapes(onnx.load(path), strict_mode=True)',
      '    print(len(made.graph.value_info) >= len(made.graph.node) - 1)',
    ].join('\n');
    const { stdout, stderr } = spawnSync(python, ['-c', script, folder], { encoding: 'utf8' });
    expect([stdout.trim().split('\n'), stderr]).toEqual([['True', 'True', 'True', 'True'], '']);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
