// A pure function that may be computed on another thread: the worker finds it by the module that exports it and its
// name there. Nothing but data goes in and out.

import type { Failed } from '../../tensor/failed.ts';

export interface HostTask<A, R> {
  /** The address of the module that exports the task. */
  readonly module: string;
  /** Under which name. */
  readonly name: string;
  readonly compute: (argument: A) => R;
}

/**
 * `module`: import.meta.url where the task is exported as `name`. The result's arrays go back without a copy: they are
 * the function's own, each with a buffer to itself.
 */
export function hostTask<A, R>(module: string, name: string, compute: (argument: A) => R): HostTask<A, R> {
  return { module, name, compute };
}

/** What a thread is asked. */
export interface HostRequest {
  readonly module: string;
  readonly name: string;
  readonly argument: unknown;
}

/** What it answers. */
export type HostAnswer = { readonly result: unknown } | { readonly failed: Failed };
