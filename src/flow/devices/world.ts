// All ranks of one command that torchrun or Slurm has started (--device cuda:ranks), for as long as the command lives.
// Rank 0 does what the command says; each time that it opens a device, in this process, a thread or a child of it, it
// calls the others, which then start a replica each (children.ts) that meets it on a connection of their own. All other
// ranks only do that, whatever the command, until rank 0 says how it ended, or is gone.
// Messages: rank 0 to a rank: start, stop, end. A rank to rank 0: ended.

import { randomBytes } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { hostname } from 'node:os';
import { z } from 'zod';
import { LostDeviceError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { describeEnd, type Replica, startReplica } from './children.ts';
import { type Environment, gpuOfRank, type RankPlace } from './environment.ts';
import { type Hello, nameOfRank, program } from './hello.ts';
import { deviceNames, precisions } from './local.ts';
import { receive, send } from './messages.ts';
import { join, Meeting, type Member, secondsToMeet } from './rendezvous.ts';

/** Where threads and children of rank 0's process call the other ranks: a port of this host and a token. */
export const WORLD_VARIABLE = 'TRAM_WORLD';

const wantedSchema = z.object({
  /** Where the flow listens, on rank 0's host, and what it wants to hear. */
  port: z.int(),
  token: z.string(),
  name: z.enum(deviceNames),
  precision: z.enum(precisions).optional(),
});
export type Wanted = z.output<typeof wantedSchema>;

const callSchema = z.object({ secret: z.string(), wanted: wantedSchema });
const toRankSchema = z.union([
  z.object({ start: z.int(), wanted: wantedSchema }),
  z.object({ stop: z.int() }),
  z.object({ end: z.int() }),
]);
const fromRankSchema = z.object({ ended: z.int(), text: z.string() });
/** To the one who called. */
const lostSchema = z.object({ lost: z.string(), rank: z.int() });

function helloOf({ rank, ranks, localRank }: RankPlace, words: readonly string[] | undefined): Hello {
  return {
    ...program,
    ...{ rank, ranks, localRank, host: hostname(), pid: process.pid },
    ...(words ? { words: [...words] } : {}),
  };
}

/** A host name that only this host knows itself by; anything else may be asked for from elsewhere. */
const isLoopback = (host: string): boolean => /^(localhost|127\.[\d.]+|::1)$/.test(host);

/** Where rank 0 listens for the others: on every address of its host, since names mean other ones elsewhere. */
export const listeningHost = ({ host }: Pick<RankPlace, 'host'>): { host?: string } =>
  isLoopback(host) ? { host } : {};

/** Rank 0's hold on the others. */
export class World {
  readonly #members: readonly Member[];
  readonly #server: Server;
  readonly #secret = randomBytes(16).toString('hex');
  readonly #calls = new Map<number, Socket>();
  /** Ranks that are gone, and why. */
  readonly #gone = new Map<number, string>();
  #latest = 0;

  private constructor(members: readonly Member[], server: Server) {
    this.#members = members;
    this.#server = server;
    server.on('connection', (socket) => void this.#called(socket));
    for (const member of members) void this.#listen(member);
  }

  /** Waits until all ranks are here. Throws a UserError that names what is missing or does not fit. */
  static async host(
    place: RankPlace,
    words?: readonly string[],
    environment: Environment = process.env,
  ): Promise<World> {
    const own = helloOf(place, words);
    const meeting = await Meeting.open({ own, ...listeningHost(place), port: place.port, token: '' });
    const members = await meeting.all(secondsToMeet(environment));
    meeting.welcome(null);
    const server = createServer();
    await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
    server.unref();
    for (const { socket } of members) socket.unref();
    return new World(members, server);
  }

  /** The value of WORLD_VARIABLE by which the ranks are called. */
  get address(): string {
    return `${(this.#server.address() as { port: number }).port}:${this.#secret}`;
  }

  /** Tells the others how the command ended; they end then. */
  async end(code: number): Promise<void> {
    this.#server.close();
    for (const socket of this.#calls.values()) socket.destroy();
    const left = this.#members.filter(({ socket }) => !socket.destroyed);
    await Promise.all(
      left.map(async ({ socket }) => {
        send(socket, { end: code });
        await new Promise<void>((done) => socket.end(done));
      }),
    );
  }

  async #called(socket: Socket): Promise<void> {
    socket.on('error', () => socket.destroy());
    socket.unref();
    const call = callSchema.safeParse(await receive(socket).catch(() => undefined));
    if (!call.success || call.data.secret !== this.#secret) {
      socket.destroy();
      return;
    }
    this.#latest += 1;
    const id = this.#latest;
    this.#calls.set(id, socket);
    for (const [rank, lost] of this.#gone) send(socket, { lost, rank });
    for (const { socket: rank } of this.#members) send(rank, { start: id, wanted: call.data.wanted });
    await receive(socket).catch(() => undefined);
    this.#calls.delete(id);
    for (const { socket: rank } of this.#members) if (!rank.destroyed) send(rank, { stop: id });
  }

  /** Hears of replicas that have ended, and notices a rank that is gone. */
  async #listen({ socket, hello }: Member): Promise<void> {
    for (;;) {
      const said = fromRankSchema.safeParse(await receive(socket).catch(() => undefined));
      if (!said.success) break;
      const call = this.#calls.get(said.data.ended);
      if (call) send(call, { lost: said.data.text, rank: hello.rank });
    }
    socket.destroy();
    const lost = `${nameOfRank(hello)} is gone`;
    this.#gone.set(hello.rank, lost);
    for (const call of this.#calls.values()) send(call, { lost, rank: hello.rank });
  }
}

/** A call to the other ranks, from wherever rank 0's flow works. */
export interface Call {
  /** What was heard of ranks that do not work any more, until `close`. */
  onLost(listener: (rank: number, text: string) => void): void;
  close(): void;
}

export async function callRanks(address: string, wanted: Wanted): Promise<Call> {
  const { connect } = await import('node:net');
  const [port, secret] = address.split(':');
  const socket = connect(Number(port), '127.0.0.1');
  await new Promise<void>((done, fail) => {
    socket.once('connect', done);
    socket.on('error', fail);
  });
  socket.on('error', () => socket.destroy());
  send(socket, { secret, wanted });
  let told: ((rank: number, text: string) => void) | undefined;
  const heard: { rank: number; lost: string }[] = [];
  void (async () => {
    for (;;) {
      const said = lostSchema.safeParse(await receive(socket).catch(() => undefined));
      if (!said.success) return;
      heard.push(said.data);
      told?.(said.data.rank, said.data.lost);
    }
  })();
  return {
    onLost(listener) {
      told = listener;
      for (const { rank, lost } of heard) listener(rank, lost);
    },
    close: () => void socket.destroy(),
  };
}

export interface ServeOptions {
  readonly words?: readonly string[];
  readonly environment?: Environment;
  /** One line for people. */
  readonly tell: (text: string) => void;
  /** Rank 0 is met: from now on it decides how this ends. */
  readonly onMet?: () => void;
  /** Ends the waiting for rank 0, and nothing after that. */
  readonly signal?: AbortSignal;
}

/** The life of any rank but 0. Returns whether rank 0 ended well. Throws a UserError where it is not met, or lost. */
export async function serveRank(place: RankPlace, options: ServeOptions): Promise<boolean> {
  const { words, environment = process.env, tell, onMet, signal } = options;
  const { rank, ranks, localRank, host, port } = place;
  const index = gpuOfRank(place, environment);
  const seconds = secondsToMeet(environment);
  const own = helloOf(place, words);
  const { socket, leader } = await join({ own, host, port, token: '', seconds, ...given({ signal }) });
  onMet?.();
  tell(`rank ${rank} of ${ranks} works for rank 0 on ${leader.host}, which tells what is done`);
  const replicas = new Map<number, Replica>();
  try {
    for (;;) {
      const said = toRankSchema.safeParse(await receive(socket).catch(() => undefined));
      if (!said.success) {
        throw new LostDeviceError(
          `rank ${rank}: rank 0 on ${leader.host} is gone; look at what it said, then start all ranks again`,
        );
      }
      const message = said.data;
      if ('end' in message) return message.end === 0;
      if ('stop' in message) {
        void replicas.get(message.stop)?.close();
        replicas.delete(message.stop);
        continue;
      }
      const { name, precision, ...meet } = message.wanted;
      const device = { name, ...(name === 'cuda' ? { index, precision } : {}) };
      const replica = startReplica({ ...meet, host, seconds, ranks, rank, localRank, device });
      replicas.set(message.start, replica);
      void replica.ended.then((end) => {
        if (!socket.destroyed) send(socket, { ended: message.start, text: describeEnd(end) });
      });
    }
  } finally {
    await Promise.all([...replicas.values()].map((replica) => replica.close()));
    socket.destroy();
  }
}
