// A heap of bits by column (each of weight 2^column) and ways to add it up: Wallace's and Dadda's compressor trees with
// a ripple-carry adder at the end, and the compact tree: column by column the three earliest bits, with a half adder
// only where the count is even, down to one bit (compactCost tells its unit gates). The multiplier generators differ in
// the bits that they put on the heap.
// Invariant: additions are modulo 2^columns: what leaves the top column is dropped, so that two's complement needs no
// further care.
// Sources: C. S. Wallace, IEEE Trans. Electronic Computers 1964; L. Dadda, Alta Frequenza 1965; V. G. Oklobdzija, D.
// Villeger and S. S. Liu, IEEE Trans. Computers 1996 (three earliest bits first).

import { type Network, ONE, type Signal, ZERO } from '../network.ts';

export type TreeKind = 'wallace' | 'dadda' | 'compact';

export class BitHeap {
  readonly columns: Signal[][];
  readonly #network: Network;
  #stage = 0;

  constructor(network: Network, columns: number) {
    this.#network = network;
    this.columns = Array.from({ length: columns }, () => []);
  }

  /** Puts a bit on the heap; constants 0 and bits above the top column vanish. */
  add(column: number, signal: Signal): void {
    if (signal !== ZERO) this.columns[column]?.push(signal);
  }

  /** Adds an integer (negative ones in two's complement): constant bits. */
  addConstant(value: number): void {
    const pattern = BigInt.asUintN(this.columns.length, BigInt(value));
    this.columns.forEach((_, column) => {
      if ((pattern >> BigInt(column)) & 1n) this.add(column, ONE);
    });
  }

  /** The sum, one signal per column. */
  sum(kind: TreeKind): Signal[] {
    if (kind === 'compact') return this.#compact();
    if (kind === 'wallace') this.#wallace();
    else this.#dadda();
    return this.#ripple();
  }

  /**
   * As many full adders as fit in every column and a half adder on two bits that remain, until no column has more than
   * two.
   */
  #wallace(): void {
    while (this.columns.some((bits) => bits.length > 2)) {
      this.#stage++;
      const carries: Signal[][] = this.columns.map(() => []);
      this.columns.forEach((bits, column) => {
        const groups = Math.floor(bits.length / 3) + (bits.length > 3 && bits.length % 3 === 2 ? 1 : 0);
        const sums: Signal[] = [];
        for (let n = 0; n < groups; n++)
          sums.push(this.#adder(column, bits.splice(0, Math.min(3, bits.length)), carries));
        bits.push(...sums);
      });
      this.#append(carries);
    }
  }

  /** Stage by stage down to the heights 13, 9, 6, 4, 3, 2, with no more adders than the next height asks for. */
  #dadda(): void {
    const heights = [2];
    const tallest = () => Math.max(...this.columns.map((bits) => bits.length));
    while (heights.at(-1)! < tallest()) heights.push(Math.floor((heights.at(-1)! * 3) / 2));
    for (const height of heights.reverse()) {
      if (tallest() <= height) continue;
      this.#stage++;
      const carries: Signal[][] = this.columns.map(() => []);
      this.columns.forEach((bits, column) => {
        const sums: Signal[] = [];
        const excess = () => bits.length + sums.length + carries[column]!.length - height;
        while (excess() > 0) sums.push(this.#adder(column, bits.splice(0, excess() === 1 ? 2 : 3), carries));
        bits.push(...sums);
      });
      this.#append(carries);
    }
  }

  /** From the lowest column up, until every column holds one bit. A bit is as late as the adders before it are many. */
  #compact(): Signal[] {
    const arrival = new Map<Signal, number>();
    const time = (bit: Signal) => arrival.get(bit) ?? 0;
    // A constant is cheapest as the third input of the last adder.
    const turn = (bit: Signal) => (bit === ONE ? Number.POSITIVE_INFINITY : time(bit));
    return this.columns.map((bits, column) => {
      while (bits.length > 1) {
        bits.sort((a, b) => (turn(a) === turn(b) ? 0 : turn(a) - turn(b)));
        const inputs = bits.splice(0, bits.length % 2 === 0 ? 2 : 3);
        this.#stage = 1 + Math.max(...inputs.map(time));
        const { sum, carry } = this.#network.addAdder(
          { stage: this.#stage, column },
          inputs as [Signal, Signal] | [Signal, Signal, Signal],
        );
        bits.push(sum);
        this.columns[column + 1]?.push(carry);
        arrival.set(sum, this.#stage).set(carry, this.#stage);
      }
      return bits[0] ?? ZERO;
    });
  }

  /** From the lowest column up; every column holds at most two bits. */
  #ripple(): Signal[] {
    this.#stage++;
    const carries: Signal[][] = this.columns.map(() => []);
    return this.columns.map((bits, column) => {
      const all = [...bits, ...carries[column]!];
      return all.length > 1 ? this.#adder(column, all, carries) : (all[0] ?? ZERO);
    });
  }

  /** The sum of two or three bits; the carry goes to the next column, if there is one. */
  #adder(column: number, bits: readonly Signal[], carries: Signal[][]): Signal {
    const inputs = bits as [Signal, Signal] | [Signal, Signal, Signal];
    const { sum, carry } = this.#network.addAdder({ stage: this.#stage, column }, inputs);
    carries[column + 1]?.push(carry);
    return sum;
  }

  #append(carries: readonly Signal[][]): void {
    this.columns.forEach((bits, column) => {
      bits.push(...carries[column]!);
    });
  }
}

/**
 * Unit-gate cost (structure.ts) of the compact tree over `heights[c]` bits per column and a constant added to them: a
 * full adder 7, a half adder 3, also with the constant as its third input; in the top column the sums alone. An upper
 * bound where bits are equal.
 */
export function compactCost(heights: ArrayLike<number>, constant: number): number {
  let cost = 0;
  let carries = 0;
  for (let column = 0; column < heights.length; column++) {
    const bits = heights[column]! + carries;
    const one = Math.floor(constant / 2 ** column) % 2;
    const top = column === heights.length - 1;
    const [full, half] = top ? [4, 2] : [7, 3];
    const adders = Math.floor((bits + one) / 2);
    // Of the adders of an even count one is a half adder; one that takes the constant costs no more than that.
    const halves = (bits + one) % 2 === 0 ? 1 : 0;
    if (adders > 0 && bits > 1) cost += (adders - halves - one) * full + (halves + one) * half;
    carries = adders;
  }
  return cost;
}
