// What the main thread and its workers agree on: the words of the control memory and the messages.

import type { MessagePort } from 'node:worker_threads';
import type { Step } from './walk.ts';
import type { Memory, Module } from './webassembly.ts';

/** Words of the control memory. */
export const CONTROL = {
  /** Number of the latest run; workers sleep on it. */
  run: 0,
  /** OPEN while a run may be joined, plus the number of workers inside it. */
  state: 1,
  /** Program of the run. */
  program: 2,
  /** Address of the scratch memory of thread 0, and bytes per thread. */
  scratch: 3,
  scratchBytes: 4,
  /** 1 after a worker has failed. */
  failed: 5,
  /** Pages of the memory. */
  pages: 6,
  words: 7,
} as const;

export const OPEN = 1 << 30;

export interface WorkerData {
  readonly module: Module;
  readonly memory: Memory;
  readonly control: Int32Array;
  readonly port: MessagePort;
  /** 1… ; the main thread is 0. */
  readonly thread: number;
  /** Whether scratch memory is poisoned before each part. */
  readonly poison: boolean;
}

export interface ProgramMessage {
  readonly id: number;
  readonly steps: readonly Step[];
  readonly counters: Int32Array;
  /** Kernels that were made for this program. */
  readonly generated: Module | undefined;
}
