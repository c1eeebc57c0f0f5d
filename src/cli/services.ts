// What the commands need from outside, so that tests can stand in for it: the output streams and the flow, loaded when
// first used.

import type { Command } from 'commander';
import type { runFlow } from '../flow/flow.ts';
import type { evaluateRun } from '../flow/results/evaluate.ts';
import { openFile } from './open.ts';
import type { Output } from './style.ts';

export interface Flow {
  readonly runFlow: typeof runFlow;
  /** The same in a process of its own; without it, runs that should be side by side are not. */
  readonly runFlowAside?: typeof runFlow;
  readonly evaluateRun: typeof evaluateRun;
}

export interface Services {
  readonly stdout: Output;
  readonly stderr: Output;
  readonly loadFlow: () => Promise<Flow>;
  /** Begins to load the flow for `runFlow` while the command is still being read. */
  readonly readyFlow?: () => Promise<void>;
  /** Shows a file to the user; resolves to what hindered it, if anything did. */
  readonly openFile?: (path: string) => Promise<string | undefined>;
}

const loadFlow = async (): Promise<Flow> => ({
  runFlow: (await import('./flow-thread.ts')).runFlowInThread,
  runFlowAside: async (options) => (await import('./flow-process.ts')).runFlowInProcess(options),
  evaluateRun: async (options) => (await import('../flow/results/evaluate.ts')).evaluateRun(options),
});

const readyFlow = async () => (await import('./flow-thread.ts')).readyFlowThread();

export const realServices: Services = {
  stdout: process.stdout,
  stderr: process.stderr,
  loadFlow,
  readyFlow,
  openFile,
};

/** A module in commands/ defines its command's arguments, options, help and action. */
export type Define = (command: Command, services: Services) => void;
