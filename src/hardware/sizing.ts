// Gate sizing on a mapped netlist: exchanges cells for others of the same function until the delay target is met with little area.
// First the critical path is sped up, the exchange with the most delay gained per area at a time; then every cell is made as
// small as the target allows, in passes until nothing changes.
// Invariant: function and nets stay as they are; the result is never slower than the larger of the target and the start; no output is
// loaded above its cell's maximum that was not before. Greedy, deterministic, not optimal.
// Source: Fishburn and Dunlop, TILOS, ICCAD 1985.

import { truthTable } from './liberty/expression.ts';
import type { Cell } from './liberty/library.ts';
import type { Timing } from './timing.ts';

/** The cells that may stand in for each other: same pins in the same order, same functions; smallest first. */
export class CellVariants {
  private readonly families = new Map<string, Cell[]>();
  private readonly symmetries = new Map<Cell, readonly (readonly [number, number])[]>();

  constructor(cells: Iterable<Cell>) {
    for (const cell of cells) {
      const key = signature(cell);
      const family = this.families.get(key);
      if (family) family.push(cell);
      else this.families.set(key, [cell]);
    }
    for (const family of this.families.values()) family.sort((a, b) => cost(a) - cost(b) || (a.name < b.name ? -1 : 1));
  }

  /** Pairs of inputs in which all functions of the cell are symmetric. */
  symmetricInputs(cell: Cell): readonly (readonly [number, number])[] {
    const known = this.symmetries.get(cell);
    if (known) return known;
    const pins = cell.inputs.map((pin) => pin.name);
    const pairs: [number, number][] = [];
    for (let a = 0; a < pins.length; a++) {
      for (let b = a + 1; b < pins.length; b++) {
        const swapped = pins.with(a, pins[b]!).with(b, pins[a]!);
        if (cell.outputs.every((pin) => truthTable(pin.function, pins) === truthTable(pin.function, swapped)))
          pairs.push([a, b]);
      }
    }
    this.symmetries.set(cell, pairs);
    return pairs;
  }

  of(cell: Cell): readonly Cell[] {
    return this.families.get(signature(cell)) ?? [];
  }
}

export interface SizingStatistics {
  readonly enlarged: number;
  readonly reduced: number;
}

const MAX_ROUNDS = 4;
const MAX_ENLARGEMENTS = 400;
const MAX_PASSES = 4;
/** How much the lateness of all outputs counts beside the delay of the latest one. */
const LATENESS_SHARE = 0.05;
/** µm²; a change that costs less is judged by its gain alone. */
const MIN_COST = 0.01;
/** What an fF of input capacitance counts beside a µm² of area: decides between cells of equal area. */
const CAPACITANCE_COST = 0.002;

export function sizeGates(timing: Timing, variants: CellVariants, targetPs: number): SizingStatistics {
  let enlarged = 0;
  let reduced = 0;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const before = timing.delay;
    reduced += recoverArea(timing, variants, Math.max(targetPs, before));
    let moves = 0;
    while (timing.delay > targetPs && moves < MAX_ENLARGEMENTS && speedUp(timing, variants, targetPs)) moves++;
    enlarged += moves;
    if (moves === 0) break;
  }
  for (let pass = 0; pass < MAX_PASSES; pass++) {
    const changes = recoverArea(timing, variants, Math.max(targetPs, timing.delay));
    reduced += changes;
    if (changes === 0) break;
  }
  return { enlarged, reduced };
}

/** The best single change on the critical path: another cell, or two symmetric inputs exchanged; false if none helps. */
function speedUp(timing: Timing, variants: CellVariants, targetPs: number): boolean {
  const { instances } = timing.netlist;
  const before = timing.delay;
  const late = timing.lateness(targetPs);
  const gained = () => {
    const faster = before - timing.delay;
    return faster < -1e-6 ? 0 : faster + LATENESS_SHARE * (late - timing.lateness(targetPs));
  };
  let best: { apply: () => void; gain: number } | null = null;
  const consider = (cost: number, apply: () => void) => {
    const gain = gained() / Math.max(cost, MIN_COST);
    if (gain > 1e-4 && (!best || gain > best.gain)) best = { apply, gain };
  };
  for (const index of new Set(timing.criticalInstances())) {
    const { cell } = instances[index]!;
    for (const candidate of variants.of(cell)) {
      if (candidate === cell) continue;
      timing.exchange(index, candidate);
      consider(cost(candidate) - cost(cell), () => timing.exchange(index, candidate));
    }
    timing.exchange(index, cell);
    for (const [a, b] of variants.symmetricInputs(cell)) {
      timing.swapInputs(index, a, b);
      consider(0, () => timing.swapInputs(index, a, b));
      timing.swapInputs(index, a, b);
    }
  }
  (best as { apply: () => void } | null)?.apply();
  return best !== null;
}

function recoverArea(timing: Timing, variants: CellVariants, limit: number): number {
  const { instances } = timing.netlist;
  const order = instances
    .map((instance, index) => ({
      index,
      saving: cost(instance.cell) - cost(variants.of(instance.cell)[0] ?? instance.cell),
    }))
    .filter(({ saving }) => saving > 0)
    .sort((a, b) => b.saving - a.saving || a.index - b.index);
  let changes = 0;
  for (const { index } of order) {
    const { cell } = instances[index]!;
    for (const candidate of variants.of(cell)) {
      if (cost(candidate) >= cost(cell)) break;
      timing.exchange(index, candidate);
      if (timing.delay <= limit && !overloaded(timing, index)) {
        changes++;
        break;
      }
      timing.exchange(index, cell);
    }
  }
  return changes;
}

function overloaded(timing: Timing, index: number): boolean {
  const { cell, outputs } = timing.netlist.instances[index]!;
  return outputs.some((net, n) => timing.load[net]! > cell.outputs[n]!.maxCapacitance);
}

function cost(cell: Cell): number {
  return cell.area + CAPACITANCE_COST * cell.inputs.reduce((sum, pin) => sum + pin.capacitance, 0);
}

function signature(cell: Cell): string {
  const pins = cell.inputs.map((pin) => pin.name);
  return [...pins, ...cell.outputs.map((pin) => `${pin.name}:${truthTable(pin.function, pins)}`)].join(' ');
}
