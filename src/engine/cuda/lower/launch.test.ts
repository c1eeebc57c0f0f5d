import { expect, test } from 'vitest';
import { MemoryPool } from '../runtime/pool.ts';
import { addresses, doubles, floats, integers, launch, packArguments, struct } from './launch.ts';

test('arguments lie at their natural alignment, structures at that of their widest field', () => {
  const bytes = packArguments({
    ...integers({ count: 1 }),
    ...addresses({ x: 2n }),
    ...integers({ below: -1 }),
    by: struct(integers({ divisor: 3, factor: 4, shift: 5 })),
    ...floats({ alpha: 0.5 }),
    ...doubles({ shrink: 0.25 }),
    ...integers({ last: 7 }),
  });
  const view = new DataView(bytes.buffer);
  expect(view.getInt32(0, true)).toBe(1);
  expect(view.getBigUint64(8, true)).toBe(2n);
  expect(view.getInt32(16, true)).toBe(-1);
  expect([20, 24, 28].map((at) => view.getInt32(at, true))).toEqual([3, 4, 5]);
  expect(view.getFloat32(32, true)).toBe(0.5);
  expect(view.getFloat64(40, true)).toBe(0.25);
  expect(view.getInt32(48, true)).toBe(7);
  expect(bytes).toHaveLength(52);
  const pair = struct({ ...addresses({ from: 9n }), ...integers({ words: 1 }) });
  expect(packArguments({ ...integers({ a: 1 }), pair, ...integers({ b: 2 }) })).toHaveLength(28);
});

test('a grid without blocks is a bug of ours', () => {
  expect(() => launch({ file: 'x.cu', defines: {} }, 'k', { grid: 0, block: 256 }, {})).toThrow(
    'internal: k: a grid of 0×1×1 blocks',
  );
});

test('the pool cuts blocks into aligned pieces and frees them together', () => {
  const freed: bigint[] = [];
  let next = 0x1000_0000n;
  const pool = new MemoryPool({
    allocate: (bytes) => {
      const at = next;
      next += BigInt(bytes);
      return at;
    },
    free: (block) => freed.push(block),
  });
  const [a, b, large, c] = [pool.allocate(1), pool.allocate(257), pool.allocate(2 ** 23), pool.allocate(16)];
  expect([b! - a!, c! - b!]).toEqual([256n, 512n]);
  expect(large).toBe(0x1000_0000n + 2n ** 22n);
  expect(pool.bytes).toBe(2 ** 22 + 2 ** 23);
  const { blocks } = pool;
  const all = [...blocks];
  pool.dispose();
  expect(freed).toEqual(all);
});
