// A task is what a network learns from examples: inputs that it declares, a network from them to a loss, and metrics
// beside the loss. Images with cross-entropy and accuracy are one (./images.ts). One definition gives the training
// step, the evaluation and the calibration pass: they differ in how the layers multiply (`Arithmetic`) and in the mode
// of batch norm and quantisers. Loop, step and evaluation know no more of it.

import type { AugmentOptions } from '../data/augment.ts';
import type { Batch, Split } from '../data/split.ts';
import type { Session } from '../engine/backend.ts';
import { Graph, type GraphOptions, type Value } from '../engine/graph/graph.ts';
import type { OperandWidths } from '../engine/graph/ops.ts';
import type { Multiplier, StructureMultiplier } from '../multiplier/multiplier.ts';
import type { WeightCodeChoice } from '../multiplier/weight-codes.ts';
import {
  type BatchNormScope,
  Layers,
  type LayersOptions,
  type Multiply,
  type MultiplyingLayer,
  multiplyFloat,
} from '../nn/layers.ts';
import type { BatchNorm } from '../quant/fold.ts';
import { withConstants } from '../quant/following-biases.ts';
import { multiplyQuantized, type QuantizerName, type QuantMode, type RangeName } from '../quant/quantized.ts';
import { invariant } from '../tensor/errors.ts';
import { given } from '../tensor/given.ts';

/** A figure of merit beside the loss. */
export interface Metric {
  /** Which way is up: a lower error, a higher accuracy. */
  readonly better: 'higher' | 'lower';
  /**
   * What the network gives over a batch: the mean over its targets, or the sum. What is told is the mean over all
   * targets.
   */
  readonly over: 'mean' | 'sum';
}

/** Inputs of a graph by their names. */
export type Inputs = Readonly<Record<string, Value>>;

/** How the examples of a split reach a program. */
export interface Feed {
  /** Declares what is written for each batch, and gives the task's inputs. */
  readonly inputs: (graph: Graph, batchSize: number) => Inputs;
  /** Reads a batch: values of what was declared. */
  readonly read: Split['read'];
  /** So many rows of a batch need each other and must be on one device; default: each row stands alone. */
  readonly together?: number;
  /** Brings such rows to the same of so many equal parts of the batch; default: rows may be anywhere. */
  readonly arrange?: (inputs: Batch['inputs'], rows: number, parts: number) => Batch['inputs'];
}

/** Where a network names classes: what another one can learn from it. */
export interface Logits {
  /** [..., classes], a row for each target. */
  readonly values: Value;
  /**
   * How much each row counts, f32 [rows], 0 or more: 0 for one that only fills the batch up; default: all the same.
   */
  readonly share?: Value;
}

/** What a network comes to on a batch; loss and metrics are scalars. */
export interface Outcome<M extends string> {
  /** Mean over the targets of the batch. */
  readonly loss: Value;
  readonly metrics: Readonly<Record<M, Value>>;
  /** Absent where there are no classes, or nothing is to be learnt from a teacher. */
  readonly logits?: Logits;
}

/** `M`: the names of its metrics. */
export interface Task<M extends string = string> {
  readonly metrics: Readonly<Record<M, Metric>>;
  /** Declares the inputs of a batch as a split reads them (`Split.read` gives values of the same names). */
  readonly inputs: (graph: Graph, batchSize: number) => Inputs;
  /** Builds the network, from the inputs to its loss and metrics. */
  readonly network: (layers: Layers, inputs: Inputs) => Outcome<M>;
  /**
   * What each row of logits is trained against, where the loss is the mean over the rows of the cross-entropy: a
   * distribution over the classes, [rows, classes], in plain arithmetic from what a batch was written as. By it the
   * gradient of a step is checked before a run trains; default: it is not.
   */
  readonly distributions?: (batch: Batch['inputs'], classes: number) => Float64Array;
  /**
   * How the examples of a split, changed in these ways, reach a device where that is not by reading each batch and
   * writing it.
   */
  readonly feed?: (
    session: Pick<Session, 'backend'>,
    split: Split,
    augment: AugmentOptions | undefined,
  ) => Feed | undefined;
}

/** What both arithmetics may have. */
interface Common {
  /** Batch norms that are folded into the layers before them, by the layer (quant/fold.ts). */
  readonly folded?: ReadonlyMap<string, BatchNorm>;
}

/** Every layer multiplies in float32. */
export interface FloatArithmetic extends Common {
  readonly kind: 'float';
  /** Called for each multiplying layer as the network is built: what it reads; default: its input. */
  readonly inputOf?: (layer: string, x: Value) => Value;
}

/** Both operands of every multiplying layer are codes; each layer has its multiplier. */
export interface QuantizedArithmetic extends Common {
  readonly kind: 'quantized';
  readonly weightBits: number;
  readonly activationBits: number;
  readonly channelwise: boolean;
  /** What training learns of the quantisers; default: clips. */
  readonly quantizer?: QuantizerName;
  /** Default: with-zero. */
  readonly range?: RangeName;
  /** Operand widths of a layer that has its own; default: those above for all. */
  readonly widthsOf?: (layer: string) => OperandWidths;
  /** A multiplier of the layer's widths. */
  readonly multiplierOf: (layer: string) => Multiplier;
  /** What weights are stored as under a multiplier that is not exact; default: nearest. */
  readonly weightCodes?: WeightCodeChoice;
  /**
   * Layers whose biases are moved by what θ leaves out of their products on average (quant/following-biases.ts);
   * default: none.
   */
  readonly following?: ReadonlySet<string>;
  /** Layers that multiply in float32 all the same; default: none. */
  readonly isFloat?: (layer: string) => boolean;
}

/** Operand widths of a layer. */
export function widthsIn(arithmetic: QuantizedArithmetic, layer: string): OperandWidths {
  return arithmetic.widthsOf?.(layer) ?? arithmetic;
}

/** The structure whose θ a layer's bias follows. */
export function followedStructure({ multiplierOf }: QuantizedArithmetic, layer: string): StructureMultiplier {
  const multiplier = multiplierOf(layer);
  invariant(multiplier.kind === 'structure', `the bias of ${layer} follows a θ that there is not`);
  return multiplier;
}

export type Arithmetic = FloatArithmetic | QuantizedArithmetic;

/**
 * `statistics`: batch norm as in training, quantisers as in evaluation: what the running statistics would have to be.
 */
export type Mode = 'train' | 'evaluate' | 'calibrate' | 'statistics';

/** A network built into a graph, from the inputs to the loss. */
export interface BuiltNetwork<M extends string = string> extends Outcome<M> {
  readonly graph: Graph;
  readonly layers: Layers;
}

/**
 * Builds the network for batches of one size, with the inputs of a feed; without one, those that a split is read into.
 * `options`: of the graph. Where it is for several devices, `batchSize` are the rows of one of them.
 */
export function buildNetwork<M extends string>(
  task: Task<M>,
  arithmetic: Arithmetic,
  mode: Mode,
  batchSize: number,
  feed: Pick<Feed, 'inputs'> = task,
  options: GraphOptions = {},
): BuiltNetwork<M> {
  const graph = new Graph(options);
  return networkOn(graph, feed.inputs(graph, batchSize), task, arithmetic, mode);
}

/** Builds the network on inputs that a graph has already. `batchNorm`: see LayersOptions. */
export function networkOn<M extends string>(
  graph: Graph,
  inputs: Inputs,
  task: Task<M>,
  arithmetic: Arithmetic,
  mode: Mode,
  batchNorm?: BatchNormScope,
): BuiltNetwork<M> {
  const layers = layersOn(graph, arithmetic, mode, batchNorm);
  return { graph, layers, ...task.network(layers, inputs) };
}

/**
 * The layers that a network is built of on a graph. What is measured with the statistics of a batch does not depend on
 * the number of devices: there they are those of the whole.
 */
export function layersOn(
  graph: Graph,
  arithmetic: Arithmetic,
  mode: Mode,
  batchNorm: BatchNormScope = mode === 'statistics' ? 'batch' : 'device',
): Layers {
  // The published calibration runs with batch norm in training mode; its running averages move with it.
  return new Layers(graph, {
    batchNorm,
    training: mode !== 'evaluate',
    random: mode === 'train',
    multiply: multiplication(arithmetic, mode === 'statistics' ? 'evaluate' : mode),
    ...given({ folded: arithmetic.folded, biasOf: biases(arithmetic) }),
  });
}

/** What the layers' products are moved by; undefined where it is their biases alone. */
function biases(arithmetic: Arithmetic): LayersOptions['biasOf'] {
  if (arithmetic.kind === 'float' || !arithmetic.following?.size) return undefined;
  const { following } = arithmetic;
  return (layer, bias) =>
    following.has(layer) ? withConstants(layer, bias, followedStructure(arithmetic, layer)) : bias;
}

/** The layers of a task that multiply, with their MACs per example. */
export function multiplyingLayers(task: Task): readonly MultiplyingLayer[] {
  return buildNetwork(task, { kind: 'float' }, 'evaluate', 1).layers.multiplying;
}

function multiplication(arithmetic: Arithmetic, mode: QuantMode): Multiply {
  if (arithmetic.kind === 'float') {
    const { inputOf = (_, x) => x } = arithmetic;
    return (layer, x, weight) => multiplyFloat(layer, inputOf(layer.name, x), weight);
  }
  const { channelwise, range = 'with-zero', quantizer = 'clips', weightCodes = 'nearest' } = arithmetic;
  const multiplierOf = ({ name }: MultiplyingLayer) => arithmetic.multiplierOf(name);
  const widthsOf = ({ name }: MultiplyingLayer) => widthsIn(arithmetic, name);
  const quantized = multiplyQuantized({ widthsOf, channelwise, quantizer, range, mode, multiplierOf, weightCodes });
  return (layer, x, weight) => (arithmetic.isFloat?.(layer.name) ? multiplyFloat : quantized)(layer, x, weight);
}
