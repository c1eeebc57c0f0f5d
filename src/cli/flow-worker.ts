// The thread in which the flow runs: loads it, waits for its job, passes its events on, looks at the shared cell at
// each of them and when it is told to, as it is while the flow waits for something, and reports how it ended.

import { parentPort } from 'node:worker_threads';
import { runFlow } from '../flow/flow.ts';
import { failedBy } from '../tensor/failed.ts';
import type { FlowJob, FlowMessage, FlowRequest } from './flow-thread.ts';

const controller = new AbortController();
const post = (message: FlowMessage) => parentPort?.postMessage(message);
let stop: Int32Array | undefined;
const look = () => {
  if (stop && Atomics.load(stop, 0) === 1) controller.abort();
};

parentPort?.on('message', (request: FlowRequest) => {
  if (request === 'look') look();
  else void work(request);
});

async function work(job: FlowJob): Promise<void> {
  // What may still be told is nothing to wait for.
  parentPort?.unref();
  stop = job.stop;
  try {
    const summary = await runFlow({
      ...job.options,
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
}
