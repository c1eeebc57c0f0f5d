// Before a phase trains, its training step is tried once: the very graph that is trained, at the sizes of its
// batches, on real images, in a session of its own that is given up afterwards. What a kernel computes may depend on
// the size of its work, so the small evaluation of ./proof.ts cannot vouch for it; of several devices it is the part
// that one of them computes, as a batch of its own. Sampled outputs of every quantised layer must equal the sum over
// its multiplier's table; of each kind of layer, sampled weight gradients must equal sums over the positions of the
// batch, and the structure's gradient must fit both, for each bit of the weights where every partial product has a θ.
// The loss, and what of it reaches the network, must be what labels and teacher give (./loss-proof.ts).

import { trainingBatches } from '../../data/batches.ts';
import type { Session } from '../../engine/backend.ts';
import type { Graph, Node, Value } from '../../engine/graph/graph.ts';
import type { OpName } from '../../engine/graph/ops.ts';
import { convolutionTaps } from '../../engine/graph/window.ts';
import { multiplierError } from '../../multiplier/multiplier.ts';
import { clampTheta, type Structure } from '../../multiplier/structure.ts';
import { RANDOM_KEY } from '../../nn/layers.ts';
import { UserError } from '../../tensor/errors.ts';
import { Random, streams } from '../../tensor/random.ts';
import type { TensorData } from '../../tensor/tensor.ts';
import { feedOf, writeBatch } from '../../train/feed.ts';
import { type LoopOptions, stepSizes } from '../../train/loop.ts';
import { partsOf } from '../../train/replicas.ts';
import { type BuiltStep, holdStill, stepKey, trainingStep } from '../../train/step.ts';
import type { Feed, QuantizedArithmetic } from '../../train/task.ts';
import { checkLoss } from './loss-proof.ts';
import { type Product, productsOf } from './products.ts';
import { checkLayer } from './proof.ts';

export interface TrainingProof {
  /** Images of the steps that were tried, on one device. */
  readonly batches: readonly number[];
  /** Layers whose outputs were checked. */
  readonly layers: number;
  /** Layers whose gradients were checked, one of each shape. */
  readonly gradients: number;
}

type Fit = Pick<
  LoopOptions,
  | 'task'
  | 'dataset'
  | 'teacher'
  | 'recompute'
  | 'batchSize'
  | 'fillLast'
  | 'momentum'
  | 'weightDecay'
  | 'structure'
  | 'seed'
  | 'firstEpoch'
> & { readonly arithmetic: QuantizedArithmetic };

const GRADIENTS_PER_LAYER = 16;
/**
 * Gradients are formed from operands of fewer bits on some devices: their error relative to √Σ term², and to Σ |term|.
 */
const RANDOM_TOLERANCE = 0.05;
const SUM_TOLERANCE = 1e-5;
const DIFFERENCE_TOLERANCE = 1e-2;

/** Throws a UserError that names the layer whose kernel disagrees. The session's variables stay as they are. */
export async function proveTraining(session: Session, fit: Fit): Promise<TrainingProof> {
  const feed = feedOf(session, fit.task, fit.dataset.train, fit.dataset.augment);
  const onOne = (size: number) => size / partsOf(size, session.backend.device, feed);
  const batches = [...new Set(stepSizes(fit, fit.dataset.train.count).map(onOne))];
  let counts: Checked = { layers: 0, gradients: 0 };
  for (const size of batches) counts = await proveSize(session, fit, size);
  return { batches, ...counts };
}

/**
 * Checks a step in a session of its own. What is kept for the check takes memory that the training itself does not
 * need: where there is not enough for all products at once, a part of them is checked in each of several runs.
 */
async function proveSize(session: Session, fit: Fit, size: number): Promise<Checked> {
  for (let passes = 1; ; passes *= 2) {
    const trial = await session.backend.openSession();
    try {
      for (const name of session.variableNames()) trial.write(name, await session.read(name));
      const found = await proveInPasses(trial, fit, size, passes);
      if (found) return found;
    } finally {
      await trial.dispose();
    }
  }
}

export function describeTraining({ batches, layers, gradients }: TrainingProof): string {
  const images = batches.map((count) => `${count}`).join(' and ');
  return `training step of ${images} images checked: loss, outputs of ${layers} layers, gradients of ${gradients}`;
}

/** A product of a quantised layer in the graph of a step, with its weight's gradient. */
interface Layer {
  readonly name: string;
  readonly node: Node<'axmConv2d'>;
  readonly gradients: readonly WeightGradient[];
}

/** A node that sums over the positions: cotangent, result, and what it multiplies the cotangent with. */
interface WeightGradient {
  readonly g: Value;
  readonly dw: Value;
  readonly slopes: Value | undefined;
  /** Whether the exact product's gradient is in the sum, beside what goes through slopes. */
  readonly exact: boolean;
  /** ∂L/∂m, of a structure. */
  readonly dm: Value | undefined;
}

interface Checked {
  readonly layers: number;
  readonly gradients: number;
}

/** Undefined where there is no memory for so many products in a pass, and more passes would have fewer. */
async function proveInPasses(session: Session, fit: Fit, size: number, passes: number): Promise<Checked | undefined> {
  const checked: Layer[] = [];
  for (let pass = 0; pass < passes; pass++) {
    const feed = feedOf(session, fit.task, fit.dataset.train, fit.dataset.augment);
    const step = trainingStep(fit, feed, size);
    const layers = layersOf(step.graph, productsOf(step.graph, step.layers.multiplying));
    const part = layers.filter((_, at) => at % passes === pass);
    try {
      await provePart(session, fit, size, feed, step, part);
    } catch (error) {
      if (error instanceof Refused && passes < layers.length) return undefined;
      throw error instanceof Refused ? error.cause : error;
    }
    checked.push(...part);
  }
  const namesOf = (some: readonly Layer[]) => new Set(some.map(({ name }) => name)).size;
  return { layers: namesOf(checked), gradients: namesOf(checked.filter(({ gradients }) => gradients.length > 0)) };
}

/** A program was refused: see `cause`. */
class Refused extends Error {}

async function provePart(
  session: Session,
  { task, dataset, arithmetic, teacher, seed, firstEpoch }: Fit,
  size: number,
  feed: Feed,
  { graph, logits, logitsGradient, lowered, given }: BuiltStep,
  layers: readonly Layer[],
): Promise<void> {
  const values = new Map<Value, string>();
  const keep = (value: Value) => {
    if (values.has(value) || value.source.kind === 'constant') return;
    values.set(value, `proof.${values.size}`);
    graph.output(values.get(value)!, value);
  };
  for (const { node, gradients } of layers) {
    for (const value of [...node.inputs.slice(0, 7), node.outputs[0]!]) keep(value);
    for (const { g, dw, dm } of gradients) for (const value of [g, dw, dm]) if (value) keep(value);
  }
  const meets = task.distributions && logits && logitsGradient && { logits: logits.values, gradient: logitsGradient };
  if (meets) for (const value of [meets.logits, meets.gradient, lowered, given?.values]) if (value) keep(value);
  const program = await session.compile(graph).catch((error: unknown) => {
    throw error instanceof UserError ? new Refused('a program was refused', { cause: error }) : error;
  });
  const sample = trainingBatches(dataset, { seed, epoch: firstEpoch, batchSize: size });
  const batch = await feed.read(sample.next().value!, size);
  writeBatch(program, batch);
  holdStill(program, graph);
  if (graph.inputs.has(RANDOM_KEY)) program.write(RANDOM_KEY, stepKey(seed, firstEpoch, 0));
  await program.run();

  const read = async (value: Value): Promise<TensorData> =>
    value.source.kind === 'constant' ? value.source.tensor.data : program.read(values.get(value)!);
  for (const { name, node, gradients } of layers) {
    const multiplier = arithmetic.multiplierOf(name);
    // At rate 0 θ has not moved; layers use it clamped.
    const theta = multiplier.kind === 'structure' ? clampTheta((await session.read(multiplier.theta)).data) : undefined;
    const error = multiplierError(multiplier, node.attributes, theta);
    const data: TensorData[] = [];
    for (const value of [...node.inputs.slice(0, 6), node.outputs[0]!]) data.push(await read(value));
    checkLayer(name, node, data, error);
    const structure = multiplier.kind === 'structure' ? multiplier.structure : undefined;
    for (const gradient of gradients) await checkGradient(name, node, data, gradient, structure, read);
  }
  if (meets) {
    const classes = meets.logits.shape.at(-1)!;
    const found = { logits: await read(meets.logits), gradient: await read(meets.gradient) };
    const taught = teacher && given && { logits: await read(given.values), by: teacher };
    const distributions = task.distributions!(batch.inputs, classes);
    checkLoss({ ...found, loss: (await read(lowered))[0]!, distributions, taught }, found.logits.length / classes);
  }
  await program.dispose();
}

/** The products in the graph; gradients only of the first of each shape, since their cotangents take memory. */
function layersOf(graph: Graph, products: readonly Product[]): Layer[] {
  const seen = new Set<string>();
  return products.map(({ layer: name, node }) => {
    const shape = JSON.stringify([node.inputs.slice(0, 2).map((value) => value.shape), node.attributes]);
    const gradients = seen.has(shape) ? [] : weightGradients(graph, node);
    // A product that is computed again has its gradients there.
    if (gradients.length > 0) seen.add(shape);
    return { name, node, gradients };
  });
}

function weightGradients(graph: Graph, { inputs: [xq, wq], label }: Node<'axmConv2d'>): WeightGradient[] {
  return graph.nodes.flatMap((node: Node<OpName>): WeightGradient[] => {
    if (node.label !== label) return [];
    const [a, b, c, , slopes] = node.inputs;
    const ofCodes = b === xq && c === wq;
    const [dw, dm] = node.outputs;
    const of = { dw: dw!, dm: undefined, slopes: undefined, exact: true };
    if (node.op === 'axmConv2dGradients' && ofCodes) return [{ ...of, g: a!, dm }];
    if (node.op === 'axmErrorWeightGradient' && ofCodes) return [{ ...of, g: a!, slopes, exact: false }];
    if (node.op !== 'conv2dWeightGradient') return [];
    // The activations, or those moved by slopes of rows.
    const moved = madeBy(a!, 'lookUp');
    const [codes] = (moved ?? madeBy(a!, 'dequantize'))?.inputs ?? [];
    if (codes !== xq) return [];
    return [{ ...of, g: b!, slopes: moved && madeBy(moved.inputs[1]!, 'formula')!.inputs[1] }];
  });
}

function madeBy({ source }: Value, op: OpName): Node<OpName> | undefined {
  return source.kind === 'node' && source.node.op === op ? source.node : undefined;
}

type Read = (value: Value) => Promise<TensorData>;

async function checkGradient(
  layer: string,
  node: Node<'axmConv2d'>,
  operands: readonly TensorData[],
  { g: gradient, dw: result, slopes, exact, dm }: WeightGradient,
  structure: Structure | undefined,
  read: Read,
): Promise<void> {
  const [x, w, xScale, xZero, wScale, wZero, y] = operands as readonly [TensorData, ...TensorData[]] & TensorData[];
  const [g, dw] = [await read(gradient), await read(result)];
  const slope = slopes && (await read(slopes));
  const { activationBits } = node.attributes;
  const byPairs = slopes?.shape.length === 2;
  // What a cotangent is multiplied with, by the code of x that it meets.
  const factorsOf = (at: number) =>
    Float64Array.from({ length: 2 ** activationBits }, (_, code) => {
      const moved = slope ? slope[(byPairs ? w![at]! << activationBits : 0) | code]! : 0;
      return xScale![0]! * ((exact ? code - xZero![0]! : 0) + moved);
    });
  const random = new Random(2, streams.sample);
  const sampled = Array.from({ length: Math.min(GRADIENTS_PER_LAYER, dw.length) }, (_, k) => {
    const at = k === 0 ? dw.length - 1 : random.integer(dw.length);
    return { at, sum: new Sum(), factors: factorsOf(at), positions: positionsOf(node, at) };
  });
  const images = node.inputs[0]!.shape[0]!;
  const [xLength, gLength] = [x.length / images, g.length / images];
  // All of them in one image before the next: a batch of cotangents is larger than any cache.
  for (let image = 0; image < images; image++) {
    const xs = x.subarray(image * xLength, (image + 1) * xLength);
    const gs = g.subarray(image * gLength, (image + 1) * gLength);
    for (const { sum, factors, positions } of sampled) sum.addPositions(xs, gs, positions, factors, xScale![0]!);
  }
  for (const { at, sum } of sampled) {
    if (sum.fits(dw[at]!)) continue;
    throw new UserError(
      `layer ${layer}: weight gradient ${at} of the training step is ${dw[at]}, but the batch gives ${sum.value}; the gradient is not what was asked for`,
    );
  }
  if (!dm) return;
  // The output is the exact product less Σ m·(planes), linear in both: Σ g·y = Σ w·dw + Σ m·dm.
  const [m, given] = [await read(node.inputs[6]!), await read(dm)];
  const outputs = wScale!.length;
  const products = new Sum();
  products.addProducts(g, y!);
  const ofOutputs = Math.abs(products.value);
  for (let at = 0; at < dw.length; at++) {
    products.add(-dw[at]! * (w![at]! - wZero![at % outputs]!) * wScale![at % outputs]!);
  }
  // Entries that read one parameter have one m, so their dm may be a sum at any of them; those that read none have 0.
  let found = 0;
  for (let at = 0; at < given.length; at++) found += given[at]! * m[at]!;
  if (!products.fits(found, DIFFERENCE_TOLERANCE * ofOutputs)) {
    throw new UserError(
      `layer ${layer}: the structure's gradient in the training step adds up to ${found}, but outputs and weights give ${products.value}; the gradient is not what was asked for`,
    );
  }
  if (!structure || !hasOneEach(structure)) return;
  const ofBits = sumsOfBits(node, operands, { g, dw });
  for (const [bit, ofBit] of ofBits.entries()) {
    const row = given.subarray(bit * activationBits, (bit + 1) * activationBits) as Float32Array;
    const total = row.reduce((sum, of) => sum + of, 0);
    if (ofBit.fits(total)) continue;
    throw new UserError(
      `layer ${layer}: the structure's gradient for bit ${bit} of weights adds up to ${total} in the training step, but weights and their gradients give ${ofBit.value}; the gradient is not what was asked for`,
    );
  }
}

/** Whether each partial product reads a θ of its own. */
const hasOneEach = ({ index }: Structure): boolean => !index.includes(-1) && new Set(index).size === index.length;

/**
 * Σ_j ∂L/∂m_ij for each bit i of the weights: what all products with that bit lose, its value times the weights'
 * gradients, these taken with the codes of x as they are. Weights of one code have the same bits, and are summed once.
 */
function sumsOfBits(
  node: Node<'axmConv2d'>,
  [, w, xScale, xZero, wScale]: readonly TensorData[],
  { g, dw }: Readonly<Record<'g' | 'dw', TensorData>>,
): Sum[] {
  const { weightBits } = node.attributes;
  const sums = tapSums(node, g);
  const [step, zero] = [xScale![0]!, xZero![0]!];
  const outputs = wScale!.length;
  const ofCodes = Array.from({ length: 2 ** weightBits }, () => ({ set: new Sum(), unset: new Sum() }));
  const ofTap = dw.length / sums.length;
  sums.forEach((ofOutputs, tap) => {
    for (let at = tap * ofTap; at < (tap + 1) * ofTap; ) {
      for (let o = 0; o < outputs; o++, at++) {
        const scale = -wScale![o]!;
        const ofValue = scale * dw[at]!;
        const ofZero = scale * step * ofOutputs[o]!;
        const { set, unset } = ofCodes[w![at]!]!;
        set.add(ofValue);
        set.add(ofZero * zero, ofZero);
        // A bit that is not set takes no part, but kernels round there too.
        unset.add(0, ofValue);
        unset.add(0, ofZero);
      }
    }
  });
  return Array.from({ length: weightBits }, (_, bit) => {
    const ofBit = new Sum();
    ofCodes.forEach(({ set, unset }, code) => {
      ofBit.addSum((code >> bit) & 1 ? set : unset, 2 ** bit);
    });
    return ofBit;
  });
}

/** Of each tap the sums of the cotangents g, by output, where it is inside the image. */
function tapSums(node: Node<'axmConv2d'>, g: TensorData): readonly Float64Array[] {
  const [kh, kw, , outputs] = node.inputs[1]!.shape as readonly [number, number, number, number];
  const { rows, columns } = convolutionTaps(node.inputs[0]!.shape, node.inputs[1]!.shape, node.attributes);
  const ofImages = new Float64Array(rows.length * columns.length * outputs);
  for (let first = 0; first < g.length; first += ofImages.length) {
    for (let at = 0; at < ofImages.length; at++) ofImages[at]! += g[first + at]!;
  }
  const sums = Array.from({ length: kh * kw }, () => new Float64Array(outputs));
  for (const [oy, ys] of rows.entries()) {
    for (const [ox, xs] of columns.entries()) {
      const first = (oy * columns.length + ox) * outputs;
      for (const { tap: ky } of ys) {
        for (const { tap: kx } of xs) {
          const ofTap = sums[ky * kw + kx]!;
          for (let o = 0; o < outputs; o++) ofTap[o]! += ofImages[first + o]!;
        }
      }
    }
  }
  return sums;
}

/** A sum, and whether another is equal to it up to the rounding of its terms. */
class Sum {
  value = 0;
  #squares = 0;
  #magnitudes = 0;

  /** `rounded`: what is rounded beside the term, if it is larger. */
  add(term: number, rounded = 0): void {
    this.value += term;
    this.#squares += term ** 2;
    this.#magnitudes += Math.max(Math.abs(term), Math.abs(rounded));
  }

  /** Adds the products of two equally long lists, in their order. */
  addProducts(a: TensorData, b: TensorData): void {
    let [value, squares, magnitudes] = [this.value, this.#squares, this.#magnitudes];
    for (let at = 0; at < a.length; at++) {
      const term = a[at]! * b[at]!;
      value += term;
      squares += term * term;
      magnitudes += Math.abs(term);
    }
    [this.value, this.#squares, this.#magnitudes] = [value, squares, magnitudes];
  }

  /**
   * Adds each cotangent of an image that a weight meets times the factor of the code of x there. Kernels sum over codes
   * or bits and round there, also where all codes that a weight meets are zero points: `step` times the cotangent.
   */
  addPositions(x: TensorData, g: TensorData, positions: Positions, factors: Float64Array, step: number): void {
    let [value, squares, magnitudes] = [this.value, this.#squares, this.#magnitudes];
    const { x: xs, output: outputs } = positions;
    for (let k = 0; k < xs.length; k++) {
      const cotangent = g[outputs[k]!]!;
      const term = cotangent * factors[x[xs[k]!]!]!;
      value += term;
      squares += term * term;
      magnitudes += Math.max(Math.abs(term), Math.abs(cotangent * step));
    }
    [this.value, this.#squares, this.#magnitudes] = [value, squares, magnitudes];
  }

  /** Adds the terms of another sum, each times a positive factor. */
  addSum(other: Sum, factor: number): void {
    this.value += factor * other.value;
    this.#squares += factor ** 2 * other.#squares;
    this.#magnitudes += factor * other.#magnitudes;
  }

  /** `more`: tolerance beside that of rounding. */
  fits(found: number, more = 1e-12): boolean {
    const tolerance = RANDOM_TOLERANCE * Math.sqrt(this.#squares) + SUM_TOLERANCE * this.#magnitudes;
    return Math.abs(found - this.value) <= tolerance + more;
  }
}

/** Elements of x and of the output in an image: the same in every one. */
interface Positions {
  readonly x: Int32Array;
  readonly output: Int32Array;
}

/** What one weight meets in an image. */
function positionsOf(node: Node<'axmConv2d'>, weight: number): Positions {
  const { groups } = node.attributes;
  const [, , width, inputs] = node.inputs[0]!.shape as readonly [number, number, number, number];
  const [, kw, perGroup, outputs] = node.inputs[1]!.shape as readonly [number, number, number, number];
  const { rows, columns } = convolutionTaps(node.inputs[0]!.shape, node.inputs[1]!.shape, node.attributes);
  const o = weight % outputs;
  const channel = Math.floor(o / (outputs / groups)) * perGroup + (Math.floor(weight / outputs) % perGroup);
  const tap = Math.floor(weight / (outputs * perGroup));
  const pairs = rows.flatMap((ys, oy) => {
    const y = ys.find((of) => of.tap === Math.floor(tap / kw))?.at;
    if (y === undefined) return [];
    return columns.flatMap((xs, ox) => {
      const x = xs.find((of) => of.tap === tap % kw)?.at;
      if (x === undefined) return [];
      return [{ x: (y * width + x) * inputs + channel, output: (oy * columns.length + ox) * outputs + o }];
    });
  });
  return { x: Int32Array.from(pairs, ({ x }) => x), output: Int32Array.from(pairs, ({ output }) => output) };
}
