// What the commands need from outside, so that tests can stand in for it: the output streams and the flow, loaded when first used.

import type { evaluateRun } from '../flow/evaluate.ts';
import type { runFlow } from '../flow/run.ts';
import type { summarize } from '../flow/summarize.ts';
import type { Output } from './style.ts';

export interface Flow {
  readonly runFlow: typeof runFlow;
  readonly summarize: typeof summarize;
  readonly evaluateRun: typeof evaluateRun;
}

export interface Services {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly loadFlow: () => Promise<Flow>;
}

async function loadFlow(): Promise<Flow> {
  const [{ runFlow }, { summarize }, { evaluateRun }] = await Promise.all([
    import('../flow/run.ts'),
    import('../flow/summarize.ts'),
    import('../flow/evaluate.ts'),
  ]);
  return { runFlow, summarize, evaluateRun };
}

export const realServices: Services = { stdout: process.stdout, stderr: process.stderr, loadFlow };
