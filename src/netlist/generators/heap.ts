// A heap of bits by column (each of weight 2^column) and the classical ways to add it up: Wallace's and Dadda's compressor trees with a
// ripple-carry adder at the end. The multiplier generators differ in the bits that they put on the heap.
// Invariant: additions are modulo 2^columns: what leaves the top column is dropped, so that two's complement needs no further care.
// Sources: C. S. Wallace, IEEE Trans. Electronic Computers 1964; L. Dadda, Alta Frequenza 1965.

import { type Network, ONE, type Signal, ZERO } from '../network.ts';

export type TreeKind = 'wallace' | 'dadda';

export class BitHeap {
  readonly columns: Signal[][];
  private readonly network: Network;
  private stage = 0;

  constructor(network: Network, columns: number) {
    this.network = network;
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
    if (kind === 'wallace') this.wallace();
    else this.dadda();
    return this.ripple();
  }

  /** As many full adders as fit in every column and a half adder on two bits that remain, until no column has more than two. */
  private wallace(): void {
    while (this.columns.some((bits) => bits.length > 2)) {
      this.stage++;
      const carries: Signal[][] = this.columns.map(() => []);
      this.columns.forEach((bits, column) => {
        const groups = Math.floor(bits.length / 3) + (bits.length > 3 && bits.length % 3 === 2 ? 1 : 0);
        const sums: Signal[] = [];
        for (let n = 0; n < groups; n++)
          sums.push(this.adder(column, bits.splice(0, Math.min(3, bits.length)), carries));
        bits.push(...sums);
      });
      this.append(carries);
    }
  }

  /** Stage by stage down to the heights 13, 9, 6, 4, 3, 2, with no more adders than the next height asks for. */
  private dadda(): void {
    const heights = [2];
    const tallest = () => Math.max(...this.columns.map((bits) => bits.length));
    while (heights.at(-1)! < tallest()) heights.push(Math.floor((heights.at(-1)! * 3) / 2));
    for (const height of heights.reverse()) {
      if (tallest() <= height) continue;
      this.stage++;
      const carries: Signal[][] = this.columns.map(() => []);
      this.columns.forEach((bits, column) => {
        const sums: Signal[] = [];
        const excess = () => bits.length + sums.length + carries[column]!.length - height;
        while (excess() > 0) sums.push(this.adder(column, bits.splice(0, excess() === 1 ? 2 : 3), carries));
        bits.push(...sums);
      });
      this.append(carries);
    }
  }

  /** From the lowest column up; every column holds at most two bits. */
  private ripple(): Signal[] {
    this.stage++;
    const carries: Signal[][] = this.columns.map(() => []);
    return this.columns.map((bits, column) => {
      const all = [...bits, ...carries[column]!];
      return all.length > 1 ? this.adder(column, all, carries) : (all[0] ?? ZERO);
    });
  }

  /** The sum of two or three bits; the carry goes to the next column, if there is one. */
  private adder(column: number, bits: readonly Signal[], carries: Signal[][]): Signal {
    const inputs = bits as [Signal, Signal] | [Signal, Signal, Signal];
    const { sum, carry } = this.network.addAdder({ stage: this.stage, column }, inputs);
    carries[column + 1]?.push(carry);
    return sum;
  }

  private append(carries: readonly Signal[][]): void {
    this.columns.forEach((bits, column) => {
      bits.push(...carries[column]!);
    });
  }
}
