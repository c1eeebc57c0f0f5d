import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { UserError } from './errors.ts';
import { inflateLimited, isGzip } from './gzip.ts';
import { formatBytes } from './numbers.ts';

const packed = gzipSync(Buffer.from('0 0 0\n'.repeat(1000)));

describe('inflateLimited', () => {
  test('unpacks one member or several, up to the limit itself', () => {
    expect(isGzip(packed)).toBe(true);
    expect(isGzip(Buffer.from('plain'))).toBe(false);
    expect(inflateLimited(packed, 6000, 'a.gz').length).toBe(6000);
    expect(inflateLimited(Buffer.concat([packed, packed]), 12_000, 'a.gz').length).toBe(12_000);
  });

  test.each<[string, Uint8Array, number, RegExp]>([
    [
      'more than the limit',
      packed,
      5999,
      /^cannot read a\.gz: it unpacks to more than 5\.9 KiB, the most that is read/,
    ],
    ['a file that is cut off', packed.subarray(0, -9), 6000, /^cannot read a\.gz: its gzip data end too early/],
    ['damage', Buffer.from(packed).fill(7, 10, 14), 6000, /^cannot read a\.gz: its gzip data are damaged/],
    ['no gzip at all', Buffer.from('plain'), 6000, /^cannot read a\.gz: its gzip data are damaged/],
  ])('says that it met %s', (_, bytes, limit, message) => {
    const inflate = () => inflateLimited(bytes, limit, 'a.gz');
    expect(inflate).toThrow(UserError);
    expect(inflate).toThrow(message);
  });

  test('stops inflating at the limit: a bomb of 256 MiB costs no more memory than the limit asks for', () => {
    const bomb = gzipSync(Buffer.alloc(2 ** 28), { level: 9 });
    expect(bomb.length).toBeLessThan(300_000);
    const before = process.memoryUsage().rss;
    expect(() => inflateLimited(bomb, 2 ** 20, 'bomb.gz')).toThrow('it unpacks to more than 1 MiB');
    expect(process.memoryUsage().rss - before).toBeLessThan(2 ** 26);
  });
});

test('sizes in units that people read', () => {
  expect([100, 2 ** 20, 1.5 * 2 ** 30].map(formatBytes)).toEqual(['100 bytes', '1 MiB', '1.5 GiB']);
});
