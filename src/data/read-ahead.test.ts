import { setTimeout } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { readAhead } from './read-ahead.ts';

/** A reader whose requests are answered by hand, and what was asked for so far. */
function byHand() {
  const asked: number[] = [];
  const open = new Map<number, { give: (value: string) => void; fail: (error: Error) => void }>();
  let stopped = 0;
  const read = (request: number, signal: AbortSignal) => {
    asked.push(request);
    return new Promise<string>((give, fail) => {
      open.set(request, { give, fail });
      signal.addEventListener('abort', () => {
        stopped++;
        fail(new Error('stopped'));
      });
    });
  };
  return { asked, read, answer: (request: number) => open.get(request)!, stopped: () => stopped };
}

test('the request behind the one in use is being read, and no more; results come in order', async () => {
  const { asked, read, answer } = byHand();
  const results = readAhead([1, 2, 3, 4], read);
  const first = results.next();
  expect(asked).toEqual([1, 2]);
  answer(2).give('two');
  answer(1).give('one');
  expect((await first).value).toEqual({ request: 1, result: 'one' });
  await setTimeout(5);
  expect(asked).toEqual([1, 2]);
  expect((await results.next()).value).toEqual({ request: 2, result: 'two' });
  expect(asked).toEqual([1, 2, 3]);
  await results.return();
});

test('the depth can be chosen, and a few requests are no trouble', async () => {
  const asked: number[] = [];
  const read = async (request: number) => {
    asked.push(request);
    return 10 * request;
  };
  const results = readAhead([1, 2, 3, 4, 5], read, { ahead: 3 });
  expect((await results.next()).value).toEqual({ request: 1, result: 10 });
  expect(asked).toEqual([1, 2, 3, 4]);
  const rest: number[] = [];
  for await (const { result } of results) rest.push(result);
  expect(rest).toEqual([20, 30, 40, 50]);
  for await (const _ of readAhead([], read)) expect.unreachable();
});

test('an early end stops what is being read and waits until it has stopped', async () => {
  const { asked, read, answer, stopped } = byHand();
  const results = readAhead([1, 2, 3], read);
  const first = results.next();
  answer(1).give('one');
  await first;
  await results.return();
  expect([asked, stopped()]).toEqual([[1, 2], 2]);
  expect(await results.next()).toEqual({ done: true, value: undefined });
});

test('a failing read ends it with its error, after the results before it; nothing is left unhandled', async () => {
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', note);
  const { read, answer } = byHand();
  const results = readAhead([1, 2, 3], read, { ahead: 2 });
  const first = results.next();
  answer(2).fail(new Error('a bad sector'));
  answer(3).fail(new Error('another'));
  answer(1).give('one');
  expect((await first).value).toEqual({ request: 1, result: 'one' });
  await setTimeout(5);
  await expect(results.next()).rejects.toThrow('a bad sector');
  await setTimeout(5);
  process.off('unhandledRejection', note);
  expect(unhandled).toEqual([]);
});

test('a signal of the caller stops reading too', async () => {
  const { read } = byHand();
  const stop = new AbortController();
  const results = readAhead([1, 2], read, { signal: stop.signal });
  const first = results.next();
  stop.abort();
  await expect(first).rejects.toThrow('stopped');
});
