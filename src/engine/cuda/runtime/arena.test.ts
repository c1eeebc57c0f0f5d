import { expect, test } from 'vitest';
import { UserError } from '../../../tensor/errors.ts';
import { Arena } from './arena.ts';

/** Device memory of so many bytes; every block has an address of its own. */
function fakeDevice(memoryBytes: number) {
  const blocks = new Map<bigint, number>();
  const calls: string[] = [];
  let next = 0x1000n;
  const free = () => memoryBytes - [...blocks.values()].reduce((sum, bytes) => sum + bytes, 0);
  const device = {
    allocate: (bytes: number) => {
      if (bytes > free()) throw new UserError('the GPU is out of memory');
      next += 0x1000n;
      blocks.set(next, bytes);
      calls.push(`allocate ${bytes}`);
      return next;
    },
    free: (address: bigint) => {
      expect(blocks.delete(address)).toBe(true);
      calls.push('free');
    },
    synchronize: () => void calls.push('synchronize'),
  };
  return { device, blocks, calls };
}

test('is exchanged for a block of the size asked for, once the device is done with the old one', () => {
  const { device, blocks, calls } = fakeDevice(100);
  const arena = new Arena(device);
  arena.fit(40);
  const [first, generation] = [arena.address, arena.generation];
  arena.fit(40);
  expect([arena.address, arena.generation]).toEqual([first, generation]);
  // Both together would not fit.
  arena.fit(70);
  expect(arena.generation).toBeGreaterThan(generation);
  expect([...blocks]).toEqual([[arena.address, 70]]);
  arena.fit(0);
  expect(blocks.size).toBe(0);
  expect(calls).toEqual(['allocate 40', 'synchronize', 'free', 'allocate 70', 'synchronize', 'free']);
});

test('keeps its size where there is no larger block; programs see that it has moved', () => {
  const { device, blocks } = fakeDevice(100);
  const arena = new Arena(device);
  arena.fit(40);
  const { generation } = arena;
  expect(() => arena.fit(101)).toThrow('out of memory');
  expect([...blocks]).toEqual([[arena.address, 40]]);
  expect(arena.bytes).toBe(40);
  expect(arena.generation).toBeGreaterThan(generation);
});
