// Several reference devices in one process as one backend: each program runs on all of them at once, and what they
// reduce is added up in the order of their ranks. What a replicated session does over sockets, for tests of what is
// computed; inputs written with a part for each device go there part by part.

import type { Backend, Program, Session } from '../../src/engine/backend.ts';
import type { Graph } from '../../src/engine/graph/graph.ts';
import type { ReduceKind } from '../../src/engine/graph/ops.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import type { Collective } from '../../src/engine/reference/collective.ts';
import type { SharedSession } from '../../src/engine/session.ts';
import { sizeOf, type TensorData } from '../../src/tensor/tensor.ts';

type Floats = Float32Array | Float64Array;
type Data = Floats | Uint8Array | Int32Array;

const folds: Readonly<Record<ReduceKind, (a: number, b: number) => number>> = {
  sum: (a, b) => a + b,
  mean: (a, b) => a + b,
  min: Math.min,
  max: Math.max,
};

/** Called with the values of all ranks once each has come. */
export function collectives(replicas: number): Collective[] {
  let come: { readonly tensors: readonly Floats[]; readonly go: () => void }[] = [];
  return Array.from({ length: replicas }, (_, rank) => ({
    ...{ replicas, rank },
    allReduce: (kind: ReduceKind, tensors: readonly Floats[]) =>
      new Promise<void>((go) => {
        come[rank] = { tensors, go };
        if (Object.keys(come).length < replicas) return;
        const all = come;
        come = [];
        tensors.forEach((_, at) => {
          const [first, ...others] = all.map(({ tensors }) => tensors[at]!);
          const total = first!.slice();
          for (let k = 0; k < total.length; k++) {
            const sum = others.reduce((before, other) => folds[kind](before, other[k]!), total[k]!);
            total[k] = kind === 'mean' ? sum / replicas : sum;
          }
          for (const { tensors } of all) tensors[at]!.set(total);
        });
        for (const { go } of all) go();
      }),
  }));
}

export interface SideBySide extends Session {
  /** Every variable of each device, with all bits that it has there. */
  variables(): Readonly<Record<string, Data>>[];
}

interface Options {
  readonly precision?: 'single' | 'double';
  readonly ownMemory?: boolean;
}

/** A session on so many devices of one process. */
export async function sideBySide(replicas: number, { precision = 'single', ownMemory = false }: Options = {}) {
  const meeting = collectives(replicas);
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
    get bytes() {
      return leader.bytes;
    },
    dispose: async () => {
      for (const one of sessions) await one.dispose();
    },
    variables: () =>
      sessions.map((one) =>
        Object.fromEntries(
          one.variableNames().map((name) => [name, (one as SharedSession<Data>).variable(name).place.slice()]),
        ),
      ),
  };
  return session;
}

function together({ inputs }: Graph, programs: readonly Program[]): Program {
  const [leader] = programs as [Program];
  return {
    write: (name: string, data: TensorData) => {
      const size = sizeOf(inputs.get(name)!.shape);
      const isParted = programs.length > 1 && data.length === size * programs.length;
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
