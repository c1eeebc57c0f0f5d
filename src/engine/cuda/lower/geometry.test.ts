import { expect, test } from 'vitest';
import { Random } from '../../../tensor/random.ts';
import { chooseTile, dividerOf, sharesOf } from './geometry.ts';

/** The kernels' quotient in 32-bit arithmetic. */
function quotient(n: number, { factor, shift }: { factor: number; shift: number }): number {
  const high = Number((BigInt(n) * BigInt(factor)) >> 32n);
  expect(high + n).toBeLessThan(2 ** 32);
  return Math.floor((high + n) / 2 ** shift);
}

test('division by constants is exact for every divisor and every n below 2^31', () => {
  const random = new Random(1);
  for (let divisor = 1; divisor <= 2000; divisor++) {
    const constants = dividerOf(divisor);
    expect(constants.factor).toBeLessThan(2 ** 32);
    const multiple = divisor * random.integer(Math.floor(2 ** 31 / divisor));
    for (const n of [
      0,
      1,
      divisor - 1,
      divisor,
      multiple,
      Math.max(0, multiple - 1),
      random.integer(2 ** 31),
      2 ** 31 - 1,
    ]) {
      expect(quotient(n, constants)).toBe(Math.floor(n / divisor));
    }
  }
  for (const divisor of [65535, 65536, 2 ** 30, 2 ** 31 - 1]) {
    for (const n of [divisor - 1, divisor, 2 ** 31 - 1]) {
      expect(quotient(n, dividerOf(divisor))).toBe(Math.floor(n / divisor));
    }
  }
});

test('small products take small tiles, so that every multiprocessor has one', () => {
  const tiles = [256, 128, 64].map((rows) => ({ rows, columns: 64, warpsM: 4, warpsN: 2 }));
  expect(chooseTile(tiles, 65536, 64, 1, 132).rows).toBe(256);
  expect(chooseTile(tiles, 4096, 256, 1, 132).rows).toBe(128);
  expect(chooseTile(tiles, 1024, 512, 1, 132).rows).toBe(64);
});

test('shares of the plane gradients differ by one unit at most, and the parts of the tiles are the visits of the blocks', () => {
  for (const [tiles, stages] of [
    [9, 2048],
    [36, 128],
    [144, 32],
    [1, 3],
    [576, 1],
  ] as const) {
    const shares = sharesOf(tiles, stages, 132);
    const units = tiles * stages;
    const visits = new Uint8Array(tiles);
    const lengths = new Set<number>();
    for (let block = 0; block < shares.blocks; block++) {
      const [from, to] = [block, block + 1].map((at) => Math.floor((at * units) / shares.blocks)) as [number, number];
      lengths.add(to - from);
      for (let tile = Math.floor(from / stages); tile * stages < to; tile++) visits[tile]!++;
    }
    expect(Math.max(...lengths) - Math.min(...lengths)).toBeLessThanOrEqual(1);
    expect(shares.parts).toEqual(visits);
  }
});
