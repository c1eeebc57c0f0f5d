// Approximate unsigned multipliers that leave out or merge bits of the partial-product array; the bits that remain are
// added exactly by a Dadda tree. The formulas say the same in arithmetic, bit by bit of the operands.
// Sources: truncation, e.g. M. J. Schulte and E. E. Swartzlander, VLSI Signal Processing 1993 (constant correction);
// broken array and lower-part OR: H. R. Mahdiani et al., IEEE Trans. Circuits and Systems I, 2010; 2×2 blocks: P.
// Kulkarni, P. Gupta and M. Ercegovac, VLSI Design 2011.

import { type Signal, ZERO } from '../network.ts';
import { addPartialProducts, addProduct, multiplierFrame } from './frame.ts';
import type { Generated } from './generator.ts';
import { BitHeap } from './heap.ts';

/** Leaves out the columns below `columns`; with compensation their mean for uniform operands is added as a constant. */
export function truncated(
  weightBits: number,
  activationBits: number,
  columns: number,
  compensated: boolean,
): Generated {
  return withoutProducts('truncated', weightBits, activationBits, (i, j) => i + j >= columns, compensated);
}

/**
 * The exact product of the upper bits of either operand, `weights` and `activations` of them; with compensation the
 * mean of what is left out for uniform operands is added as a constant.
 */
export function upperBits(
  weightBits: number,
  activationBits: number,
  upper: { readonly weights: number; readonly activations: number },
  compensated: boolean,
): Generated {
  const keep = (i: number, j: number) => i >= weightBits - upper.weights && j >= activationBits - upper.activations;
  return withoutProducts('upper', weightBits, activationBits, keep, compensated);
}

/** Leaves out the rows x[j] of j < `rows` and the columns below `columns`. */
export function brokenArray(weightBits: number, activationBits: number, rows: number, columns: number): Generated {
  return withoutProducts('broken_array', weightBits, activationBits, (i, j) => j >= rows && i + j >= columns);
}

function withoutProducts(
  name: string,
  weightBits: number,
  activationBits: number,
  keep: (i: number, j: number) => boolean,
  compensated = false,
): Generated {
  const frame = multiplierFrame(name, weightBits, activationBits);
  const heap = new BitHeap(frame.network, frame.productBits);
  addPartialProducts(frame, heap, keep);
  const constant = compensated ? Math.round(meanLeftOut(weightBits, activationBits, keep)) : 0;
  heap.addConstant(constant);
  const kept = Array.from({ length: weightBits }, (_, i) =>
    Array.from({ length: activationBits }, (_, j) => (keep(i, j) ? 2 ** j : 0)).reduce(
      (sum, weight) => sum + weight,
      0,
    ),
  );
  return {
    network: addProduct(frame.network, heap.sum('dadda')),
    // Bits above 2^31 need no care: operands have at most 26 bits.
    formula: (w, x) => kept.reduce((sum, mask, i) => sum + ((w >> i) & 1) * 2 ** i * (x & mask), constant),
  };
}

/** Each bit of an operand is 1 half of the time. */
function meanLeftOut(weightBits: number, activationBits: number, keep: (i: number, j: number) => boolean): number {
  let mean = 0;
  for (let i = 0; i < weightBits; i++) {
    for (let j = 0; j < activationBits; j++) if (!keep(i, j)) mean += 2 ** (i + j) / 4;
  }
  return mean;
}

/** In each column below `columns` the OR of the bits stands for their sum, and nothing is carried. */
export function lowerPartOr(weightBits: number, activationBits: number, columns: number): Generated {
  const frame = multiplierFrame('lower_part_or', weightBits, activationBits);
  const { network, productBits } = frame;
  const heap = new BitHeap(network, productBits);
  addPartialProducts(frame, heap);
  for (let column = 0; column < columns; column++) {
    const bits = heap.columns[column]!;
    if (bits.length > 1) heap.columns[column] = [bits.reduce((a, b) => network.addGate('or', a, b))];
  }
  const formula = (w: number, x: number) => {
    let product = w * x;
    for (let column = 0; column < columns; column++) {
      let count = 0;
      for (let i = 0; i <= column; i++) count += (w >> i) & (x >> (column - i)) & 1;
      if (count > 1) product -= (count - 1) * 2 ** column;
    }
    return product;
  };
  return { network: addProduct(network, heap.sum('dadda')), formula };
}

/** Pairs of bits are multiplied by a block whose only wrong product is 3 · 3 = 7, of three bits instead of four. */
export function underdesignedBlocks(weightBits: number, activationBits: number): Generated {
  const { network, w, x, productBits } = multiplierFrame('blocks2x2', weightBits, activationBits);
  const heap = new BitHeap(network, productBits);
  const bit = (bus: readonly Signal[], n: number) => bus[n] ?? ZERO;
  for (let i = 0; i < weightBits; i += 2) {
    for (let j = 0; j < activationBits; j += 2) {
      const and = (di: number, dj: number) =>
        i + di < weightBits && j + dj < activationBits
          ? network.addPartialProduct(i + di, j + dj, bit(w, i + di), bit(x, j + dj))
          : ZERO;
      const [low, high] = [and(0, 1), and(1, 0)];
      heap.add(i + j, and(0, 0));
      heap.add(i + j + 1, low === ZERO ? high : high === ZERO ? low : network.addGate('or', low, high));
      heap.add(i + j + 2, and(1, 1));
    }
  }
  const formula = (wv: number, xv: number) => {
    let product = 0;
    for (let i = 0; i < weightBits; i += 2) {
      for (let j = 0; j < activationBits; j += 2) {
        const [a, b] = [(wv >> i) & 3, (xv >> j) & 3];
        product += (a === 3 && b === 3 ? 7 : a * b) * 2 ** (i + j);
      }
    }
    return product;
  };
  return { network: addProduct(network, heap.sum('dadda')), formula };
}
