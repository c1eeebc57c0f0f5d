// The arcs of an output from the timing groups of its pin. A group may hold some of an arc's four tables only (one
// edge, or delays without slews): groups of one related pin are put together.
// Invariant: an arc has all four tables; whether the arcs reach an output from every input it depends on says isTimed.

import { type BooleanExpression, truthTable } from './expression.ts';
import type { OutputPin, TimingArc, Unateness } from './library.ts';
import type { LookupTable } from './table.ts';

export const tableNames = ['cell_rise', 'cell_fall', 'rise_transition', 'fall_transition'] as const;
export type TimingTables = Partial<Record<(typeof tableNames)[number], LookupTable>>;

/** A timing group as it stands, for one related pin. */
export interface TimingGroup {
  readonly relatedPin: string;
  readonly sense: Unateness;
  readonly tables: TimingTables;
}

/**
 * The arcs of an output. A group that stays incomplete takes what it lacks from a complete arc of the same pin, so that
 * its own tables still count; without such an arc it is left out, and the cell is not timed.
 */
export function arcsOf(groups: readonly TimingGroup[]): TimingArc[] {
  const arcs: TimingArc[] = [];
  const open = new Map<string, TimingGroup[]>();
  for (const group of groups) {
    const waiting = open.get(group.relatedPin) ?? [];
    open.set(group.relatedPin, waiting);
    const fits = (other: TimingGroup) => tableNames.every((name) => !(group.tables[name] && other.tables[name]));
    let at = waiting.findIndex((other) => other.sense === group.sense && fits(other));
    if (at < 0) at = waiting.findIndex(fits);
    const merged = at < 0 ? group : together(waiting[at]!, group);
    if (at >= 0) waiting.splice(at, 1);
    const arc = complete(merged);
    if (arc) arcs.push(arc);
    else if (waiting.length < MOST_OPEN) waiting.push(merged);
  }
  for (const waiting of open.values()) {
    for (const group of waiting) {
      const whole = arcs.find(({ relatedPin }) => relatedPin === group.relatedPin);
      const { relatedPin, sense, tables } = group;
      const filled = whole && complete({ relatedPin, sense, tables: { ...tablesOf(whole), ...tables } });
      if (filled) arcs.push(filled);
    }
  }
  return arcs;
}

/** Of a pin; more are no library's, and would only take time. */
const MOST_OPEN = 64;

/** Groups of different senses may be caused by either edge. */
function together(a: TimingGroup, b: TimingGroup): TimingGroup {
  return {
    relatedPin: a.relatedPin,
    sense: a.sense === b.sense ? a.sense : 'none',
    tables: { ...a.tables, ...b.tables },
  };
}

function complete({ relatedPin, sense, tables }: TimingGroup): TimingArc | null {
  const { cell_rise, cell_fall, rise_transition, fall_transition } = tables;
  if (!cell_rise || !cell_fall || !rise_transition || !fall_transition) return null;
  const [delay, transition] = [
    { rise: cell_rise, fall: cell_fall },
    { rise: rise_transition, fall: fall_transition },
  ];
  return { relatedPin, sense, delay, transition };
}

function tablesOf({ delay, transition }: TimingArc): TimingTables {
  return {
    ...{ cell_rise: delay.rise, cell_fall: delay.fall },
    ...{ rise_transition: transition.rise, fall_transition: transition.fall },
  };
}

/**
 * Whether arcs lead to every output from every input that it depends on, on the way through another output of the cell,
 * too.
 */
export function isTimed(inputs: readonly string[], outputs: readonly OutputPin[]): boolean {
  // Outputs stand behind those that they are timed from.
  const reached = new Map<string, ReadonlySet<string>>();
  return outputs.every((output) => {
    const from = new Set<string>();
    for (const { relatedPin } of output.timing) {
      from.add(relatedPin);
      for (const pin of reached.get(relatedPin) ?? []) from.add(pin);
    }
    reached.set(output.name, from);
    return inputs.every((input) => from.has(input) || !dependsOn(output.function, input, inputs));
  });
}

function dependsOn(expression: BooleanExpression, input: string, inputs: readonly string[]): boolean {
  if (!expression.pins.includes(input)) return false;
  const table = truthTable(expression, inputs);
  const k = inputs.indexOf(input);
  for (let p = 0; p < 2 ** inputs.length; p++) {
    if (((table >>> p) & 1) !== ((table >>> (p ^ (1 << k))) & 1)) return true;
  }
  return false;
}
