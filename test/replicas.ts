// Several replicas of the reference backend in one process, led as those of several processes are: over sockets of this
// host, with reductions that meet in memory. For tests that are about what replicas compute.

import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import type { Backend } from '../src/engine/backend.ts';
import { referenceBackend } from '../src/engine/reference/backend.ts';
import type { Collective } from '../src/engine/reference/collective.ts';
import type { PeersOptions } from '../src/engine/replicas/peers.ts';
import { serveReplica } from '../src/engine/replicas/serve.ts';
import { replicatedBackend } from '../src/engine/replicas/session.ts';
import { reduceInto } from '../src/engine/replicas/socket-collective.ts';

/** Two ends of a connection. */
export async function socketPair(): Promise<[Socket, Socket]> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { readonly port: number };
  const one = connect(port, '127.0.0.1');
  const [[other]] = (await Promise.all([once(server, 'connection'), once(one, 'connect')])) as [[Socket], unknown];
  server.close();
  return [one, other];
}

/** Reductions of so many devices of one process, by rank: whoever comes last does the work for all. */
export function collectivesOf(replicas: number): Collective[] {
  type Call = Parameters<Collective['allReduce']>;
  const waiting = new Map<number, { readonly call: Call; readonly resolve: () => void }>();
  return Array.from({ length: replicas }, (_, rank) => ({
    replicas,
    rank,
    allReduce: (...call: Call) =>
      new Promise<void>((resolve) => {
        waiting.set(rank, { call, resolve });
        if (waiting.size < replicas) return;
        const all = [...waiting].sort(([a], [b]) => a - b).map(([, one]) => one);
        waiting.clear();
        const [kind, first] = all[0]!.call;
        first.forEach((tensor, at) => {
          reduceInto(
            kind,
            all.map(({ call: [, tensors] }) => tensors[at]!),
          );
          for (const { call } of all.slice(1)) call[1][at]!.set(tensor);
        });
        for (const { resolve } of all) resolve();
      }),
  }));
}

export interface Replicated {
  readonly backend: Backend;
  /** How the serving of each rank from 1 on ended: nothing, or its error. */
  readonly served: readonly Promise<unknown>[];
  /** Each leader's end of a connection, and each replica's. */
  readonly sockets: readonly (readonly [leader: Socket, replica: Socket])[];
}

/** So many replicas; `make`: the device of a rank, by default the reference. */
export async function replicatedReference(
  replicas: number,
  make: (collective: Collective) => Backend = (collective) => referenceBackend({ collective }),
  options?: PeersOptions,
): Promise<Replicated> {
  const [first, ...others] = collectivesOf(replicas).map(make) as [Backend, ...Backend[]];
  const sockets = await Promise.all(others.map(() => socketPair()));
  const served = others.map((device, at) => serveReplica(sockets[at]![1], device).catch((error: unknown) => error));
  const peers = sockets.map(([socket], at) => ({ rank: at + 1, host: 'here', device: 'reference', socket }));
  return { backend: replicatedBackend(first, peers, options), served, sockets };
}
