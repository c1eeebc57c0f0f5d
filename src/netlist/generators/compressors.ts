// Unsigned multipliers whose low columns are reduced by approximate 4:2 compressors: four bits of a column become a sum
// and a carry, without the carries between neighbours of an exact one. Columns from `columns` up, and what remains, are
// added exactly (Dadda).
// The schedule is written once, over signals for the circuit and over bits with the published truth tables for the
// formula.
// Sources: A. Momeni, J. Han, P. Montuschi and F. Lombardi, "Design and Analysis of Approximate Compressors for
// Multiplication", IEEE Trans.
// Computers 64(4), 2015, design 2 (without carry-in and carry-out; 4 of 16 outputs wrong, error rate 25 %); S.
// Venkatachalam and S.-B. Ko, "Design of Power and Area Efficient Approximate Multipliers", IEEE Trans. VLSI Systems
// 25(5), 2017, its 4:2 compressor (5 of 16 wrong, each by −1).
// The reduction is ours: the papers place their cells by hand, so that figures of their multipliers are not those of
// this family.

import type { Network, Signal } from '../network.ts';
import { addPartialProducts, addProduct, multiplierFrame } from './frame.ts';
import type { Generated } from './generator.ts';
import { BitHeap } from './heap.ts';

type Four<T> = readonly [T, T, T, T];
type Compress<T> = (bits: Four<T>) => { sum: T; carry: T };

interface Compressor {
  readonly gates: (network: Network) => Compress<Signal>;
  /** sum + 2 · carry for the inputs x1 + 2 x2 + 4 x3 + 8 x4. */
  readonly table: readonly number[];
}

export const compressors = {
  momeni: {
    gates:
      (network) =>
      ([x1, x2, x3, x4]) => {
        const [not, or, xor] = builders(network);
        const carry = network.addGate('and', or(x1, x2), or(x3, x4));
        return { sum: or(not(xor(x1, x2)), not(xor(x3, x4))), carry };
      },
    // sum = ¬(x1 ⊕ x2) ∨ ¬(x3 ⊕ x4), carry = (x1 ∨ x2)(x3 ∨ x4). Wrong: 0000 → 1, 1100 and 0011 → 1, 1111 → 3.
    table: [1, 1, 1, 1, 1, 2, 2, 3, 1, 2, 2, 3, 1, 3, 3, 3],
  },
  venkatachalam: {
    gates:
      (network) =>
      ([x1, x2, x3, x4]) => {
        const [, or, xor, and] = builders(network);
        const [low, high] = [and(x1, x2), and(x3, x4)];
        return { sum: or(or(xor(x1, x2), xor(x3, x4)), and(low, high)), carry: or(low, high) };
      },
    // sum = (x1 ⊕ x2) ∨ (x3 ⊕ x4) ∨ x1 x2 x3 x4, carry = x1 x2 ∨ x3 x4. Wrong: one of x1, x2 and one of x3, x4 → 1,
    // 1111 → 3.
    table: [0, 1, 1, 2, 1, 1, 1, 3, 1, 1, 1, 3, 2, 3, 3, 3],
  },
} as const satisfies Record<string, Compressor>;
export type CompressorName = keyof typeof compressors;

function builders(network: Network) {
  const two = (kind: 'or' | 'xor' | 'and') => (a: Signal, b: Signal) => network.addGate(kind, a, b);
  return [(a: Signal) => network.addGate('not', a), two('or'), two('xor'), two('and')] as const;
}

export function compressorMultiplier(
  weightBits: number,
  activationBits: number,
  columns: number,
  name: CompressorName,
): Generated {
  const frame = multiplierFrame(name, weightBits, activationBits);
  const heap = new BitHeap(frame.network, frame.productBits);
  const compressor: Compressor = compressors[name];
  addPartialProducts(frame, heap);
  compress(heap.columns, columns, compressor.gates(frame.network));
  const byTable: Compress<number> = ([x1, x2, x3, x4]) => {
    const value = compressor.table[x1 + 2 * x2 + 4 * x3 + 8 * x4]!;
    return { sum: value & 1, carry: value >> 1 };
  };
  const formula = (w: number, x: number) => {
    const bits: number[][] = Array.from({ length: frame.productBits }, () => []);
    for (let i = 0; i < weightBits; i++) {
      for (let j = 0; j < activationBits; j++) bits[i + j]!.push((w >> i) & (x >> j) & 1);
    }
    compress(bits, columns, byTable);
    const product = bits.reduce((sum, column, k) => sum + column.reduce((a, b) => a + b, 0) * 2 ** k, 0);
    return product % 2 ** frame.productBits;
  };
  return { network: addProduct(frame.network, heap.sum('dadda')), formula };
}

/** Stage by stage, while one of the low columns has four bits or more. */
function compress<T>(heap: T[][], columns: number, cell: Compress<T>): void {
  while (heap.slice(0, columns).some((bits) => bits.length >= 4)) {
    const carries: T[][] = heap.map(() => []);
    for (let column = 0; column < columns; column++) {
      const bits = heap[column]!;
      const sums: T[] = [];
      while (bits.length >= 4) {
        const { sum, carry } = cell(bits.splice(0, 4) as unknown as Four<T>);
        sums.push(sum);
        carries[column + 1]?.push(carry);
      }
      bits.push(...sums);
    }
    heap.forEach((bits, column) => {
      bits.push(...carries[column]!);
    });
  }
}
