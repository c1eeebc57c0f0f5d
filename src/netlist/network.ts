// A combinational gate network: nodes in topological order (every fanin has a smaller index than its gate), named
// inputs and outputs.
// Half adders, full adders and partial products are ordinary gates that carry an annotation, so that reports, diagrams
// and mapping moves can speak of "the full adder of stage 2 in column 5" while simulation, clean-up and the writers see
// gates only.
// Invariant: signals 0 and 1 are the constants 0 and 1; nodes are only ever appended; an annotation names existing
// signals.
// Not here: the meaning of the ports (ports.ts), clean-up (cleanup.ts), function (simulate.ts).

import { invariant } from '../tensor/errors.ts';

/** The index of a node; a node drives exactly one net. */
export type Signal = number;

export const ZERO: Signal = 0;
export const ONE: Signal = 1;

/** `xor3` is the sum and `maj` the carry of a full adder. */
export type GateKind = 'not' | 'and' | 'or' | 'xor' | 'xor3' | 'maj';
export type NodeKind = 'constant' | 'input' | GateKind;

export const gateArity: Readonly<Record<GateKind, number>> = { not: 1, and: 2, or: 2, xor: 2, xor3: 3, maj: 3 };

export interface Node {
  readonly kind: NodeKind;
  readonly fanins: readonly Signal[];
}

export interface Port {
  readonly name: string;
  readonly signal: Signal;
}

/** Where an adder stands: reduction stage (from 1) and column (the power of two of its inputs and its sum). */
export interface CellPlace {
  readonly stage: number;
  readonly column: number;
}

/**
 * A half adder (2 inputs) or full adder (3). An output is null once clean-up has found it unused or turned it into
 * another signal.
 */
export interface AdderCell extends CellPlace {
  readonly kind: 'half' | 'full';
  /** Order of creation; kept by clean-up, so that a cell can be followed from the generator to the result. */
  readonly id: number;
  readonly inputs: readonly Signal[];
  readonly sum: Signal | null;
  readonly carry: Signal | null;
  /** A half adder whose third input became the constant 1: it computes a + b + 1, sum ¬(a ⊕ b) and carry a ∨ b. */
  readonly plusOne?: true;
}

/** w[i] & x[j], of weight 2^(i+j). */
export interface PartialProduct {
  readonly i: number;
  readonly j: number;
  readonly signal: Signal;
}

/** A combinational netlist: gates in topological order, named one-bit inputs and outputs. */
export class Network {
  readonly name: string;
  readonly nodes: Node[] = [
    { kind: 'constant', fanins: [] },
    { kind: 'constant', fanins: [] },
  ];
  readonly inputs: Port[] = [];
  readonly outputs: Port[] = [];
  readonly adders: AdderCell[] = [];
  readonly partialProducts: PartialProduct[] = [];

  constructor(name: string) {
    this.name = name;
  }

  addInput(name: string): Signal {
    this.nodes.push({ kind: 'input', fanins: [] });
    const signal = this.nodes.length - 1;
    this.inputs.push({ name, signal });
    return signal;
  }

  addOutput(name: string, signal: Signal): void {
    this.#checkSignal(signal);
    this.outputs.push({ name, signal });
  }

  /** Appends a gate as it is: no simplification, no sharing (that is clean-up's work). */
  addGate(kind: GateKind, ...fanins: Signal[]): Signal {
    invariant(fanins.length === gateArity[kind], `${kind} gate with ${fanins.length} fanins`);
    for (const fanin of fanins) this.#checkSignal(fanin);
    this.nodes.push({ kind, fanins });
    return this.nodes.length - 1;
  }

  addPartialProduct(i: number, j: number, w: Signal, x: Signal): Signal {
    const signal = this.addGate('and', w, x);
    this.partialProducts.push({ i, j, signal });
    return signal;
  }

  /** Adds the gates of a half adder (two inputs) or a full adder (three) and annotates them as one cell. */
  addAdder(place: CellPlace, inputs: readonly [Signal, Signal] | readonly [Signal, Signal, Signal]): SumAndCarry {
    const full = inputs.length === 3;
    const sum = this.addGate(full ? 'xor3' : 'xor', ...inputs);
    const carry = this.addGate(full ? 'maj' : 'and', ...inputs);
    const { stage, column } = place;
    this.adders.push({ kind: full ? 'full' : 'half', id: this.adders.length, stage, column, inputs, sum, carry });
    return { sum, carry };
  }

  /** Gates only: without constants and inputs. */
  get gateCount(): number {
    return this.nodes.length - 2 - this.inputs.length;
  }

  #checkSignal(signal: Signal): void {
    invariant(signal >= 0 && signal < this.nodes.length, `signal ${signal} of a network of ${this.nodes.length} nodes`);
  }
}

/** The same gates under another name; with `inputs`, the same input signals in another order or under other names. */
export function relabelled(network: Network, name: string, inputs: readonly Port[] = network.inputs): Network {
  const copy = new Network(name);
  for (const node of network.nodes.slice(copy.nodes.length)) copy.nodes.push(node);
  copy.inputs.push(...inputs);
  copy.outputs.push(...network.outputs);
  copy.adders.push(...network.adders);
  copy.partialProducts.push(...network.partialProducts);
  return copy;
}

export interface SumAndCarry {
  readonly sum: Signal;
  readonly carry: Signal;
}

export function isGate(kind: NodeKind): kind is GateKind {
  return kind !== 'constant' && kind !== 'input';
}
