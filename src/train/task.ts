// A task is what a network learns from examples: inputs that it declares, a network from them to a loss, and metrics beside the loss. Images
// with cross-entropy and accuracy are one (./images.ts). One definition gives the training step, the evaluation and the calibration pass: they
// differ in how the layers multiply (`Arithmetic`) and in the mode of batch norm and quantisers. Loop, step and evaluation know no more of it.

import type { Split } from '../data/split.ts';
import type { Session } from '../engine/backend.ts';
import { Graph, type Value } from '../engine/graph/graph.ts';
import type { TableEmulation } from '../multiplier/error.ts';
import { Layers, type Multiply, type MultiplyingLayer, multiplyFloat } from '../nn/layers.ts';
import {
  type ErrorSlopes,
  type LayerError,
  multiplyQuantized,
  type QuantMode,
  type RangeName,
} from '../quant/quantized.ts';
import { tensor } from '../tensor/tensor.ts';

/** A figure of merit beside the loss. */
export interface Metric {
  /** Which way is up: a lower error, a higher accuracy. */
  readonly better: 'higher' | 'lower';
  /** What the network gives over a batch: the mean over its targets, or the sum. What is told is the mean over all targets. */
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
}

/** What a network comes to on a batch, scalars. */
export interface Outcome<M extends string> {
  /** Mean over the targets of the batch. */
  readonly loss: Value;
  readonly metrics: Readonly<Record<M, Value>>;
}

/** `M`: the names of its metrics. */
export interface Task<M extends string = string> {
  readonly metrics: Readonly<Record<M, Metric>>;
  /** Declares the inputs of a batch as a split reads them (`Split.read` gives values of the same names). */
  readonly inputs: (graph: Graph, batchSize: number) => Inputs;
  /** Builds the network, from the inputs to its loss and metrics. */
  readonly network: (layers: Layers, inputs: Inputs) => Outcome<M>;
  /** How the examples of a split reach a device where that is not by reading each batch and writing it. */
  readonly feed?: (session: Session, split: Split) => Feed | undefined;
}

/** What one layer multiplies with, free of any graph. */
export type LayerMultiplier =
  | { readonly kind: 'exact' }
  /** A trained structure: the variable that holds θ, and which θ each partial product (i, j) reads (row-major, −1: none). */
  | { readonly kind: 'structure'; readonly theta: string; readonly columns: number; readonly index: readonly number[] }
  /** Partial products removed for good: 0 or 1 for each (i, j). */
  | { readonly kind: 'removal'; readonly removed: Float32Array; readonly slopes?: Slopes }
  /** Any multiplier: error of each pair of codes, index w·2^activationBits + x. */
  | {
      readonly kind: 'table';
      readonly error: Int32Array;
      readonly emulation?: TableEmulation;
      readonly slopes?: Slopes;
    };

/** Slopes of the error at each pair of codes, along either operand: training then differentiates the error too (see multiplier/slopes.ts). */
export interface Slopes {
  readonly weight: Float32Array;
  readonly activation: Float32Array;
}

/** Both operands of every multiplying layer are codes; each layer has its multiplier. */
export interface QuantizedArithmetic {
  readonly kind: 'quantized';
  readonly weightBits: number;
  readonly activationBits: number;
  readonly channelwise: boolean;
  /** Default: with-zero. */
  readonly range?: RangeName;
  readonly multiplierOf: (layer: string) => LayerMultiplier;
}

export type Arithmetic = { readonly kind: 'float' } | QuantizedArithmetic;

/** `statistics`: batch norm as in training, quantisers as in evaluation: what the running statistics would have to be. */
export type Mode = 'train' | 'evaluate' | 'calibrate' | 'statistics';

/** A network built into a graph, from the inputs to the loss. */
export interface BuiltNetwork<M extends string = string> extends Outcome<M> {
  readonly graph: Graph;
  readonly layers: Layers;
}

/** Builds the network for batches of one size, with the inputs of a feed; without one, those that a split is read into. */
export function buildNetwork<M extends string>(
  task: Task<M>,
  arithmetic: Arithmetic,
  mode: Mode,
  batchSize: number,
  feed: Pick<Feed, 'inputs'> = task,
): BuiltNetwork<M> {
  const graph = new Graph();
  const inputs = feed.inputs(graph, batchSize);
  // The published calibration runs with batch norm in training mode; its running averages move with it.
  const layers = new Layers(graph, {
    training: mode !== 'evaluate',
    multiply: multiplication(graph, arithmetic, mode === 'statistics' ? 'evaluate' : mode),
  });
  return { graph, layers, ...task.network(layers, inputs) };
}

/** The layers of a task that multiply, with their MACs per example. */
export function multiplyingLayers(task: Task): readonly MultiplyingLayer[] {
  return buildNetwork(task, { kind: 'float' }, 'evaluate', 1).layers.multiplying;
}

function multiplication(graph: Graph, arithmetic: Arithmetic, mode: QuantMode): Multiply {
  if (arithmetic.kind === 'float') return multiplyFloat;
  const { weightBits, activationBits, channelwise, range = 'with-zero', multiplierOf } = arithmetic;
  const pairs = [2 ** weightBits, 2 ** activationBits];
  // Only a backward pass reads slopes.
  const slopesOf = ({ slopes }: { readonly slopes?: Slopes }): { slopes?: ErrorSlopes } => {
    if (!slopes || mode !== 'train') return {};
    const [weight, activation] = [slopes.weight, slopes.activation].map((data) =>
      graph.constant(tensor('f32', pairs, data)),
    );
    return { slopes: [weight!, activation!] };
  };
  const errorOf = ({ name }: MultiplyingLayer): LayerError => {
    const multiplier = multiplierOf(name);
    switch (multiplier.kind) {
      case 'exact':
        return { kind: 'exact' };
      case 'structure': {
        const theta = clampedTheta(graph, multiplier.theta, multiplier.columns);
        const m = graph.apply1('structureMatrix', [theta], { weightBits, activationBits, index: multiplier.index });
        return { kind: 'planes', m, integer: false };
      }
      case 'removal': {
        const m = graph.constant(tensor('f32', [weightBits, activationBits], multiplier.removed));
        return { kind: 'planes', m, integer: true, ...slopesOf(multiplier) };
      }
      case 'table': {
        const { error, emulation } = multiplier;
        const table = graph.constant(tensor('i32', pairs, error));
        return { kind: 'table', table, ...(emulation ? { emulation } : {}), ...slopesOf(multiplier) };
      }
    }
  };
  return multiplyQuantized({ weightBits, activationBits, channelwise, range, mode, errorOf });
}

/** θ limited to [0, 1], straight-through: its gradient does not vanish at the ends. */
export function clampedTheta(graph: Graph, name: string, columns: number): Value {
  return graph.apply1('clampStraightThrough', [graph.variable(name, [columns])], { low: 0, high: 1 });
}
