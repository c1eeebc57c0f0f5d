// How ranks meet: rank 0 listens, the others connect with retries until a time limit and say who they are; when all
// have come and fit, each is welcomed with what rank 0 has for it, and the connections go to whoever works with them.
// Invariants: what does not fit ends the meeting on both sides with the same words; a stranger at the port (a scanner,
// another program, a wrong token) ends nothing; not a byte behind the welcome is read here.

import { createHash, timingSafeEqual } from 'node:crypto';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { z } from 'zod';
import { UserError } from '../../tensor/errors.ts';
import { type Hello, helloSchema, misfit, nameOfRank, oddity, program } from './hello.ts';
import { receive, send } from './messages.ts';

/** Seconds in which all ranks must have come, unless TRAM_RANKS_TIMEOUT says otherwise. */
export const USUAL_SECONDS = 60;
export const TIMEOUT_VARIABLE = 'TRAM_RANKS_TIMEOUT';
/** Milliseconds in which whoever calls has to say who it is, and whoever listens that it is this program. */
const GREETING = { caller: 5000, listener: 15_000 } as const;
/** Milliseconds from one attempt to connect to the next: first, and at most. */
const RETRY = { first: 100, most: 1000 } as const;
/** Seconds of silence after which the system asks whether the other host is still there. */
const KEEP_ALIVE = 10;

const greetingSchema = z.object({ tram: z.object({ version: z.string(), rendezvous: z.int() }) });
const callSchema = z.object({ token: z.string(), hello: helloSchema });
const answerSchema = z.union([
  z.object({ refused: z.string() }),
  z.object({ welcome: z.unknown(), leader: helloSchema }),
]);

export interface Member {
  readonly hello: Hello;
  readonly socket: Socket;
}

export interface MeetingOptions {
  /** What rank 0 says of itself. */
  readonly own: Hello;
  /** Where to listen; port 0 is any that is free. */
  readonly host?: string;
  readonly port: number;
  /** What a rank has to know. */
  readonly token: string;
}

/** The number of seconds that ranks wait for each other. */
export function secondsToMeet(environment: Readonly<Record<string, string | undefined>>): number {
  const text = environment[TIMEOUT_VARIABLE];
  if (text === undefined || text === '') return USUAL_SECONDS;
  const seconds = Number(text);
  if (seconds > 0 && seconds <= 86_400) return seconds;
  throw new UserError(`${TIMEOUT_VARIABLE}: expected seconds above 0, up to 86400, got '${text}'`);
}

/** Rank 0's side. */
export class Meeting {
  readonly #options: MeetingOptions;
  readonly #server: Server;
  readonly port: number;
  readonly #members = new Map<number, Member>();
  /** Connections that have not said who they are, or were refused. */
  readonly #callers = new Set<Socket>();
  #settled: { readonly done: () => void; readonly fail: (error: Error) => void } | undefined;
  #failure: Error | undefined;
  /** What is odd about ranks that fit, a line each. */
  readonly notes: string[] = [];

  private constructor(options: MeetingOptions, server: Server) {
    this.#options = options;
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
    server.on('connection', (socket) => void this.#answer(socket));
  }

  /** Throws a UserError where nothing can listen there. */
  static async open(options: MeetingOptions): Promise<Meeting> {
    const { host, port } = options;
    const server = createServer();
    await new Promise<void>((done, fail) => {
      server.once('error', (error: NodeJS.ErrnoException) => fail(cannotListen(host, port, error)));
      server.listen({ port, ...(host === undefined ? {} : { host }) }, done);
    });
    return new Meeting(options, server);
  }

  /** The other ranks in their order, when all of them are here. Throws the signal's reason, or a UserError. */
  async all(seconds: number, signal?: AbortSignal): Promise<readonly Member[]> {
    const { own } = this.#options;
    const timer = setTimeout(() => this.fail(new UserError(this.#missing(seconds))), seconds * 1000);
    const onAbort = () => this.fail(signal!.reason as Error);
    signal?.addEventListener('abort', onAbort);
    try {
      await new Promise<void>((done, fail) => {
        this.#settled = { done, fail };
        if (signal?.aborted) onAbort();
        this.#look();
      });
    } finally {
      clearTimeout(timer);
      signal?.removeEventListener('abort', onAbort);
    }
    return Array.from({ length: own.ranks - 1 }, (_, index) => this.#members.get(index + 1)!);
  }

  /** Lets all of them go on, and ends the meeting; the connections are the caller's. */
  welcome(payload: unknown): void {
    const { own } = this.#options;
    for (const { socket } of this.#members.values()) {
      socket.off('readable', look);
      send(socket, { welcome: payload, leader: own });
    }
    this.#members.clear();
    this.close();
  }

  /** Ends the meeting for everybody with a reason. */
  fail(error: Error): void {
    this.#failure ??= error;
    for (const { socket } of this.#members.values()) refuse(socket, error.message);
    this.#members.clear();
    this.close();
    this.#settled?.fail(this.#failure);
  }

  close(): void {
    this.#server.close();
    for (const socket of this.#callers) socket.destroy();
  }

  async #answer(socket: Socket): Promise<void> {
    const { own, token } = this.#options;
    this.#callers.add(socket);
    socket.on('error', () => socket.destroy());
    socket.once('close', () => this.#callers.delete(socket));
    send(socket, { tram: program });
    const call = callSchema.safeParse(await receive(socket, GREETING.caller).catch(() => undefined));
    if (!call.success || !isEqual(call.data.token, token)) {
      socket.destroy();
      return;
    }
    const { hello } = call.data;
    if (this.#failure) return refuse(socket, this.#failure.message);
    const earlier = this.#members.get(hello.rank);
    const problem =
      misfit(own, hello) ??
      (earlier &&
        `rank ${hello.rank} has come already, from ${earlier.hello.host} (process ${earlier.hello.pid}); start each rank once`);
    if (problem !== undefined) {
      const error = new UserError(`${nameOfRank(hello)} (process ${hello.pid}) does not fit: ${problem}`);
      refuse(socket, error.message);
      this.fail(error);
      return;
    }
    const odd = oddity(own, hello);
    if (odd !== undefined) this.notes.push(odd);
    ready(socket);
    this.#callers.delete(socket);
    const member = { hello, socket };
    this.#members.set(hello.rank, member);
    // One that goes before all have come may come again. Only who reads notices that a connection has ended.
    socket.on('readable', look);
    socket.once('close', () => {
      if (this.#members.get(hello.rank) === member) this.#members.delete(hello.rank);
    });
    this.#look();
  }

  #look(): void {
    if (this.#members.size === this.#options.own.ranks - 1) this.#settled?.done();
  }

  #missing(seconds: number): string {
    const { own } = this.#options;
    const others = Array.from({ length: own.ranks - 1 }, (_, index) => index + 1);
    const missing = others.filter((rank) => !this.#members.has(rank));
    const here = others.length - missing.length;
    const which = `${missing.length === 1 ? 'rank' : 'ranks'} ${missing.slice(0, 8).join(', ')}${missing.length > 8 ? ', …' : ''}`;
    return `${which} of ${own.ranks} did not come to rank 0 on ${own.host}, port ${this.port}, within ${seconds} s (${here + 1} here); look at what they said on their hosts, whether they reach this one, and that all were started`;
  }
}

/** Reads nothing, but sees an end. */
function look(this: Socket): void {
  this.read(0);
}

function cannotListen(host: string | undefined, port: number, { code, message }: NodeJS.ErrnoException): UserError {
  const where = `${host ?? 'this host'}:${port}`;
  if (code === 'EADDRINUSE') {
    return new UserError(
      `ranks cannot meet at ${where}: another program listens there; set TRAM_MASTER_PORT to a free port on all ranks`,
    );
  }
  return new UserError(
    `ranks cannot meet at ${where}: ${message}; set MASTER_ADDR to a host name or address of rank 0`,
  );
}

function refuse(socket: Socket, reason: string): void {
  send(socket, { refused: reason });
  socket.end();
}

/** A connection between ranks: no small frame waits for a large one, and a host that is gone is noticed. */
function ready(socket: Socket): void {
  socket.setNoDelay(true);
  socket.setKeepAlive(true, KEEP_ALIVE * 1000);
}

function isEqual(a: string, b: string): boolean {
  const [x, y] = [a, b].map((text) => createHash('sha256').update(text).digest());
  return timingSafeEqual(x!, y!);
}

export interface JoinOptions {
  readonly own: Hello;
  readonly host: string;
  readonly port: number;
  readonly token: string;
  readonly seconds: number;
  readonly signal?: AbortSignal;
}

export interface Joined {
  readonly socket: Socket;
  /** What rank 0 has for this one. */
  readonly welcome: unknown;
  readonly leader: Hello;
}

/** The side of any other rank. Throws a UserError where rank 0 is not met in time or does not want this rank. */
export async function join(options: JoinOptions): Promise<Joined> {
  const { host, port, seconds, signal } = options;
  const end = performance.now() + seconds * 1000;
  let wait: number = RETRY.first;
  let last = 'nothing was tried';
  while (performance.now() < end) {
    signal?.throwIfAborted();
    const socket = connect({ host, port });
    const stop = () => socket.destroy(new Error('stopped'));
    signal?.addEventListener('abort', stop);
    try {
      await connected(socket, Math.max(1, end - performance.now()));
      // A port that nobody listens at may be the one that the system has just given this connection itself.
      if (socket.localPort === socket.remotePort && socket.localAddress === socket.remoteAddress) {
        throw new Error('nobody listens there');
      }
      const answer = await introduce(socket, options);
      if (answer) return answer;
      last = 'the connection was closed without a word';
    } catch (error) {
      socket.destroy();
      if (error instanceof UserError) throw error;
      last = (error as Error).message;
    } finally {
      signal?.removeEventListener('abort', stop);
    }
    await pause(wait, undefined, { signal }).catch(() => {});
    wait = Math.min(RETRY.most, wait * 1.5);
  }
  signal?.throwIfAborted();
  throw new UserError(
    `rank ${options.own.rank} did not meet rank 0 at ${host}:${port} within ${seconds} s (${last}); look at what rank 0 said, and whether this host reaches that address`,
  );
}

async function connected(socket: Socket, milliseconds: number): Promise<void> {
  await new Promise<void>((done, fail) => {
    const timer = setTimeout(() => fail(new Error('no answer from that address')), milliseconds);
    socket.once('connect', () => {
      clearTimeout(timer);
      done();
    });
    socket.on('error', (error) => {
      clearTimeout(timer);
      fail(error);
    });
  });
}

/** Undefined where the other side closed the connection: it may be about to listen anew. */
async function introduce(socket: Socket, { own, host, port, token }: JoinOptions): Promise<Joined | undefined> {
  ready(socket);
  const said = await receive(socket, GREETING.listener).catch(() => null);
  if (said === undefined) return undefined;
  const greeting = greetingSchema.safeParse(said);
  if (!greeting.success) {
    throw new UserError(
      `what listens at ${host}:${port} is not rank 0 of this program; set TRAM_MASTER_PORT to a free port on all ranks`,
    );
  }
  send(socket, { token, hello: own });
  // Rank 0 answers when all have come, or when its time is over.
  const decision = await receive(socket);
  if (decision === undefined) return undefined;
  const answer = answerSchema.safeParse(decision);
  const leader = `rank 0 at ${host}:${port}`;
  if (!answer.success)
    throw new UserError(`${leader} runs another version of the program; install the same on all hosts`);
  if ('refused' in answer.data) throw new UserError(`${leader} refused: ${answer.data.refused}`);
  return { socket, ...answer.data };
}
