// The group of GPUs that a session's programs run on, seen from one of them: joining, reductions captured as graphs,
// and what happens when another rank is gone. Invariants: whatever the ranks must do in one order goes through
// `inOrder` (programs are built and started in the order of the calls, however long each takes), and nothing here or in
// a session of a group keeps the thread waiting for the device: a peer may need this process's event loop to come so
// far.

import { invariant, UserError } from '../../../tensor/errors.ts';
import type { Collective } from '../lower/schedule.ts';
import type { Context } from './driver.ts';
import type { Nccl } from './nccl.ts';

/** Which of how many GPUs a process drives, and the name under which they find each other. */
export interface CollectiveOptions {
  /** From 0. */
  readonly rank: number;
  readonly ranks: number;
  /** Of `collectiveId` in one of the processes, the same for all; good for one group. */
  readonly id: Uint8Array;
  /** How long the others may take to join, and to come to a program that all build; default: 300 s. */
  readonly patienceSeconds?: number;
  /**
   * Whether reductions stand between graphs of kernels, which wait for them, in place of being nodes of the program's
   * one graph, beside which kernels run; default: false.
   */
  readonly apart?: boolean;
}

/** Of a session whose graphs hold reductions. */
type Runner = Pick<Context, 'destroyGraphs' | 'idle' | 'drained'>;
type Device = Pick<Context, 'use' | 'stream' | 'beginCapture' | 'endCapture' | 'dispose'>;
type Library = Pick<Nccl, 'join' | 'settled' | 'allReduce' | 'destroy' | 'abort'>;

/** While others are awaited the library is asked for errors so often. */
const WATCH_MS = 1000;
/** What a group that was given up may take to end. */
const END_MS = 5000;

export class Communicator {
  readonly rank: number;
  readonly ranks: number;
  readonly apart: boolean;
  readonly #options: CollectiveOptions;
  readonly #library: Library;
  /** Opened when the group is joined: a context of its own, which keeps the device's memory from being given back. */
  readonly #open: () => Device;
  readonly #sessions = new Set<Runner>();
  /** The session whose programs run, or have run last. */
  #running: Runner | undefined;
  #device: Device | undefined;
  #handle: bigint | undefined;
  #joining: Promise<void> | undefined;
  #ending: Promise<boolean> | undefined;
  #failure: Error | undefined;
  #asked = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(library: Library, open: () => Device, options: CollectiveOptions) {
    const { rank, ranks, apart = false } = options;
    invariant(Number.isInteger(ranks) && ranks >= 1 && Number.isInteger(rank), `rank ${rank} of ${ranks}`);
    invariant(rank >= 0 && rank < ranks, `rank ${rank} of ${ranks}`);
    this.rank = rank;
    this.ranks = ranks;
    this.apart = apart;
    this.#options = options;
    this.#library = library;
    this.#open = open;
  }

  /** Why the group is no more. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  /** Joins the others; resolves when all ranks have come. */
  join(): Promise<void> {
    if (this.#failure) return Promise.reject(this.#failure);
    this.#joining ??= this.#join();
    return this.#joining;
  }

  async #join(): Promise<void> {
    this.check();
    this.#device = this.#open();
    this.#device.use();
    try {
      this.#handle = this.#library.join(this.#options);
      await this.#settled(`join the group of ${this.ranks} GPUs`);
    } catch (error) {
      await this.lose(asError(error));
      throw this.#failure;
    }
  }

  /** A session whose graphs hold reductions, until it ends. */
  enter(session: Runner): void {
    this.#sessions.add(session);
  }

  /** Behind its last run. */
  leave(session: Runner): void {
    this.#sessions.delete(session);
    if (this.#running === session) this.#running = undefined;
  }

  /**
   * Resolves when no other session's runs are under way: sessions have streams of their own, and the library is told
   * that graphs never run at once (nccl.ts).
   */
  async turn(session: Runner): Promise<void> {
    const before = this.#running;
    this.#running = session;
    if (before && before !== session) await before.idle();
  }

  /** Does this when all that was asked for before is done. */
  inOrder<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work, work);
    this.#last = mine.catch(() => {});
    return mine;
  }

  /** One reduction as a graph; the same on all ranks, in one order. */
  async capture(collective: Collective): Promise<bigint> {
    await this.join();
    const device = this.#device!;
    device.use();
    device.beginCapture();
    await this.reduce(collective, device);
    device.use();
    return device.endCapture();
  }

  /** One reduction on a stream; resolves when the device has been given all of it. */
  async reduce({ kind, parts }: Collective, device: Pick<Context, 'use' | 'stream'>): Promise<void> {
    this.check();
    device.use();
    try {
      this.#library.allReduce(kind, parts, this.#handle!, device.stream);
      await this.#settled('reduce');
    } catch (error) {
      await this.lose(asError(error));
      throw this.#failure;
    }
    device.use();
  }

  /** Throws where the group is no more; asks the library about that now and then. */
  check(): void {
    if (!this.#failure && this.#handle !== undefined && Date.now() - this.#asked >= WATCH_MS) {
      this.#asked = Date.now();
      try {
        this.#library.settled(this.#handle);
      } catch (error) {
        void this.lose(new UserError(`another GPU of the group cannot be reached: ${asError(error).message}`));
      }
    }
    if (this.#failure) throw this.#failure;
  }

  /**
   * Gives the group up: what is under way and whatever follows rejects with this error. Resolves to whether reductions
   * that wait on the device for others were ended; if not, the process must end for it.
   */
  lose(reason: Error): Promise<boolean> {
    this.#failure ??= reason;
    this.#ending ??= this.#end();
    return this.#ending;
  }

  async #end(): Promise<boolean> {
    // Reductions that wait for others end by this; it returns when all graphs that hold some are destroyed. To destroy
    // one that is started several times keeps the thread until it has run as often: so that comes when nothing runs.
    const aborted = this.#handle === undefined ? undefined : this.#library.abort(this.#handle);
    const destroyed = [...this.#sessions].map(async (session) => {
      await session.drained();
      try {
        session.destroyGraphs();
      } catch {
        // The device itself has failed; then nothing runs there that could be ended.
      }
    });
    let timer: NodeJS.Timeout | undefined;
    const ended = Promise.all([aborted, ...destroyed]).then(
      () => true,
      () => false,
    );
    const late = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), END_MS);
    });
    return await Promise.race([ended, late]).finally(() => clearTimeout(timer));
  }

  /** Leaves the group; no session is open any more. */
  async dispose(): Promise<void> {
    if (this.#failure) {
      await this.#ending;
      return;
    }
    await this.#joining;
    invariant(this.#sessions.size === 0, 'a group is left by an open session');
    this.#failure = new Error('internal: the group of GPUs was left');
    if (this.#handle !== undefined) await this.#library.destroy(this.#handle);
    this.#device?.dispose();
  }

  /** Waits until what was begun is done. */
  async #settled(what: string): Promise<void> {
    const { patienceSeconds = 300 } = this.#options;
    const begun = Date.now();
    for (;;) {
      if (this.#failure) throw this.#failure;
      if (this.#library.settled(this.#handle!)) return;
      const waited = Date.now() - begun;
      if (waited > 1000 * patienceSeconds) {
        throw new UserError(
          `rank ${this.rank} of ${this.ranks} waited ${patienceSeconds} s for the others to ${what}; see that all are running, and what NCCL_DEBUG=INFO says`,
        );
      }
      await new Promise((next) => (waited < 20 ? setImmediate(next) : setTimeout(next, 2)));
    }
  }
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));
