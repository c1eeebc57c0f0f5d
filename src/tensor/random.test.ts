import { describe, expect, test } from 'vitest';
import { Random } from './random.ts';

const draw = (random: Random, count: number) => Array.from({ length: count }, () => random.bits());

describe('Random', () => {
  test('matches the reference implementation of xoshiro128** from the state 1, 2, 3, 4', () => {
    expect(draw(Random.fromState([1, 2, 3, 4]), 10)).toEqual([
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ]);
  });

  test('the same numbers give the same values, pinned', () => {
    expect(draw(new Random(1, 2, 3), 4)).toEqual(draw(new Random(1, 2, 3), 4));
    expect(draw(new Random(1, 2, 3), 2)).toEqual([547846377, 1808902434]);
  });

  test('neighbouring seeds, streams and lengths give different sequences', () => {
    const names = [[0], [1], [-1], [0, 0], [0, 1], [1, 0], [0, 0, 0], [2 ** 32], [2 ** 32 + 1], [2 ** 40]];
    const first = names.map(([seed, ...stream]) => draw(new Random(seed!, ...stream), 4).join());
    expect(new Set(first).size).toBe(names.length);
  });

  test('uniform values have the mean and variance of [0, 1)', () => {
    const random = new Random(5);
    const values = Array.from({ length: 100_000 }, () => random.uniform());
    const mean = values.reduce((sum, x) => sum + x) / values.length;
    const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length;
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.004);
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(0.001);
    expect(values.every((x) => x >= 0 && x < 1)).toBe(true);
  });

  test('first draws of consecutive streams are uncorrelated and uniform', () => {
    const values = Array.from({ length: 50_000 }, (_, step) => new Random(7, 3, step).uniform());
    let covariance = 0;
    for (let i = 1; i < values.length; i++) covariance += (values[i]! - 0.5) * (values[i - 1]! - 0.5);
    expect(Math.abs((covariance / values.length) * 12)).toBeLessThan(0.02);
    const tenths = new Array(10).fill(0);
    for (const value of values) tenths[Math.floor(value * 10)]++;
    for (const count of tenths) expect(Math.abs(count - 5000)).toBeLessThan(350);
  });

  test('normal values have mean 0, variance 1 and kurtosis 3', () => {
    const random = new Random(11);
    const values = Array.from({ length: 100_000 }, () => random.normal());
    const moment = (k: number) => values.reduce((sum, x) => sum + x ** k, 0) / values.length;
    expect(Math.abs(moment(1))).toBeLessThan(0.015);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.02);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.2);
  });

  test('integers fill their range evenly', () => {
    const random = new Random(13);
    const counts = new Array(6).fill(0);
    for (let i = 0; i < 60_000; i++) counts[random.integer(6)]++;
    for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400);
    expect(random.integer(1)).toBe(0);
    expect(() => random.integer(0)).toThrow('internal: the bound 0');
  });

  test.each([1, 2, 3, 2 ** 31, 2 ** 31 + 1, 2 ** 32 - 1, 2 ** 32])(
    'integers below %i are what is left of the first bits in whole ranges of it',
    (bound) => {
      const [random, bits] = [new Random(19, bound), new Random(19, bound)];
      for (let i = 0; i < 500; i++) {
        let value = bits.bits();
        while (value >= 2 ** 32 - (2 ** 32 % bound)) value = bits.bits();
        expect(random.integer(bound)).toBe(value % bound);
      }
    },
  );

  test('a permutation holds every index once', () => {
    const order = new Random(17).permutation(1000);
    expect([...order].sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
    expect([...order.subarray(0, 3)]).not.toEqual([0, 1, 2]);
    expect(new Random(17).permutation(0).length).toBe(0);
    const random = new Random(17);
    const shuffled = Array.from({ length: 1000 }, (_, i) => i);
    for (let last = 999; last > 0; last--) {
      const other = random.integer(last + 1);
      [shuffled[last], shuffled[other]] = [shuffled[other]!, shuffled[last]!];
    }
    expect([...order]).toEqual(shuffled);
  });

  test('refuses a fractional seed', () => {
    expect(() => new Random(0.5)).toThrow('internal: a random stream is named by integers, got 0.5');
  });
});
