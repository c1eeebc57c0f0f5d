// The replicas as their leader has them: orders go to all of them, answers are awaited together, and the first that is
// lost or fails ends the work of all.
// Invariant: after that every call that waits, and every later one, throws the same error, which names the replica;
// whatever the leader's own device still waits for is waited for no more.

import type { Socket } from 'node:net';
import { invariant, LostDeviceError, type UserError } from '../../tensor/errors.ts';
import { type Answer, Connection, errorOf, type Order } from './protocol.ts';

/** A replica that the leader is connected with. */
export interface Peer {
  /** 1, 2, … */
  readonly rank: number;
  /** For people: the host's name, and the device in a few words. */
  readonly host: string;
  readonly device: string;
  /** Connected, at the other end `serveReplica`; nobody else reads from it. */
  readonly socket: Socket;
}

export interface PeersOptions {
  /** How long a replica may take nothing of what it is sent, in seconds; default 600. */
  readonly patience?: number;
  /** How long a replica may give no sign of life, in seconds; default 600. */
  readonly silence?: number;
}

export const ADVICE = 'see to it and repeat the command, which goes on from what was saved last';

/** How long the loss of a replica may take to be known when another one, or the leader, has failed, in milliseconds. */
const EXPLANATION_MS = 800;

/** What a replica answered to a call. */
export type Reply =
  | { readonly digests: readonly string[]; readonly error?: undefined }
  | { readonly error: UserError; readonly digests?: undefined };

interface Link {
  readonly peer: Peer;
  readonly connection: Connection<Order, Answer>;
  readonly pending: Map<number, (reply: Reply) => void>;
  /** What it has said that it failed with; it ends then. */
  fault?: Error;
  /** Looks in a row at which nothing had come from it. */
  silentLooks: number;
}

/** Silence is told by so many looks in a row: where this process stood still itself there were none. */
const LOOKS = 20;

export const nameOf = ({ rank, host, device }: Omit<Peer, 'socket'>): string => `rank ${rank} (${host}, ${device})`;

/** An order with a number for its answer. */
type Call = Extract<Order, { readonly call: number }>;
type Uncalled<C> = C extends Call ? Omit<C, 'call'> : never;

export class Peers {
  readonly #links: readonly Link[];
  #failure: Error | undefined;
  /** Whoever waits for what may never come now. */
  readonly #waiting = new Set<(failure: Error) => void>();
  readonly #looks: NodeJS.Timeout;
  #calls = 0;
  /** The frames that the system has not taken yet. */
  #unsent: Promise<unknown> = Promise.resolve();

  constructor(peers: readonly Peer[], { patience, silence = 600 }: PeersOptions = {}) {
    const ordered = [...peers].sort((a, b) => a.rank - b.rank);
    invariant(
      ordered.every(({ rank }, at) => rank === at + 1),
      `replicas of the ranks ${ordered.map(({ rank }) => rank)}; 1, 2, … were expected`,
    );
    this.#links = ordered.map((peer) => {
      const connection = new Connection<Order, Answer>(peer.socket, {
        receive: ({ message }) => {
          link.silentLooks = 0;
          this.#answered(link, message);
        },
        ...(patience === undefined ? {} : { patience }),
      });
      const link: Link = { peer, connection, pending: new Map(), silentLooks: 0 };
      connection.keepProcess(false);
      connection.closed.then((why) => {
        if (!link.fault) this.fail(new LostDeviceError(`${nameOf(peer)} is lost: ${why}; ${ADVICE}`));
      });
      return link;
    });
    this.#looks = setInterval(() => this.#look(silence), (1000 * silence) / LOOKS).unref();
  }

  /** A process that was stopped, or that hangs in a driver, keeps its connection. */
  #look(silence: number): void {
    for (const link of this.#links) {
      if (++link.silentLooks < LOOKS) continue;
      const what = `has given no sign of life for ${silence} s`;
      this.fail(new LostDeviceError(`${nameOf(link.peer)} ${what}; ${ADVICE}`));
    }
  }

  get failed(): boolean {
    return this.#failure !== undefined;
  }

  /** Throws where a replica is lost. */
  check(): void {
    if (this.#failure) throw this.#failure;
  }

  /** An order to all that nobody answers. `sections`: for the replica of a rank. */
  tell(order: Exclude<Order, Call>, sections: (rank: number) => readonly Uint8Array[] = () => []): void {
    this.check();
    const sent = this.#links.map(({ peer, connection }) => connection.send(order, sections(peer.rank)));
    // The values are dropped: each would hold that before it.
    this.#unsent = Promise.all([this.#unsent, ...sent]).then(() => undefined);
  }

  /** Resolves when the systems have all that the replicas were told so far: no device waits for what is not sent. */
  async sent(): Promise<void> {
    await this.#unsent;
  }

  /** An order to all, and what each of them answers, by rank. */
  async ask(order: Uncalled<Call>, sections: readonly Uint8Array[] = []): Promise<readonly Reply[]> {
    this.check();
    return await this.orLost(Promise.all(this.#replies(order, sections)));
  }

  /** An order that all must be able to follow: throws as soon as one says that it cannot, with its reason. */
  async require(order: Uncalled<Call>, sections: readonly Uint8Array[] = []): Promise<void> {
    this.check();
    const replies = this.#replies(order, sections).map(async (reply) => {
      const { error } = await reply;
      if (error) throw error;
    });
    await this.#untilFailure(Promise.all(replies));
  }

  #replies(order: Uncalled<Call>, sections: readonly Uint8Array[]): Promise<Reply>[] {
    const call = this.#calls++;
    return this.#links.map(({ connection, pending }) => {
      const reply = new Promise<Reply>((resolve) => pending.set(call, resolve));
      connection.send({ ...order, call } as Call, sections);
      return reply;
    });
  }

  /**
   * The result of work that takes part with the replicas; throws as soon as one of them is lost. Where the work itself
   * fails, the loss of a replica may be why, and is told then.
   */
  async orLost<T>(work: Promise<T>): Promise<T> {
    this.check();
    const ended = this.#untilFailure(work);
    try {
      return await ended;
    } catch (error) {
      if (error === this.#failure) throw error;
      throw await this.#untilFailure(later(EXPLANATION_MS, error)).catch((failure: unknown) => failure);
    }
  }

  /** Ends the work of all: for this reason everything throws from now on. */
  fail(failure: Error): void {
    if (this.#failure) return;
    this.#failure = failure;
    clearInterval(this.#looks);
    for (const { connection } of this.#links) connection.destroy();
    for (const reject of this.#waiting) reject(failure);
    this.#waiting.clear();
  }

  #answered(link: Link, answer: Answer): void {
    if (answer.kind === 'beat') return;
    const whose = nameOf(link.peer);
    if (answer.kind === 'fault') {
      // A device that waits for one that is lost fails too; if that is why, it will be known.
      const fault = new LostDeviceError(`${whose}: ${answer.error.message}; ${ADVICE}`);
      link.fault = fault;
      setTimeout(() => this.fail(fault), EXPLANATION_MS);
      return;
    }
    const reply = link.pending.get(answer.call);
    link.pending.delete(answer.call);
    reply?.(answer.kind === 'done' ? { digests: answer.digests ?? [] } : { error: errorOf(answer.error, whose) });
  }

  /** The process stays while something is waited for, and only then. */
  #untilFailure<T>(work: Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const done = () => {
        this.#waiting.delete(reject);
        this.#keepProcess();
      };
      this.#waiting.add(reject);
      this.#keepProcess();
      work.then(resolve, reject).finally(done);
    });
  }

  #keepProcess(): void {
    for (const { connection } of this.#links) connection.keepProcess(this.#waiting.size > 0);
  }
}

const later = <T>(milliseconds: number, value: T): Promise<T> =>
  new Promise((resolve) => setTimeout(() => resolve(value), milliseconds));
