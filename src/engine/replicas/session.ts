// A device that is several: what its sessions do, they do on the leader's own device and on every replica. Programs are
// compiled and variables created on all, whatever is read comes from the leader, and what a run is given goes in one
// frame with it. No step waits for an answer.
// An input that is written `replicas` times as long as its graph declares it is split among them, row-major along its
// first axis; any other is the same on all. A program that reduces nothing computes the same everywhere.
// Invariant: all replicas do the same in the same order, so their variables have the same bits; `checkReplicas` looks.
// Not here: how the parts of a batch become one gradient (train/), and how devices reduce (their backends).

import { createHash } from 'node:crypto';
import { invariant, LostDeviceError, TooLargeError } from '../../tensor/errors.ts';
import {
  allocate,
  type DType,
  type HostTensor,
  type Shape,
  sizeOf,
  type TensorData,
  type TensorType,
} from '../../tensor/tensor.ts';
import type { Backend, Program, Session } from '../backend.ts';
import type { Graph } from '../graph/graph.ts';
import { equalityGraph } from './equality.ts';
import { ADVICE, nameOf, type Peer, Peers, type PeersOptions } from './peers.ts';
import { packGraph } from './portable.ts';
import { bytesOf, type SentConstant } from './protocol.ts';

/**
 * `local`: the device of rank 0, this process; `peers`: the other ranks, each behind a connected socket at whose other
 * end `serveReplica` runs. Devices of several ranks know each other (`Device.replicas` of each is their number).
 */
export function replicatedBackend(local: Backend, peers: readonly Peer[], options: PeersOptions = {}): Backend {
  const replicas = peers.length + 1;
  invariant(local.device.replicas === replicas, `a device of ${local.device.replicas} ranks leads ${replicas}`);
  const all = new Peers(peers, options);
  let sessions = 0;
  const backend: Backend = {
    device: {
      ...local.device,
      description: describe([local.device.description, ...peers.map(({ device }) => device)]),
    },
    openSession: async () => {
      const session = sessions++;
      const asked = all.ask({ kind: 'open', session });
      const [own, replies] = await Promise.allSettled([local.openSession(), asked]);
      if (own.status === 'fulfilled' && replies.status === 'fulfilled') {
        const error = replies.value.find((reply) => reply.error)?.error;
        if (!error) return new ReplicatedSession(backend, own.value, all, session, peers);
        await own.value.dispose();
        throw error;
      }
      throw replies.status === 'rejected' ? replies.reason : (own as PromiseRejectedResult).reason;
    },
    // What it leaves on disk the others find there.
    expect: (graphs) => local.expect?.(graphs),
  };
  return backend;
}

/** One line for people: equal devices are counted, whichever of their hosts they are ("GPU 0: …"). */
function describe(devices: readonly string[]): string {
  if (devices.length === 1) return devices[0]!;
  const counts = new Map<string, number>();
  for (const device of devices.map((text) => text.replace(/^\w+ \d+: /, ''))) {
    counts.set(device, (counts.get(device) ?? 0) + 1);
  }
  const texts = [...counts].map(([device, count]) => (count === 1 ? device : `${count} × ${device}`));
  return texts.join(' and ');
}

class ReplicatedSession implements Session {
  readonly backend: Backend;
  readonly replicas: number;
  readonly #local: Session;
  readonly #peers: Peers;
  readonly #session: number;
  readonly #replicas: readonly Omit<Peer, 'socket'>[];
  readonly #constants = new Set<string>();
  /** Variables that have been written or assigned. */
  readonly #known = new Map<string, TensorType>();
  /** Whether any of them may have changed since they were compared. */
  #changed = false;
  /** Compares those of f32; made anew when there are more of them. */
  #equality: { readonly count: number; readonly program: Program | undefined } | undefined;
  #programs = 0;

  constructor(backend: Backend, local: Session, peers: Peers, session: number, replicas: readonly Peer[]) {
    this.backend = backend;
    this.replicas = backend.device.replicas;
    this.#local = local;
    this.#peers = peers;
    this.#session = session;
    this.#replicas = [...replicas].sort((a, b) => a.rank - b.rank);
  }

  get bytes(): number {
    return this.#local.bytes;
  }

  variableNames(): readonly string[] {
    return this.#local.variableNames();
  }

  async compile(graph: Graph): Promise<Program> {
    const [session, program] = [this.#session, this.#programs++];
    const { text, constants } = packGraph(graph);
    const sections: Uint8Array[] = [];
    const sent = constants.map(({ dtype, shape, data }): SentConstant => {
      const digest = digestOf(data);
      const isNew = !this.#constants.has(digest);
      if (isNew) sections.push(bytesOf(data));
      this.#constants.add(digest);
      return { dtype, shape, digest, sent: isNew };
    });
    const prepared = this.#peers.require({ kind: 'compile', session, program, graph: text, constants: sent }, sections);
    prepared.catch(() => {});
    let built: Promise<void> | undefined;
    let fail: (error: unknown) => void = () => {};
    const failed = new Promise<never>((_, reject) => {
      fail = reject;
    });
    failed.catch(() => {});
    // Where one cannot, the others do not begin what they would wait in for it.
    const meet = async () => {
      await prepared;
      built = this.#peers.orLost(this.#peers.require({ kind: 'meet', session, program }));
      built.catch(fail);
    };
    let own: Program | undefined;
    try {
      own = await Promise.race([this.#local.compile(graph, meet), failed]);
      if (!built) await meet();
      await built;
      return new ReplicatedProgram(this, own, this.#peers, { session, program }, graph);
    } catch (error) {
      this.#peers.check();
      if (built && !own) {
        // One device waits for another that does not come.
        this.#peers.fail(error as Error);
        throw error;
      }
      this.#peers.tell({ kind: 'drop', session, program });
      await own?.dispose();
      throw error;
    }
  }

  write(name: string, { dtype, shape, data }: HostTensor): void {
    this.#peers.check();
    const copy = allocate(dtype, sizeOf(shape));
    copy.set(data);
    this.#local.write(name, { dtype, shape, data: copy });
    const bytes = [bytesOf(copy)];
    this.#peers.tell({ kind: 'write', session: this.#session, name, dtype, shape }, () => bytes);
    this.#mark(name, { dtype, shape });
  }

  async read(name: string): Promise<HostTensor> {
    return await this.#peers.orLost(this.#local.read(name));
  }

  async checkReplicas(): Promise<void> {
    this.#peers.check();
    if (!this.#changed) return;
    const known = [...this.#known].filter(([, { shape }]) => sizeOf(shape) > 0);
    const [floats, others] = [true, false].map((wanted) =>
      known.filter(([, { dtype }]) => (dtype === 'f32') === wanted),
    ) as [[string, TensorType][], [string, TensorType][]];
    const differing = await this.#differing(new Map(floats.map(([name, { shape }]) => [name, shape])));
    const rest = differing ? others : known;
    await this.#compareDigests([...(differing ?? []), ...rest.map(([name]) => name)]);
    invariant(!differing?.length, `the variable ${differing?.[0]} differs between replicas, but by no digest`);
    this.#changed = false;
  }

  /** Those of f32 variables that the devices find to differ; undefined where they have no room to compare them. */
  async #differing(variables: ReadonlyMap<string, Shape>): Promise<readonly string[] | undefined> {
    if (variables.size === 0) return [];
    if (this.#equality?.count !== variables.size) {
      await this.#equality?.program?.dispose();
      const program = await this.compile(equalityGraph(variables, this.replicas)).catch((error: unknown) => {
        if (!(error instanceof TooLargeError)) throw error;
        return undefined;
      });
      this.#equality = { count: variables.size, program };
    }
    const { program } = this.#equality;
    if (!program) return undefined;
    await program.run();
    const names = [...variables.keys()];
    const counts = await Promise.all(names.map((name) => program.read(name)));
    return names.filter((_, at) => counts[at]![0] !== 0);
  }

  async #compareDigests(names: readonly string[]): Promise<void> {
    if (names.length === 0) return;
    const asked = this.#peers.ask({ kind: 'digest', session: this.#session, names });
    const [own, replies] = await Promise.all([this.#peers.orLost(digestsOf(this.#local, names)), asked]);
    for (const [at, { error, digests }] of replies.entries()) {
      if (error) throw error;
      const differing = names.filter((_, index) => digests[index] !== own[index]);
      if (differing.length === 0) continue;
      const [first, ...others] = differing;
      const more = others.length > 0 ? ` and ${others.length} more` : '';
      const failure = new LostDeviceError(
        `${nameOf(this.#replicas[at]!)}: the variable ${first}${more} has other bits than on rank 0, so the devices no longer train the same network; ${ADVICE}`,
      );
      this.#peers.fail(failure);
      throw failure;
    }
  }

  #mark(name: string, { dtype, shape }: TensorType): void {
    this.#known.set(name, { dtype, shape });
    this.#changed = true;
  }

  /** A program with these assignments has begun to run. */
  ran(assigned: ReadonlyMap<string, TensorType>): void {
    for (const [name, type] of assigned) this.#mark(name, type);
  }

  async dispose(): Promise<void> {
    // What a lost replica has left is nothing to wait for: the process ends.
    if (this.#peers.failed) return;
    const asked = this.#peers.ask({ kind: 'close', session: this.#session });
    const [own, replies] = await Promise.allSettled([this.#peers.orLost(this.#local.dispose()), asked]);
    if (this.#peers.failed) return;
    if (own.status === 'rejected') throw own.reason;
    const error = replies.status === 'fulfilled' ? replies.value.find((reply) => reply.error)?.error : undefined;
    if (error) throw error;
  }
}

class ReplicatedProgram implements Program {
  readonly arenaBytes: number;
  readonly #session: ReplicatedSession;
  readonly #local: Program;
  readonly #peers: Peers;
  readonly #ids: { readonly session: number; readonly program: number };
  readonly #graph: Graph;
  /** Inputs written since the last run. */
  #written = new Map<string, { readonly data: TensorData; readonly split: boolean }>();
  #disposed = false;

  constructor(
    session: ReplicatedSession,
    local: Program,
    peers: Peers,
    ids: { readonly session: number; readonly program: number },
    graph: Graph,
  ) {
    this.#session = session;
    this.#local = local;
    this.#peers = peers;
    this.#ids = ids;
    this.#graph = graph;
    this.arenaBytes = local.arenaBytes;
  }

  write(name: string, data: TensorData): void {
    this.#peers.check();
    const input = this.#graph.inputs.get(name);
    invariant(input, `the program has no input ${name}`);
    const count = sizeOf(input.shape);
    const parts = data.length / count;
    const split = parts !== 1;
    invariant(
      parts === 1 || (parts === this.#session.replicas && this.#graph.replicas === parts),
      `input ${name} takes ${count} elements on each of ${this.#graph.replicas} replicas, not ${data.length} in all`,
    );
    const copy = allocate(input.dtype, data.length);
    copy.set(data);
    this.#local.write(name, copy.subarray(0, count));
    this.#written.set(name, { data: copy, split });
  }

  async run(): Promise<void> {
    this.#peers.check();
    const written = [...this.#written];
    this.#written = new Map();
    const inputs = written.map(([name, { data }]) => ({ name, dtype: dtypeOf(data) }));
    this.#peers.tell({ kind: 'run', ...this.#ids, inputs }, (rank) =>
      written.map(([, { data, split }]) => bytesOf(split ? this.#part(data, rank) : data)),
    );
    this.#session.ran(this.#graph.assignments);
    try {
      // The caller's next call may block until the device is done, which waits for what the others have not got yet.
      await this.#peers.orLost(Promise.all([this.#local.run(), this.#peers.sent()]));
    } catch (error) {
      // The replicas wait in a run that the leader does not do.
      this.#peers.fail(error as Error);
      throw error;
    }
  }

  async read(name: string): Promise<TensorData> {
    return await this.#peers.orLost(this.#local.read(name));
  }

  async dispose(): Promise<void> {
    if (this.#disposed || this.#peers.failed) return;
    this.#disposed = true;
    this.#peers.tell({ kind: 'drop', ...this.#ids });
    await this.#peers.orLost(this.#local.dispose());
  }

  #part(data: TensorData, rank: number): TensorData {
    const count = data.length / this.#session.replicas;
    return data.subarray(rank * count, (rank + 1) * count);
  }
}

const dtypeOf = (data: TensorData): DType =>
  data instanceof Float32Array ? 'f32' : data instanceof Int32Array ? 'i32' : 'u8';

const digests = new WeakMap<TensorData, string>();

/** Of constant data, whose digest is formed once. */
function digestOf(data: TensorData): string {
  const known = digests.get(data) ?? hashOf(data);
  digests.set(data, known);
  return known;
}

const hashOf = (data: TensorData): string => createHash('sha256').update(bytesOf(data)).digest('hex');

/** What tells whether variables of two sessions have the same bits. */
export async function digestsOf(session: Session, names: readonly string[]): Promise<string[]> {
  const found: string[] = [];
  for (const name of names) {
    const { dtype, shape, data } = await session.read(name);
    found.push(`${dtype}[${shape}] ${hashOf(data)}`);
  }
  return found;
}
