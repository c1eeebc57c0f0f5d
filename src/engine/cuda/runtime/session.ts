// A session on a GPU: the variables, constants and loaded kernels that its programs share, and one stream, to which all
// work goes in order. As one of a group of GPUs (communicator.ts) it builds and starts programs in the order of the
// calls, and never keeps its thread from the event loop.

import type { TensorType } from '../../../tensor/tensor.ts';
import { allocate, byteSize, type HostTensor, sizeOf, type TensorData } from '../../../tensor/tensor.ts';
import { type Backend, POISON, type Program } from '../../backend.ts';
import type { Graph } from '../../graph/graph.ts';
import { SharedSession } from '../../session.ts';
import { countsBits } from '../lower/approximate-bits.ts';
import type { Address, KernelLaunch, Target } from '../lower/launch.ts';
import { Arena } from './arena.ts';
import type { Communicator } from './communicator.ts';
import { LackingProducts } from './compiler.ts';
import type { Context, PreparedKernel } from './driver.ts';
import { KernelLibrary } from './kernel-library.ts';
import { MemoryPool } from './pool.ts';
import { PinnedMemory } from './staging.ts';

/** Dynamic shared memory that needs no permission, with room for what a kernel declares itself. */
const ALWAYS_ALLOWED_SHARED = 32 * 1024;

/** What work is lowered for from now on; a program stays as it was lowered. */
export interface SharedTarget {
  now: Target;
}

/** What a session computes with. */
export interface SessionParts {
  readonly backend: Backend;
  readonly context: Context;
  readonly kernels: KernelLibrary;
  /** Of all sessions of the device. */
  readonly target: SharedTarget;
  /** In tests: memory is poisoned when it is taken. */
  readonly poison: boolean;
  readonly group: Communicator | undefined;
  readonly compile: (graph: Graph, session: CudaSession, meet?: () => Promise<void>) => Promise<Program>;
}

export class CudaSession extends SharedSession<Address> {
  readonly context: Context;
  readonly poison: boolean;
  readonly arena: Arena;
  /** Bytes that programs have for themselves. */
  ownBytes = 0;
  readonly #kernels: KernelLibrary;
  readonly #compile: SessionParts['compile'];
  readonly #target: SharedTarget;
  readonly #pool: MemoryPool;
  readonly #constants = new Map<TensorData, Address>();
  readonly #modules = new Map<string, Promise<bigint>>();
  /** Kernels of the modules, and the dynamic shared memory that each is allowed. */
  readonly #functions = new Map<string, { readonly kernel: bigint; readonly shared: number }>();
  readonly group: Communicator | undefined;
  readonly #pinned: PinnedMemory;
  /** Of a session of a group: happens when the runs so far are done. */
  readonly #runs: bigint | undefined;

  constructor({ backend, context, kernels, target, poison, group, compile }: SessionParts) {
    super(backend);
    this.context = context;
    this.group = group;
    this.#pinned = new PinnedMemory(context);
    if (group) this.#runs = context.createEvent();
    group?.enter(context);
    this.#kernels = kernels;
    this.#compile = compile;
    this.#target = target;
    this.poison = poison;
    this.arena = new Arena(context);
    this.#pool = this.newPool();
  }

  get target(): Target {
    return this.#target.now;
  }

  /**
   * Whether a program for `target` that ended with this error can do without what is to blame: without counts of bits,
   * where the compiler leaves products out of those. From then on none is lowered with them on this device.
   */
  canDoWithout(error: unknown, target: Target): boolean {
    if (!(error instanceof LackingProducts) || !countsBits(error.file) || target.counts === false) return false;
    if (this.target.counts !== false) {
      const { file, compilerVersion } = error;
      const why = `the compiler, NVRTC ${compilerVersion}, leaves products out of the kernel ${file}`;
      process.emitWarning(`${why}: products of planes take its place, which are slower`);
      this.#target.now = { ...this.target, counts: false };
    }
    return true;
  }

  newPool(): MemoryPool {
    const { context } = this;
    return new MemoryPool(context, this.poison ? (block, bytes) => context.fill(block, POISON, bytes) : undefined);
  }

  get bytes(): number {
    return this.arena.bytes + this.ownBytes + this.#pool.bytes;
  }

  protected allocate(type: TensorType): Address {
    const bytes = byteSize(type);
    const address = this.#pool.allocate(bytes);
    this.context.fill(address, 0, bytes);
    return address;
  }

  /** Whether the group is no more: what the device still does is not waited for. */
  get lost(): boolean {
    return this.group?.failure !== undefined;
  }

  /** Does this after all that was asked for before; alone, at once. */
  inOrder<T>(work: () => Promise<T>): Promise<T> {
    return this.group ? this.group.inOrder(work) : work();
  }

  /** Resolves when the device has nothing to do. */
  async quiet(): Promise<void> {
    if (this.group) await this.context.idle();
    this.context.synchronize();
  }

  /** A run was started. */
  started(): void {
    if (this.#runs !== undefined) this.context.record(this.#runs);
  }

  /** Whether runs are under way that need the other GPUs of a group. */
  get #waits(): boolean {
    return this.#runs !== undefined && !this.context.driver.reached(this.#runs);
  }

  protected store(to: Address, { data }: HostTensor): void {
    this.context.use();
    this.group?.check();
    if (this.#waits) {
      this.#pinned.send(to, data);
      return;
    }
    this.context.toDevice(to, new Uint8Array(data.buffer, data.byteOffset, data.byteLength), data.byteLength);
    // The copy reads the caller's memory: it must be done before the caller may change it.
    this.context.synchronize();
  }

  protected load(from: Address, type: TensorType): Promise<TensorData> {
    return this.readMemory(type, from);
  }

  protected build(graph: Graph, meet?: () => Promise<void>): Promise<Program> {
    return this.#compile(graph, this, meet);
  }

  protected fitArena(bytes: number): void {
    if (!this.lost) this.arena.fit(bytes);
  }

  /** Programs poison it before each run. */
  protected poisonArena(): void {}

  protected async end(): Promise<void> {
    // What is left goes when the process ends.
    if (this.lost) return this.group?.leave(this.context);
    await this.#pinned.dispose();
    if (this.#runs !== undefined) this.context.destroyEvent(this.#runs);
    await this.quiet();
    this.group?.leave(this.context);
    // What did not compile was told to whoever needed it.
    const modules = await Promise.allSettled(this.#modules.values());
    for (const module of modules) if (module.status === 'fulfilled') this.context.unloadModule(module.value);
    this.#pool.dispose();
    this.#constants.clear();
    this.context.dispose();
  }

  /** A copy of a tensor in device memory, after all work issued so far. */
  async readMemory({ dtype, shape }: TensorType, from: Address): Promise<TensorData> {
    const data = allocate(dtype, sizeOf(shape));
    this.context.use();
    this.group?.check();
    if (this.#waits) {
      await this.#pinned.fetch(from, data);
      return data;
    }
    this.context.toHost(new Uint8Array(data.buffer), from, data.byteLength);
    this.context.synchronize();
    return data;
  }

  /** The device's copy of constant data; programs that use the same data share it. */
  constant(data: TensorData): Address {
    const known = this.#constants.get(data);
    if (known !== undefined) return known;
    const address = this.#pool.allocate(data.byteLength);
    this.context.toDevice(address, new Uint8Array(data.buffer, data.byteOffset, data.byteLength), data.byteLength);
    this.#constants.set(data, address);
    return address;
  }

  /** Compiles and loads what launches need; the result prepares a launch. */
  async loadKernels(launches: readonly KernelLaunch[]): Promise<(launch: KernelLaunch) => PreparedKernel> {
    const sources = new Map(launches.map(({ source }) => [KernelLibrary.nameOf(source), source]));
    const modules = new Map<string, bigint>();
    const missing = [...sources].filter(([name]) => !this.#modules.has(name)).map(([, source]) => source);
    for (const [name, image] of this.#kernels.images(missing)) {
      const module = image.then((code) => this.context.loadModule(code));
      this.#modules.set(name, module);
      module.catch(() => this.#modules.delete(name));
    }
    await Promise.all([...sources.keys()].map(async (name) => modules.set(name, await this.#modules.get(name)!)));
    return ({ source, name, ...launch }) => {
      const module = KernelLibrary.nameOf(source);
      const key = `${module}#${name}`;
      const known = this.#functions.get(key);
      if (known && launch.shared <= known.shared) return { kernel: known.kernel, ...launch };
      this.context.use();
      const kernel = known?.kernel ?? this.context.kernel(modules.get(module)!, name);
      // Launches of one kernel may want different amounts: it is allowed the most that any of them has wanted.
      const shared = Math.max(ALWAYS_ALLOWED_SHARED, launch.shared);
      if (shared > ALWAYS_ALLOWED_SHARED) this.context.allowShared(kernel, shared);
      this.#functions.set(key, { kernel, shared });
      return { kernel, ...launch };
    };
  }
}
