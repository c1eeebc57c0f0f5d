// The flow in a process of its own, so that several runs compute side by side and one that goes down, for want of
// memory or with its device, takes no other with it. The process ends as soon as this one does, however that ends.

import { fork } from 'node:child_process';
import { extname } from 'node:path';
import type { FlowOptions } from '../flow/flow.ts';
import type { RunSummary } from '../flow/results/summary.ts';
import { errorOf } from '../tensor/failed.ts';
import type { FlowMessage } from './flow-thread.ts';

export type ProcessRequest =
  | { readonly kind: 'begin'; readonly options: Omit<FlowOptions, 'listener' | 'signal'> }
  | { readonly kind: 'stop' };

/** Of what a process says before it goes down. */
const KEPT_CHARACTERS = 2000;

/**
 * Milliseconds before the death of a run's process by a signal is told as its failure: a scheduler that ends a job
 * kills all of its processes, in any order, and what this one would say then is no result of the run.
 */
const AFTERMATH = 2000;

/** As runFlow, in another process; errors keep their class, message and stack. */
export async function runFlowInProcess({ listener, signal, ...options }: FlowOptions): Promise<RunSummary> {
  signal?.throwIfAborted();
  const file = new URL(`./flow-child${extname(import.meta.url)}`, import.meta.url);
  const child = fork(file, process.argv.slice(2), {
    execArgv: [],
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let said = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-KEPT_CHARACTERS);
  });
  const send = (request: ProcessRequest) => {
    if (child.connected) child.send(request, () => {});
  };
  const stop = () => send({ kind: 'stop' });
  try {
    return await new Promise<RunSummary>((done, fail) => {
      child.on('message', (message: FlowMessage) => {
        if (message.kind === 'event') listener?.(message.event);
        else if (message.kind === 'done') done(message.summary);
        else if (message.kind === 'stopped') fail(signal?.reason);
        else fail(errorOf(message));
      });
      child.on('error', fail);
      child.on('exit', (code, name) => {
        const last = said.trim() === '' ? '' : `: ${said.trim().split('\n').at(-1)}`;
        const ended = new Error(`the process of the run ended ${name ? `by ${name}` : `with code ${code}`}${last}`);
        setTimeout(() => fail(ended), name ? AFTERMATH : 0);
      });
      signal?.addEventListener('abort', stop);
      send({ kind: 'begin', options });
    });
  } finally {
    signal?.removeEventListener('abort', stop);
    if (child.connected) child.disconnect();
  }
}
