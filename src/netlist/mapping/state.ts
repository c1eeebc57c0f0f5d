// The state every search works on: the netlist being approximated, the trained target, and the squared error between
// them, which follows each substitution by its difference alone. A search proposes a move, looks at the error and
// accepts it or goes on.
// Invariant: `squaredError` is the sum over all pairs for the network with the accepted moves (in float64).

import { type Network, type Signal, ZERO } from '../network.ts';
import { type ProductBitChange, Simulator } from '../simulate.ts';

/**
 * A net that a search replaces: by a constant, an input of its adder (`a`, `b`, `c`), the OR of these, or an operand
 * bit.
 */
export interface Move {
  readonly column: number;
  /** Id of the adder, in order of creation; null for a partial product. */
  readonly adder: number | null;
  /** `constant` is a free constant input of an adder. */
  readonly output: 'sum' | 'carry' | 'product' | 'constant';
  readonly signal: Signal;
  /** `0`, `1`, `a`, `b`, `c`, `or`, the name of an operand bit, or `own`: an earlier move is taken back. */
  readonly value: string;
}

export class MappingState {
  readonly network: Network;
  /** Number of columns that may be approximated. */
  readonly approximableColumns: number;
  readonly simulator: Simulator;
  /** The product of every pair in the current state. */
  readonly products: Int32Array;
  readonly #errors: Float64Array;
  #total = 0;
  /** The proposal: pairs whose product changes, and by how much. */
  #proposedTotal = 0;
  #changedCount = 0;
  readonly #changedPairs: Int32Array;
  readonly #changes: Int32Array;

  /** The weight of the highest product bit is negative when the products are signed. */
  readonly #bitWeights: readonly number[];

  constructor(network: Network, target: Float32Array, approximableColumns: number, signed = false) {
    this.network = network;
    this.approximableColumns = approximableColumns;
    this.simulator = new Simulator(network);
    this.products = this.simulator.table(signed).data;
    const productBits = this.simulator.ports.product.length;
    this.#bitWeights = this.simulator.ports.product.map((_, bit) =>
      signed && bit === productBits - 1 ? -(2 ** bit) : 2 ** bit,
    );
    this.#errors = new Float64Array(target.length);
    for (let pair = 0; pair < target.length; pair++) {
      const error = this.products[pair]! - target[pair]!;
      this.#errors[pair] = error;
      this.#total += error * error;
    }
    this.#changedPairs = new Int32Array(target.length);
    this.#changes = new Int32Array(target.length);
  }

  get squaredError(): number {
    return this.#total;
  }

  /** The squared error if `move.signal` were the constant 0. */
  propose(move: Move): number {
    this.#collectChanges(this.simulator.propose(move.signal, ZERO));
    let difference = 0;
    for (let n = 0; n < this.#changedCount; n++) {
      const change = this.#changes[n]!;
      difference += change * (2 * this.#errors[this.#changedPairs[n]!]! + change);
    }
    this.#proposedTotal = this.#total + difference;
    return this.#proposedTotal;
  }

  /** Makes the last proposal part of the network. */
  accept(): void {
    this.simulator.accept();
    for (let n = 0; n < this.#changedCount; n++) {
      const pair = this.#changedPairs[n]!;
      this.products[pair]! += this.#changes[n]!;
      this.#errors[pair]! += this.#changes[n]!;
    }
    this.#total = this.#proposedTotal;
    this.#changedCount = 0;
  }

  /** Sets a net to 0 whatever it does to the error. */
  force(move: Move): void {
    this.propose(move);
    this.accept();
  }

  /**
   * Candidates of a column, in the published order: the sums of its adders in order of creation, then their carries.
   */
  adderOutputs(column: number): Move[] {
    const adders = this.network.adders.filter((adder) => adder.column === column);
    return (['sum', 'carry'] as const).flatMap((output) =>
      adders.flatMap((adder) => {
        const signal = adder[output];
        return signal === null ? [] : [{ column, adder: adder.id, output, signal, value: '0' }];
      }),
    );
  }

  /** Turns changed product bits into changed products; the work is proportional to the number of flipped bits. */
  #collectChanges(bits: readonly ProductBitChange[]): void {
    const words = bits[0]?.before.length ?? 0;
    const validLanes = this.#errors.length < 32 ? 2 ** this.#errors.length - 1 : -1;
    const laneChange = new Int32Array(32);
    this.#changedCount = 0;
    for (let n = 0; n < words; n++) {
      let lanes = 0;
      for (let k = 0; k < bits.length; k++) {
        const { bit, before, after } = bits[k]!;
        const now = after[n]!;
        const weight = this.#bitWeights[bit]!;
        let flipped = (before[n]! ^ now) & validLanes;
        lanes |= flipped;
        while (flipped !== 0) {
          const lane = 31 - Math.clz32(flipped & -flipped);
          flipped &= flipped - 1;
          laneChange[lane]! += (now >>> lane) & 1 ? weight : -weight;
        }
      }
      while (lanes !== 0) {
        const lane = 31 - Math.clz32(lanes & -lanes);
        lanes &= lanes - 1;
        this.#changedPairs[this.#changedCount] = n * 32 + lane;
        this.#changes[this.#changedCount++] = laneChange[lane]!;
        laneChange[lane] = 0;
      }
    }
  }
}
