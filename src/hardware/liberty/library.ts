// A cell library as area, timing and power analysis need it, in one set of units: ps, fF, fJ, nW, V, µm². Combinational
// cells only; cells with storage, three-state outputs, no function or something that is not understood are listed by
// name and otherwise left out.
// Invariant: functions are of input pins; `when` and arcs may name outputs of the cell too.

import type { BooleanExpression } from './expression.ts';
import type { LookupTable } from './table.ts';

export type Edge = 'rise' | 'fall';
export type Unateness = 'positive' | 'negative' | 'none';

export interface TimingArc {
  /** An input of the cell, or an output that stands before this one. */
  readonly relatedPin: string;
  readonly sense: Unateness;
  /** ps over (input slew ps, load fF), by the edge of the output. */
  readonly delay: Readonly<Record<Edge, LookupTable>>;
  readonly transition: Readonly<Record<Edge, LookupTable>>;
}

/**
 * Energy inside the cell per transition, fJ over (input slew ps, load fF), by the edge of the pin that carries the arc.
 */
export interface PowerArc {
  /** null: on an input pin, for transitions of that pin by itself. */
  readonly relatedPin: string | null;
  readonly when: BooleanExpression | null;
  /** The supply pin that the energy is attributed to; energies of different rails add up. */
  readonly rail: string;
  readonly energy: Readonly<Record<Edge, LookupTable | null>>;
}

export interface InputPin {
  readonly name: string;
  /** fF */
  readonly capacitance: number;
  readonly power: readonly PowerArc[];
}

export interface OutputPin {
  readonly name: string;
  readonly function: BooleanExpression;
  /** fF; Infinity where the library gives none. */
  readonly maxCapacitance: number;
  readonly timing: readonly TimingArc[];
  readonly power: readonly PowerArc[];
}

export interface LeakageState {
  readonly when: BooleanExpression;
  readonly nW: number;
}

export interface Cell {
  readonly name: string;
  /** µm² */
  readonly area: number;
  /** The library asks tools not to use it. */
  readonly dontUse: boolean;
  /**
   * Delay and slew tables lead to every output from all inputs that it depends on, for both edges: a path through it
   * has a delay.
   */
  readonly timed: boolean;
  readonly inputs: readonly InputPin[];
  readonly outputs: readonly OutputPin[];
  /** nW in the states that `leakage` does not name. */
  readonly defaultLeakage: number;
  readonly leakage: readonly LeakageState[];
}

export interface Library {
  readonly name: string;
  /** Supply voltage, V; null where the library gives none: then power is not known. */
  readonly voltage: number | null;
  readonly cells: ReadonlyMap<string, Cell>;
  /** Cells that were left out: storage, three-state, without a function, or not understood. */
  readonly skipped: readonly string[];
  /** What was left out and why, for the user: one sentence each. */
  readonly notes: readonly string[];
}

/** Whether the names of a cell and of its pins can stand in any text without quoting. */
export function hasPlainNames(cell: Cell): boolean {
  const names = [cell.name, ...cell.inputs.map((pin) => pin.name), ...cell.outputs.map((pin) => pin.name)];
  return names.every((name) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name));
}
