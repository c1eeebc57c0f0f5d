// A backend on several devices: rank 0 opens its own here, the others are opened by replicas, which are children of
// this process (several GPUs of this host) or of the ranks that torchrun or Slurm has started. Whoever computes with it
// sees one device. Invariant: a backend is handed out only when all ranks are here and fit, and what was started for
// one that is not, is ended.

import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { hostname } from 'node:os';
import { setTimeout as pause } from 'node:timers/promises';
import type { Backend } from '../../engine/backend.ts';
import type { Peer } from '../../engine/replicas/peers.ts';
import { replicatedBackend } from '../../engine/replicas/session.ts';
import { LostDeviceError, UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { describeEnd, type Replica, startReplica } from './children.ts';
import { type Environment, gpuOfRank, rankPlace } from './environment.ts';
import { nameOfRank, program } from './hello.ts';
import { type Linked, makeLink } from './link.ts';
import { factsOf, type LocalOptions, openLocal } from './local.ts';
import { Meeting, type Member, secondsToMeet } from './rendezvous.ts';
import { type Call, callRanks, listeningHost, WORLD_VARIABLE, World } from './world.ts';

/** Which devices of that name: those of these numbers, all of this host, or one of each rank. */
export type DeviceSet = readonly number[] | 'all' | 'ranks';

export interface TeamOptions extends Omit<LocalOptions, 'index'> {
  readonly devices: DeviceSet;
  readonly environment?: Environment;
  /** One line for people. */
  readonly tell?: ((text: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Opens all of them. Throws a UserError that names the rank that is missing, failed or does not fit. */
export async function openTeam({ devices, ...options }: TeamOptions): Promise<Backend> {
  if (devices === 'ranks') return await openRanks(options);
  const numbers = devices === 'all' ? await allNumbers(options.name) : devices;
  const [index, ...others] = numbers;
  const local = (number: number | undefined) => localOptions(options, number);
  if (others.length === 0) return await openLocal(local(index));
  return await assemble(options, local(index), {
    ...{ ranks: numbers.length, rank: 0, localRank: 0, host: '127.0.0.1' },
    async call(meet) {
      const replicas = others.map((number, at) =>
        startReplica({
          ...{ ...meet, host: '127.0.0.1', ranks: numbers.length, rank: at + 1, localRank: at + 1 },
          device: local(number),
        }),
      );
      return childrenOf(replicas);
    },
  });
}

function localOptions({ name, precision, threads }: Omit<TeamOptions, 'devices'>, index?: number): LocalOptions {
  return { name, ...given({ precision, threads, index: name === 'cuda' ? index : undefined }) };
}

async function allNumbers(name: string): Promise<readonly number[]> {
  if (name !== 'cuda') throw new UserError(`--device ${name}:all: only GPUs are counted; choose cuda:all`);
  const { OLDEST_CAPABILITY, openCuda } = await import('../../engine/cuda/runtime/device.ts');
  const { devices } = openCuda();
  return devices.flatMap(({ capability }, number) => (capability >= OLDEST_CAPABILITY ? [number] : []));
}

/** One device of each rank. The command has brought them together; where there is none, the first use does. */
async function openRanks(options: Omit<TeamOptions, 'devices'>): Promise<Backend> {
  const { name, precision, environment = process.env } = options;
  const place = rankPlace(environment);
  const { rank, ranks, localRank } = place;
  if (rank !== 0) {
    throw new UserError(
      `this process is rank ${rank}, which computes what rank 0 says and opens no device of its own; call serveRank() in it instead`,
    );
  }
  const device = localOptions(options, gpuOfRank(place, environment));
  if (ranks === 1) return await openLocal(device);
  const address = environment[WORLD_VARIABLE] ?? (await ownWorld()).address;
  return await assemble(options, device, {
    ...{ ranks, rank: 0, localRank, ...listeningHost(place) },
    async call({ port, token }) {
      const call = await callRanks(address, { port, token, name, ...given({ precision }) });
      return { onLost: call.onLost, close: async () => call.close() };
    },
  });
}

/** Milliseconds in which a signal to all processes has reached this one, too. */
const AFTERMATH = 200;

let world: Promise<World> | undefined;

/** The ranks of a program that is not the command `tram`: they meet once, and part when it ends. */
function ownWorld(): Promise<World> {
  world ??= World.host(rankPlace(process.env));
  return world;
}

/** Those who were called, as far as one can hear how they fare. */
interface Called extends Pick<Call, 'onLost'> {
  close(): Promise<void>;
}

function childrenOf(replicas: readonly Replica[]): Called {
  return {
    onLost(listener) {
      for (const { rank, ended } of replicas) void ended.then((end) => listener(rank, describeEnd(end)));
    },
    close: async () => void (await Promise.all(replicas.map((replica) => replica.close()))),
  };
}

interface Assembly {
  readonly ranks: number;
  readonly rank: 0;
  readonly localRank: number;
  readonly host?: string;
  /** Has the others come to this port of this host. */
  readonly call: (meet: { port: number; token: string; seconds: number }) => Promise<Called>;
}

async function assemble(
  { environment = process.env, tell, signal, precision }: Omit<TeamOptions, 'devices'>,
  device: LocalOptions,
  { call, host, ...place }: Assembly,
): Promise<Backend> {
  const seconds = secondsToMeet(environment);
  const token = randomBytes(16).toString('hex');
  const facts = factsOf(await openLocal(device));
  const own = { ...program, ...place, host: hostname(), pid: process.pid, device: facts, ...given({ precision }) };
  const meeting = await Meeting.open({ own, port: 0, token, ...given({ host }) });
  let called: Called | undefined;
  let linked: Linked | undefined;
  let isOver = false;
  const part = async (sockets: readonly Socket[] = []) => {
    isOver = true;
    for (const socket of sockets) socket.end();
    await linked?.close();
    await called?.close();
  };
  try {
    called = await call({ port: meeting.port, token, seconds });
    called.onLost((_, text) => meeting.fail(new UserError(`the device cannot be opened: ${text}`)));
    const members = await meeting.all(seconds, signal);
    for (const note of meeting.notes) tell?.(note);
    const link = await makeLink(device, { own, host, seconds });
    meeting.welcome(link.payload);
    linked = await link.open();
    const { lose } = linked;
    const team = replicatedBackend(linked.backend, members.map(peerOf));
    const sockets = members.map(({ socket }) => socket);
    for (const { socket, hello } of members) {
      socket.once('close', () => void (isOver || lose(new LostDeviceError(`${nameOfRank(hello)} is gone`))));
    }
    // Whoever watches a rank may know why it is gone, or that it is, before its connection tells.
    called.onLost((rank, text) => void (isOver || sockets[rank - 1]!.destroy(new Error(text))));
    return { ...team, close: () => part(sockets) };
  } catch (error) {
    meeting.fail(error as Error);
    await part();
    // Whoever stops all processes ends a replica that has only begun; the wish may come here a moment later.
    await pause(AFTERMATH, undefined, { signal }).catch(() => {});
    throw signal?.aborted ? signal.reason : error;
  }
}

function peerOf({ hello: { rank, host, device }, socket }: Member): Peer {
  return { rank, host, device: device!.description, socket };
}
