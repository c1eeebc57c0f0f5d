import { expect, test } from 'vitest';
import type { Context } from './driver.ts';
import { PinnedInput, PinnedMemory } from './staging.ts';

/** Device memory as one array; copies are done when the test says so, in their order. */
function fakeDevice() {
  const memory = new Uint8Array(256);
  const buffers = new Map<bigint, Uint8Array>();
  const pending: (() => void)[] = [];
  const happened = new Set<bigint>();
  let [next, freed, blocked] = [1n, 0, 0];
  const device = {
    use: () => {},
    allocateHost: (bytes: number) => {
      const pointer = next++;
      buffers.set(pointer, new Uint8Array(bytes));
      return { pointer, bytes: buffers.get(pointer)! };
    },
    freeHost: () => void freed++,
    createEvent: () => next++,
    destroyEvent: () => {},
    record: (event: bigint) => {
      happened.delete(event);
      pending.push(() => void happened.add(event));
    },
    toDevice: (to: bigint, from: bigint, bytes: number) =>
      void pending.push(() => memory.set(buffers.get(from)!.subarray(0, bytes), Number(to))),
    toHost: (to: bigint, from: bigint, bytes: number) =>
      void pending.push(() => buffers.get(to)!.set(memory.subarray(Number(from), Number(from) + bytes))),
    reached: async (event: bigint) => {
      while (!happened.has(event)) await new Promise((turn) => setImmediate(turn));
    },
    driver: {
      reached: (event: bigint) => happened.has(event),
      call: (name: string) => {
        if (name === 'cuEventSynchronize') blocked++;
        for (const step of pending.splice(0)) step();
      },
    },
  };
  const work = () => {
    for (const step of pending.splice(0)) step();
  };
  const counts = () => ({ buffers: buffers.size, freed, blocked });
  return { context: device as unknown as Context, memory, work, counts };
}

const input = (context: Context, never: boolean) =>
  new PinnedInput(context, 'x', { dtype: 'u8', shape: [2] }, 10n, never);

test('an input of a device that may not be waited for takes more buffers, and arrives in order', () => {
  const { context, memory, work, counts } = fakeDevice();
  const x = input(context, true);
  const before = counts().buffers;
  for (let value = 1; value <= before + 3; value++) x.write(Uint8Array.of(value, value));
  expect(counts().buffers).toBe(before + 3);
  work();
  expect([...memory.subarray(10, 12)]).toEqual([before + 3, before + 3]);
  for (let value = 1; value <= 5; value++) {
    x.write(Uint8Array.of(100 + value, value));
    work();
    expect([...memory.subarray(10, 12)]).toEqual([100 + value, value]);
  }
  expect(counts()).toMatchObject({ buffers: before + 3 });
  x.dispose();
  expect(counts().freed).toBe(before + 3);
});

test('an input of a device alone has two, and waits', () => {
  const { context, counts } = fakeDevice();
  const x = input(context, false);
  for (let value = 1; value <= 3; value++) x.write(Uint8Array.of(value, value));
  expect(counts()).toMatchObject({ buffers: 2, blocked: 1 });
});

test('copies that nobody waits for: data may change at once, buffers are used again', async () => {
  const { context, memory, work, counts } = fakeDevice();
  const pinned = new PinnedMemory(context);
  const data = Float32Array.of(1, 2);
  pinned.send(16n, data);
  data.fill(0);
  const back = new Float32Array(2);
  const fetching = pinned.fetch(16n, back);
  pinned.send(16n, Float32Array.of(3, 4));
  work();
  await fetching;
  expect([...back]).toEqual([1, 2]);
  expect([...new Float32Array(memory.buffer, 16, 2)]).toEqual([3, 4]);
  await new Promise((turn) => setImmediate(turn));
  const { buffers } = counts();
  for (let turn = 0; turn < 3; turn++) {
    const again = pinned.fetch(16n, back);
    work();
    await again;
  }
  expect(counts().buffers).toBe(buffers);
  await pinned.dispose();
  expect(counts().freed).toBe(buffers);
});
