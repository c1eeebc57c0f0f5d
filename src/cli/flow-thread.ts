// The flow in a thread of its own: a step computes for as long as it takes, while this thread redraws the terminal and
// answers Ctrl-C.
// Events arrive as messages; the wish to stop is a shared cell, so that it is seen between two steps even when nothing
// waits for messages, and a message to look there, for a flow that waits itself: for other ranks, or for a lock.

import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { FlowOptions } from '../flow/flow.ts';
import type { RunSummary } from '../flow/results/summary.ts';
import type { RunEvent } from '../flow/run/events.ts';
import { BusyError, LostDeviceError, StorageError, UserError } from '../tensor/errors.ts';

export interface FlowJob {
  readonly options: Omit<FlowOptions, 'listener' | 'signal'>;
  /** One cell; 1 asks the flow to stop. */
  readonly stop: Int32Array;
}

export type FlowMessage =
  | { readonly kind: 'event'; readonly event: RunEvent }
  | { readonly kind: 'done'; readonly summary: RunSummary }
  | { readonly kind: 'stopped' }
  | ({ readonly kind: 'failed' } & Failed);

/** An error as it goes from one thread, or process, to another. */
export interface Failed {
  /** Whose fault: the user's, a full disk's, another process's that was first, a lost device's, or the program's. */
  readonly fault: keyof typeof faults;
  readonly message: string;
  readonly stack: string | undefined;
}

/** As runFlow, in another thread; errors keep their class, message and stack. */
export async function runFlowInThread({ listener, signal, ...options }: FlowOptions): Promise<RunSummary> {
  signal?.throwIfAborted();
  const stop = new Int32Array(new SharedArrayBuffer(4));
  const job: FlowJob = { options, stop };
  const file = new URL(`./flow-worker${extname(import.meta.url)}`, import.meta.url);
  const worker = new Worker(file, { workerData: job, argv: process.argv.slice(2) });
  const onAbort = () => {
    Atomics.store(stop, 0, 1);
    worker.postMessage('look');
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
    });
  } finally {
    signal?.removeEventListener('abort', onAbort);
    await worker.terminate();
  }
}

const faults = {
  storage: StorageError,
  busy: BusyError,
  lost: LostDeviceError,
  user: UserError,
  program: Error,
} as const;

export function failedBy(error: unknown): Failed {
  const { message, stack } = error instanceof Error ? error : { message: String(error), stack: undefined };
  const kinds = Object.keys(faults) as (keyof typeof faults)[];
  return { fault: kinds.find((kind) => error instanceof faults[kind]) ?? 'program', message, stack };
}

export function errorOf({ fault, message, stack }: Failed): Error {
  const error = new faults[fault](message);
  if (stack !== undefined) error.stack = stack;
  return error;
}
