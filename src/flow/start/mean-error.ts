// The mean error of a multiplier in each output channel of each layer, and its removal: it is a constant, and a layer's
// bias (or the mean that its batch norm subtracts) takes a constant for free, in hardware too. Exact over the images
// that were counted: of every tap of every input channel the codes are counted by themselves, so that padding and
// stride are in it.
// Invariant: nothing but those biases and running means changes.

import type { Split } from '../../data/split.ts';
import type { Session } from '../../engine/backend.ts';
import type { Node, Value } from '../../engine/graph/graph.ts';
import type { OpName } from '../../engine/graph/ops.ts';
import { convolutionTaps } from '../../engine/graph/window.ts';
import type { Shape, TensorData } from '../../tensor/tensor.ts';
import type { QuantizedArithmetic, Task } from '../../train/task.ts';
import { type LayerVisit, visitLayers } from '../multipliers/operands.ts';

/**
 * Where a constant in a layer's output can be taken back: the variable, and with which sign the constant is added to
 * it.
 */
interface Sink {
  readonly variable: string;
  readonly sign: 1 | -1;
}

/** A layer's operands as its mean error needs them. */
export interface LayerOperands {
  readonly layer: string;
  readonly activationBits: number;
  readonly groups: number;
  /** Codes of the weights as quantised, [kh, kw, inputs of a group, outputs]. */
  readonly weightShape: readonly [number, number, number, number];
  readonly weights: TensorData;
  /**
   * How often each activation code meets each tap of each input channel, [kh · kw, inputs, codes]; padded taps meet
   * none.
   */
  readonly occurrences: Float64Array;
  /** Output positions that were counted, over all images. */
  readonly positions: number;
  /** What one unit of the product is worth in each output channel. */
  readonly units: Float64Array;
  /** Undefined where neither a bias nor a batch norm follows the layer. */
  readonly sink: Sink | undefined;
}

type Four = Shape & readonly [number, number, number, number];

/**
 * Counts the operands of every product over the first `images` images of the split, in the network as the session has
 * it.
 */
export async function measureLayers(
  session: Session,
  task: Task,
  arithmetic: QuantizedArithmetic,
  split: Split,
  images: number,
): Promise<readonly LayerOperands[]> {
  const found = new Map<Node, LayerOperands & { positions: number }>();
  await visitLayers(session, task, arithmetic, split, images, async (visit) => {
    const { node } = visit;
    let own = found.get(node);
    if (!own) {
      own = await emptyLayer(visit);
      found.set(node, own);
    }
    const [, oh, ow] = node.outputs[0]!.shape as Four;
    own.positions += visit.images * oh * ow;
    countTaps(node, await visit.read(0), visit.images, own.occurrences);
  });
  return [...found.values()];
}

async function emptyLayer({
  layer,
  node,
  read,
  readQuantized,
}: LayerVisit): Promise<LayerOperands & { positions: number }> {
  const { activationBits, groups } = node.attributes;
  const weightShape = node.inputs[1]!.shape as Four;
  const [kh, kw, perGroup] = weightShape;
  const [xScale, wScale] = [await read(2), await read(4)];
  return {
    ...{ layer, activationBits, groups, weightShape, positions: 0 },
    weights: (await readQuantized()).slice(),
    occurrences: new Float64Array(kh * kw * perGroup * groups * 2 ** activationBits),
    units: Float64Array.from(wScale, (scale) => scale * xScale[0]!),
    sink: sinkOf(node.outputs[0]!),
  };
}

function countTaps(node: Node<'axmConv2d'>, codes: TensorData, images: number, occurrences: Float64Array): void {
  const { activationBits } = node.attributes;
  const [, height, width, channels] = node.inputs[0]!.shape as Four;
  const kw = node.inputs[1]!.shape[1]!;
  const { rows, columns } = convolutionTaps(node.inputs[0]!.shape, node.inputs[1]!.shape, node.attributes);
  const perTap = channels * 2 ** activationBits;
  for (let image = 0; image < images; image++) {
    for (const { tap: ky, at: y } of rows.flat()) {
      for (const { tap: kx, at: x } of columns.flat()) {
        const first = ((image * height + y) * width + x) * channels;
        const row = (ky * kw + kx) * perTap;
        for (let c = 0; c < channels; c++) occurrences[row + (c << activationBits) + codes[first + c]!]!++;
      }
    }
  }
}

/** The bias that is added to a layer's product, or the batch norm that it goes into; reshapes between do not matter. */
function sinkOf(product: Value): Sink | undefined {
  const reader = readerOf(product);
  if (reader?.op === 'bias') return variableSink(reader.inputs[1]!, -1);
  // (x − mean): a constant in x is one in the mean.
  if (reader?.op === 'batchNormInference') return variableSink(reader.inputs[3]!, 1);
  return undefined;
}

/** Whether a product goes into a bias, and no batch norm behind that takes its constants anyway, by each batch. */
export function needsBias(product: Value): boolean {
  const reader = readerOf(product);
  if (reader?.op !== 'bias' || !variableSink(reader.inputs[1]!, -1)) return false;
  return readerOf(reader.outputs[0]!)?.op !== 'batchNormInference';
}

/** The only node that reads a value, reshapes left aside; undefined where there are several or none. */
function readerOf(value: Value): Node<OpName> | undefined {
  const readers = value.graph.nodes.filter(({ inputs }) => inputs.includes(value));
  const [reader] = readers;
  if (readers.length !== 1 || !reader) return undefined;
  return reader.op === 'reshape' ? readerOf(reader.outputs[0]!) : reader;
}

function variableSink({ source }: Value, sign: Sink['sign']): Sink | undefined {
  return source.kind === 'variable' ? { variable: source.name, sign } : undefined;
}

/**
 * Visits each tap of each input channel: where its codes are counted, where its first weight stands, and the outputs of
 * its group.
 */
function forEachTap(
  { weightShape, groups, activationBits }: LayerOperands,
  visit: (counted: number, weight: number, outputs: { readonly from: number; readonly to: number }) => void,
): void {
  const [kh, kw, perGroup, outputs] = weightShape;
  const perOutput = outputs / groups;
  for (let tap = 0; tap < kh * kw; tap++) {
    for (let channel = 0; channel < perGroup * groups; channel++) {
      const first = (tap * perGroup * groups + channel) * 2 ** activationBits;
      const group = Math.floor(channel / perGroup);
      const at = (tap * perGroup + (channel % perGroup)) * outputs;
      visit(first, at, { from: group * perOutput, to: (group + 1) * perOutput });
    }
  }
}

/**
 * The mean of Σ over the taps of E(w, x) in each output channel, in units of the layer's output; `error` is by codes, w
 * · 2^bits + x.
 */
export function meanErrors(operands: LayerOperands, error: ArrayLike<number>): Float64Array {
  const { weights, occurrences, activationBits, positions, units } = operands;
  const codes = 2 ** activationBits;
  const sums = new Float64Array(units.length);
  const met = new Int32Array(codes);
  forEachTap(operands, (first, at, { from, to }) => {
    let count = 0;
    for (let x = 0; x < codes; x++) if (occurrences[first + x]! > 0) met[count++] = x;
    // Weights share codes: each is summed once.
    const known = new Map<number, number>();
    for (let o = from; o < to; o++) {
      const w = weights[at + o]!;
      let sum = known.get(w);
      if (sum === undefined) {
        sum = 0;
        for (let k = 0; k < count; k++) sum += occurrences[first + met[k]!]! * error[(w << activationBits) + met[k]!]!;
        known.set(w, sum);
      }
      sums[o]! += sum;
    }
  });
  return sums.map((sum, o) => (units[o]! * sum) / positions);
}

/**
 * The mean of each partial product, Σ over the taps of units · 2^(i+j) · w[i] · x[j], in units of the layer's output:
 * [outputs, weightBits, activationBits]. With m_ij the share that a structure removes, its mean error is −Σ m_ij of it.
 */
export function partialMeans(operands: LayerOperands, weightBits: number): Float32Array {
  const { weights, occurrences, activationBits, positions, units } = operands;
  const codes = 2 ** activationBits;
  const each = weightBits * activationBits;
  const sums = new Float64Array(units.length * each);
  const set = new Float64Array(activationBits);
  forEachTap(operands, (first, at, { from, to }) => {
    set.fill(0);
    for (let x = 0; x < codes; x++) {
      for (let j = 0; j < activationBits; j++) if ((x >> j) & 1) set[j]! += occurrences[first + x]!;
    }
    for (let o = from; o < to; o++) {
      const w = weights[at + o]!;
      for (let i = 0; i < weightBits; i++) {
        if (!((w >> i) & 1)) continue;
        const row = o * each + i * activationBits;
        for (let j = 0; j < activationBits; j++) sums[row + j]! += set[j]!;
      }
    }
  });
  return Float32Array.from(sums, (sum, at) => {
    const column = Math.floor((at % each) / activationBits) + (at % activationBits);
    return (units[Math.floor(at / each)]! * 2 ** column * sum) / positions;
  });
}

type MaybeLater<T> = T | Promise<T>;

/**
 * Takes the layers' mean errors out of the session's biases and running means; returns the layers that have neither.
 */
export async function foldMeanErrors(
  session: Session,
  layers: readonly LayerOperands[],
  errorOf: (layer: string) => MaybeLater<ArrayLike<number> | undefined>,
): Promise<readonly string[]> {
  const left: string[] = [];
  for (const operands of layers) {
    const error = await errorOf(operands.layer);
    if (!error) continue;
    const { sink } = operands;
    if (!sink) {
      left.push(operands.layer);
      continue;
    }
    const means = meanErrors(operands, error);
    const { shape, data } = await session.read(sink.variable);
    const moved = Float32Array.from(data, (value, o) => value + sink.sign * means[o]!);
    session.write(sink.variable, { dtype: 'f32', shape, data: moved });
  }
  return left;
}
