import { expect, test } from 'vitest';
import { OutputRing } from './outputs.ts';

/** A device whose runs end when the test says so: run n leaves n in every byte of the block. */
function fakeDevice() {
  let issued = 0;
  let done = 0;
  const buffers = new Map<bigint, Uint8Array>();
  const pending = new Map<number, () => void>();
  const events = new Map<bigint, number>();
  const device = {
    allocateHost: (bytes: number) => {
      const pointer = BigInt(buffers.size + 1);
      buffers.set(pointer, new Uint8Array(bytes));
      return { pointer, bytes: buffers.get(pointer)! };
    },
    freeHost: () => {},
    createEvent: () => BigInt(100 + events.size + buffers.size),
    destroyEvent: () => {},
    toHost: (to: bigint | Uint8Array) => {
      const run = issued;
      pending.set(run, () => void buffers.get(to as bigint)!.fill(run));
    },
    record: (event: bigint) => void events.set(event, issued),
    reached: async (event: bigint) => {
      while (done < events.get(event)!) await new Promise((next) => setImmediate(next));
    },
  };
  const finish = (run: number) => {
    for (; done < run; done++) pending.get(done + 1)!();
  };
  const start = async (ring: OutputRing) => {
    await ring.ready();
    issued++;
    ring.collect();
  };
  return { device, finish, start };
}

test('a read is of the latest run at the time of the call, however many are started before it ends', async () => {
  const { device, finish, start } = fakeDevice();
  const ring = new OutputRing(device, 0n, 8);
  await start(ring);
  const first = ring.read(0, 4);
  await start(ring);
  const second = ring.read(4, 2);
  await start(ring);
  finish(3);
  expect([...(await first)]).toEqual([1, 1, 1, 1]);
  expect([...(await second)]).toEqual([2, 2]);
  expect([...(await ring.read(0, 1))]).toEqual([3]);
});

test('a further run waits when all slots are under way, and never overwrites what is still to be read', async () => {
  const { device, finish, start } = fakeDevice();
  const ring = new OutputRing(device, 0n, 1);
  const reads = [];
  for (let run = 1; run <= 4; run++) {
    await start(ring);
    reads.push(ring.read(0, 1));
  }
  let started = false;
  const fifth = start(ring).then(() => {
    started = true;
  });
  await new Promise((next) => setTimeout(next, 5));
  expect(started).toBe(false);
  finish(4);
  await fifth;
  finish(5);
  const values = await Promise.all(reads);
  expect(values.map(([value]) => value)).toEqual([1, 2, 3, 4]);
  expect([...(await ring.read(0, 1))]).toEqual([5]);
});

test('reading before the first run is an internal error', () => {
  const { device } = fakeDevice();
  expect(() => new OutputRing(device, 0n, 1).read(0, 1)).toThrow('outputs are read before the first run');
});
