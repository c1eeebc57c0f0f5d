// Gate sizing on a mapped netlist: exchanges cells for others of the same function until the delay target is met with
// little area.
// First the critical path is sped up, the exchange with the most delay gained per area at a time; then every cell is
// made as small as the target allows, in passes until nothing changes.
// Invariant: function and nets stay as they are; the result is never slower than the larger of the target and the
// start; no output is loaded above its cell's maximum that was not before. Greedy, deterministic, not optimal.
// Source: Fishburn and Dunlop, TILOS, ICCAD 1985.

import { truthTable } from './liberty/expression.ts';
import type { Cell } from './liberty/library.ts';
import type { Timing } from './timing.ts';

/** The cells that may stand in for each other: same pins in the same order, same functions; smallest first. */
export class CellVariants {
  readonly #families = new Map<string, Cell[]>();
  readonly #symmetries = new Map<Cell, readonly (readonly [number, number])[]>();

  constructor(cells: Iterable<Cell>) {
    for (const cell of cells) {
      const key = signature(cell);
      const family = this.#families.get(key);
      if (family) family.push(cell);
      else this.#families.set(key, [cell]);
    }
    for (const family of this.#families.values())
      family.sort((a, b) => cost(a) - cost(b) || (a.name < b.name ? -1 : 1));
  }

  /** Pairs of inputs in which all functions of the cell are symmetric. */
  symmetricInputs(cell: Cell): readonly (readonly [number, number])[] {
    const known = this.#symmetries.get(cell);
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
    this.#symmetries.set(cell, pairs);
    return pairs;
  }

  of(cell: Cell): readonly Cell[] {
    return this.#families.get(signature(cell)) ?? [];
  }
}

/** How far the search goes. Results are reproducible for the same parameters. */
export interface SizingParameters {
  /** Rounds of recovering area and speeding up again, at most. */
  readonly rounds: number;
  /** Exchanges that speed up, in one round at most. */
  readonly enlargements: number;
  /** Passes at the end that recover area, at most. */
  readonly passes: number;
  /** How much the lateness of all outputs counts beside the delay of the latest one. */
  readonly latenessShare: number;
  /** µm²; a change that costs less is judged by its gain alone. */
  readonly leastCost: number;
}

export const sizingDefaults: SizingParameters = {
  rounds: 4,
  enlargements: 400,
  passes: 4,
  latenessShare: 0.05,
  leastCost: 0.01,
};

export interface SizingStatistics {
  /** Other cells and exchanges of inputs that were tried. */
  readonly tried: number;
  /** Accepted on the critical path. */
  readonly enlarged: number;
  /** Accepted to save area. */
  readonly reduced: number;
  readonly rounds: number;
  readonly passes: number;
}

/** What an fF of input capacitance counts beside a µm² of area: decides between cells of equal area. */
const CAPACITANCE_COST = 0.002;

/**
 * Sizes the gates of a netlist for a delay target in ps (Infinity: for area alone); the netlist of `timing` is changed.
 */
export function sizeGates(
  timing: Timing,
  variants: CellVariants,
  targetPs: number,
  parameters: Partial<SizingParameters> = {},
): SizingStatistics {
  return new Sizing(timing, variants, targetPs, { ...sizingDefaults, ...parameters }).run();
}

class Sizing {
  readonly #timing: Timing;
  readonly #variants: CellVariants;
  readonly #target: number;
  readonly #parameters: SizingParameters;
  #tried = 0;

  constructor(timing: Timing, variants: CellVariants, target: number, parameters: SizingParameters) {
    this.#timing = timing;
    this.#variants = variants;
    this.#target = target;
    this.#parameters = parameters;
  }

  run(): SizingStatistics {
    const timing = this.#timing;
    let [enlarged, reduced, rounds, passes] = [0, 0, 0, 0];
    while (rounds < this.#parameters.rounds) {
      rounds++;
      reduced += this.#recoverArea(Math.max(this.#target, timing.delay));
      let moves = 0;
      while (timing.delay > this.#target && moves < this.#parameters.enlargements && this.#speedUp()) moves++;
      enlarged += moves;
      if (moves === 0) break;
    }
    while (passes < this.#parameters.passes) {
      passes++;
      const changes = this.#recoverArea(Math.max(this.#target, timing.delay));
      reduced += changes;
      if (changes === 0) break;
    }
    return { tried: this.#tried, enlarged, reduced, rounds, passes };
  }

  /**
   * The best single change on the critical path: another cell, or two symmetric inputs exchanged; false if none helps.
   */
  #speedUp(): boolean {
    const timing = this.#timing;
    const { latenessShare, leastCost } = this.#parameters;
    const { instances } = timing.netlist;
    const before = timing.delay;
    const late = timing.lateness(this.#target);
    const gained = () => {
      const faster = before - timing.delay;
      return faster < -1e-6 ? 0 : faster + latenessShare * (late - timing.lateness(this.#target));
    };
    let best: { apply: () => void; gain: number } | null = null;
    const consider = (cost: number, apply: () => void) => {
      this.#tried++;
      const gain = gained() / Math.max(cost, leastCost);
      if (gain > 1e-4 && (!best || gain > best.gain)) best = { apply, gain };
    };
    for (const index of new Set(timing.criticalInstances())) {
      const { cell } = instances[index]!;
      for (const candidate of this.#variants.of(cell)) {
        if (candidate === cell) continue;
        timing.exchange(index, candidate);
        consider(cost(candidate) - cost(cell), () => timing.exchange(index, candidate));
      }
      timing.exchange(index, cell);
      for (const [a, b] of this.#variants.symmetricInputs(cell)) {
        timing.swapInputs(index, a, b);
        consider(0, () => timing.swapInputs(index, a, b));
        timing.swapInputs(index, a, b);
      }
    }
    (best as { apply: () => void } | null)?.apply();
    return best !== null;
  }

  /**
   * Makes cells smaller as long as the delay stays within the limit, those that save most first; how many it changed.
   */
  #recoverArea(limit: number): number {
    const timing = this.#timing;
    const { instances } = timing.netlist;
    const order = instances
      .map((instance, index) => ({
        index,
        saving: cost(instance.cell) - cost(this.#variants.of(instance.cell)[0] ?? instance.cell),
      }))
      .filter(({ saving }) => saving > 0)
      .sort((a, b) => b.saving - a.saving || a.index - b.index);
    let changes = 0;
    for (const { index } of order) {
      const { cell } = instances[index]!;
      for (const candidate of this.#variants.of(cell)) {
        if (cost(candidate) >= cost(cell)) break;
        this.#tried++;
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
