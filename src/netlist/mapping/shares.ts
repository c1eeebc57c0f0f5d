// Share of the operand pairs on which two bits are both 1, where pairs count by operand histograms. The shares are a
// product of one of the weight and one of the activation, so eight activations are looked up at once and rows of
// weights that never occur are left out.
// Invariant: pairs are in the order of a ProductTable, bit k of word n is pair 32n + k.

import type { Words } from '../simulate.ts';

export class PairShares {
  readonly #activationBits: number;
  readonly #shares: Float64Array;
  /** Of each weight. */
  readonly #rows: Float64Array;
  /** Sum over the ones of a byte of eight activations: [activations / 8, 256]. */
  readonly #bytes: Float64Array;

  /** `shares` of all pairs, the outer product of the two operands' (operandShares in multiplier/metrics.ts). */
  constructor(shares: Float64Array, activationBits: number) {
    const activations = 2 ** activationBits;
    this.#activationBits = activationBits;
    this.#shares = shares;
    this.#rows = new Float64Array(shares.length / activations);
    const columns = new Float64Array(activations);
    shares.forEach((share, pair) => {
      this.#rows[pair >> activationBits]! += share;
      columns[pair & (activations - 1)]! += share;
    });
    this.#bytes = Float64Array.from({ length: Math.ceil(activations / 8) * 256 }, (_, at) => {
      let sum = 0;
      for (let bit = 0; bit < 8; bit++) if ((at >> bit) & 1) sum += columns[8 * (at >> 8) + bit] ?? 0;
      return sum;
    });
  }

  ofBoth(a: Words, b: Words): number {
    return this.#activationBits < 5 ? this.#pairByPair(a, b) : this.#byteByByte(a, b);
  }

  #byteByByte(a: Words, b: Words): number {
    const [rows, bytes] = [this.#rows, this.#bytes];
    const words = 2 ** (this.#activationBits - 5);
    let total = 0;
    for (let w = 0; w < rows.length; w++) {
      const row = rows[w]!;
      if (row === 0) continue;
      let sum = 0;
      for (let n = 0; n < words; n++) {
        const both = a[w * words + n]! & b[w * words + n]!;
        if (both === 0) continue;
        const at = n * 1024;
        sum +=
          bytes[at + (both & 255)]! +
          bytes[at + 256 + ((both >>> 8) & 255)]! +
          bytes[at + 512 + ((both >>> 16) & 255)]! +
          bytes[at + 768 + (both >>> 24)]!;
      }
      total += row * sum;
    }
    return total;
  }

  #pairByPair(a: Words, b: Words): number {
    let sum = 0;
    this.#shares.forEach((share, pair) => {
      if (((a[pair >> 5]! & b[pair >> 5]!) >>> (pair & 31)) & 1) sum += share;
    });
    return sum;
  }
}
