// The entry of a thread of ./threads.ts: computes one task after the other, and never ends by itself.

import { parentPort, workerData } from 'node:worker_threads';
import { failedBy } from '../../tensor/failed.ts';
import type { HostAnswer, HostRequest, HostTask } from './task.ts';

// What does not load is told where it is needed.
void import(workerData as string).catch(() => {});

parentPort!.on('message', async ({ module, name, argument }: HostRequest) => {
  try {
    const exported = (await import(module)) as Readonly<Record<string, HostTask<unknown, unknown>>>;
    const result = exported[name]!.compute(argument);
    const answer: HostAnswer = { result };
    parentPort!.postMessage(answer, buffersIn(result));
  } catch (error) {
    const answer: HostAnswer = { failed: failedBy(error) };
    parentPort!.postMessage(answer);
  }
});

/** Of the arrays that a result is or holds. */
function buffersIn(result: unknown): ArrayBuffer[] {
  const values = ArrayBuffer.isView(result) ? [result] : Object.values(result ?? {});
  const found = values.filter(ArrayBuffer.isView).map(({ buffer }) => buffer);
  return [...new Set(found.filter((buffer) => buffer instanceof ArrayBuffer))];
}
