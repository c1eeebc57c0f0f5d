// Exact signed multipliers (two's complement). Baugh-Wooley: the partial products of one sign bit are complemented, and
// three constant bits make up for it. Booth, radix 4: pairs of bits of one operand choose −2, −1, 0, 1 or 2 times the
// other, so that half as many rows are added.
// A negative bit −b·2^c is (1−b)·2^c − 2^c: its complement on the heap, and a constant.
// Sources: C. R. Baugh and B. A. Wooley, IEEE Trans. Computers 1973; O. L. MacSorley, Proc. IRE 1961 (modified Booth).

import type { Network, Signal } from '../network.ts';
import { ZERO } from '../network.ts';
import { addProduct, multiplierFrame } from './frame.ts';
import { BitHeap } from './heap.ts';

export function baughWooleyMultiplier(weightBits: number, activationBits: number): Network {
  const { network, w, x, productBits } = multiplierFrame('baugh_wooley', weightBits, activationBits);
  const heap = new BitHeap(network, productBits);
  w.forEach((wi, i) => {
    x.forEach((xj, j) => {
      const product = network.addPartialProduct(i, j, wi, xj);
      const negative = (i === weightBits - 1) !== (j === activationBits - 1);
      heap.add(i + j, negative ? network.addGate('not', product) : product);
    });
  });
  heap.addConstant(2 ** (weightBits - 1) + 2 ** (activationBits - 1) - 2 ** (productBits - 1));
  return addProduct(network, heap.sum('dadda'));
}

export function boothMultiplier(weightBits: number, activationBits: number): Network {
  const { network, w, x, productBits } = multiplierFrame('booth', weightBits, activationBits);
  return addProduct(network, boothProduct(network, w, x, productBits));
}

/**
 * The low `productBits` bits of the product of two's-complement operands, least significant first. The operand that
 * gives fewer rows is recoded, of equals the one that gives shorter ones, so that the gates are as many whichever comes
 * first.
 */
export function boothProduct(
  network: Network,
  w: readonly Signal[],
  x: readonly Signal[],
  productBits: number,
): Signal[] {
  const rows = (bus: readonly Signal[]) => Math.ceil(bus.length / 2);
  const fewer = rows(w) - rows(x) || x.length - w.length;
  const [recoded, other] = fewer < 0 ? [w, x] : [x, w];
  const heap = new BitHeap(network, productBits);
  const bitOf = (bus: readonly Signal[], bit: number) => (bit < 0 ? ZERO : bus[Math.min(bit, bus.length - 1)]!);
  let constant = 0;
  for (let j = 0; j < recoded.length; j += 2) {
    const [high, middle, low] = [bitOf(recoded, j + 1), bitOf(recoded, j), bitOf(recoded, j - 1)];
    const one = network.addGate('xor', middle, low);
    // ±2: the two lower bits are equal and differ from the highest.
    const two = network.addGate('and', network.addGate('not', one), network.addGate('xor', high, middle));
    // The row has one bit more than the operand; its sign is the last one, negative.
    for (let i = 0; i <= other.length; i++) {
      const single = network.addGate('and', one, bitOf(other, i));
      const double = network.addGate('and', two, bitOf(other, i - 1));
      const bit = network.addGate('xor', network.addGate('or', single, double), high);
      heap.add(j + i, i === other.length ? network.addGate('not', bit) : bit);
    }
    heap.add(j, high);
    constant -= 2 ** (j + other.length);
  }
  heap.addConstant(constant);
  return heap.sum('dadda');
}
