import { expect, test } from 'vitest';
import { columnStructure, productStructure, structureOf } from './structure.ts';
import { targetProducts } from './target.ts';

const targetOf = (theta: readonly number[], weightBits: number, activationBits: number, signed = false) =>
  targetProducts(columnStructure({ weightBits, activationBits }, theta.length), theta, signed);

test('the target is the exact product minus the trained share of each partial product', () => {
  const theta = [1, 0.25, 0.5, 0, 0.75];
  const target = targetOf(theta, 3, 5);
  for (let w = 0; w < 8; w++) {
    for (let x = 0; x < 32; x++) {
      let expected = w * x;
      for (let i = 0; i < 3; i++) {
        for (let j = 0; j < 5; j++) expected -= (theta[i + j] ?? 0) * 2 ** (i + j) * ((w >> i) & (x >> j) & 1);
      }
      expect(target[w * 32 + x]).toBe(expected);
    }
  }
});

test('the target of signed operands lacks the same share of the negative partial products', () => {
  const theta = [1, 0.25, 0.5];
  const target = targetOf(theta, 2, 3, true);
  const values = (bits: number) => (pattern: number) => (pattern < 2 ** (bits - 1) ? pattern : pattern - 2 ** bits);
  for (let w = 0; w < 4; w++) {
    for (let x = 0; x < 8; x++) {
      let expected = values(2)(w) * values(3)(x);
      for (let i = 0; i < 2; i++) {
        for (let j = 0; j < 3; j++) {
          // The bit of the sign counts −2 of the weight, −4 of the activation.
          const weight = (i === 1 ? -2 : 1) * (j === 2 ? -4 : 2 ** j);
          expected -= (theta[i + j] ?? 0) * weight * ((w >> i) & (x >> j) & 1);
        }
      }
      expect(target[w * 8 + x], `${w}, ${x}`).toBe(expected);
    }
  }
});

test.each([false, true])(
  'a θ for each partial product asks for the products that its column asked for (signed: %s)',
  (signed) => {
    const widths = { weightBits: 4, activationBits: 3 };
    // Shares that float32 rounds: sums in another order would differ.
    const theta = [0.1, 0.7, 0.3, 0.9, 1 / 3];
    const columns = columnStructure(widths, 5);
    const each = columns.index.map((from) => (from < 0 ? 0 : theta[from]!));
    const [a, b] = [targetProducts(columns, theta, signed), targetProducts(productStructure(widths), each, signed)];
    const largest = a.reduce((most, product, pair) => Math.max(most, Math.abs(product - b[pair]!)), 0);
    expect(largest).toBeLessThan(1e-4);
  },
);

test('partial products of one θ in several columns lose its share in each', () => {
  // w[0]·x[0] and w[1]·x[1] read the one θ there is.
  const structure = structureOf({ weightBits: 2, activationBits: 2 }, [0, -1, -1, 0], ['diagonal']);
  const target = targetProducts(structure, [0.5]);
  for (let pair = 0; pair < 16; pair++) {
    const [w, x] = [pair >> 2, pair & 3];
    expect(target[pair]).toBe(w * x - 0.5 * (w & x & 1) - 2 * ((w >> 1) & (x >> 1) & 1));
  }
});
