// What the host computes between two pieces of a device's work, on several threads where that is worth it: pure
// functions (./task.ts), each piece of work for itself, results taken in the order in which the pieces were given. So
// nothing depends on the number of threads: no sum is cut or turned about. Large arrays are moved, not copied.
// The threads are those of this process: they start with the first work, a replica (which runs no phase) has none, and
// they end when there was nothing to do for a while. Those at work keep the process alive, others do not.

import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import type { Device } from '../../engine/backend.ts';
import { errorOf } from '../../tensor/failed.ts';
import type { HostAnswer, HostRequest, HostTask } from './task.ts';

/** The thread that hands out the work reads from the device meanwhile, and keeps no more of them busy. */
const MOST_THREADS = 8;
/** Operations from which on threads are worth it, of about 0.2 s: to start one takes up to half of that. */
const MANY_OPERATIONS = 2e8;
/** Bytes that were moved and not yet worked through, but for a single piece of more. */
const MOST_BYTES = 2 ** 29;
const IDLE_MILLISECONDS = 5000;

/**
 * On how many threads to compute so many operations of a nanosecond or so: 1, the calling one, where they are few. On a
 * device that is this processor no more than it has.
 */
export function threadsFor(operations: number, device?: Pick<Device, 'threads'>): number {
  if (operations < MANY_OPERATIONS) return 1;
  return Math.min(device?.threads ?? MOST_THREADS, availableParallelism(), MOST_THREADS);
}

interface Piece<R> {
  readonly result: Promise<R>;
  readonly take: (result: R) => void;
  readonly bytes: number;
}

/** Pieces of work for one task; whoever gives them makes ready the next while others are under way. */
export class HostWork<A, R> {
  readonly #task: HostTask<A, R>;
  readonly #threads: number;
  /** Those whose results were not taken yet, from the oldest. */
  readonly #open: Piece<R>[] = [];
  #bytes = 0;

  /**
   * `threads`: of 1 all is computed in the calling thread, and so it is where the modules are not files of their own,
   * as in a program that was made one file; others start beside what comes before the work.
   */
  constructor(task: HostTask<A, R>, threads: number) {
    this.#task = task;
    this.#threads = areFiles(task) ? threads : 1;
    if (this.#threads > 1) ready(this.#threads, task);
  }

  /**
   * Begins a piece, as soon as there is room for it. `take` is called in the order of the pieces, in later calls. Of
   * the arrays in `moved`, each with a buffer to itself, the caller has nothing any more. Rejects with the error of the
   * first piece that failed.
   */
  async give(argument: A, take: (result: R) => void, moved: readonly ArrayBufferView[] = []): Promise<void> {
    if (this.#threads === 1) {
      take(this.#task.compute(argument));
      return;
    }
    const buffers = [...new Set(moved.map(({ buffer }) => buffer as ArrayBuffer))];
    const bytes = buffers.reduce((sum, { byteLength }) => sum + byteLength, 0);
    // Twice as many as threads: none of them waits for this one.
    const isFull = () => this.#open.length >= 2 * this.#threads || this.#bytes + bytes > MOST_BYTES;
    while (this.#open.length > 0 && isFull()) await this.#takeOldest();
    ready(this.#threads, this.#task);
    const result = computed(this.#task, argument, buffers);
    // It is told in its turn, if work goes on until then.
    result.catch(() => {});
    this.#open.push({ result, take, bytes });
    this.#bytes += bytes;
  }

  /** Takes what is left; rejects as `give` does. */
  async end(): Promise<void> {
    while (this.#open.length > 0) await this.#takeOldest();
  }

  async #takeOldest(): Promise<void> {
    const { result, take, bytes } = this.#open.shift()!;
    take(await result);
    this.#bytes -= bytes;
  }
}

interface Job {
  readonly request: HostRequest;
  readonly buffers: readonly ArrayBuffer[];
  readonly done: (result: unknown) => void;
  readonly fail: (error: Error) => void;
}

interface Thread {
  readonly worker: Worker;
  job: Job | undefined;
}

/** The threads of this process, whoever has work for them, and what waits for one. */
const pool = new Set<Thread>();
const waiting: Job[] = [];
let clock: NodeJS.Timeout | undefined;

/** As many threads as that: those that ended after a pause, or were lost, begin anew. */
function ready(threads: number, { module }: HostTask<never, unknown>): void {
  if (pool.size >= Math.min(threads, MOST_THREADS)) return;
  while (pool.size < Math.min(threads, MOST_THREADS)) pool.add(started(built(module)));
  handOut();
}

function computed<A, R>({ module, name }: HostTask<A, R>, argument: A, buffers: readonly ArrayBuffer[]): Promise<R> {
  return new Promise((done, fail) => {
    const request = { module: built(module), name, argument };
    waiting.push({ request, buffers, done: done as Job['done'], fail });
    handOut();
  });
}

/** Gives what waits to threads that have nothing to do; where none has, their clock begins. */
function handOut(): void {
  clearTimeout(clock);
  for (const thread of pool) {
    while (!thread.job && waiting.length > 0) post(thread, waiting.shift()!);
  }
  if ([...pool].every(({ job }) => !job)) clock = setTimeout(end, IDLE_MILLISECONDS).unref();
}

/** What cannot be sent is the fault of whoever gave it, and leaves the thread free. */
function post(thread: Thread, job: Job): void {
  try {
    thread.worker.postMessage(job.request, job.buffers);
  } catch (error) {
    job.fail(error as Error);
    return;
  }
  thread.job = job;
  thread.worker.ref();
}

function end(): void {
  for (const { worker } of pool) void worker.terminate();
  pool.clear();
}

/** A thread that loads a module to begin with. */
function started(module: string): Thread {
  const worker = new Worker(new URL(entry()), { workerData: module, argv: [], execArgv: [] });
  const thread: Thread = { worker, job: undefined };
  const answered = (tell: (job: Job) => void) => {
    const { job } = thread;
    thread.job = undefined;
    worker.unref();
    if (job) tell(job);
    handOut();
  };
  const lost = (error: Error) => {
    pool.delete(thread);
    // What waits is for others, if there are any.
    if (pool.size === 0) for (const { fail } of waiting.splice(0)) fail(error);
    answered(({ fail }) => fail(error));
  };
  worker.on('message', (answer: HostAnswer) => {
    answered(({ done, fail }) => ('failed' in answer ? fail(errorOf(answer.failed)) : done(answer.result)));
  });
  worker.on('error', lost);
  worker.on('exit', (code) => {
    if (pool.has(thread)) lost(new Error(`internal: a thread of the host ended with code ${code}`));
  });
  // Behind the listeners: one for messages keeps the process alive.
  worker.unref();
  return thread;
}

const entry = () => built(import.meta.url.replace(/threads(?=\.[jt]s$)/, 'worker'));

const areFiles = ({ module }: HostTask<never, unknown>): boolean =>
  [entry(), built(module)].every((address) => existsSync(fileURLToPath(address)));

/** A module as Node.js runs it: of one that runs as TypeScript source, the build's copy in dist/. */
const built = (module: string): string => module.replace(/\/src\/(flow\/(?:host|phases)\/[^/]+)\.ts$/, '/dist/$1.js');
