import { expect, test } from 'vitest';
import { ResultsInFlight } from './pipeline.ts';

const later = <T>(value: T, ticks: number) =>
  new Promise<T>((done) => {
    setTimeout(() => done(value), ticks);
  });

test('results are taken in the order of their steps, whichever is there first', async () => {
  const taken: number[] = [];
  const inFlight = new ResultsInFlight<number>((result) => taken.push(result));
  for (const [step, ticks] of [9, 1, 5, 0].entries()) await inFlight.add(later(step, ticks));
  expect(taken).toEqual([0, 1]);
  await inFlight.settle();
  expect(taken).toEqual([0, 1, 2, 3]);
});

test('the first step that fails ends it with its error; those behind it raise nothing of their own', async () => {
  const taken: number[] = [];
  const unhandled: unknown[] = [];
  const note = (reason: unknown) => unhandled.push(reason);
  process.on('unhandledRejection', note);
  const inFlight = new ResultsInFlight<number>((result) => taken.push(result));
  await inFlight.add(later(0, 0));
  await inFlight.add(Promise.reject(new Error('step 1')));
  await inFlight.add(Promise.reject(new Error('step 2')));
  await expect(inFlight.settle()).rejects.toThrow('step 1');
  await later(undefined, 5);
  process.off('unhandledRejection', note);
  expect(taken).toEqual([0]);
  expect(unhandled).toEqual([]);
});
