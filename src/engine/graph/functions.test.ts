// exp, log and erf as devices compute them, operator by operator in float32, against double precision.

import { expect, test } from 'vitest';
import { compute, type Expression, erf, errorFunction, exp, input, log, partsOf } from './expression.ts';
import { expanded } from './functions.ts';

/** A function of one operand as devices compute it: each operator rounded to float32. */
function device(of: (x: Expression) => Expression): (x: number) => number {
  const [result] = expanded([of(input(0))]) as [Expression];
  const parts = partsOf([result]);
  const places = new Map(parts.map((part, at) => [part, at]));
  const values = new Float32Array(parts.length);
  return (x) => {
    parts.forEach(({ kind, operands, value }, at) => {
      const [a = 0, b = 0, c = 0, d = 0] = operands.map((operand) => values[places.get(operand)!]!);
      if (kind === 'input') values[at] = x;
      else values[at] = kind === 'constant' ? value : compute(kind, a, b, c, d);
    });
    return values[places.get(result)!]!;
  };
}

/** Numbers that float32 holds, close to each other. */
function* numbers(low: number, high: number, count: number): Generator<number> {
  for (let n = 0; n <= count; n++) yield Math.fround(low + ((high - low) * n) / count);
}

test('exp is right to 8.1e-8 of itself from −86.5 to 88.7', () => {
  const approximate = device(exp);
  let worst = 0;
  for (const x of numbers(-86.49, 88.72, 100_000)) {
    worst = Math.max(worst, Math.abs(approximate(x) / Math.exp(x) - 1));
  }
  expect(worst).toBeLessThan(8.1e-8);
});

test('exp is 0 below, infinite above, and not a number of what is none', () => {
  const approximate = device(exp);
  expect([-87, -1e30, Number.NEGATIVE_INFINITY].map(approximate)).toEqual([0, 0, 0]);
  expect([88.73, 1e30, Number.POSITIVE_INFINITY].map(approximate)).toEqual([Infinity, Infinity, Infinity]);
  expect(approximate(Number.NaN)).toBeNaN();
  expect(approximate(0)).toBe(1);
});

test('log is right to 1e-7 of itself over all magnitudes, and near 1', () => {
  const approximate = device(log);
  let worst = 0;
  const check = (x: number) => {
    const exact = Math.log(x);
    worst = Math.max(worst, Math.abs(approximate(x) - exact) / Math.max(Math.abs(exact), 1e-30));
  };
  for (const exponent of numbers(-149, 127.9, 20_000)) check(Math.fround(2 ** exponent));
  for (const x of [...numbers(0.4, 2.5, 20_000), ...numbers(0.999, 1.001, 5_000)]) check(x);
  expect(worst).toBeLessThan(1e-7);
});

test('log is 0 of 1, infinite at both ends, and not a number of what is negative or none', () => {
  const approximate = device(log);
  expect(approximate(1)).toBe(0);
  expect([0, Number.POSITIVE_INFINITY].map(approximate)).toEqual([-Infinity, Infinity]);
  expect(approximate(3.4028234663852886e38)).toBeCloseTo(128 * Math.LN2, 5);
  expect([-1, Number.NEGATIVE_INFINITY, Number.NaN].map(approximate)).toEqual([Number.NaN, Number.NaN, Number.NaN]);
});

test('erf is right to 1.4e-7, and to 1.6e-7 of itself near zero', () => {
  const approximate = device(erf);
  let [absolute, relative] = [0, 0];
  for (const x of [...numbers(-6, 6, 60_000), ...numbers(-1e-3, 1e-3, 10_000)]) {
    const exact = errorFunction(x);
    const error = Math.abs(approximate(x) - exact);
    absolute = Math.max(absolute, error);
    if (x !== 0) relative = Math.max(relative, error / Math.abs(exact));
  }
  expect(absolute).toBeLessThan(1.4e-7);
  expect(relative).toBeLessThan(1.65e-7);
});

test('erf is odd, ±1 far out, and not a number of what is none', () => {
  const approximate = device(erf);
  expect(approximate(1e-30)).toBe(Math.fround((2 / Math.sqrt(Math.PI)) * 1e-30));
  expect([5, -5, 1e30, Number.NEGATIVE_INFINITY].map(approximate)).toEqual([1, -1, 1, -1]);
  expect(approximate(-0.7)).toBe(-approximate(0.7));
  expect(approximate(Number.NaN)).toBeNaN();
});

test('the error function of the reference has the digits of the tables', () => {
  // Abramowitz and Stegun, table 7.1.
  const table: readonly (readonly [number, number])[] = [
    [0.1, 0.1124629160182849],
    [0.5, 0.5204998778130465],
    [1, 0.8427007929497149],
    [2, 0.9953222650189527],
    [2.6, 0.9997639655834707],
    [3, 0.9999779095030014],
  ];
  for (const [x, y] of table) expect(Math.abs(errorFunction(x) - y)).toBeLessThan(2e-15);
});
