// The thread in which the flow runs: passes its events on, looks at the shared cell at each of them and when it is told
// to, as it is while the flow waits for something, and reports how it ended.

import { parentPort, workerData } from 'node:worker_threads';
import { runFlow } from '../flow/flow.ts';
import { type FlowJob, type FlowMessage, failedBy } from './flow-thread.ts';

const { options, stop } = workerData as FlowJob;
const controller = new AbortController();
const post = (message: FlowMessage) => parentPort?.postMessage(message);
const look = () => {
  if (Atomics.load(stop, 0) === 1) controller.abort();
};
parentPort?.on('message', look);
// What may be told is nothing to wait for.
parentPort?.unref();

try {
  const summary = await runFlow({
    ...options,
    signal: controller.signal,
    listener: (event) => {
      post({ kind: 'event', event });
      look();
    },
  });
  post({ kind: 'done', summary });
} catch (error) {
  if (controller.signal.aborted && error === controller.signal.reason) post({ kind: 'stopped' });
  else post({ kind: 'failed', ...failedBy(error) });
}
