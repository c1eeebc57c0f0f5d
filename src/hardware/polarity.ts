// Which full adders of a circuit take complements. Sum and carry of three complements are the complements of sum and
// carry, so that an adder may stand for itself or, with all inverters the other way round, for its dual. Where a
// library's adder gives complements (ASAP7's does), a tree of them needs an inverter at every output; with every second
// one dual the inverters meet and cancel, and partial products come from NAND gates.
// Found by local search: the phases with the fewest inverters, those of gates left to the logic optimiser.
// Invariant: only adders of three bits are told, and whatever is told, the circuit computes the same.

import type { LibraryAdder } from './adders.ts';

/** A net bit: a number, or a constant as text. */
type Bit = number | string;

interface JsonCell {
  readonly type: string;
  readonly connections: Readonly<Record<string, readonly Bit[]>>;
}

interface JsonModule {
  readonly ports: Readonly<Record<string, { readonly direction: string; readonly bits: readonly Bit[] }>>;
  readonly cells: Readonly<Record<string, JsonCell>>;
}

/** An inverter where the phases of two adders are equal (`alike`) or differ; `to` −1: a phase that is fixed at 0. */
interface Edge {
  readonly from: number;
  readonly to: number;
  readonly alike: boolean;
}

/** Adders (`$fa` of Yosys: A, B, C → sum Y, carry X) of a module as Yosys writes it in JSON, by their names. */
export function dualAdders(json: string, { sum, carry }: LibraryAdder): string[] {
  const { modules } = JSON.parse(json) as { modules: Record<string, JsonModule> };
  const module = Object.values(modules)[0]!;
  const adders = Object.entries(module.cells).filter(
    ([, { type, connections }]) => type === '$fa' && typeof connections.C?.[0] === 'number',
  );
  const edges = edgesOf(module, adders, { Y: sum.inverted, X: carry.inverted });
  return phasesOf(adders.length, edges).flatMap((dual, n) => (dual ? [adders[n]![0]] : []));
}

function edgesOf(
  module: JsonModule,
  adders: readonly (readonly [string, JsonCell])[],
  inverted: Readonly<Record<'X' | 'Y', boolean>>,
): Edge[] {
  const drivers = new Map<Bit, { readonly adder: number; readonly inverted: boolean } | 'and' | 'input'>();
  for (const { direction, bits } of Object.values(module.ports))
    if (direction === 'input') for (const bit of bits) drivers.set(bit, 'input');
  for (const { type, connections } of Object.values(module.cells))
    if (type === '$_AND_') drivers.set(connections.Y![0]!, 'and');
  adders.forEach(([, { connections }], adder) => {
    for (const pin of ['X', 'Y'] as const)
      for (const bit of connections[pin] ?? []) drivers.set(bit, { adder, inverted: inverted[pin] });
  });
  const edges: Edge[] = [];
  adders.forEach(([, { connections }], to) => {
    for (const bit of ['A', 'B', 'C'].flatMap((pin) => connections[pin]![0]!)) {
      const driver = drivers.get(bit);
      // A dual adder takes complements: of an AND gate for less, of an input for an inverter.
      if (driver === 'and') edges.push({ from: to, to: -1, alike: true });
      else if (driver === 'input') edges.push({ from: to, to: -1, alike: false });
      else if (driver) edges.push({ from: driver.adder, to, alike: driver.inverted });
    }
  });
  for (const { direction, bits } of Object.values(module.ports)) {
    if (direction !== 'output') continue;
    for (const bit of bits) {
      const driver = drivers.get(bit);
      if (typeof driver === 'object') edges.push({ from: driver.adder, to: -1, alike: driver.inverted });
    }
  }
  return edges;
}

/** One phase after another at its best, in the order of the adders; then whatever one change or two saves. */
function phasesOf(count: number, edges: readonly Edge[]): boolean[] {
  const own: Edge[][] = Array.from({ length: count }, () => []);
  for (const edge of edges) {
    own[edge.from]!.push(edge);
    if (edge.to >= 0 && edge.to !== edge.from) own[edge.to]!.push(edge);
  }
  const dual = new Array<boolean>(count).fill(false);
  const phase = (adder: number) => adder >= 0 && dual[adder]!;
  const costs = ({ from, to, alike }: Edge) => (phase(from) === phase(to)) === alike;
  /** Inverters that are saved by other phases of these adders. */
  const saved = (adders: readonly number[]): number => {
    const touched = [...new Set(adders.flatMap((adder) => own[adder]!))];
    const before = touched.filter(costs).length;
    for (const adder of adders) dual[adder] = !dual[adder];
    const after = touched.filter(costs).length;
    if (after >= before) for (const adder of adders) dual[adder] = !dual[adder];
    return Math.max(0, before - after);
  };
  const pairs = edges.filter(({ from, to }) => to >= 0 && to !== from);
  for (;;) {
    let gain = 0;
    for (let adder = 0; adder < count; adder++) gain += saved([adder]);
    if (gain === 0) for (const { from, to } of pairs) gain += saved([from, to]);
    if (gain === 0) return dual;
  }
}
