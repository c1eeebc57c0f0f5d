// A trained network at rest, as everything that leaves the program is made of it: the graph of its evaluation for one
// image, the values of its variables, and what each layer multiplies with.
// Invariant: the graph is the one that a run evaluates, node for node; nothing is left to be learnt in it.

import type { Graph, Value } from '../engine/graph/graph.ts';
import type { ProductTable } from '../multiplier/table.ts';
import type { Network } from '../netlist/network.ts';
import type { MultiplyingLayer } from '../nn/layers.ts';
import type { HostTensor } from '../tensor/tensor.ts';

/** A multiplier of a network: its function and its gates. */
export interface FrozenMultiplier {
  /** Unique, and an identifier of Verilog and C. */
  readonly name: string;
  readonly table: ProductTable;
  readonly exact: boolean;
  /** The gates; absent where a table was given without any. */
  readonly netlist?: Network;
}

/** A layer that multiplies; in the order in which the graph has them. */
export interface FrozenLayer extends MultiplyingLayer {
  /** Absent where the layer multiplies in float32. */
  readonly operands?: {
    readonly weightBits: number;
    readonly activationBits: number;
    /** Number of its multiplier. */
    readonly multiplier: number;
    /** Whether the weights' zero product is the multiplier's own: the pattern of that weight; else absent. */
    readonly ownZero?: number;
  };
}

export interface FrozenNetwork {
  /** The model's name. */
  readonly model: string;
  /** What of the run it is: quantized, mapped, recovered. */
  readonly stage: string;
  readonly classes: number;
  /** Evaluation of one image: `image` u8 [1, H, W, C] to `logits` [1, classes]. */
  readonly graph: Graph;
  readonly image: Value;
  readonly logits: Value;
  /** Pixels become (raw / scale − mean[c]) / deviation[c]. */
  readonly normalisation: {
    readonly scale: number;
    readonly mean: readonly number[];
    readonly deviation: readonly number[];
  };
  /** By the names that the graph has, in the engine's layouts. */
  readonly variables: ReadonlyMap<string, HostTensor>;
  readonly layers: readonly FrozenLayer[];
  readonly multipliers: readonly FrozenMultiplier[];
}
