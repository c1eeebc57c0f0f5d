// The cuda backend: the plan of every backend, lowered to kernels, built as a CUDA graph (again when the arena has
// moved) and replayed for each run. A session owns the variables and one stream, to which all work goes in order.
// Inputs travel through page-locked buffers (staging.ts), small outputs come back behind every run (outputs.ts), large
// ones are copied on demand. Nothing waits for the device but `read`. As one of a group of GPUs (communicator.ts) a
// session builds and starts programs in the order of the calls, and never keeps its thread from the event loop.

import { invariant, UserError } from '../../../tensor/errors.ts';
import type { TensorType } from '../../../tensor/tensor.ts';
import { allocate, byteSize, type HostTensor, sizeOf, type TensorData } from '../../../tensor/tensor.ts';
import { type Backend, POISON, type Program } from '../../backend.ts';
import type { Graph } from '../../graph/graph.ts';
import { type Plan, plan, type Storage } from '../../graph/plan.ts';
import { SharedSession } from '../../session.ts';
import type { Address, KernelLaunch, Precision, Target } from '../lower/launch.ts';
import { type Lower, lowerOn } from '../lower/lowerings.ts';
import { copyCommand, lowerPlan } from '../lower/program.ts';
import { type Collective, type Command, dependenciesOf, launchesOf } from '../lower/schedule.ts';
import { Arena } from './arena.ts';
import { type CollectiveOptions, Communicator } from './communicator.ts';
import { KernelLibrary } from './compiler.ts';
import { OLDEST_CAPABILITY, openCuda, openNccl } from './device.ts';
import { Context, type DeviceProperties, type GraphNode, type PreparedKernel } from './driver.ts';
import { OutputRing } from './outputs.ts';
import { MemoryPool } from './pool.ts';
import { PinnedInput, PinnedMemory } from './staging.ts';

export interface CudaOptions {
  /** Which of the machine's GPUs; default 0. */
  readonly device?: number;
  /** Operands of float convolutions and gradients: tf32 (default), bf16, or f32 in two tf32 parts. */
  readonly precision?: Precision;
  /** In tests: the arena is poisoned before each run, other memory when it is taken (see ../backend.ts). */
  readonly poison?: boolean;
  /** In tests: what work is lowered for in place of what the GPU is, to run the paths of smaller and older ones. */
  readonly as?: Partial<Omit<Target, 'precision'>>;
  /** As one of several GPUs, each of a process of its own that does the same in the same order. */
  readonly collective?: CollectiveOptions;
}

/** A name under which the ranks of a group find each other; made in one of their processes, for one group. */
export function collectiveId(): Uint8Array {
  return openNccl().uniqueId();
}

export interface CudaBackend extends Backend {
  /**
   * Another rank of the group is gone: what is under way and whatever follows rejects with this error. Resolves to
   * whether reductions that wait for it on the device were ended; if not, the process must end for it.
   */
  lose(reason: Error): Promise<boolean>;
  /** Leaves the group; all sessions are disposed of. */
  close(): Promise<void>;
}

const ALIGNMENT = 256;
/**
 * The device runs a graph, not a list: steps that share memory one after the other wait for each other. On a training
 * step of ResNet18 the longest chain is then a third shorter, for a third more memory; beyond 32 steps nothing is
 * gained.
 */
const REUSE_DISTANCE = 32;
/** Beyond that, steps are so large that they fill the device one by one, and memory is worth more. */
const RESTING_BYTES = 2 ** 29;
/** Outputs up to this size come back with every run. */
const SMALL_OUTPUT_BYTES = 1024;
/** Dynamic shared memory that needs no permission, with room for what a kernel declares itself. */
const ALWAYS_ALLOWED_SHARED = 32 * 1024;

/** Opens the GPU; a UserError says why there is none. */
export function cudaBackend(options: CudaOptions = {}): CudaBackend {
  const { device = 0, precision = 'tf32', poison = false, as = {}, collective } = options;
  const { driver, compiler, devices } = openCuda();
  const properties = devices[device];
  if (!properties) throw new UserError(`there is no GPU ${device}; the machine has ${devices.length}, counted from 0`);
  const kernels = new KernelLibrary(() => compiler, {
    capability: properties.capability,
    device: properties.name,
    driverVersion: driver.version,
  });
  if (properties.capability < OLDEST_CAPABILITY) {
    throw new UserError(
      `GPU ${device}, ${properties.name}, has compute capability ${properties.capability / 10}; 8.0 or newer is needed`,
    );
  }
  const group =
    collective && new Communicator(openNccl(), () => new Context(driver, properties, { urgent: true }), collective);
  const backend: CudaBackend = {
    device: {
      name: 'cuda',
      description: `${describe(properties)}, ${precision}`,
      model: `${properties.name}, compute capability ${(properties.capability / 10).toFixed(1)}`,
      memoryBytes: properties.memoryBytes,
      ownMemory: true,
      replicas: group?.ranks ?? 1,
      emulations: ['lowrank', 'table'],
    },
    openSession: async () => {
      const { multiprocessors, sharedBytesPerBlock, capability } = properties;
      const target = { multiprocessors, sharedBytesPerBlock, precision, warpgroups: capability === 90, ...as };
      await group?.join();
      const context = new Context(driver, properties, group ? { watch: () => group.check() } : {});
      return new CudaSession(backend, context, kernels, target, poison, group);
    },
    lose: async (reason) => (await group?.lose(reason)) ?? true,
    close: async () => await group?.dispose(),
  };
  return backend;
}

function describe({ ordinal, name, memoryBytes }: DeviceProperties): string {
  return `GPU ${ordinal}: ${name}, ${Math.round(memoryBytes / 2 ** 30)} GiB`;
}

class CudaSession extends SharedSession<Address> {
  readonly context: Context;
  readonly target: Target;
  readonly poison: boolean;
  readonly arena: Arena;
  /** Bytes that programs have for themselves. */
  ownBytes = 0;
  readonly #kernels: KernelLibrary;
  readonly #pool: MemoryPool;
  readonly #constants = new Map<TensorData, Address>();
  readonly #modules = new Map<string, Promise<bigint>>();
  readonly group: Communicator | undefined;
  readonly #pinned: PinnedMemory;
  /** Of a session of a group: happens when the runs so far are done. */
  readonly #runs: bigint | undefined;

  constructor(
    backend: Backend,
    context: Context,
    kernels: KernelLibrary,
    target: Target,
    poison: boolean,
    group: Communicator | undefined,
  ) {
    super(backend);
    this.context = context;
    this.group = group;
    this.#pinned = new PinnedMemory(context);
    if (group) this.#runs = context.createEvent();
    group?.enter(context);
    this.#kernels = kernels;
    this.target = target;
    this.poison = poison;
    this.arena = new Arena(context);
    this.#pool = this.newPool();
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

  protected build(graph: Graph): Promise<Program> {
    return CudaProgram.create(graph, this);
  }

  protected fitArena(bytes: number): void {
    if (!this.lost) this.arena.fit(bytes);
  }

  /** Programs poison it before each run. */
  protected poisonArena(): void {}

  protected async end(): Promise<void> {
    this.group?.leave(this.context);
    // What is left goes when the process ends.
    if (this.lost) return;
    await this.#pinned.dispose();
    if (this.#runs !== undefined) this.context.destroyEvent(this.#runs);
    await this.quiet();
    for (const module of this.#modules.values()) this.context.unloadModule(await module);
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
    await Promise.all(
      [...sources].map(async ([name, source]) => {
        const loading =
          this.#modules.get(name) ?? this.#kernels.image(source).then((image) => this.context.loadModule(image));
        this.#modules.set(name, loading);
        modules.set(name, await loading);
      }),
    );
    this.context.use();
    const kernels = new Map<string, bigint>();
    return ({ source, name, ...launch }) => {
      const module = KernelLibrary.nameOf(source);
      const key = `${module}#${name}`;
      const known = kernels.get(key);
      if (known !== undefined) return { kernel: known, ...launch };
      this.context.use();
      const kernel = this.context.kernel(modules.get(module)!, name);
      if (launch.shared > ALWAYS_ALLOWED_SHARED) this.context.allowShared(kernel, launch.shared);
      kernels.set(key, kernel);
      return { kernel, ...launch };
    };
  }
}

interface Output {
  readonly type: TensorType;
  readonly address: Address;
  /** Where it is in the block of small outputs, if it is one. */
  readonly offset: number | undefined;
}

/** A command that is ready for the device, and the earlier ones that it waits for. */
type ReadyCommand = (PreparedKernel | { readonly collective: Collective }) & {
  readonly name: string;
  readonly label: string;
  readonly dependencies: readonly number[];
};

function ready(commands: readonly Command[], prepare: (launch: KernelLaunch) => PreparedKernel): ReadyCommand[] {
  const dependencies = dependenciesOf(commands);
  return commands.map(({ launch, collective, label = '' }, at) => {
    const place = { label, dependencies: dependencies[at]! };
    if (launch) return { name: launch.name, ...place, ...prepare(launch) };
    return { name: 'allReduce', ...place, collective };
  });
}

/** How long one kernel of a program takes by itself. */
export interface KernelTime {
  readonly name: string;
  /** The layer that it works for, or another part of the program; '' for none. */
  readonly label: string;
  readonly grid: readonly number[];
  readonly shared: number;
  /** The numbers of the kernels that it waits for. */
  readonly dependencies: readonly number[];
  /** 0 for a reduction over replicas, which is nothing that one of them can do by itself. */
  readonly milliseconds: number;
}

/** A program over the arena where it was when this was built. */
interface Built {
  readonly generation: number;
  readonly commands: readonly ReadyCommand[];
  /** Tables and counters of the kernels. */
  readonly pool: MemoryPool;
  readonly parts: readonly Part[];
}

/** A program is one graph, or graphs with reductions between them. */
type Part = { readonly graph: bigint } | { readonly collective: Collective };

/** Reductions go one after the other, in this order on all ranks, also where they are captured. */
async function partsOf(
  commands: readonly ReadyCommand[],
  context: Context,
  group: Communicator | undefined,
): Promise<Part[]> {
  if (group?.apart) return apart(commands, context);
  const nodes: GraphNode[] = [];
  for (const command of commands) {
    const { dependencies } = command;
    if (!('collective' in command)) nodes.push(command);
    else {
      invariant(group, 'a reduction over replicas on a GPU that is alone');
      nodes.push({ child: await group.capture(command.collective), dependencies });
    }
  }
  return [{ graph: context.createGraph(nodes) }];
}

/** A graph of the kernels between two reductions each. */
function apart(commands: readonly ReadyCommand[], context: Context): Part[] {
  const parts: Part[] = [];
  let [first, kernels]: [number, GraphNode[]] = [0, []];
  const cut = (next: number) => {
    if (kernels.length > 0) parts.push({ graph: context.createGraph(kernels) });
    [first, kernels] = [next, []];
  };
  commands.forEach((command, at) => {
    if ('collective' in command) {
      cut(at + 1);
      parts.push({ collective: command.collective });
      return;
    }
    const inside = command.dependencies.filter((before) => before >= first);
    kernels.push({ ...command, dependencies: inside.map((before) => before - first) });
  });
  cut(commands.length);
  return parts;
}

/** A program of this backend; benches measure its parts. */
export class CudaProgram implements Program {
  readonly arenaBytes: number;
  readonly #session: CudaSession;
  readonly #plan: Plan;
  readonly #lower: Lower;
  /** Inputs, outputs and the block of small outputs. */
  readonly #pool: MemoryPool;
  readonly #own: Address;
  readonly #block: Address;
  readonly #constants: readonly Address[];
  readonly #inputs: ReadonlyMap<string, PinnedInput>;
  readonly #outputs: ReadonlyMap<string, Output>;
  readonly #ring: OutputRing;
  #built: Built | undefined;
  #building: Promise<void> | undefined;
  #disposed = false;

  static async create(graph: Graph, session: CudaSession): Promise<CudaProgram> {
    let program: CudaProgram | undefined;
    try {
      return await session.inOrder(async () => {
        // Memory is given back and filled, and kernels are loaded: all that waits for the device.
        if (session.group) await session.quiet();
        program = new CudaProgram(graph, session);
        session.join(program, program.arenaBytes);
        await program.#ready();
        return program;
      });
    } catch (error) {
      await program?.dispose();
      throw error;
    }
  }

  private constructor(graph: Graph, session: CudaSession) {
    const { context, target } = session;
    this.#session = session;
    this.#lower = lowerOn(target);
    this.#plan = plan(graph, {
      join: true,
      alignment: ALIGNMENT,
      workspaceBytes: (node) => this.#lower(node).workspaceBytes ?? 0,
      reuseDistance: REUSE_DISTANCE,
      restingBytes: RESTING_BYTES,
    });
    this.arenaBytes = this.#plan.arenaBytes;
    this.#pool = session.newPool();
    this.#own = this.#pool.allocate(this.#plan.ownBytes);
    this.#constants = graph.constants.map(({ source }) => {
      invariant(source.kind === 'constant', 'a constant without its tensor');
      return session.constant(source.tensor.data);
    });
    this.#inputs = new Map(
      [...graph.inputs].map(([name, value]) => [
        name,
        new PinnedInput(context, name, value, this.#addressOf(this.#plan.storage(value)), session.group !== undefined),
      ]),
    );
    let smallBytes = 0;
    this.#outputs = new Map(
      [...graph.outputs].map(([name, value]) => {
        const bytes = byteSize(value);
        const offset = bytes <= SMALL_OUTPUT_BYTES ? smallBytes : undefined;
        if (offset !== undefined) smallBytes += 4 * Math.ceil(bytes / 4);
        return [name, { type: value, address: this.#addressOf(this.#plan.outputStorage(value)), offset }];
      }),
    );
    this.#block = this.#pool.allocate(smallBytes);
    this.#ring = new OutputRing(context, this.#block, smallBytes);
    session.ownBytes += this.#pool.bytes;
  }

  #addressOf(at: Storage): Address {
    switch (at.region) {
      case 'variable':
        return this.#session.variable(at.name).place;
      case 'constant':
        return this.#constants[at.index]!;
      case 'own':
        return this.#own + BigInt(at.offset);
      case 'arena':
        return this.#session.arena.address + BigInt(at.offset);
    }
  }

  /** Lowers the plan to addresses and makes the graph, in place of the one for where the arena was before. */
  async #build(): Promise<void> {
    const { context, arena } = this.#session;
    if (this.#session.group) await this.#session.quiet();
    this.#unbuild();
    const { generation } = arena;
    const pool = this.#session.newPool();
    try {
      const commands = await this.#commands(pool);
      const parts = await partsOf(commands, context, this.#session.group);
      this.#built = { generation, commands, pool, parts };
      this.#session.ownBytes += pool.bytes;
    } catch (error) {
      if (this.#session.lost) throw error;
      await this.#session.quiet();
      pool.dispose();
      throw error;
    }
  }

  /** The commands over the arena where it is; what they need beside is in the pool. */
  async #commands(pool: MemoryPool): Promise<ReadyCommand[]> {
    const { context } = this.#session;
    const place = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Address => {
      const at = pool.allocate(byteLength);
      context.toDevice(at, new Uint8Array(buffer, byteOffset, byteLength), byteLength);
      return at;
    };
    const counters = (count: number): Address => {
      const at = pool.allocate(4 * count);
      context.fill(at, 0, 4 * count);
      return at;
    };
    const memory = { counters, place };
    const of = (at: Storage) => this.#addressOf(at);
    context.use();
    const commands = lowerPlan(this.#plan, of, this.#lower, memory);
    // Whole words: memory has room for them.
    const small = [...this.#outputs.values()].flatMap(({ type, address, offset }) => {
      const words = Math.ceil(byteSize(type) / 4);
      return offset === undefined ? [] : [{ from: address, to: this.#block + BigInt(offset), words }];
    });
    if (small.length > 0) commands.push(copyCommand(small, memory));
    const prepare = await this.#session.loadKernels(launchesOf(commands));
    await this.#session.quiet();
    return ready(commands, prepare);
  }

  #unbuild(): void {
    if (!this.#built) return;
    const { pool, parts } = this.#built;
    for (const part of parts) if ('graph' in part) this.#session.context.destroyGraph(part.graph);
    this.#session.ownBytes -= pool.bytes;
    pool.dispose();
    this.#built = undefined;
  }

  /** The graph for the arena where it is now. */
  async #ready(): Promise<Built> {
    for (;;) {
      if (this.#built?.generation === this.#session.arena.generation) return this.#built;
      this.#building ??= this.#build().finally(() => {
        this.#building = undefined;
      });
      await this.#building;
    }
  }

  write(name: string, data: TensorData): void {
    this.#session.checkUse(this, 'written');
    const input = this.#inputs.get(name);
    invariant(input, `the program has no input ${name}`);
    input.write(data);
  }

  run(): Promise<void> {
    return this.#session.inOrder(() => this.#run());
  }

  async #run(): Promise<void> {
    const { context, poison, group } = this.#session;
    group?.check();
    this.#session.enter(this);
    await this.#ring.ready();
    const { parts } = await this.#ready();
    this.#session.checkUse(this, 'run');
    context.use();
    if (poison) this.#poison();
    for (const part of parts) {
      if ('graph' in part) context.replay(part.graph);
      else await group!.reduce(part.collective, context);
    }
    this.#ring.collect();
    this.#session.started();
  }

  /** What the kernels must write: all but the inputs. */
  #poison(): void {
    const { context, arena } = this.#session;
    const { inputBytes, ownBytes } = this.#plan;
    if (ownBytes > inputBytes) context.fill(this.#own + BigInt(inputBytes), POISON, ownBytes - inputBytes);
    if (this.arenaBytes > 0) context.fill(arena.address, POISON, this.arenaBytes);
  }

  async read(name: string): Promise<TensorData> {
    this.#session.checkUse(this, 'read');
    const output = this.#outputs.get(name);
    invariant(output, `the program has no output ${name}`);
    const { type, address, offset } = output;
    if (offset === undefined) return this.#session.readMemory(type, address);
    const data = allocate(type.dtype, sizeOf(type.shape));
    new Uint8Array(data.buffer).set(await this.#ring.read(offset, data.byteLength));
    return data;
  }

  /**
   * Runs each kernel `repeats` times in a row and measures it. Variables that a kernel updates in place are left
   * changed.
   */
  async timeKernels(repeats: number): Promise<KernelTime[]> {
    const { context } = this.#session;
    const { driver, stream } = context;
    this.#session.enter(this);
    const { commands } = await this.#ready();
    context.use();
    const [start, end] = [context.createEvent(true), context.createEvent(true)];
    const times: KernelTime[] = [];
    for (const kernel of commands) {
      const { name, label, dependencies } = kernel;
      if ('collective' in kernel) {
        times.push({ name, label, grid: [], shared: 0, dependencies, milliseconds: 0 });
        continue;
      }
      driver.launch(kernel, stream);
      context.record(start);
      for (let n = 0; n < repeats; n++) driver.launch(kernel, stream);
      context.record(end);
      await context.reached(end);
      const { grid, shared } = kernel;
      times.push({ name, label, grid, shared, dependencies, milliseconds: context.elapsed(start, end) / repeats });
    }
    for (const event of [start, end]) context.destroyEvent(event);
    return times;
  }

  /** Milliseconds of device time per run, the mean of `repeats` replays. */
  async timeRuns(repeats: number): Promise<number> {
    const { context } = this.#session;
    await this.run();
    const [start, end] = [context.createEvent(true), context.createEvent(true)];
    context.record(start);
    for (let n = 0; n < repeats; n++) await this.run();
    context.record(end);
    await context.reached(end);
    const milliseconds = context.elapsed(start, end) / repeats;
    for (const event of [start, end]) context.destroyEvent(event);
    return milliseconds;
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    await this.#session.inOrder(() => this.#end());
  }

  async #end(): Promise<void> {
    await this.#ring.settled();
    try {
      await this.#session.quiet();
    } catch (error) {
      if (!this.#session.lost) throw error;
      this.#session.leave(this);
      return;
    }
    this.#session.leave(this);
    this.#unbuild();
    for (const input of this.#inputs.values()) input.dispose();
    this.#ring.dispose();
    this.#session.ownBytes -= this.#pool.bytes;
    this.#pool.dispose();
  }
}
