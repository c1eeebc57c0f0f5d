// The second half of the descent: moves anywhere in a compressor tree (positions.ts), from the result of the first half
// (leaves.ts) or of the published search. A move replaces a partial product, a sum, a carry or a free constant input by
// 0, 1, an input of the adder or the OR of them, both outputs of an adder at once, or takes a replacement back; pairs
// of moves are tried where no single one helps.
//   reduce    while the cost is over the budget: the move with the least added error per gate saved
//   improve   within the budget: the move with the largest fall of the error, then pairs
//   save      with a bound on the error instead: the move with the least added error per gate saved, then pairs
// Invariant: the result is never worse than the start where that keeps the budget. Deterministic.

import { ONE, type Signal } from '../network.ts';
import { CostModel, OWN } from './cost.ts';
import { type Change, ErrorModel } from './errors.ts';
import type { Position, ReplaceableNetwork } from './positions.ts';
import type { Move } from './state.ts';
import type { SearchCount } from './statistics.ts';

export interface DescentOptions {
  readonly costBudget: number;
  /** Error (mean square) that one unit gate is worth; the objective is error + costWeight · cost. */
  readonly costWeight: number;
  /** Places of columns up to this one may be replaced. */
  readonly highestColumn: number;
  /**
   * Largest error (mean square) of the result. Where it is given gates are saved and the error is free below it; by
   * default the error is what falls.
   */
  readonly errorBound?: number;
}

/** One accepted move of the search (one to four places at once), and where it led. */
export interface SearchStep {
  readonly moves: readonly Move[];
  readonly mseToTarget: number;
  readonly cost: number;
}

export interface DescentResult {
  readonly replacements: ReadonlyMap<Signal, Signal>;
  readonly mseToTarget: number;
  readonly cost: number;
  /** The way to the result; the first step makes all replacements of the start at once. */
  readonly steps: readonly SearchStep[];
  /** Changes whose error was computed. */
  readonly evaluations: number;
}

interface Candidate {
  readonly changes: readonly Change[];
  readonly error: number;
  readonly cost: number;
}

/** How far the search in the tree goes. Results are reproducible for the same parameters. */
export interface DescentParameters {
  /** Changes evaluated, after which the search ends: bounds the time. */
  readonly tried: number;
  /** On the way down to the budget more, for without it there is no result. */
  readonly triedToReduce: number;
  /** Accepted moves, at most. */
  readonly steps: number;
  /**
   * Moves of the least error, and as many of the cheapest savings, among which pairs are formed where no single one
   * helps.
   */
  readonly paired: number;
  /** Pairs that are evaluated, those of the best estimate. */
  readonly pairsTried: number;
}

export const descentDefaults: DescentParameters = {
  tried: 5000,
  triedToReduce: 10_000,
  steps: 400,
  paired: 40,
  pairsTried: 30,
};

export class Descent {
  readonly #tree: ReplaceableNetwork;
  readonly #options: DescentOptions;
  readonly #parameters: DescentParameters;
  readonly #model: ErrorModel;
  readonly #costs: CostModel;
  readonly #bySignal: ReadonlyMap<Signal, Position>;
  readonly #places: readonly Position[];
  #cost: number;
  #evaluations = 0;
  #accepted = 0;
  #steps: SearchStep[] = [];
  #best: DescentResult | null = null;
  /** The least cost of all states so far, in unit gates. */
  leastCost = Number.POSITIVE_INFINITY;

  constructor(
    tree: ReplaceableNetwork,
    target: Float32Array,
    shares: Float64Array | null,
    signed: boolean,
    options: DescentOptions,
    parameters: Partial<DescentParameters> = {},
  ) {
    this.#parameters = { ...descentDefaults, ...parameters };
    this.#tree = tree;
    this.#options = options;
    this.#model = new ErrorModel(tree, target, shares, signed);
    this.#costs = new CostModel(tree.network, true);
    this.#bySignal = new Map(tree.positions.map((position) => [position.signal, position]));
    this.#places = tree.positions.filter(({ column }) => column <= options.highestColumn);
    this.#cost = this.#costs.cost(this.#model.replacements);
  }

  /** The best from `start` on; null when the budget was out of reach or a product of the start overflows. */
  run(start: ReadonlyMap<Signal, Signal>): DescentResult | null {
    this.#best = null;
    this.#steps = [];
    this.#evaluations = 0;
    this.#accepted = 0;
    const changes = [...start].map(([signal, replacement]) => ({ signal, replacement }));
    if (!this.#restore(start)) return null;
    this.#steps.push({
      moves: changes.map((one) => moveOf(this.#tree, one)),
      mseToTarget: this.#model.meanSquare,
      cost: this.#cost,
    });
    this.#note();
    if (this.#options.errorBound !== undefined) {
      this.#save();
      return this.#best;
    }
    this.#reduce(this.#options.costBudget);
    this.#improve();
    return this.#best;
  }

  /** What the last run did. */
  get statistics(): SearchCount {
    return { rounds: 1, tried: this.#evaluations, accepted: this.#accepted };
  }

  /** Moves down in cost; the cheapest error per saved gate first. */
  #reduce(budget: number): void {
    while (this.#cost > budget && this.#evaluations < this.#parameters.triedToReduce) {
      const candidates = this.#candidates().filter((one) => one.cost < 0 || (one.cost === 0 && one.error < 0));
      const ratio = ({ error, cost }: Candidate) => (error < 0 ? error * 1e6 : error / -cost);
      candidates.sort((a, b) => ratio(a) - ratio(b));
      if (!candidates.some((candidate) => this.#take(candidate))) return;
    }
  }

  /** Moves down in the objective within the budget; single moves first, pairs when there is none. */
  #improve(): void {
    const { tried, steps } = this.#parameters;
    while (this.#evaluations < tried && this.#steps.length < steps) {
      const all = this.#candidates();
      const good = all.filter((one) => this.#isBetter(one)).sort((a, b) => this.#gain(a) - this.#gain(b));
      if (good.some((candidate) => this.#take(candidate))) continue;
      if (!this.#takePair(all)) return;
    }
  }

  /** Moves down in cost within the bound of the error; single moves first, pairs when there is none. */
  #save(): void {
    const { tried, steps } = this.#parameters;
    while (this.#evaluations < tried && this.#steps.length < steps) {
      const all = this.#candidates();
      const good = all.filter((one) => this.#isBetter(one));
      good.sort((a, b) => a.error / Math.max(1, -a.cost) - b.error / Math.max(1, -b.cost));
      if (good.some((candidate) => this.#take(candidate))) continue;
      if (!this.#takePair(all)) return;
    }
  }

  #gain({ error, cost }: { error: number; cost: number }): number {
    return error + this.#options.costWeight * cost;
  }

  #isBetter(one: { error: number; cost: number }): boolean {
    if (this.#cost + one.cost > this.#options.costBudget && one.cost > 0) return false;
    const tolerance = 1e-9 * (1 + this.#model.meanSquare);
    const { errorBound } = this.#options;
    if (errorBound !== undefined) {
      if (this.#model.meanSquare + one.error > errorBound + tolerance) return false;
      return one.cost < 0 || (one.cost === 0 && one.error < -tolerance);
    }
    const gain = this.#gain(one);
    return gain < -tolerance || (gain <= tolerance && one.cost < 0);
  }

  /** The best pair of a move that lowers the error and one that pays for it or mends it. */
  #takePair(all: readonly Candidate[]): boolean {
    const { paired, pairsTried } = this.#parameters;
    const gainers = [...all].sort((a, b) => this.#gain(a) - this.#gain(b)).slice(0, paired);
    const ratio = ({ error, cost }: Candidate) => Math.max(0, error) / -cost;
    const savers = all
      .filter((one) => one.cost < 0)
      .sort((a, b) => ratio(a) - ratio(b))
      .slice(0, paired);
    const pairs: { changes: Change[]; estimate: number }[] = [];
    for (const [n, one] of gainers.entries()) {
      for (const other of [...savers, ...gainers.slice(n + 1)]) {
        if (one.changes.some((change) => other.changes.some(({ signal }) => signal === change.signal))) continue;
        if (this.#cost + one.cost + other.cost > this.#options.costBudget + 2) continue;
        pairs.push({ changes: [...one.changes, ...other.changes], estimate: this.#gain(one) + this.#gain(other) });
      }
    }
    pairs.sort((a, b) => a.estimate - b.estimate);
    let best: Candidate | null = null;
    for (const { changes } of pairs.slice(0, pairsTried)) {
      const candidate = this.#evaluate(changes);
      if (this.#isBetter(candidate) && (!best || this.#gain(candidate) < this.#gain(best))) best = candidate;
    }
    return best !== null && this.#take(best);
  }

  /** All single moves: every replacement of every place, and both outputs of an adder at once. */
  #candidates(): Candidate[] {
    const { replacements } = this.#model;
    const result: Candidate[] = [];
    const consider = (...wanted: Change[]) => {
      const changes = wanted.filter(({ signal, replacement }) => replacements[signal] !== replacement);
      if (changes.length === wanted.length) result.push(this.#evaluate(changes));
    };
    const live = this.#live();
    for (const { signal, replacements: alternatives } of this.#places) {
      if (!live[signal]) continue;
      if (replacements[signal] !== OWN) consider({ signal, replacement: OWN });
      for (const alternative of alternatives) consider({ signal, replacement: alternative.signal });
    }
    for (const { sum, carry, or } of this.#tree.cells) {
      const column = this.#bySignal.get(carry)!.column;
      if (column > this.#options.highestColumn || !(live[sum] || live[carry])) continue;
      for (const [first, second] of [
        [OWN, OWN],
        [0, 0],
        [1, 0],
        [0, 1],
        [or, 0],
        [0, or],
      ] as const) {
        consider({ signal: sum, replacement: first }, { signal: carry, replacement: second });
      }
    }
    return result;
  }

  /** Places that an output depends on; what stands at the others has no effect. */
  #live(): Uint8Array {
    const { nodes, outputs } = this.#tree.network;
    const live = new Uint8Array(nodes.length);
    for (const port of outputs) live[port.signal] = 1;
    for (let signal = nodes.length - 1; signal > ONE; signal--) {
      if (!live[signal]) continue;
      const replacement = this.#model.replacements[signal]!;
      if (replacement !== OWN) live[replacement] = 1;
      else for (const fanin of nodes[signal]!.fanins) live[fanin] = 1;
    }
    return live;
  }

  #evaluate(changes: readonly Change[]): Candidate {
    this.#evaluations++;
    const { replacements } = this.#model;
    const before = changes.map(({ signal }) => replacements[signal]!);
    for (const { signal, replacement } of changes) replacements[signal] = replacement;
    const cost = this.#costs.cost(replacements) - this.#cost;
    changes.forEach(({ signal }, n) => {
      replacements[signal] = before[n]!;
    });
    return { changes, error: this.#model.difference(changes), cost };
  }

  #take({ changes, cost }: Candidate): boolean {
    if (!this.#model.accept(changes)) return false;
    this.#accepted++;
    this.#cost += cost;
    this.#steps.push({
      moves: changes.map((change) => moveOf(this.#tree, change)),
      mseToTarget: this.#model.meanSquare,
      cost: this.#cost,
    });
    this.#note();
    return true;
  }

  /** Remembers the state if it keeps the budget and is the best. */
  #note(): void {
    this.leastCost = Math.min(this.leastCost, this.#cost);
    if (this.#cost > this.#options.costBudget) return;
    const { replacements, meanSquare: mseToTarget } = this.#model;
    // Every step that saves is within the bound, and better than the one before.
    if (this.#best && this.#options.errorBound === undefined) {
      const difference = this.#objective({ mseToTarget, cost: this.#cost }) - this.#objective(this.#best);
      const tolerance = 1e-9 * (1 + mseToTarget);
      if (difference > tolerance || (difference >= -tolerance && this.#cost >= this.#best.cost)) return;
    }
    const taken = new Map<Signal, Signal>();
    replacements.forEach((replacement, signal) => {
      if (replacement !== OWN) taken.set(signal, replacement);
    });
    const [cost, evaluations] = [this.#cost, this.#evaluations];
    this.#best = { replacements: taken, mseToTarget, cost, steps: [...this.#steps], evaluations };
  }

  #objective({ mseToTarget, cost }: { mseToTarget: number; cost: number }): number {
    return mseToTarget + this.#options.costWeight * cost;
  }

  #restore(wanted: ReadonlyMap<Signal, Signal>): boolean {
    const { replacements } = this.#model;
    const changes: Change[] = [];
    replacements.forEach((replacement, signal) => {
      const next = wanted.get(signal) ?? OWN;
      if (next !== replacement) changes.push({ signal, replacement: next });
    });
    const accepted = changes.length === 0 || this.#model.accept(changes);
    this.#cost = this.#costs.cost(replacements);
    return accepted;
  }
}

/** A change as a report tells it. */
export function moveOf({ positions }: ReplaceableNetwork, { signal, replacement }: Change): Move {
  const { column, output, adder, replacements } = positions.find((position) => position.signal === signal)!;
  const value = replacement === OWN ? 'own' : replacements.find((one) => one.signal === replacement)!.label;
  return { column, adder, output, signal, value };
}
