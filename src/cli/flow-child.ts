// The process of a run (flow-process.ts): the flow works in a thread of it, so that it hears at once when the process
// that began it is gone. Ctrl-C reaches the whole group of processes, but only the first one decides what it means.

import { failedBy } from '../tensor/failed.ts';
import type { ProcessRequest } from './flow-process.ts';
import { type FlowMessage, runFlowInThread } from './flow-thread.ts';

const controller = new AbortController();
const post = (message: FlowMessage) => void process.send?.(message);

for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => {});
process.on('disconnect', () => process.exit(0));
process.on('message', (request: ProcessRequest) => {
  if (request.kind === 'stop') controller.abort();
  else void work(request.options);
});

async function work(options: Extract<ProcessRequest, { kind: 'begin' }>['options']): Promise<void> {
  try {
    const { signal } = controller;
    const summary = await runFlowInThread({ ...options, signal, listener: (event) => post({ kind: 'event', event }) });
    post({ kind: 'done', summary });
  } catch (error) {
    if (controller.signal.aborted && error === controller.signal.reason) post({ kind: 'stopped' });
    else post({ kind: 'failed', ...failedBy(error) });
  }
}
