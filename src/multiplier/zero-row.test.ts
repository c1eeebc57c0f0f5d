// Errors relative to the row of the weights' zero point, against sums over taps as a layer makes them.

import { expect, test } from 'vitest';
import { Random } from '../tensor/random.ts';
import { concreteMultiplier } from './multiplier.ts';
import { productTable } from './table.ts';
import { errorFromZero } from './zero-row.ts';

const widths = { weightBits: 3, activationBits: 4 };
const random = new Random(5, 0);
const draw = (below: number) => Math.floor(below * random.uniform());
const products = Int32Array.from({ length: 128 }, () => draw(128));
const t = (w: number, x: number) => products[w * 16 + x]!;
const error = products.map((product, pair) => product - Math.floor(pair / 16) * (pair % 16));

test('the sum of a layer is that of products less that of the zero point, both of the multiplier', () => {
  const zero = 4;
  const [ws, xs] = [Array.from({ length: 30 }, () => draw(8)), Array.from({ length: 30 }, () => draw(16))];
  const relative = errorFromZero(error, widths, zero);
  const own = ws.reduce((sum, w, tap) => sum + t(w, xs[tap]!) - t(zero, xs[tap]!), 0);
  const asLayersHaveIt = ws.reduce((sum, w, tap) => sum + (w - zero) * xs[tap]! + relative[w * 16 + xs[tap]!]!, 0);
  expect(asLayersHaveIt).toBe(own);
  expect([...relative.subarray(zero * 16, zero * 16 + 16)].every((one) => one === 0)).toBe(true);
});

test('a multiplier is taken as a table then, and refuses to be planes', () => {
  // Without the lowest activation bit: relative to the middle nothing but the weight's own part of it is left.
  const data = Int32Array.from({ length: 128 }, (_, pair) => Math.floor(pair / 16) * ((pair % 16) & 14));
  const table = productTable(3, 4, false, data);
  expect(concreteMultiplier(table).kind).toBe('removal');
  const relative = concreteMultiplier(table, 'auto', 4);
  expect(relative).toEqual({
    kind: 'table',
    error: Int32Array.from({ length: 128 }, (_, pair) => 0 - (Math.floor(pair / 16) - 4) * (pair & 1)),
  });
  expect(concreteMultiplier(table, 'lowrank', 4)).toEqual({ ...relative, emulation: 'lowrank' });
  expect(() => concreteMultiplier(table, 'planes', 4)).toThrow(/emulation planes does not apply/);
});
