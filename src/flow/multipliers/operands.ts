// How often each operand occurs in the multiplications of a network: the codes of the weights and of the activations of
// calibration images, with the trained quantisers, counted in the very graph that evaluation uses, or as training meets
// them, with batch norm's statistics of the batch. Padded taps multiply nothing and do not count.
// Invariant: both histograms of a layer add up to its multiplications over the images, so that layers add up by their
// shares of the work.
// The joint distribution is taken as the product of the two, which is what `--histograms` and the mapping know.

import { setImmediate } from 'node:timers/promises';
import { evaluationBatches } from '../../data/batches.ts';
import { readAhead } from '../../data/read-ahead.ts';
import type { Split } from '../../data/split.ts';
import type { Session } from '../../engine/backend.ts';
import type { Graph, Node } from '../../engine/graph/graph.ts';
import { convolutionTaps, type Tap } from '../../engine/graph/window.ts';
import type { OperandHistograms } from '../../multiplier/metrics.ts';
import { sumOfOperands } from '../../multiplier/operands.ts';
import { quantizedCodes } from '../../quant/weight-codes.ts';
import type { Shape, TensorData } from '../../tensor/tensor.ts';
import { feedOf, writeBatch } from '../../train/feed.ts';
import { buildNetwork, type QuantizedArithmetic, type Task, widthsIn } from '../../train/task.ts';
import type { OpenRun } from '../run/context.ts';
import { productsOf } from './products.ts';

const BATCH = 32;

/** One product of a layer in one batch of a pass over images. */
export interface LayerVisit {
  readonly layer: string;
  readonly node: Node<'axmConv2d'>;
  /** Images of the batch that count; what lies behind them is padding. */
  readonly images: number;
  /**
   * One of the node's inputs (see axmConv2d in engine/graph/ops.ts) as it is in this batch: 0 the activations' codes, 1
   * the weights' as they are stored, …
   */
  readonly read: (input: number) => Promise<TensorData>;
  /** The weights' codes as their quantiser has them. */
  readonly readQuantized: () => Promise<TensorData>;
}

/** With batch norm's running statistics, or with those of each batch, as training has them. */
type OperandsMode = 'evaluate' | 'statistics';

/** Inputs of axmConv2d before the error: codes, scales and zero points. */
const OPERANDS = 6;
const QUANTIZED = 'quantized';

/** Shows every product of the network in every batch of the first `images` images of the split. */
export async function visitLayers(
  session: Session,
  task: Task,
  arithmetic: QuantizedArithmetic,
  split: Split,
  images: number,
  visit: (visit: LayerVisit) => Promise<void>,
  mode: OperandsMode = 'evaluate',
): Promise<void> {
  const { graph, products, feed, batchSize } = operandsGraph(session, task, arithmetic, split, images, mode);
  const program = await session.compile(graph);
  let done = 0;
  const batches = readAhead(evaluationBatches(split, batchSize), (selection, signal) =>
    feed.read(selection, batchSize, signal),
  );
  for await (const { request, result } of batches) {
    const valid = Math.min(request.numbers.length, images - done);
    if (valid <= 0) break;
    // Lets timers and sockets have their turn: neither what is read nor a device need ever wait.
    await setImmediate();
    writeBatch(program, result);
    await program.run();
    for (const [at, { layer, node }] of products.entries()) {
      const read = (input: number) => program.read(`${at}.${input}`);
      const readQuantized = () => program.read(`${at}.${QUANTIZED}`);
      await visit({ layer, node, images: valid, read, readQuantized });
    }
    done += valid;
  }
  await program.dispose();
}

/** The graph of such a pass, the products whose operands it yields, and how its batches are read. */
export function operandsGraph(
  session: Pick<Session, 'backend'>,
  task: Task,
  arithmetic: QuantizedArithmetic,
  split: Split,
  images: number,
  mode: OperandsMode = 'evaluate',
) {
  const batchSize = Math.min(BATCH, images, split.count);
  const feed = feedOf(session, task, split);
  const { graph, layers } = buildNetwork(task, arithmetic, mode, batchSize, feed);
  // Nothing is to move by being looked at.
  graph.assignments.clear();
  const products = productsOf(graph, layers.multiplying);
  products.forEach(({ node }, at) => {
    node.inputs.slice(0, OPERANDS).forEach((input, k) => {
      graph.output(`${at}.${k}`, input);
    });
    graph.output(`${at}.${QUANTIZED}`, quantizedCodes(node.inputs[1]!));
  });
  return { graph, products, feed, batchSize };
}

/** Histograms by layer, over the first `images` images of the split; a layer's products count together. */
export async function measureOperands(
  session: Session,
  task: Task,
  arithmetic: QuantizedArithmetic,
  split: Split,
  images: number,
  mode: OperandsMode = 'evaluate',
): Promise<Map<string, OperandHistograms>> {
  const counts = new Map<
    Node<'axmConv2d'>,
    { layer: string; weight: Float64Array; activation: Float64Array; images: number }
  >();
  const count = async ({ layer, node, images: valid, read }: LayerVisit) => {
    let found = counts.get(node);
    if (!found) {
      const { weightBits, activationBits } = node.attributes;
      const weight = new Float64Array(2 ** weightBits);
      countWeights(node, await read(1), weight);
      found = { layer, weight, activation: new Float64Array(2 ** activationBits), images: 0 };
      counts.set(node, found);
    }
    countActivations(node, await read(0), valid, found.activation);
    found.images += valid;
  };
  await visitLayers(session, task, arithmetic, split, images, count, mode);
  return new Map(
    buildNetwork(task, arithmetic, 'evaluate', 1).layers.multiplying.map(({ name }) => {
      const { weightBits, activationBits } = widthsIn(arithmetic, name);
      const none = { weight: new Float64Array(2 ** weightBits), activation: new Float64Array(2 ** activationBits) };
      const own = [...counts.values()].filter(({ layer }) => layer === name);
      const ofImages = own.map(({ weight, activation, images: done }) => ({
        weight: weight.map((count) => count * done),
        activation,
      }));
      return [name, sumOfOperands([none, ...ofImages])];
    }),
  );
}

/** Images over which the slopes of rows are taken: the least layer has thousands of codes in each. */
const SLOPE_IMAGES = 128;

type Sloped = Pick<OpenRun, 'configuration' | 'dataset' | 'layers' | 'task'>;

/** Whether a phase 3 with this arithmetic takes slopes of rows. */
const takesRows = ({ configuration, layers }: Sloped, { multiplierOf }: QuantizedArithmetic): boolean =>
  configuration.recover.gradient === 'rows' && layers.some(({ name }) => multiplierOf(name).kind !== 'exact');

/** Whole batches, since batch norm takes the statistics of each. */
function slopeImages({ configuration, dataset }: Sloped): number {
  const images = Math.min(SLOPE_IMAGES, configuration.quantize.images, dataset.train.count);
  return images - (images % Math.min(BATCH, images));
}

/**
 * The codes by which the slopes of rows are taken, by layer: those that training begins with, but for what is changed
 * in its images. Undefined where no such slopes are taken.
 */
export async function slopeOperands(
  run: Sloped,
  session: Session,
  arithmetic: QuantizedArithmetic,
): Promise<Map<string, OperandHistograms> | undefined> {
  if (!takesRows(run, arithmetic)) return undefined;
  return measureOperands(session, run.task, arithmetic, run.dataset.train, slopeImages(run), 'statistics');
}

/** The graph of that, where there is one. */
export function slopeGraphs(run: Sloped & Pick<Session, 'backend'>, arithmetic: QuantizedArithmetic): Graph[] {
  if (!takesRows(run, arithmetic)) return [];
  return [operandsGraph(run, run.task, arithmetic, run.dataset.train, slopeImages(run), 'statistics').graph];
}

/**
 * Every activation counts once for each weight that it meets: taps in both directions times the outputs of its group.
 */
function countActivations(node: Node<'axmConv2d'>, codes: TensorData, images: number, counts: Float64Array): void {
  const { groups } = node.attributes;
  const [, height, width, channels] = node.inputs[0]!.shape as Shape & [number, number, number, number];
  const outputs = node.inputs[1]!.shape[3]!;
  const taps = convolutionTaps(node.inputs[0]!.shape, node.inputs[1]!.shape, node.attributes);
  const rows = countBy('at', height, taps.rows);
  const columns = countBy('at', width, taps.columns);
  let at = 0;
  for (let image = 0; image < images; image++) {
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        const times = (rows[y]! * columns[x]! * outputs) / groups;
        for (let c = 0; c < channels; c++) counts[codes[at++]!]! += times;
      }
    }
  }
}

/** Every weight counts once for each output position where its tap is not padding. */
function countWeights(node: Node<'axmConv2d'>, codes: TensorData, counts: Float64Array): void {
  const [kh, kw, inputs, outputs] = node.inputs[1]!.shape as Shape & [number, number, number, number];
  const taps = convolutionTaps(node.inputs[0]!.shape, node.inputs[1]!.shape, node.attributes);
  const rows = countBy('tap', kh, taps.rows);
  const columns = countBy('tap', kw, taps.columns);
  let at = 0;
  for (let ky = 0; ky < kh; ky++) {
    for (let kx = 0; kx < kw; kx++) {
      const times = rows[ky]! * columns[kx]!;
      for (let n = 0; n < inputs * outputs; n++) counts[codes[at++]!]! += times;
    }
  }
}

/**
 * Along one axis: how many (output, tap) pairs read each position of the input (`at`), or how many outputs each tap
 * serves.
 */
function countBy(what: keyof Tap, length: number, taps: readonly (readonly Tap[])[]): Int32Array {
  const counts = new Int32Array(length);
  for (const ofOutput of taps) for (const tap of ofOutput) counts[tap[what]]!++;
  return counts;
}
