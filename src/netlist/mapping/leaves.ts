// The first half of the descent: moves on the leaves of the tree alone, the partial products and the free constant
// inputs. There everything is closed form. A leaf of column c that becomes 0, 1 or an operand bit adds 2^c · (new −
// old) to the error, which so stays a combination Σ v_ab f_ab of the functions f_ab = w[a−1] · x[b−1] (index 0: the
// function 1), and its mean square is vᵀ G v with the Gram matrix of two such functions, E[f_ab f_cd] = A_ac · B_bd,
// for operands that are independent. No simulation takes part.
// Search: single changes and pairs of changes by steepest descent under the budget, repeated from disturbed copies of
// the best.
// Invariant: deterministic; the mean square is that of the replacements, as long as no product overflows (errors.ts
// checks that).

import type { OperandHistograms } from '../../multiplier/metrics.ts';
import type { PartialProductRemoval } from '../../multiplier/removal.ts';
import { invariant } from '../../tensor/errors.ts';
import { Random } from '../../tensor/random.ts';
import { ONE, type Signal } from '../network.ts';
import { multiplierPorts } from '../ports.ts';
import { OWN } from './cost.ts';
import type { Change } from './errors.ts';
import type { ReplaceableNetwork } from './positions.ts';
import { isLeaf } from './rearrange.ts';
import type { SearchCount } from './statistics.ts';

export interface LeafObjective {
  readonly costBudget: number;
  readonly costWeight: number;
  readonly highestColumn: number;
}

/** The cost of the multiplier under replacements of leaves (indexed by signal, OWN where there is none). */
export interface LeafCost {
  cost(replacements: Int32Array): number;
}

/** Coefficients of a few basis functions. */
type Sparse = readonly { readonly at: number; readonly by: number }[];

interface Option {
  readonly changes: readonly Change[];
  readonly delta: Sparse;
  readonly error: number;
  readonly cost: number;
}

interface Leaf {
  readonly signal: Signal;
  /** Replacement (or OWN) → what it contributes to the product. */
  readonly values: ReadonlyMap<Signal, Sparse>;
}

/** How far the search on the leaves goes. Results are reproducible for the same parameters. */
export interface LeafParameters {
  /** Disturbed copies of the best from which the descent begins again, at most. */
  readonly restarts: number;
  /** Changes of leaves whose cost was computed, after which no further restart begins: bounds the time. */
  readonly tried: number;
  /** Accepted changes of one descent, at most. */
  readonly steps: number;
  /** Leaves that a restart changes at random; up to six more in turn. */
  readonly disturbed: number;
  /**
   * Changes of the least error, and half as many of the cheapest savings, among which pairs are formed where no single
   * one helps.
   */
  readonly paired: number;
  /** Pairs whose cost is computed, the best first. */
  readonly pairsTried: number;
  /** Unit gates above the budget for each further leaf that is changed at once on the way down to it. */
  readonly savedAtOnce: number;
}

export const leafDefaults: LeafParameters = {
  restarts: 16,
  tried: 30_000,
  steps: 500,
  disturbed: 4,
  paired: 90,
  pairsTried: 100,
  savedAtOnce: 25,
};

export class LeafDescent {
  readonly #objective: LeafObjective;
  readonly #costs: LeafCost;
  readonly #leaves: readonly Leaf[];
  readonly #gram: Float64Array;
  readonly #size: number;
  readonly #exactError: Float64Array;
  readonly #replacements: Int32Array;
  /** G v of the current error v, and vᵀ G v. */
  readonly #product: Float64Array;
  #meanSquare = 0;
  #cost = 0;
  readonly #parameters: LeafParameters;
  #tried = 0;
  #accepted = 0;
  #rounds = 0;

  /** `costs` for the tree; `wanted` and the signs of signed partial products make the target. */
  constructor(
    tree: ReplaceableNetwork,
    costs: LeafCost,
    wanted: PartialProductRemoval,
    histograms: OperandHistograms | undefined,
    signed: boolean,
    objective: LeafObjective,
    parameters: Partial<LeafParameters> = {},
  ) {
    this.#parameters = { ...leafDefaults, ...parameters };
    const { network, positions } = tree;
    const { weight, activation } = multiplierPorts(network);
    const columns = activation.length + 1;
    this.#objective = objective;
    this.#costs = costs;
    this.#size = (weight.length + 1) * columns;
    const first = moments(histograms?.weight, weight.length);
    const second = moments(histograms?.activation, activation.length);
    this.#gram = new Float64Array(this.#size * this.#size);
    for (let p = 0; p < this.#size; p++) {
      for (let q = 0; q < this.#size; q++) {
        const [a, b, c, d] = [Math.floor(p / columns), p % columns, Math.floor(q / columns), q % columns];
        this.#gram[p * this.#size + q] = first[a * (weight.length + 1) + c]! * second[b * columns + d]!;
      }
    }
    this.#exactError = new Float64Array(this.#size);
    for (let i = 0; i < weight.length; i++) {
      for (let j = 0; j < activation.length; j++) {
        const sign = signed && (i === weight.length - 1) !== (j === activation.length - 1) ? -1 : 1;
        this.#exactError[(i + 1) * columns + j + 1] = sign * wanted.removed[i * activation.length + j]! * 2 ** (i + j);
      }
    }
    const functionOf = (signal: Signal, factor: number): Sparse => {
      const [i, j] = [weight.indexOf(signal), activation.indexOf(signal)];
      if (i >= 0) return [{ at: (i + 1) * columns, by: factor }];
      if (j >= 0) return [{ at: j + 1, by: factor }];
      if (signal <= ONE) return signal === ONE ? [{ at: 0, by: factor }] : [];
      const { kind, fanins } = network.nodes[signal]!;
      if (kind === 'not') {
        return [{ at: 0, by: factor }, ...functionOf(fanins[0]!, -factor)];
      }
      invariant(kind === 'and', `a leaf that is a ${kind} gate`);
      if (fanins[0] === fanins[1]) return functionOf(fanins[0]!, factor);
      return [{ at: (weight.indexOf(fanins[0]!) + 1) * columns + activation.indexOf(fanins[1]!) + 1, by: factor }];
    };
    this.#leaves = positions
      .filter((position) => isLeaf(position) && position.column <= objective.highestColumn)
      .map(({ signal, column, replacements }) => ({
        signal,
        values: new Map([
          [OWN, functionOf(signal, 2 ** column)] as const,
          ...replacements.map((one) => [one.signal, functionOf(one.signal, 2 ** column)] as const),
        ]),
      }));
    this.#replacements = new Int32Array(network.nodes.length).fill(OWN);
    this.#product = new Float64Array(this.#size);
    this.#reset(new Map());
  }

  /** The best set of replacements found; the cheapest where the budget is out of reach. `start` is a first guess. */
  run(start: ReadonlyMap<Signal, Signal>): ReadonlyMap<Signal, Signal> {
    const random = new Random(1);
    let best: { taken: ReadonlyMap<Signal, Signal>; value: number } | null = null;
    let cheapest = { taken: start, cost: Number.POSITIVE_INFINITY };
    const { restarts, tried, disturbed } = this.#parameters;
    for (let round = -2; round < restarts && (round < 0 || this.#tried < tried); round++) {
      this.#rounds++;
      this.#reset(round === -2 ? new Map() : round === -1 ? start : (best?.taken ?? start));
      for (let n = 0; round >= 0 && n < disturbed + (round % 3) * 3; n++) this.#disturb(random);
      this.#reduce();
      this.#improve();
      if (this.#cost < cheapest.cost) cheapest = { taken: this.#taken(), cost: this.#cost };
      const value = this.#meanSquare + this.#objective.costWeight * this.#cost + 1e-7 * this.#cost;
      if (this.#cost > this.#objective.costBudget || (best && value >= best.value)) continue;
      best = { taken: this.#taken(), value };
    }
    return best?.taken ?? cheapest.taken;
  }

  /** What the search has done so far. */
  get statistics(): SearchCount {
    const [rounds, tried, accepted] = [this.#rounds, this.#tried, this.#accepted];
    return { rounds, tried, accepted };
  }

  #disturb(random: Random): void {
    const leaf = this.#leaves[random.integer(this.#leaves.length)]!;
    const values = [...leaf.values.keys()];
    this.#take([{ signal: leaf.signal, replacement: values[random.integer(Math.min(3, values.length))]! }]);
  }

  #reduce(): void {
    while (this.#cost > this.#objective.costBudget) {
      const ratio = ({ error, cost }: Option) => (error < 0 ? error * 1e6 : error / -cost);
      const options = this.#options(true).sort((a, b) => ratio(a) - ratio(b));
      if (options.length === 0) return;
      // Far above the budget several at once, no two of the same leaf. Together they may save nothing (each alone
      // does): then the first.
      const count = 1 + Math.floor((this.#cost - this.#objective.costBudget) / this.#parameters.savedAtOnce);
      const [before, cost] = [this.#taken(), this.#cost];
      this.#take([
        ...new Map(options.slice(0, count).map((one) => [one.changes[0]!.signal, one.changes[0]!])).values(),
      ]);
      if (this.#cost < cost) continue;
      this.#reset(before);
      this.#take(options[0]!.changes);
    }
  }

  #improve(): void {
    for (let step = 0; step < this.#parameters.steps; step++) {
      const options = this.#options(false);
      const good = options.filter((one) => this.#gain(one) < -1e-9 * (1 + this.#meanSquare));
      good.sort((a, b) => this.#gain(a) - this.#gain(b));
      const next = good.find((one) => this.#affordable(one.changes)) ?? this.#bestPair(options);
      if (!next) return;
      this.#take(next.changes);
    }
  }

  #gain({ error, cost }: { error: number; cost: number }): number {
    return error + this.#objective.costWeight * cost;
  }

  #affordable(changes: readonly Change[]): boolean {
    return this.#costAfter(changes) <= this.#objective.costBudget;
  }

  /** Among the options with the least error and the cheapest savings. */
  #bestPair(all: readonly Option[]): { changes: readonly Change[] } | undefined {
    const { paired, pairsTried } = this.#parameters;
    const byGain = [...all].sort((a, b) => this.#gain(a) - this.#gain(b));
    const saving = byGain.slice(paired).filter(({ cost }) => cost < 0);
    const options = [...byGain.slice(0, paired), ...saving.slice(0, paired / 2)];
    const room = this.#objective.costBudget - this.#cost + 2;
    const pairs: { changes: readonly Change[]; gain: number }[] = [];
    for (let n = 0; n < options.length; n++) {
      const one = options[n]!;
      for (let k = 0; k < n; k++) {
        const other = options[k]!;
        if (one.cost + other.cost > room || one.changes[0]!.signal === other.changes[0]!.signal) continue;
        const gain = this.#gain(one) + this.#gain(other) + 2 * this.#inner(one.delta, other.delta);
        if (gain < -1e-9 * (1 + this.#meanSquare)) pairs.push({ changes: [...one.changes, ...other.changes], gain });
      }
    }
    pairs.sort((a, b) => a.gain - b.gain);
    return pairs.slice(0, pairsTried).find(({ changes }) => this.#affordable(changes));
  }

  /** Every other value of every leaf; those that change nothing at all are left out. */
  #options(savingOnly: boolean): Option[] {
    const result: Option[] = [];
    for (const { signal, values } of this.#leaves) {
      const now = values.get(this.#replacements[signal]!)!;
      for (const [replacement, value] of values) {
        if (replacement === this.#replacements[signal]) continue;
        const changes = [{ signal, replacement }];
        const delta = [...value, ...now.map(({ at, by }) => ({ at, by: -by }))];
        let error = this.#inner(delta, delta);
        for (const { at, by } of delta) error += 2 * by * this.#product[at]!;
        const cost = this.#costAfter(changes) - this.#cost;
        if (!savingOnly || cost < 0) result.push({ changes, delta, error, cost });
      }
    }
    return result;
  }

  #inner(one: Sparse, other: Sparse): number {
    let sum = 0;
    for (const a of one) for (const b of other) sum += a.by * b.by * this.#gram[a.at * this.#size + b.at]!;
    return sum;
  }

  #costAfter(changes: readonly Change[]): number {
    this.#tried++;
    const before = changes.map(({ signal }) => this.#replacements[signal]!);
    for (const { signal, replacement } of changes) this.#replacements[signal] = replacement;
    const cost = this.#costs.cost(this.#replacements);
    changes.forEach(({ signal }, n) => {
      this.#replacements[signal] = before[n]!;
    });
    return cost;
  }

  #take(changes: readonly Change[]): void {
    this.#accepted++;
    for (const { signal, replacement } of changes) this.#replacements[signal] = replacement;
    this.#refresh();
  }

  #reset(taken: ReadonlyMap<Signal, Signal>): void {
    this.#replacements.fill(OWN);
    for (const [signal, replacement] of taken) this.#replacements[signal] = replacement;
    this.#refresh();
  }

  #refresh(): void {
    const error = this.#exactError.slice();
    for (const { signal, values } of this.#leaves) {
      if (this.#replacements[signal] === OWN) continue;
      for (const { at, by } of values.get(OWN)!) error[at]! -= by;
      for (const { at, by } of values.get(this.#replacements[signal]!)!) error[at]! += by;
    }
    this.#meanSquare = 0;
    for (let p = 0; p < this.#size; p++) {
      let sum = 0;
      for (let q = 0; q < this.#size; q++) sum += this.#gram[p * this.#size + q]! * error[q]!;
      this.#product[p] = sum;
      this.#meanSquare += sum * error[p]!;
    }
    this.#cost = this.#costs.cost(this.#replacements);
  }

  #taken(): ReadonlyMap<Signal, Signal> {
    return new Map(
      this.#leaves.flatMap(({ signal }) =>
        this.#replacements[signal] === OWN ? [] : [[signal, this.#replacements[signal]!] as const],
      ),
    );
  }
}

/** E[b_p b_q] of the bits of an operand; index 0 is the constant 1, index k + 1 bit k. */
function moments(histogram: ArrayLike<number> | undefined, bits: number): Float64Array {
  const size = bits + 1;
  const result = new Float64Array(size * size);
  let total = 0;
  for (let pattern = 0; pattern < 2 ** bits; pattern++) {
    const share = histogram ? histogram[pattern]! : 1;
    total += share;
    const extended = 2 * pattern + 1;
    for (let p = 0; p < size; p++) {
      for (let q = 0; q < size; q++) if ((extended >> p) & (extended >> q) & 1) result[p * size + q]! += share;
    }
  }
  return result.map((sum) => sum / total);
}
