import { expect, test } from 'vitest';
import { Random } from '../../tensor/random.ts';
import { Arena, type InArena } from './arena.ts';

test('blocks that live at one time share no byte, whatever lives how long', () => {
  for (let seed = 0; seed < 20; seed++) {
    const random = new Random(7, seed);
    const arena = new Arena(64);
    const blocks: { readonly place: InArena; readonly bytes: number; readonly from: number; to: number }[] = [];
    const live = new Set<(typeof blocks)[number]>();
    for (let at = 0; at < 200; at++) {
      for (const block of live) {
        if (random.integer(8) > 0) continue;
        expect(arena.free(block.place)).toBe(Math.max(1, Math.ceil(block.bytes / 64)) * 64);
        block.to = at;
        live.delete(block);
      }
      const bytes = random.integer(random.integer(4) === 0 ? 5000 : 200);
      const block = { place: arena.allocate(bytes), bytes, from: at, to: Number.POSITIVE_INFINITY };
      blocks.push(block);
      live.add(block);
    }
    const size = arena.layOut();
    for (const [number, { place, bytes, from, to }] of blocks.entries()) {
      expect(place.offset % 64).toBe(0);
      expect(place.offset + bytes).toBeLessThanOrEqual(size);
      for (const other of blocks.slice(0, number)) {
        const apart =
          other.place.offset + other.bytes <= place.offset || place.offset + bytes <= other.place.offset || bytes === 0;
        expect(apart || other.to <= from || to <= other.from).toBe(true);
      }
    }
  }
});

test('a small block that lives long does not cut what a large one needs', () => {
  const arena = new Arena(1);
  const first = arena.allocate(100);
  const small = arena.allocate(1);
  arena.free(first);
  const second = arena.allocate(110);
  expect(arena.layOut()).toBe(111);
  expect([first, second, small].map(({ offset }) => offset)).toEqual([0, 0, 110]);
});

test('what is freed twice, or lives to the end, is counted once', () => {
  const arena = new Arena(16);
  const [one, other] = [arena.allocate(0), arena.allocate(17)];
  expect([arena.sizeOf(one), arena.sizeOf(other)]).toEqual([16, 32]);
  expect([arena.free(one), arena.free(one), arena.sizeOf(one)]).toEqual([16, 0, 0]);
  expect(arena.layOut()).toBe(48);
});
