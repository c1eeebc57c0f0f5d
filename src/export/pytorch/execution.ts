// What the program itself computes for a network at rest, on its default device: tensors that do not depend on the
// image, and for test images the codes that each layer reads, its integer sums and the logits. The written network is
// compared with these.
// Invariant: sums are exact integers. A float32 holds those below 2^24; larger ones are computed anew in float64.

import type { Session } from '../../engine/backend.ts';
import { input, nearest } from '../../engine/graph/expression.ts';
import { Graph, type Node, type Value } from '../../engine/graph/graph.ts';
import { referenceBackend } from '../../engine/reference/backend.ts';
import { wasmBackend } from '../../engine/wasm/runtime/backend.ts';
import type { FrozenNetwork } from '../../integer/frozen.ts';
import { invariant } from '../../tensor/errors.ts';
import { f32, type HostTensor, sizeOf, type TensorData } from '../../tensor/tensor.ts';
import type { ExportImages } from '../exporter.ts';
import { ancestorsOf } from './steps.ts';

/** Integers up to here are floats; larger ones are so many of these, and a rest. */
const EXACT = 2 ** 24;
const PART = 2 ** 20;

/** A layer to be followed: its integer product, and 2 where its sums are in halves. */
export interface FollowedLayer {
  readonly name: string;
  readonly kind: 'convolution' | 'linear';
  readonly product: Node;
  readonly step: 1 | 2;
  /** Bits of the activations of a signed multiplier. */
  readonly signedBits?: number;
}

/** Of each layer what it read and summed, [images, positions …], the channel last. */
export interface LayerRecord {
  readonly codes: HostTensor;
  readonly sums: HostTensor;
}

export interface Execution {
  readonly constants: ReadonlyMap<Value, HostTensor>;
  readonly logits: HostTensor;
  /** Of the first `followed` images. */
  readonly layers: ReadonlyMap<string, LayerRecord>;
  readonly followed: number;
}

/** Bytes of codes and sums that are kept; one image is followed whatever it takes. */
const MOST_BYTES = 2 ** 24;

/** Computes values that do not depend on the image. */
export async function constantsOf(
  frozen: FrozenNetwork,
  values: readonly Value[],
): Promise<ReadonlyMap<Value, HostTensor>> {
  const found = new Map<Value, HostTensor>();
  const computed = values.filter((value) => {
    const { source } = value;
    if (source.kind === 'constant') found.set(value, source.tensor);
    if (source.kind === 'variable') found.set(value, variableOf(frozen, source.name));
    return source.kind === 'node';
  });
  if (computed.length === 0) return found;
  const graph = new Graph();
  const copied = copyInto(graph, frozen.graph, computed);
  computed.forEach((value, at) => {
    graph.output(String(at), copied(value));
  });
  await inSession(frozen, async (session) => {
    const program = await session.compile(graph);
    await program.run();
    for (const [at, value] of computed.entries()) {
      const { dtype, shape } = value;
      found.set(value, { dtype, shape, data: await program.read(String(at)) });
    }
  });
  return found;
}

/** Runs the network on test images. */
export async function execute(
  frozen: FrozenNetwork,
  layers: readonly FollowedLayer[],
  { count, pixels }: ExportImages,
): Promise<Omit<Execution, 'constants'>> {
  const graph = new Graph();
  const products = layers.map(({ product }) => product.outputs[0]!);
  const copied = copyInto(graph, frozen.graph, [frozen.logits, ...products]);
  graph.output('logits', copied(frozen.logits));
  layers.forEach(({ product, step }, at) => {
    graph.output(`codes ${at}`, copied(product.inputs[0]!));
    graph.output(
      `sums ${at}`,
      graph.apply1('axmConv2d', unscaled(graph, product.inputs.map(copied), step), product.attributes as never),
    );
  });
  const perImage = layers.reduce(
    (sum, { product }) => sum + sizeOf(product.inputs[0]!.shape) + 4 * sizeOf(product.outputs[0]!.shape),
    0,
  );
  const followed = Math.min(count, Math.max(1, Math.floor(MOST_BYTES / Math.max(1, perImage))));
  const classes = sizeOf(frozen.logits.shape);
  const logits = new Float32Array(count * classes);
  const records = layers.map(({ name, product }) => {
    const [x, y] = [product.inputs[0]!.shape, product.outputs[0]!.shape];
    return {
      name,
      codes: new Uint8Array(followed * sizeOf(x)),
      sums: new Int32Array(followed * sizeOf(y)),
      shapes: [x, y].map((shape) => [followed, ...shape.slice(1)]),
    };
  });
  const imageName = nameOfInput(frozen.image);
  const size = sizeOf(frozen.image.shape);
  await inSession(frozen, async (session) => {
    const program = await session.compile(graph);
    for (let image = 0; image < count; image++) {
      program.write(imageName, pixels.slice(image * size, (image + 1) * size));
      await program.run();
      logits.set(await program.read('logits'), image * classes);
      if (image >= followed) continue;
      for (const [at, { codes, sums }] of records.entries()) {
        const [x, y] = [await program.read(`codes ${at}`), await program.read(`sums ${at}`)];
        codes.set(x, image * x.length);
        sums.set(await exactly(frozen, layers[at]!, x, y), image * y.length);
      }
    }
  });
  return {
    logits: f32([count, classes], logits),
    layers: new Map(
      records.map(({ name, codes, sums, shapes }) => [
        name,
        {
          codes: { dtype: 'u8', shape: shapes[0]!, data: codes },
          sums: { dtype: 'i32', shape: shapes[1]!, data: sums },
        },
      ]),
    ),
    followed,
  };
}

/**
 * What layers sum of codes that come from elsewhere, on the program's default device: by layer, then image. Codes are
 * those of the graph, u8 from 0 on, of one image each.
 */
export async function sumsOfCodes(
  frozen: FrozenNetwork,
  layers: readonly FollowedLayer[],
  codes: readonly (readonly Uint8Array[])[],
): Promise<TensorData[][]> {
  const graph = new Graph();
  const others = layers.map(({ product }) => product.inputs.slice(1));
  const copied = copyInto(graph, frozen.graph, others.flat());
  layers.forEach(({ product, step }, at) => {
    const x = graph.input(`codes ${at}`, product.inputs[0]!.shape, 'u8');
    const operands = unscaled(graph, [x, ...others[at]!.map(copied)], step);
    graph.output(`sums ${at}`, graph.apply1('axmConv2d', operands, product.attributes as never));
  });
  const found: TensorData[][] = layers.map(() => []);
  await inSession(frozen, async (session) => {
    const program = await session.compile(graph);
    for (let image = 0; image < (codes[0]?.length ?? 0); image++) {
      codes.forEach((ofLayer, at) => {
        program.write(`codes ${at}`, ofLayer[image]!);
      });
      await program.run();
      for (const [at, layer] of layers.entries()) {
        const sums = (await program.read(`sums ${at}`)).slice();
        found[at]!.push(await exactly(frozen, layer, codes[at]![image]!, sums));
      }
    }
  });
  return found;
}

/** The operands of a product with scales of 1 (and `step` for weights): its outputs are then its sums. */
function unscaled(graph: Graph, inputs: readonly Value[], step: number): Value[] {
  const perOutput = inputs[4]!.shape;
  const scale = graph.constant(f32(perOutput, new Float32Array(sizeOf(perOutput)).fill(step)));
  return inputs.toSpliced(2, 1, graph.scalar(1)).toSpliced(4, 1, scale);
}

/** Sums as integers; where float32 may have rounded them, by the reference in float64 from the same codes. */
async function exactly(
  frozen: FrozenNetwork,
  { product, step }: FollowedLayer,
  codes: TensorData,
  sums: TensorData,
): Promise<TensorData> {
  if (sums.every((sum) => Math.abs(sum) < EXACT)) return sums;
  const graph = new Graph();
  const others = product.inputs.slice(1);
  const copied = copyInto(graph, frozen.graph, others);
  const x = graph.constant({ dtype: 'u8', shape: product.inputs[0]!.shape, data: codes });
  const operands = unscaled(graph, [x, ...others.map(copied)], step);
  const whole = graph.apply1('axmConv2d', operands, product.attributes as never);
  // What is read is float32 again, so in two parts.
  const high = nearest(input(0).times(1 / PART));
  for (const [name, of] of Object.entries({ high, low: input(0).minus(high.times(PART)) })) {
    const outputs = [{ of, per: 'element' }] as const;
    graph.output(name, graph.apply1('formula', [whole], { name, shape: whole.shape, outputs }));
  }
  let found: TensorData = sums;
  await inSession(
    frozen,
    async (session) => {
      const program = await session.compile(graph);
      await program.run();
      const [high, low] = [await program.read('high'), await program.read('low')];
      found = Int32Array.from(high, (part, at) => PART * part + low[at]!);
    },
    referenceBackend({ precision: 'double' }),
  );
  return found;
}

export function variableOf({ variables }: FrozenNetwork, name: string): HostTensor {
  const tensor = variables.get(name);
  invariant(tensor, `no value of the variable ${name}`);
  return tensor;
}

const nameOfInput = ({ source }: Value): string => {
  invariant(source.kind === 'input', 'the image is no input of the graph');
  return source.name;
};

/** Copies what the values are computed from into another graph, and gives the copy of each. */
function copyInto(graph: Graph, from: Graph, values: readonly Value[]): (value: Value) => Value {
  const wanted = ancestorsOf(from, values);
  const copies = new Map<Value, Value>();
  const copied = (value: Value): Value => {
    const { source, shape, dtype } = value;
    let copy = copies.get(value);
    if (!copy) {
      invariant(source.kind !== 'node', 'a node is copied before what it reads');
      if (source.kind === 'constant') copy = graph.constant(source.tensor);
      else if (source.kind === 'variable') copy = graph.variable(source.name, shape, dtype);
      else copy = graph.input(source.name, shape, dtype);
      copies.set(value, copy);
    }
    return copy;
  };
  for (const { op, attributes, inputs, outputs, label } of from.nodes) {
    if (!outputs.some((output) => wanted.has(output))) continue;
    const made = graph.labelled(label, () => graph.apply(op, inputs.map(copied), attributes));
    outputs.forEach((output, at) => {
      copies.set(output, made[at]!);
    });
  }
  return copied;
}

async function inSession(
  frozen: FrozenNetwork,
  work: (session: Session) => Promise<void>,
  backend = wasmBackend(),
): Promise<void> {
  const session = await backend.openSession();
  try {
    for (const [name, tensor] of frozen.variables) session.write(name, tensor);
    await work(session);
  } finally {
    await session.dispose();
  }
}
