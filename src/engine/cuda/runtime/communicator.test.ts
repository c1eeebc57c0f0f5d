import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { UserError } from '../../../tensor/errors.ts';
import type { Collective } from '../lower/schedule.ts';
import { type CollectiveOptions, Communicator } from './communicator.ts';

const collective: Collective = { kind: 'sum', parts: [{ from: 1n, to: 1n, count: 4 }] };
const id = new Uint8Array(128);

/** A library and a device that write down what they are asked for; `state` answers whether work is settled. */
function group(options: Partial<CollectiveOptions> = {}) {
  const calls: string[] = [];
  const control = { state: (): boolean => true, abort: async () => {}, drained: async () => {} };
  const library = {
    join: () => {
      calls.push('join');
      return 5n;
    },
    settled: () => control.state(),
    allReduce: (kind: string, _: unknown, handle: bigint, stream: bigint) => {
      calls.push(`${kind} of ${handle} on ${stream}`);
    },
    destroy: async () => void calls.push('destroy'),
    abort: async () => {
      calls.push('abort');
      await control.abort();
    },
  };
  const device = {
    stream: 7n,
    use: () => {},
    beginCapture: () => void calls.push('begin'),
    endCapture: () => {
      calls.push('end');
      return 9n;
    },
    dispose: () => void calls.push('dispose'),
  };
  const communicator = new Communicator(library, () => device, { rank: 0, ranks: 2, id, ...options });
  const session = {
    destroyGraphs: () => void calls.push('graphs'),
    idle: async () => {},
    drained: () => control.drained(),
  };
  return { communicator, control, calls, session };
}

/** Settled after so many questions. */
const after = (questions: number) => {
  let left = questions;
  return () => left-- <= 0;
};

test('what the ranks do in one order begins when what was asked for before is done, failed or not', async () => {
  const { communicator } = group();
  const order: string[] = [];
  const work = (name: string, turns: number, fails = false) =>
    communicator.inOrder(async () => {
      order.push(`${name} begins`);
      for (let turn = 0; turn < turns; turn++) await new Promise((next) => setImmediate(next));
      order.push(`${name} ends`);
      if (fails) throw new Error(name);
      return name;
    });
  const all = await Promise.allSettled([work('slow', 5, true), work('quick', 0), work('last', 1)]);
  expect(order).toEqual(['slow', 'quick', 'last'].flatMap((name) => [`${name} begins`, `${name} ends`]));
  expect(all.map(({ status }) => status)).toEqual(['rejected', 'fulfilled', 'fulfilled']);
});

test('a reduction is captured when the group is there, and ends being captured when the library is done', async () => {
  const { communicator, control, calls } = group();
  control.state = after(2);
  const joining = communicator.join();
  expect(communicator.join()).toBe(joining);
  await joining;
  control.state = after(3);
  expect(await communicator.capture(collective)).toBe(9n);
  expect(calls).toEqual(['join', 'begin', 'sum of 5 on 7', 'end']);
  await communicator.dispose();
  expect(calls.slice(4)).toEqual(['destroy', 'dispose']);
  expect(() => communicator.check()).toThrow('the group of GPUs was left');
});

test('sessions run one after the other', async () => {
  const { communicator } = group();
  const idle: string[] = [];
  const session = (name: string) => {
    const made = { destroyGraphs: () => {}, idle: async () => void idle.push(name), drained: async () => {} };
    communicator.enter(made);
    return made;
  };
  const [one, other] = [session('one'), session('other')];
  for (const next of [one, one, other, one]) await communicator.turn(next);
  expect(idle).toEqual(['one', 'other']);
  // Of one that has ended nothing is awaited.
  communicator.leave(one);
  await communicator.turn(other);
  expect(idle).toEqual(['one', 'other']);
});

test('a group is not left by an open session', async () => {
  const { communicator, session } = group();
  await communicator.join();
  communicator.enter(session);
  await expect(communicator.dispose()).rejects.toThrow('internal: a group is left by an open session');
  communicator.leave(session);
  await communicator.dispose();
});

test('others that do not come are waited for so long, then the group is given up', async () => {
  const { communicator, control, calls } = group({ patienceSeconds: 0.03, rank: 1, ranks: 4 });
  control.state = () => false;
  await expect(communicator.join()).rejects.toThrow(
    /^rank 1 of 4 waited 0.03 s for the others to join the group of 4 GPUs; see that all are running/,
  );
  expect(calls).toEqual(['join', 'abort']);
  await expect(communicator.capture(collective)).rejects.toThrow(UserError);
});

describe('a rank that is gone', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'] }));
  afterEach(() => void vi.useRealTimers());

  test('is asked about once a second; the library ends what runs, then graphs go, and everything throws from then on', async () => {
    const { communicator, control, calls, session } = group();
    await communicator.join();
    communicator.enter(session);
    let drain = () => {};
    control.drained = () => new Promise<void>((done) => (drain = done));
    let asked = 0;
    control.state = () => {
      asked++;
      return true;
    };
    vi.setSystemTime(Date.now() + 1000);
    for (let turn = 0; turn < 50; turn++) communicator.check();
    expect(asked).toBe(1);
    control.state = () => {
      throw new Error('remote process exited');
    };
    vi.setSystemTime(Date.now() + 1000);
    const message = 'another GPU of the group cannot be reached: remote process exited';
    expect(() => communicator.check()).toThrow(message);
    expect(() => communicator.check()).toThrow(UserError);
    // To destroy a graph that is under way waits for it, here for ever: the library first, and what runs then ends.
    await Promise.resolve();
    expect(calls.slice(1)).toEqual(['abort']);
    drain();
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
    expect(calls.slice(1)).toEqual(['abort', 'graphs']);
    await expect(communicator.join().then(() => communicator.capture(collective))).rejects.toThrow(message);
    // What was given up is not touched again.
    const { length } = calls;
    await expect(communicator.reduce(collective, { stream: 1n, use: () => {} })).rejects.toThrow(message);
    await communicator.dispose();
    expect(calls).toHaveLength(length);
  });

  test('is named by who learns of it first, also while a reduction waits for it', async () => {
    const { communicator, control } = group();
    await communicator.join();
    control.state = () => false;
    const capturing = communicator.capture(collective);
    const reason = new UserError('rank 1 (host, GPU 1) is lost');
    expect(await communicator.lose(reason)).toBe(true);
    expect(await communicator.lose(new Error('later'))).toBe(true);
    await expect(capturing).rejects.toBe(reason);
    expect(communicator.failure).toBe(reason);
  });

  test('leaves a process that must end where the library does not come to an end', async () => {
    const { communicator, control } = group();
    await communicator.join();
    control.abort = () => new Promise(() => {});
    const ended = communicator.lose(new Error('gone'));
    await vi.advanceTimersByTimeAsync(5000);
    expect(await ended).toBe(false);
  });
});
