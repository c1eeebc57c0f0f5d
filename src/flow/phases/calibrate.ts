// Calibration: scales, zero points and ranges of all layers from training images, and the clip factors that learned
// clipping starts from. With that and the observer `mse` for both operands it is the published one: a single batch
// through the network, whose layers are quantised as it goes, with batch norm in training mode. Other observers, and
// all of them where step sizes are to be learnt, look at the float network as it is evaluated, batch by batch, and
// change nothing in it.

import { noAugmentation } from '../../data/augment.ts';
import { trainingBatches } from '../../data/batches.ts';
import type { Session } from '../../engine/backend.ts';
import type { Graph, Value } from '../../engine/graph/graph.ts';
import { scaleOfRange } from '../../engine/reference/quantization.ts';
import { foldBatchNorms } from '../../quant/fold.ts';
import { Histogram, observedRange } from '../../quant/observers.ts';
import { clipLogit, type OperandName, stateName } from '../../quant/quantized.ts';
import { inputStart, type Start } from '../../quant/starts.ts';
import { reverseAxes } from '../../tensor/axes.ts';
import { f32, type HostTensor, sizeOf } from '../../tensor/tensor.ts';
import { feedOf, writeBatch } from '../../train/feed.ts';
import { type Arithmetic, buildNetwork, type QuantizedArithmetic } from '../../train/task.ts';
import type { HostTask } from '../host/task.ts';
import { HostWork, threadsFor } from '../host/threads.ts';
import { foldedBatchNorms } from '../multipliers/multipliers.ts';
import { readModel } from '../run/checkpoint.ts';
import type { OpenRun } from '../run/context.ts';
import { files, inFolder } from '../run/folder.ts';
import { layerWidths } from '../settings/layers.ts';
import { type Chosen, countValues, weightRanges, weightStarts } from './calibrate-tasks.ts';

type Calibrated = Pick<OpenRun, 'configuration' | 'dataset' | 'task' | 'layers'>;

/** Images of a batch that is only looked at: the inputs of all layers are kept at once. */
const OBSERVED_BATCH = 16;

/** About how many operations counting a value takes, and a weight's share of a channel's quantiser. */
const OPERATIONS = { value: 2, weight: 80 } as const;

/** Pieces of a layer's channels for each thread: none waits long for the last. */
const PIECES = 2;

/** Writes the run's float model into a session, with its batch norms folded where the run says so. */
export function loadToQuantize(
  run: Pick<OpenRun, 'configuration' | 'layers' | 'folder'>,
  bytes: Uint8Array,
  session: Session,
): void {
  const behind = foldedBatchNorms(run);
  const path = inFolder(run, files.float);
  const model = readModel(bytes, path, run.layers);
  for (const [name, tensor] of foldBatchNorms(model, behind)) session.write(name, tensor);
}

/**
 * Sets the quantisers of all layers from `quantize.images` training images; what each layer was seen to read, where all
 * was only looked at.
 */
export async function calibrate(
  context: Calibrated,
  session: Session,
  arithmetic: QuantizedArithmetic,
): Promise<ReadonlyMap<string, Histogram> | undefined> {
  if (!isAtOnce(context)) return await observe(context, session);
  await calibrateAtOnce(context, session, arithmetic);
  return undefined;
}

/** Whether the network searches for all quantisers itself. */
function isAtOnce({ configuration }: Pick<Calibrated, 'configuration'>): boolean {
  const { quantizer, observer, weightObserver } = configuration.quantize;
  return quantizer === 'clips' && observer === 'mse' && weightObserver === 'mse';
}

/** The graph that calibration compiles. */
export function calibrationGraph(run: Calibrated & Pick<Session, 'backend'>, arithmetic: QuantizedArithmetic): Graph {
  return (isAtOnce(run) ? searchingNetwork(run, run, arithmetic) : observedNetwork(run, run)).graph;
}

/** The images that calibrate, in batches of one size. */
function calibrationBatches({ configuration, dataset }: Calibrated, batchSize: number) {
  return trainingBatches(dataset, { seed: configuration.seed, epoch: 0, batchSize, augment: noAugmentation });
}

/** One pass over one batch; the clip factors start where the search ended. */
async function calibrateAtOnce(context: Calibrated, session: Session, arithmetic: Arithmetic): Promise<void> {
  const { graph, feed, batchSize } = searchingNetwork(context, session, arithmetic);
  const program = await session.compile(graph);
  writeBatch(program, await feed.read(calibrationBatches(context, batchSize).next().value!, batchSize));
  await program.run();
  for (const { name } of context.layers) {
    for (const operand of ['weight', 'input'] as const satisfies readonly OperandName[]) {
      const factor = (await program.read(stateName(name, operand, 'clip_upper')))[0]!;
      const { shape } = await session.read(stateName(name, operand, 'scale'));
      const start = f32(shape, new Float32Array(sizeOf(shape)).fill(clipLogit(factor)));
      session.write(stateName(name, operand, 'clip_upper'), start);
      session.write(stateName(name, operand, 'clip_lower'), start);
    }
  }
  await program.dispose();
}

function searchingNetwork(
  { configuration, dataset, task }: Calibrated,
  session: Pick<Session, 'backend'>,
  arithmetic: Arithmetic,
) {
  const batchSize = Math.min(configuration.quantize.images, dataset.train.count);
  const feed = feedOf(session, task, dataset.train);
  const { graph } = buildNetwork(task, arithmetic, 'calibrate', batchSize, feed);
  return { graph, feed, batchSize };
}

/** Sets the quantisers from the float network, each layer for itself; gives what each was seen to read. */
export async function observe(context: Calibrated, session: Session): Promise<ReadonlyMap<string, Histogram>> {
  const inputs = await observedInputs(context, session);
  await setObserved(context, session, inputs);
  return inputs;
}

/** The same where it is known what each layer reads. */
export async function setObserved(
  context: Calibrated,
  session: Session,
  inputs: ReadonlyMap<string, Histogram>,
): Promise<void> {
  const widths = layerWidths(context.configuration, context.layers);
  const count = context.layers.reduce((sum, { weightShape }) => sum + sizeOf(weightShape), 0);
  const threads = threadsFor(OPERATIONS.weight * count, session.backend.device);
  for (const { name } of context.layers) {
    const { weights, activations } = widths.get(name)!;
    observeInput(context, session, { layer: name, bits: activations, seen: inputs.get(name)! });
    await observeWeight(context, session, { layer: name, bits: weights }, threads);
  }
}

interface Operand {
  readonly layer: string;
  readonly bits: number;
}

/** Sets the quantiser of what a layer reads. */
export function observeInput(
  { configuration }: Pick<Calibrated, 'configuration'>,
  session: Session,
  { layer, bits, seen }: Operand & { readonly seen: Histogram },
): void {
  const { quantizer, observer, percentile, range } = configuration.quantize;
  const holdsZero = range === 'with-zero';
  if (quantizer === 'steps') {
    writeSteps(session, layer, 'input', [inputQuantizer({ configuration }, { bits, seen })], []);
    return;
  }
  const chosen = observedRange(observer, seen, { percentile, holdsZero, bits });
  // The moving average goes on from what it has come to.
  const extremes = observer === 'moving-average' ? seen.average! : seen;
  const around = holdsZero ? { min: Math.min(extremes.min, 0), max: Math.max(extremes.max, 0) } : extremes;
  writeQuantizer(session, layer, 'input', bits, [{ chosen, extremes: around }], []);
  session.write(stateName(layer, 'input', 'min'), f32([], [around.min]));
  session.write(stateName(layer, 'input', 'max'), f32([], [around.max]));
}

/** The quantiser of what a layer reads, as it is stored. */
export function inputQuantizer(
  { configuration }: Pick<Calibrated, 'configuration'>,
  { bits, seen }: { readonly bits: number; readonly seen: Histogram },
): Start {
  const { quantizer, observer, percentile, range } = configuration.quantize;
  const options = { percentile, holdsZero: range === 'with-zero', bits };
  if (quantizer === 'steps') return inputStart(observer, seen, options);
  const { min, max } = observedRange(observer, seen, options);
  return scaleOfRange(min, max, bits);
}

/** Sets the quantiser of a layer's weights. */
export async function observeWeight(
  { configuration }: Pick<Calibrated, 'configuration'>,
  session: Session,
  operand: Operand,
  threads?: number,
): Promise<void> {
  const { layer, bits } = operand;
  const weight = await session.read(`${layer}.weight`);
  const shape = configuration.channelwise ? weight.shape.slice(-1) : [];
  if (configuration.quantize.quantizer === 'steps') {
    const starts = await ofChannels(weightStarts, { configuration }, weight, operand, threads);
    writeSteps(session, layer, 'weight', starts, shape);
    return;
  }
  const ranges = await ofChannels(weightRanges, { configuration }, weight, operand, threads);
  writeQuantizer(session, layer, 'weight', bits, ranges, shape);
}

/** The quantisers of a layer's weights as they are stored, one for all of them or one for each channel. */
export function weightQuantizers(
  run: Pick<Calibrated, 'configuration'>,
  weight: HostTensor,
  operand: Operand,
): Promise<readonly Start[]> {
  return ofChannels(weightStarts, run, weight, operand);
}

/** Of each channel's weights, or all, on so many threads. */
async function ofChannels<T>(
  task: HostTask<Parameters<typeof weightStarts.compute>[0], T[]>,
  { configuration: { channelwise, quantize } }: Pick<Calibrated, 'configuration'>,
  { shape, data }: HostTensor,
  { layer, bits }: Operand,
  threads = 1,
): Promise<T[]> {
  const count = channelwise ? shape.at(-1)! : 1;
  const length = data.length / count;
  const values = count === 1 ? (data as Float32Array) : reverseAxes(data, [length, 1, count]);
  const name = `the weight of ${layer}`;
  const work = new HostWork(task, threads);
  const found: T[] = [];
  const step = threads === 1 ? count : Math.ceil(count / (PIECES * threads));
  for (let first = 0; first < count; first += step) {
    const channels = Math.min(step, count - first);
    const own = step === count ? values : values.slice(first * length, (first + channels) * length);
    const moved = step === count ? [] : [own];
    await work.give({ values: own, channels, bits, quantize, name }, (some) => void found.push(...some), moved);
  }
  await work.end();
  return found;
}

/** What every multiplying layer of the float network reads, counted over the calibration images. */
export async function observedInputs(context: Calibrated, session: Session): Promise<ReadonlyMap<string, Histogram>> {
  const { graph, observed, feed, images, batchSize } = observedNetwork(context, session);
  const ofImage = [...graph.outputs.values()].reduce((sum, { shape }) => sum + sizeOf(shape) / batchSize, 0);
  const threads = threadsFor(OPERATIONS.value * images * ofImage, session.backend.device);
  const work = new HostWork(countValues, threads);
  const program = await session.compile(graph);
  // Layers that read the same, as a block's first one and its shortcut, are counted once.
  const histograms = new Map<
    string,
    { readonly outputs: readonly string[]; readonly layer: string; readonly seen: Histogram }
  >();
  for (const [layer, outputs] of observed) {
    const key = outputs.join();
    if (!histograms.has(key)) histograms.set(key, { outputs, layer, seen: new Histogram() });
  }
  let left = images;
  for (const selection of calibrationBatches(context, batchSize)) {
    writeBatch(program, await feed.read(selection, batchSize));
    await program.run();
    for (const { outputs, layer, seen } of histograms.values()) {
      for (const output of outputs) {
        const values = await program.read(output);
        const wanted = left < batchSize ? values.subarray(0, (values.length / batchSize) * left) : values;
        const name = `the input of ${layer}`;
        // Here they are counted where they belong, without a table of their own.
        if (threads === 1) seen.add(wanted, name);
        else await work.give({ values: wanted, name }, (counted) => seen.merge(counted), [wanted]);
      }
    }
    left -= batchSize;
    if (left <= 0) break;
  }
  await work.end();
  await program.dispose();
  return new Map([...observed].map(([layer, outputs]) => [layer, histograms.get(outputs.join())!.seen]));
}

/** The float network that yields what each layer reads: names of outputs, of most layers one. */
function observedNetwork({ configuration, layers, dataset, task }: Calibrated, session: Pick<Session, 'backend'>) {
  const images = Math.min(configuration.quantize.images, dataset.train.count);
  const batchSize = Math.min(OBSERVED_BATCH, images);
  const feed = feedOf(session, task, dataset.train);
  const names = new Map<Value, string>();
  const observed = new Map<string, string[]>();
  const arithmetic: Arithmetic = {
    kind: 'float',
    folded: foldedBatchNorms({ configuration, layers }),
    inputOf: (layer, x) => {
      const output = names.get(x) ?? `observed.${names.size}`;
      if (!names.has(x)) x.graph.output(output, x);
      names.set(x, output);
      observed.set(layer, [...(observed.get(layer) ?? []), output]);
      return x;
    },
  };
  const { graph } = buildNetwork(task, arithmetic, 'evaluate', batchSize, feed);
  return { graph, observed, feed, images, batchSize };
}

function writeSteps(
  session: Session,
  layer: string,
  operand: OperandName,
  starts: readonly Start[],
  shape: readonly number[],
): void {
  const write = (state: 'scale' | 'zero_point', of: (start: Start) => number) =>
    session.write(stateName(layer, operand, state), f32(shape, Float32Array.from(starts, of)));
  write('scale', ({ scale }) => scale);
  write('zero_point', ({ zero }) => zero);
}

function writeQuantizer(
  session: Session,
  layer: string,
  operand: OperandName,
  bits: number,
  ranges: readonly Chosen[],
  shape: readonly number[],
): void {
  const write = (state: 'scale' | 'zero_point' | 'clip_upper' | 'clip_lower', of: (range: Chosen) => number) =>
    session.write(stateName(layer, operand, state), f32(shape, Float32Array.from(ranges, of)));
  write('scale', ({ chosen }) => scaleOfRange(chosen.min, chosen.max, bits).scale);
  write('zero_point', ({ chosen }) => scaleOfRange(chosen.min, chosen.max, bits).zero);
  write('clip_upper', ({ chosen, extremes }) => clipLogit(share(chosen.max, extremes.max)));
  write('clip_lower', ({ chosen, extremes }) => clipLogit(share(chosen.min, extremes.min)));
}

/** Least part of an extreme that training begins with: of none the logit would be infinite, and would not learn. */
const LEAST_SHARE = 0.01;

/** The part of an extreme that is left, up to 1; where the extreme is 0, or the other way, all of it. */
function share(chosen: number, extreme: number): number {
  const part = chosen / extreme;
  return part >= 0 && part <= 1 ? Math.max(part, LEAST_SHARE) : 1;
}
