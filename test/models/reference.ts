// Model definitions against reference facts: what PyTorch computes in float64 from weights and images that a formula
// makes (`reference/models` beside the project, whose README has the formulas). A definition is built as a run would
// build it, its tensors are filled by their names, and everything that the file tells is compared: structure exactly;
// logits, loss, gradients and running statistics as far as float32 carries. Without a test runner, so that a machine
// with a GPU and nothing else can do it (./reference.mjs).

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import type { Backend, Session } from '../../src/engine/backend.ts';
import { gradients } from '../../src/engine/graph/gradients.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { Layers, type MultiplyingLayer, multiplyFloat } from '../../src/nn/layers.ts';
import type { Model } from '../../src/nn/models/model.ts';
import { fromStored, storedShape } from '../../src/nn/parameters.ts';
import { matchesPattern } from '../../src/tensor/names.ts';
import { f32, type HostTensor, type Shape, sizeOf } from '../../src/tensor/tensor.ts';

/** A reference file. */
export interface ModelReference {
  readonly name: string;
  /** Height, width, channels. */
  readonly image: readonly [number, number, number];
  readonly classes: number;
  /** Trained numbers, those of auxiliary heads too. */
  readonly parameters: number;
  /** Multiplications of one image. */
  readonly macs: number;
  /** Name, kind, weight shape in PyTorch's order, groups, multiplications of one image. */
  readonly layers: readonly (readonly [string, 'conv' | 'linear', Shape, number, number])[];
  /** Name, shape, type. */
  readonly state: readonly (readonly [string, Shape, string])[];
  /** The first logits of each image, with stored statistics. */
  readonly eval_logits: readonly (readonly number[])[];
  /** The same with the statistics of the batch, dropout and drop-path off. */
  readonly train_logits: readonly (readonly number[])[];
  readonly train_loss: number;
  readonly gradient_norms: Readonly<Record<string, number>>;
  /** Norms of the running statistics after one forward pass. */
  readonly train_running: Readonly<Record<string, number>>;
}

/** The names of the files in a folder, `COLLECTION-NAME`. */
export function referenceNames(folder: string): string[] {
  const files = readdirSync(folder).filter((file) => file.endsWith('.json.gz'));
  return files.map((file) => file.slice(0, -'.json.gz'.length)).sort();
}

/** The registry's name of the model that a file is about; timm's have no prefix. */
export function nameOfReference(name: string): string {
  const [, collection, own] = /^([a-z]+)-(.*)$/.exec(name)!;
  return collection === 'imagenet' || collection === 'torchvision' ? `${collection}/${own}` : own!;
}

export function readReference(folder: string, name: string): ModelReference {
  return JSON.parse(gunzipSync(readFileSync(join(folder, `${name}.json.gz`))).toString('utf8')) as ModelReference;
}

/** The first `count` numbers of the stream of a name, float32 in [−1, 1). */
export function noise(name: string, count: number): Float32Array {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(name, 'utf8')) hash = Math.imul(hash ^ byte, 0x01000193);
  const values = new Float32Array(count);
  for (let k = 0; k < count; k++) {
    let v = (hash + Math.imul(k, 0x9e3779b9)) | 0;
    v = Math.imul(v ^ (v >>> 16), 0x85ebca6b);
    v = Math.imul(v ^ (v >>> 13), 0xc2b2ae35);
    values[k] = ((v ^ (v >>> 16)) >>> 0) / 2 ** 31 - 1;
  }
  return values;
}

/** The value of a tensor of the state, in PyTorch's shape. */
export function referenceTensor(name: string, shape: Shape): HostTensor {
  const values = noise(name, sizeOf(shape));
  return f32(shape, values.map(formulaOf(name, shape)));
}

function formulaOf(name: string, shape: Shape): (u: number) => number {
  if (name.endsWith('running_var')) return (u) => 1 + 0.5 * Math.abs(u);
  if (name.endsWith('running_mean') || name.endsWith('bias')) return (u) => 0.1 * u;
  if (shape.length <= 1) return (u) => 1 + 0.1 * u;
  if (/relative_position_bias_table|_token$|pos_embed$/.test(name)) return (u) => 0.02 * u;
  const scale = Math.sqrt((3 * shape[0]!) / sizeOf(shape)) * 1.2;
  return (u) => scale * u;
}

/** [N, 3, S, S] of the formula as [N, S, S, 3]. */
function referenceImages([height, width, channels]: ModelReference['image'], count: number): Float32Array {
  const planes = noise('input', count * channels * height * width);
  const pixels = new Float32Array(planes.length);
  const area = height * width;
  for (let image = 0; image < count; image++)
    for (let c = 0; c < channels; c++)
      for (let at = 0; at < area; at++) {
        pixels[(image * area + at) * channels + c] = planes[(image * channels + c) * area + at]!;
      }
  return pixels;
}

interface Built {
  readonly graph: Graph;
  readonly layers: Layers;
}

function build(model: Model, { image, classes }: ModelReference, batch: number, training: boolean): Built {
  const graph = new Graph();
  const layers = new Layers(graph, { training, multiply: multiplyFloat });
  graph.output('logits', model.build(layers, graph.input('image', [batch, ...image]), classes));
  return { graph, layers };
}

/** Parameters and buffers of a definition by their name, in PyTorch's shape. */
function stateOf({ layers }: Built): Map<string, Shape> {
  const shapes = layers.parameters.map(({ name, value }): [string, Shape] => {
    return [name, storedShape(name, value.shape, layers.multiplying)];
  });
  return new Map(shapes);
}

const COUNTER = /\.num_batches_tracked$/;

/**
 * What of the structure differs, a line each: names and shapes of the state, trained numbers, layers and their
 * multiplications. Counters of batches are no part of a definition here, nor what its card lists as `unused`.
 */
export function structureDifferences(model: Model, reference: ModelReference): string[] {
  const built = build(model, reference, 1, false);
  const isUnused = (name: string) => (model.card?.unused ?? []).some((pattern) => matchesPattern(pattern, name));
  const wanted = reference.state.filter(([name]) => !COUNTER.test(name) && !isUnused(name));
  const layers = withAllWindows(reference.layers);
  const differences = [
    ...compared(
      'tensor',
      stateOf(built),
      wanted.map(([name, shape, type]) => [name, type === 'float32' ? shape : [type]]),
    ),
    ...compared(
      'layer',
      new Map(built.layers.multiplying.map((layer) => [layer.name, factsOf(layer)])),
      layers.map(([name, ...facts]) => [name, facts]),
    ),
  ];
  const unused = reference.state.filter(
    ([name, , type]) => isUnused(name) && type === 'float32' && !/running_/.test(name),
  );
  const parameters =
    total(built.layers.parameters.filter(({ trainable }) => trainable).map(({ value }) => sizeOf(value.shape))) +
    total(unused.map(([, shape]) => sizeOf(shape)));
  if (parameters !== reference.parameters) differences.push(`parameters: ${parameters}, not ${reference.parameters}`);
  const macs = total(built.layers.multiplying.map((layer) => layer.macs));
  const wantedMacs = reference.macs + total(layers.map(([, , , , macs], at) => macs - reference.layers[at]![4]));
  if (macs !== wantedMacs) differences.push(`multiplications: ${macs}, not ${wantedMacs}`);
  return differences;
}

/**
 * The files of Swin count the linear layers of attention for one window, a definition for all windows of an image: as
 * many tokens as the feed-forward layers of the block have.
 */
function withAllWindows(layers: ModelReference['layers']): ModelReference['layers'] {
  const tokensOf = ([, , shape, , macs]: ModelReference['layers'][number]) => macs / sizeOf(shape);
  return layers.map((layer) => {
    const [name, kind, shape, groups] = layer;
    const [block] = name.split('.attn.');
    const feedForward = layers.find(([other]) => block !== name && other === `${block}.mlp.fc1`);
    return feedForward ? [name, kind, shape, groups, tokensOf(feedForward) * sizeOf(shape)] : layer;
  });
}

const total = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);

function factsOf({ kind, weightShape, geometry, macs }: MultiplyingLayer): unknown {
  const [kh, kw, inputs, outputs] = weightShape as [number, number, number, number];
  return kind === 'linear'
    ? ['linear', [outputs, inputs], 1, macs]
    : ['conv', [outputs, inputs, kh, kw], geometry.groups, macs];
}

function compared(
  what: string,
  found: ReadonlyMap<string, unknown>,
  wanted: readonly (readonly [string, unknown])[],
): string[] {
  const names = new Set(wanted.map(([name]) => name));
  return [
    ...[...found.keys()].filter((name) => !names.has(name)).map((name) => `${what} ${name}: not in the reference`),
    ...wanted.flatMap(([name, facts]) => {
      if (!found.has(name)) return [`${what} ${name}: missing`];
      const [a, b] = [JSON.stringify(found.get(name)), JSON.stringify(facts)];
      return a === b ? [] : [`${what} ${name}: ${a}, not ${b}`];
    }),
  ];
}

/**
 * Of logits: the largest difference over the largest magnitude. Of the loss and of norms: over the wanted one, where it
 * is not zero. Of gradients that are zero by the mathematics (a bias before batch norm): over the largest norm.
 *
 * Rounding puts a few of a million activations on the other side of a ReLU's kink, and each moves the gradients of what
 * lies before it by a step: of a deep network at four images more than half of the gradient norms are within the
 * median's bound, nine in ten within the next, any one is within the worst's. It is no fault of a definition: PyTorch's
 * own float32 (on a GPU, tf32 off) is as far from the float64 of the files, in the median and in the worst norm
 *
 *     torchvision inception_v3   5.6e-4   9.9e-3
 *     torchvision densenet161    1.9e-4   2.3e-3
 *     torchvision mobilenet_v2   2.3e-4   4.3e-3
 *     torchvision vgg16_bn       3.6e-5   8.2e-4
 *     torchvision resnet18       4.9e-6   4.5e-4
 *
 * so that the bounds are about twice what the deepest of them needs.
 */
export const tolerances = {
  evalLogits: 1e-4,
  trainLogits: 1e-4,
  loss: 1e-4,
  medianGradient: 1e-3,
  ninetiethGradient: 5e-3,
  worstGradient: 2e-2,
  zeroGradients: 1e-4,
  running: 1e-4,
} as const;

/** Bounds of each kind of error. */
export type Tolerances = Readonly<Record<keyof typeof tolerances, number>>;

/** On the processor products are float32's in full: all networks of the CIFAR size are within a half of these. */
export const processorTolerances: Tolerances = { ...tolerances, evalLogits: 1e-5, running: 1e-5, worstGradient: 1e-2 };

/**
 * Of shallow networks, and of those without a ReLU, on the processor: as far as PyTorch's float32 is from float64 for
 * resnet18 and vgg16_bn, which have few activations near a kink. Here none of the files needs a fortieth of it.
 */
const shallow: Partial<Tolerances> = { medianGradient: 1e-4, ninetiethGradient: 5e-4, worstGradient: 1e-3 };
const SHALLOW = /^(cifar-(resnet18|vgg\d+_bn)|timm-(vit|swin)-small-test)$/;

/** The bounds of a file on the processor. */
export const tolerancesOnProcessor = (name: string): Tolerances => ({
  ...processorTolerances,
  ...(SHALLOW.test(name) ? shallow : {}),
});

/**
 * On a GPU a float32 product is the sum of several tf32 products and a little coarser than float32's own, so that more
 * activations change sides: the training pass gets twice the bounds (cifar-resnet50's median is 1.8e-3 away;
 * torchvision-inception_v3's logits 1.2e-4, its median 1.2e-3, its worst 2.7e-2). Evaluation has no kinks that add up,
 * and keeps its bound.
 */
export const tolerancesOnGpu: Tolerances = {
  ...(Object.fromEntries(Object.entries(tolerances).map(([kind, most]) => [kind, 2 * most])) as Tolerances),
  evalLogits: tolerances.evalLogits,
};

/** The largest error of each kind, relative as `tolerances` says. */
export type Errors = Partial<Record<keyof typeof tolerances, number>>;

/** Below this share of the largest gradient norm, float64 has told that a gradient is zero. */
const ZERO = 1e-10;

/** Which of the passes to run: `evaluate` is a third of the work, and less than a quarter of the memory. */
export type Pass = 'evaluate' | 'train';

/** Runs a definition on a device; throws where the tensors do not fit. */
export async function measure(
  model: Model,
  reference: ModelReference,
  backend: Backend,
  passes: readonly Pass[] = ['evaluate', 'train'],
): Promise<Errors> {
  const batch = reference.eval_logits.length;
  const session = await backend.openSession();
  try {
    const errors: Errors = {};
    const images = referenceImages(reference.image, batch);
    writeState(session, build(model, reference, batch, false).layers);
    if (passes.includes('evaluate')) {
      const program = await session.compile(build(model, reference, batch, false).graph);
      program.write('image', images);
      await program.run();
      errors.evalLogits = logitsError(await program.read('logits'), reference.eval_logits);
      await program.dispose();
    }
    if (passes.includes('train')) Object.assign(errors, await trainingErrors(model, reference, session, images));
    return errors;
  } finally {
    await session.dispose();
  }
}

/**
 * Of these files the training pass cannot be had again: dropout was on in it, by a function that the switch of modules
 * does not reach. All running statistics agree, so the pass does up to the last batch norm; what follows is the mean
 * over the image and the linear layer, which evaluation covers.
 */
const withDropout = ['cifar-inception_v3'];
const behindDropout: readonly string[] = [
  ...['trainLogits', 'loss'],
  ...['medianGradient', 'ninetiethGradient', 'worstGradient'],
];

/** Errors that are too large, a line each. */
export function excesses({ name }: ModelReference, errors: Errors, bounds: Tolerances): string[] {
  return Object.entries(errors).flatMap(([kind, error]) => {
    if (withDropout.includes(name) && behindDropout.includes(kind)) return [];
    const most = bounds[kind as keyof Errors];
    // A NaN is no number below the bound.
    return error <= most ? [] : [`${kind}: ${error.toExponential(1)} away, at most ${most.toExponential(0)} is right`];
  });
}

function writeState(session: Session, { parameters, multiplying }: Layers): void {
  for (const { name, value } of parameters) {
    const stored = referenceTensor(name, storedShape(name, value.shape, multiplying));
    session.write(name, fromStored(name, stored, value.shape, multiplying));
  }
}

async function trainingErrors(
  model: Model,
  reference: ModelReference,
  session: Session,
  images: Float32Array,
): Promise<Errors> {
  const batch = reference.train_logits.length;
  const { graph, layers } = build(model, reference, batch, true);
  const labels = graph.input('labels', [batch], 'i32');
  const [loss] = graph.apply('softmaxCrossEntropy', [graph.outputs.get('logits')!, labels], {});
  graph.output('loss', loss!);
  const trained = layers.parameters.filter(({ trainable }) => trainable);
  gradients(
    loss!,
    trained.map(({ value }) => value),
  ).forEach((gradient, at) => {
    if (gradient) graph.output(`gradient ${trained[at]!.name}`, gradient);
  });
  const program = await session.compile(graph);
  program.write('image', images);
  program.write(
    'labels',
    Int32Array.from({ length: batch }, (_, i) => (7 * i + 3) % reference.classes),
  );
  await program.run();
  const errors: Errors = {
    trainLogits: logitsError(await program.read('logits'), reference.train_logits),
    loss: relative((await program.read('loss'))[0]!, reference.train_loss),
    zeroGradients: 0,
    running: 0,
  };
  const note = (kind: keyof Errors, error: number) => {
    // Math.max keeps a NaN.
    errors[kind] = Math.max(errors[kind]!, error);
  };
  const largest = Math.max(...Object.values(reference.gradient_norms));
  const ofGradients: number[] = [];
  for (const { name } of trained) {
    const output = `gradient ${name}`;
    const found = graph.outputs.has(output) ? norm(await program.read(output)) : 0;
    const wanted = reference.gradient_norms[name];
    if (wanted === undefined) throw new Error(`the reference has no gradient of ${name}`);
    if (wanted > ZERO * largest) ofGradients.push(relative(found, wanted));
    else note('zeroGradients', found / largest);
  }
  ofGradients.sort((a, b) => a - b);
  errors.medianGradient = ofGradients[ofGradients.length >> 1]!;
  errors.ninetiethGradient = ofGradients[Math.floor(0.9 * ofGradients.length)]!;
  // Math.max keeps a NaN, wherever sorting has left it.
  errors.worstGradient = Math.max(...ofGradients);
  for (const { name, trainable } of layers.parameters) {
    if (trainable) continue;
    note('running', relative(norm((await session.read(name)).data), reference.train_running[name]!));
  }
  await program.dispose();
  return errors;
}

const relative = (found: number, wanted: number): number => Math.abs(found - wanted) / Math.abs(wanted);

function norm(values: ArrayLike<number>): number {
  let squares = 0;
  for (let at = 0; at < values.length; at++) squares += values[at]! ** 2;
  return Math.sqrt(squares);
}

function logitsError(found: ArrayLike<number>, wanted: ModelReference['eval_logits']): number {
  const classes = found.length / wanted.length;
  let [difference, largest] = [0, 0];
  wanted.forEach((row, image) => {
    row.forEach((value, at) => {
      difference = Math.max(difference, Math.abs(found[image * classes + at]! - value));
      largest = Math.max(largest, Math.abs(value));
    });
  });
  return difference / largest;
}
