// How a thread goes through a program: for each step it takes parts from a shared counter until none is left, then
// waits until every part of the step is done. A step is complete when its parts are, not when all threads have arrived,
// so a thread that sleeps or is held up costs only the part it holds. Which thread does which part changes from run to
// run; what a part computes does not.

import { POISON } from '../../backend.ts';
import { type Memory, type Module, WebAssembly } from './webassembly.ts';

export type Kernels = Readonly<Record<string, (record: number, part: number, scratch: number) => void>>;

/** The kernels of a program: those of all programs, and those that were made for it. */
export function withGenerated(kernels: Kernels, generated: Module | undefined, memory: Memory): Kernels {
  if (!generated) return kernels;
  return { ...kernels, ...(new WebAssembly.Instance(generated, { env: { memory } }).exports as Kernels) };
}

export interface Step {
  readonly kernel: string;
  readonly parts: number;
  /** Address of the record. */
  readonly record: number;
}

/** Words of shared control memory per step: parts taken, parts done. */
export const WORDS_PER_STEP = 2;
/** Polls before a waiting thread goes to sleep: some tens of microseconds. */
const POLLS = 4000;
/** A sleeping thread looks this often whether another one has failed, in milliseconds. */
const FAILURE_CHECK = 200;

/** The scratch memory of a thread. `poison`, in tests: fills it before each part. */
export interface Scratch {
  readonly address: number;
  readonly poison?: () => void;
}

export function scratchAt(memory: Memory, address: number, bytes: number, poison: boolean): Scratch {
  if (!poison) return { address };
  return { address, poison: () => new Uint8Array(memory.buffer, address, bytes).fill(POISON) };
}

/**
 * Has this thread see all pages of a memory that another one has grown; what it has seen then. V8 tells all threads,
 * but one that starts while the memory grows may miss it and keep the size that it began with (1 of 150 on two busy
 * cores): memory.fill and memory.copy, which ask for the size, then trap. To grow by nothing looks at it anew.
 */
export function seeAll(memory: Memory, seen: number, pages: number): number {
  if (pages !== seen) memory.grow(0);
  return pages;
}

/** One thread alone. */
export function walkAlone(kernels: Kernels, steps: readonly Step[], scratch: Scratch): void {
  for (const { kernel, parts, record } of steps) {
    const run = kernels[kernel]!;
    for (let part = 0; part < parts; part++) {
      scratch.poison?.();
      run(record, part, scratch.address);
    }
  }
}

/**
 * One of several threads; `counters` has WORDS_PER_STEP words per step, all zero before the run. `failed` ends the walk
 * early.
 */
export function walkTogether(
  kernels: Kernels,
  steps: readonly Step[],
  scratch: Scratch,
  counters: Int32Array,
  failed: () => boolean,
): void {
  for (let at = 0; at < steps.length; at++) {
    const { kernel, parts, record } = steps[at]!;
    const run = kernels[kernel]!;
    const taken = at * WORDS_PER_STEP;
    const done = taken + 1;
    for (let part = Atomics.add(counters, taken, 1); part < parts; part = Atomics.add(counters, taken, 1)) {
      scratch.poison?.();
      run(record, part, scratch.address);
      if (Atomics.add(counters, done, 1) === parts - 1) Atomics.notify(counters, done);
    }
    if (!waitFor(counters, done, parts, failed)) return;
  }
}

/** Waits until a counter reaches a value; false when a thread has failed meanwhile. */
export function waitFor(words: Int32Array, index: number, value: number, failed: () => boolean): boolean {
  for (let poll = 0; poll < POLLS; poll++) if (Atomics.load(words, index) === value) return true;
  for (;;) {
    const found = Atomics.load(words, index);
    if (found === value) return true;
    if (failed()) return false;
    Atomics.wait(words, index, found, FAILURE_CHECK);
  }
}
