// What devices of several ranks reduce over: NCCL between GPUs, for which rank 0 makes a name that all others need; for
// the reference device, in tests, connections of their own to rank 0. Rank 0 makes a link, the others take it from the
// welcome.

import { randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { z } from 'zod';
import type { Backend } from '../../engine/backend.ts';
import type { Collective } from '../../engine/reference/collective.ts';
import { given } from '../../tensor/given.ts';
import type { Hello } from './hello.ts';
import type { LocalOptions } from './local.ts';
import { join, Meeting } from './rendezvous.ts';

const payloadSchema = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('nccl'), id: z.base64() }),
  z.object({ kind: z.literal('sockets'), port: z.int(), token: z.string() }),
]);
type Payload = z.output<typeof payloadSchema>;

/** Seconds in which a process with a device that hangs has said why and put its folder in order. */
const GRACE = 15;

/** A device that is linked with those of other ranks. */
export interface Linked {
  readonly backend: Backend;
  /** Another rank is gone: what its device waits for on this one is given up. */
  lose(reason: Error): Promise<void>;
  close(): Promise<void>;
}

export interface Link {
  /** For the other ranks. */
  readonly payload: unknown;
  /** Rank 0's own device, when the others are on their way. */
  open(): Promise<Linked>;
}

interface Meet {
  readonly own: Hello;
  /** Where rank 0 is met, or listens. */
  readonly host?: string | undefined;
  readonly seconds: number;
}

/** Rank 0's side. */
export async function makeLink(device: LocalOptions, { own, host, seconds }: Meet): Promise<Link> {
  if (device.name === 'cuda') {
    const { collectiveId } = await import('../../engine/cuda/runtime/backend.ts');
    const id = collectiveId();
    const payload: Payload = { kind: 'nccl', id: Buffer.from(id).toString('base64') };
    return { payload, open: () => openCuda(device, own, id) };
  }
  const token = randomBytes(16).toString('hex');
  const meeting = await Meeting.open({ own, port: 0, token, ...given({ host }) });
  const payload: Payload = { kind: 'sockets', port: meeting.port, token };
  return {
    payload,
    async open() {
      const members = await meeting.all(seconds);
      meeting.welcome(null);
      const { hubCollective } = await import('../../engine/replicas/socket-collective.ts');
      const sockets = members.map(({ socket }) => socket);
      return await openReference(hubCollective(sockets), sockets);
    },
  };
}

/** The side of any other rank. */
export async function takeLink(
  welcome: unknown,
  device: LocalOptions,
  { own, host, seconds }: Meet & { readonly host: string },
): Promise<Linked> {
  const payload = payloadSchema.parse(welcome);
  if (payload.kind === 'nccl') return await openCuda(device, own, new Uint8Array(Buffer.from(payload.id, 'base64')));
  const { port, token } = payload;
  const { socket } = await join({ own, host, port, token, seconds });
  const { spokeCollective } = await import('../../engine/replicas/socket-collective.ts');
  return await openReference(spokeCollective(socket, own.rank, own.ranks), [socket]);
}

async function openCuda({ index, precision }: LocalOptions, { rank, ranks }: Hello, id: Uint8Array): Promise<Linked> {
  const { cudaBackend } = await import('../../engine/cuda/runtime/backend.ts');
  const { endWithin } = await import('../../engine/cuda/runtime/deadline.ts');
  const backend = cudaBackend({ ...given({ device: index, precision }), collective: { rank, ranks, id } });
  const lose = async (reason: Error) => {
    if (!(await backend.lose(reason))) endWithin(GRACE);
  };
  return { backend, lose, close: () => backend.close() };
}

async function openReference(collective: Collective, sockets: readonly Socket[]): Promise<Linked> {
  const { referenceBackend } = await import('../../engine/reference/backend.ts');
  const lose = async () => {
    for (const socket of sockets) socket.destroy();
  };
  return { backend: referenceBackend({ collective }), lose, close: lose };
}
