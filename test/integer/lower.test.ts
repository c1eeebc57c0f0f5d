// Networks as integers against the engine: on the interpreter's own codes the engine's product of every layer gives, to
// the last integer, the interpreter's sums; codes of the whole network differ from the engine's only where a value lies
// on a boundary; and every value and partial sum lies within its proved bounds.

import { expect, test } from 'vitest';
import type { Session } from '../../src/engine/backend.ts';
import { Graph, type Node, type Value } from '../../src/engine/graph/graph.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { classOf, interpreter, logitsOf, type Values } from '../../src/integer/interpret.ts';
import { lower } from '../../src/integer/lower.ts';
import type { IntegerNetwork, ProductOperation } from '../../src/integer/network.ts';
import { productBounds } from '../../src/integer/product.ts';
import { exactTable } from '../../src/multiplier/table.ts';
import { type HostTensor, tensor } from '../../src/tensor/tensor.ts';
import { errs, type Fixture, fixture, fixtureNames } from './fixtures.ts';

const IMAGES = 4;
const backend = wasmBackend({ threads: 1 });

const productsIn = ({ operations }: IntegerNetwork): ProductOperation[] =>
  operations.filter((operation) => operation.kind === 'product');

/** A program of the engine that gives the logits and all that the products read. */
async function engineOf({ frozen }: Fixture, session: Session) {
  const { graph } = frozen;
  for (const [name, variable] of frozen.variables) session.write(name, variable);
  const nodes = graph.nodes.filter(({ op }) => op === 'axmConv2d') as Node[] as Node<'axmConv2d'>[];
  const outputs = new Map<Value, string>();
  for (const value of nodes.flatMap(({ inputs }) => inputs)) {
    if (value.source.kind === 'node' && !outputs.has(value)) outputs.set(value, `value${outputs.size}`);
  }
  for (const [value, name] of outputs) graph.output(name, value);
  const program = await session.compile(graph);
  const dataOf = async (value: Value): Promise<HostTensor> => {
    const { source } = value;
    if (source.kind === 'constant') return source.tensor;
    if (source.kind === 'variable') return frozen.variables.get(source.name)!;
    return { ...value, data: await program.read(outputs.get(value)!) };
  };
  return { program, nodes, dataOf };
}

interface Layer {
  readonly node: Node<'axmConv2d'>;
  readonly codes: Uint8Array;
  /** Behind the codes. */
  readonly constants: readonly HostTensor[];
}

/** What the engine sums up of codes in each layer, with scales of 1. */
async function engineSums(session: Session, layers: readonly Layer[]): Promise<readonly Float32Array[]> {
  const graph = new Graph();
  const ones = ({ shape }: HostTensor) => graph.constant(tensor('f32', shape, new Float32Array(shape[0] ?? 1).fill(1)));
  for (const [at, { node, constants }] of layers.entries()) {
    const { attributes, inputs, label } = node;
    const values = constants.map((one, place) => (place === 1 || place === 3 ? ones(one) : graph.constant(one)));
    const x = graph.input(`x${at}`, inputs[0]!.shape, 'u8');
    graph.output(
      `y${at}`,
      graph.labelled(label, () => graph.apply1('axmConv2d', [x, ...values], attributes)),
    );
  }
  const program = await session.compile(graph);
  for (const [at, { codes }] of layers.entries()) program.write(`x${at}`, codes);
  await program.run();
  return await Promise.all(layers.map((_, at) => program.read(`y${at}`) as Promise<Float32Array>));
}

/** Codes as the engine has them, from 0 on. */
const unsigned = (network: IntegerNetwork, { inputs, multiplier }: ProductOperation, values: readonly Values[]) => {
  const { signed, activationBits } = network.multipliers[multiplier]!.table;
  return Uint8Array.from(values[inputs[0]!]!, (code) => code + (signed ? 2 ** (activationBits - 1) : 0));
};

test.each(fixtureNames)('%s: sums are the engine’s, codes all but those on boundaries', async (name) => {
  const made = await fixture(name);
  const { frozen, images } = made;
  expect([...frozen.variables.keys()]).toEqual([...frozen.graph.variables.keys()]);
  expect(frozen.multipliers.some(errs)).toBe(true);
  const network = lower(frozen);
  const products = productsIn(network);
  expect(products.map(({ layer }) => layer)).toEqual(frozen.layers.map((layer) => layer.name));
  const run = interpreter(network);
  const session = await backend.openSession();
  try {
    const { program, nodes, dataOf } = await engineOf(made, session);
    const length = images.pixels.length / images.count;
    const [layers, sums]: [Layer[], Int32Array[]] = [[], []];
    let [codes, others, furthest] = [0, 0, 0];
    for (let k = 0; k < IMAGES; k++) {
      const image = images.pixels.subarray(k * length, (k + 1) * length);
      program.write('images', image);
      await program.run();
      const values = run(image, { checked: true });
      const [own, expected] = [logitsOf(network, values), (await program.read('logits')) as Float32Array];
      const difference = Math.max(...own.map((logit, at) => Math.abs(logit - expected[at]!)));
      const spread = Math.max(...expected) - Math.min(...expected);
      expect(difference / spread).toBeLessThan(0.02);
      expect(classOf(own)).toBe(classOf(expected));
      for (const [at, product] of products.entries()) {
        const [mine, engine] = [unsigned(network, product, values), (await dataOf(nodes[at]!.inputs[0]!)).data];
        codes += mine.length;
        mine.forEach((code, place) => {
          if (code !== engine[place]) others++;
          furthest = Math.max(furthest, Math.abs(code - engine[place]!));
        });
        if (k === 0) {
          const constants = await Promise.all(nodes[at]!.inputs.slice(1).map(dataOf));
          layers.push({ node: nodes[at]!, codes: mine, constants });
          sums.push(Int32Array.from(values[product.output]!));
        }
      }
    }
    for (const [at, engine] of (await engineSums(session, layers)).entries()) {
      const { step } = products[at]!;
      expect(Array.from(sums[at]!)).toEqual(Array.from(engine, (sum) => sum * step));
    }
    expect(others / codes).toBeLessThan(0.005);
    expect(furthest).toBeLessThanOrEqual(2);
  } finally {
    await session.dispose();
  }
});

test('partial sums of real images lie within the accumulators’ bounds, in the order of taps and backwards', async () => {
  const { frozen, images } = await fixture('kinds');
  const network = lower(frozen);
  const values = interpreter(network)(images.pixels.subarray(0, images.pixels.length / images.count));
  for (const product of productsIn(network)) {
    const { table } = network.multipliers[product.multiplier]!;
    const [, , inputs, outputs] = product.weightShape as [number, number, number, number];
    const { geometry, accumulators, weights, weightZero, activationZero } = product;
    const { shape } = network.tensors[product.inputs[0]!]!;
    const [height, width, channels] = shape as [number, number, number];
    const x = values[product.inputs[0]!]!;
    // The window that lies at the image's top left corner without padding, of a dense kernel.
    for (let o = 0; o < outputs; o++) {
      const group = Math.floor(o / (outputs / geometry.groups));
      const terms = Array.from(weights.subarray(0), (weight, at) => ({ weight, at })).filter(
        ({ at }) => at % outputs === o,
      );
      const contributions = terms.flatMap(({ weight, at }) => {
        const i = Math.floor(at / outputs) % inputs;
        const tap = Math.floor(at / outputs / inputs);
        const [ky, kx] = [Math.floor(tap / product.weightShape[1]!), tap % product.weightShape[1]!];
        if (ky >= height || kx >= width) return [];
        const code = x[(ky * width + kx) * channels + group * inputs + i]!;
        const row = (weight & (2 ** table.weightBits - 1)) << table.activationBits;
        const bare = table.data[row | (code & (2 ** table.activationBits - 1))]!;
        const term =
          product.step * bare - weightZero[o]! * code - activationZero * (product.step * weight - weightZero[o]!);
        return [{ bare, term }];
      });
      for (const order of [contributions, contributions.toReversed()]) {
        let [sum, bareSum] = [0, 0];
        for (const { bare, term } of order) {
          sum += term;
          bareSum += bare;
          expect(sum).toBeGreaterThanOrEqual(accumulators.terms[0]);
          expect(sum).toBeLessThanOrEqual(accumulators.terms[1]);
          expect(bareSum).toBeGreaterThanOrEqual(accumulators.products[0]);
          expect(bareSum).toBeLessThanOrEqual(accumulators.products[1]);
        }
      }
    }
  }
});

test.each([
  [
    [1, 1],
    [10, 180],
  ],
  [
    [0, 0],
    [90, 180],
  ],
] as const)(
  'sums of nine weights of 1 over activations of 10 to 20 with padding %j lie within %j',
  (padding, bounds) => {
    const geometry = { stride: [1, 1], padding, dilation: [1, 1], groups: 1 } as const;
    const weightShape = [3, 3, 1, 1];
    const layer = { name: 'layer', kind: 'convolution', geometry, weightShape, macs: 0 } as const;
    const weights = new Int16Array(9).fill(1);
    const product = { weights, weightShape, step: 1, weightZero: new Int32Array(1), activationZero: 0 } as const;
    const { low, high, accumulators } = productBounds(layer, exactTable(8, 8), product, {
      shape: [4, 4, 1],
      low: 10,
      high: 20,
    });
    // At a corner four taps are there, at least the middle one everywhere; partial sums begin at 0.
    expect([low[0], high[0]]).toEqual(bounds);
    expect(accumulators).toEqual({ terms: [0, 180], products: [0, 180] });
  },
);
