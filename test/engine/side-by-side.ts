// Several reference devices of one process as one session that shows what each of them holds, with all its bits: each
// program runs on all of them at once, inputs with a part for each device go there part by part. What a replicated
// session does over sockets (../replicas.ts), but for what is read in double precision.

import type { Backend, Program, Session } from '../../src/engine/backend.ts';
import type { Graph } from '../../src/engine/graph/graph.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import type { SharedSession } from '../../src/engine/session.ts';
import { sizeOf, type TensorData } from '../../src/tensor/tensor.ts';
import { collectivesOf } from '../replicas.ts';

type Data = Float32Array | Float64Array | Uint8Array | Int32Array;

export interface SideBySide extends Session {
  /** Every variable of each device, with all bits that it has there. */
  variables(): Readonly<Record<string, Data>>[];
  /** Sets a variable with all bits that the devices can hold. */
  set(name: string, values: Data): void;
}

interface Options {
  readonly precision?: 'single' | 'double';
  readonly ownMemory?: boolean;
}

/** A session on so many devices of one process. */
export async function sideBySide(replicas: number, { precision = 'single', ownMemory = false }: Options = {}) {
  const meeting = collectivesOf(replicas);
  const own = { replicas, ownMemory };
  const locals = meeting.map((collective) =>
    referenceBackend(replicas === 1 ? { precision } : { precision, collective }),
  );
  const sessions = await Promise.all(locals.map((local) => local.openSession()));
  const [leader] = sessions as [Session];
  const backend: Backend = {
    device: { ...locals[0]!.device, ...own },
    openSession: () => sideBySide(replicas, { precision, ownMemory }),
  };
  const session: SideBySide = {
    backend,
    compile: async (graph) => together(graph, await Promise.all(sessions.map((one) => one.compile(graph)))),
    variableNames: () => leader.variableNames(),
    write: (name, tensor) => {
      for (const one of sessions) one.write(name, tensor);
    },
    read: (name) => leader.read(name),
    // Tests compare all of them themselves.
    checkReplicas: async () => {},
    get bytes() {
      return leader.bytes;
    },
    dispose: async () => {
      for (const one of sessions) await one.dispose();
    },
    set: (name, values) => {
      for (const one of sessions) placeOf(one, name).set(values);
    },
    variables: () =>
      sessions.map((one) => Object.fromEntries(one.variableNames().map((name) => [name, placeOf(one, name).slice()]))),
  };
  return session;
}

const placeOf = (session: Session, name: string) => (session as SharedSession<Data>).variable(name).place;

function together({ inputs, replicas }: Graph, programs: readonly Program[]): Program {
  const [leader] = programs as [Program];
  return {
    write: (name: string, data: TensorData) => {
      const size = sizeOf(inputs.get(name)!.shape);
      const isParted = replicas > 1 && data.length === size * replicas;
      programs.forEach((one, rank) => {
        one.write(name, isParted ? data.slice(rank * size, (rank + 1) * size) : data);
      });
    },
    run: async () => {
      await Promise.all(programs.map((one) => one.run()));
    },
    read: (name) => leader.read(name),
    arenaBytes: leader.arenaBytes,
    dispose: async () => {
      for (const one of programs) await one.dispose();
    },
  };
}
