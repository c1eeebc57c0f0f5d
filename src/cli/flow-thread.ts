// The flow in a thread of its own: a step computes for as long as it takes, while this thread redraws the terminal and
// answers Ctrl-C.
// Events arrive as messages; the wish to stop is a shared cell, so that it is seen between two steps even when nothing
// waits for messages, and a message to look there, for a flow that waits itself: for other ranks, or for a lock.

import { extname } from 'node:path';
import { SHARE_ENV, Worker } from 'node:worker_threads';
import type { FlowOptions } from '../flow/flow.ts';
import type { RunSummary } from '../flow/results/summary.ts';
import type { RunEvent } from '../flow/run/events.ts';
import { errorOf, type Failed } from '../tensor/failed.ts';

export interface FlowJob {
  readonly options: Omit<FlowOptions, 'listener' | 'signal'>;
  /** One cell; 1 asks the flow to stop. */
  readonly stop: Int32Array;
}

/** What the thread is told: first what to do, then that its cell may have changed. */
export type FlowRequest = FlowJob | 'look';

export type FlowMessage =
  | { readonly kind: 'event'; readonly event: RunEvent }
  | { readonly kind: 'done'; readonly summary: RunSummary }
  | { readonly kind: 'stopped' }
  | ({ readonly kind: 'failed' } & Failed);

/** A thread that waits for its job. */
let ready: Worker | undefined;

function startThread(): Worker {
  const file = new URL(`./flow-worker${extname(import.meta.url)}`, import.meta.url);
  // What the command makes of the environment before the flow begins holds for it, too.
  return new Worker(file, { argv: process.argv.slice(2), env: SHARE_ENV });
}

/**
 * Begins to load the flow beside what the command loads for itself; without a job its thread keeps no process alive.
 */
export function readyFlowThread(): void {
  if (ready) return;
  ready = startThread();
  ready.unref();
  // The thread that is started in its place then has the same error, and says it.
  ready.on('error', () => {
    ready = undefined;
  });
}

/** As runFlow, in another thread; errors keep their class, message and stack. */
export async function runFlowInThread({ listener, signal, ...options }: FlowOptions): Promise<RunSummary> {
  signal?.throwIfAborted();
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const worker = ready ?? startThread();
  ready = undefined;
  worker.ref();
  const tell = (message: FlowRequest) => worker.postMessage(message);
  const onAbort = () => {
    Atomics.store(stop, 0, 1);
    tell('look');
  };
  signal?.addEventListener('abort', onAbort);
  try {
    return await new Promise<RunSummary>((done, fail) => {
      worker.on('message', (message: FlowMessage) => {
        if (message.kind === 'event') listener?.(message.event);
        else if (message.kind === 'done') done(message.summary);
        else if (message.kind === 'stopped') fail(signal?.reason);
        else fail(errorOf(message));
      });
      worker.on('error', fail);
      worker.on('exit', (code) => fail(new Error(`internal: the thread of the flow ended with code ${code}`)));
      tell({ options, stop });
    });
  } finally {
    signal?.removeEventListener('abort', onAbort);
    await worker.terminate();
  }
}
