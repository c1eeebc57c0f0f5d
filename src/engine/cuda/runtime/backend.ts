// The cuda backend: the plan of every backend, lowered to kernels, built once as a CUDA graph and replayed for each run. A session owns the
// variables and one stream, to which all work goes in order. Inputs travel through page-locked buffers (staging.ts), small outputs come back
// behind every run (outputs.ts), large ones are copied on demand. Nothing waits for the device but `read`.

import { invariant, UserError } from '../../../tensor/errors.ts';
import {
  allocate,
  bytesPerElement,
  type HostTensor,
  sameShape,
  sizeOf,
  type TensorData,
} from '../../../tensor/tensor.ts';
import { type Backend, POISON, type Program, type Session } from '../../backend.ts';
import type { Graph } from '../../graph/graph.ts';
import type { TensorType } from '../../graph/ops.ts';
import { type Plan, plan, type Storage } from '../../graph/plan.ts';
import type { KernelLaunch, Precision, Target } from '../lower/launch.ts';
import { lowerOn } from '../lower/lowerings.ts';
import { copyTask, lowerPlan } from '../lower/program.ts';
import { KernelLibrary } from './compiler.ts';
import { OLDEST_CAPABILITY, openCuda } from './device.ts';
import { type Address, Context, type DeviceProperties, type GraphNode, type PreparedKernel } from './driver.ts';
import { OutputRing } from './outputs.ts';
import { MemoryPool } from './pool.ts';
import { dependenciesOf, type Task } from './schedule.ts';
import { PinnedInput } from './staging.ts';

export interface CudaOptions {
  /** Which of the machine's GPUs; default 0. */
  readonly device?: number;
  /** Operands of float convolutions and gradients: tf32 (default), bf16, or f32 in two tf32 parts. */
  readonly precision?: Precision;
  /** In tests: the arena is poisoned before each run, other memory when it is taken (see ../backend.ts). */
  readonly poison?: boolean;
  /** In tests: what work is lowered for in place of what the GPU is, to run the paths of smaller and older ones. */
  readonly as?: Partial<Omit<Target, 'precision'>>;
}

const ALIGNMENT = 256;
/**
 * The device runs a graph, not a list: steps that share memory one after the other wait for each other. On a training step of ResNet18 the
 * longest chain is then a third shorter, for a third more memory; beyond 32 steps nothing is gained.
 */
const REUSE_DISTANCE = 32;
/** Outputs up to this size come back with every run. */
const SMALL_OUTPUT_BYTES = 1024;
/** Dynamic shared memory that needs no permission, with room for what a kernel declares itself. */
const ALWAYS_ALLOWED_SHARED = 32 * 1024;

/** Opens the GPU; a UserError says why there is none. */
export function cudaBackend({ device = 0, precision = 'tf32', poison = false, as = {} }: CudaOptions = {}): Backend {
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
  const backend: Backend = {
    device: {
      name: 'cuda',
      description: `${describe(properties)}, ${precision}`,
      memoryBytes: properties.memoryBytes,
      ownMemory: true,
      emulations: ['lowrank', 'table'],
    },
    openSession: async () => {
      const { multiprocessors, sharedBytesPerBlock, capability } = properties;
      const target = { multiprocessors, sharedBytesPerBlock, precision, warpgroups: capability === 90, ...as };
      return new CudaSession(backend, new Context(driver, properties), kernels, target, poison);
    },
  };
  return backend;
}

function describe({ ordinal, name, memoryBytes }: DeviceProperties): string {
  return `GPU ${ordinal}: ${name}, ${Math.round(memoryBytes / 2 ** 30)} GiB`;
}

interface Variable extends TensorType {
  readonly address: Address;
  readonly bytes: number;
}

class CudaSession implements Session {
  readonly backend: Backend;
  readonly context: Context;
  readonly target: Target;
  readonly poison: boolean;
  readonly #kernels: KernelLibrary;
  readonly #pool: MemoryPool;
  readonly #variables = new Map<string, Variable>();
  readonly #constants = new Map<TensorData, Address>();
  readonly #programs: CudaProgram[] = [];
  readonly #modules = new Map<string, Promise<bigint>>();

  constructor(backend: Backend, context: Context, kernels: KernelLibrary, target: Target, poison: boolean) {
    this.backend = backend;
    this.context = context;
    this.#kernels = kernels;
    this.target = target;
    this.poison = poison;
    this.#pool = this.newPool();
  }

  newPool(): MemoryPool {
    const { context } = this;
    return new MemoryPool(context, this.poison ? (block, bytes) => context.fill(block, POISON, bytes) : undefined);
  }

  get bytes(): number {
    return this.#programs.reduce((sum, program) => sum + program.bytes, this.#pool.bytes);
  }

  async compile(graph: Graph): Promise<Program> {
    for (const [name, value] of graph.variables) this.#declare(name, value);
    const program = await CudaProgram.create(graph, this);
    this.#programs.push(program);
    return program;
  }

  hasVariable(name: string): boolean {
    return this.#variables.has(name);
  }

  variableNames(): readonly string[] {
    return [...this.#variables.keys()];
  }

  write(name: string, tensor: HostTensor): void {
    const { address, bytes } = this.#declare(name, tensor);
    const { data } = tensor;
    this.context.use();
    this.context.toDevice(address, new Uint8Array(data.buffer, data.byteOffset, bytes), bytes);
    // The copy reads the caller's memory: it must be done before the caller may change it.
    this.context.synchronize();
  }

  async read(name: string): Promise<HostTensor> {
    const variable = this.#variables.get(name);
    invariant(variable, `no variable ${name} in this session`);
    const { dtype, shape } = variable;
    return { dtype, shape, data: await this.readMemory(variable, variable.address) };
  }

  /** A copy of a tensor in device memory, after all work issued so far. */
  async readMemory({ dtype, shape }: TensorType, from: Address): Promise<TensorData> {
    const data = allocate(dtype, sizeOf(shape));
    this.context.use();
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

  addressOf(name: string): Address {
    const variable = this.#variables.get(name);
    invariant(variable, `no variable ${name} in this session`);
    return variable.address;
  }

  /** Compiles and loads what launches need; the result prepares a launch. */
  async load(launches: readonly KernelLaunch[]): Promise<(launch: KernelLaunch) => PreparedKernel> {
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
      const kernel = kernels.get(key) ?? this.context.kernel(modules.get(module)!, name);
      if (!kernels.has(key) && launch.shared > ALWAYS_ALLOWED_SHARED) this.context.allowShared(kernel, launch.shared);
      kernels.set(key, kernel);
      return { kernel, ...launch };
    };
  }

  async dispose(): Promise<void> {
    this.context.synchronize();
    for (const program of this.#programs) program.dispose();
    for (const module of this.#modules.values()) this.context.unloadModule(await module);
    this.#pool.dispose();
    this.#constants.clear();
    this.#variables.clear();
    this.context.dispose();
  }

  #declare(name: string, { dtype, shape }: TensorType): Variable {
    const known = this.#variables.get(name);
    if (known) {
      invariant(known.dtype === dtype && sameShape(known.shape, shape), `variable ${name} changes its type`);
      return known;
    }
    const bytes = sizeOf(shape) * bytesPerElement[dtype];
    const address = this.#pool.allocate(bytes);
    this.context.fill(address, 0, bytes);
    const variable = { dtype, shape, address, bytes };
    this.#variables.set(name, variable);
    return variable;
  }
}

interface Output {
  readonly type: TensorType;
  readonly address: Address;
  /** Where it is in the block of small outputs, if it is one. */
  readonly offset: number | undefined;
}

interface NamedNode extends GraphNode {
  readonly name: string;
  readonly label: string;
}

function graphNodes(tasks: readonly Task[], prepare: (launch: KernelLaunch) => PreparedKernel): NamedNode[] {
  const dependencies = dependenciesOf(tasks);
  return tasks.map(({ launch, label = '' }, at) => ({
    name: launch.name,
    label,
    ...prepare(launch),
    dependencies: dependencies[at]!,
  }));
}

interface ProgramParts {
  readonly nodes: readonly NamedNode[];
  readonly inputs: ReadonlyMap<string, PinnedInput>;
  readonly outputs: ReadonlyMap<string, Output>;
  readonly ring: OutputRing;
  /** What is poisoned before each run. */
  readonly poisoned: { readonly from: Address; readonly bytes: number } | undefined;
}

/** The arena without the inputs, which it begins with: they are written before a run. */
function behindInputs(graph: Graph, planned: Plan, arena: Address) {
  const ends = [...graph.inputs.values()].map((value) => {
    const at = planned.storage(value);
    return at.region === 'arena' ? at.offset + sizeOf(value.shape) * bytesPerElement[value.dtype] : 0;
  });
  const start = Math.max(0, ...ends);
  return { from: arena + BigInt(start), bytes: planned.arenaBytes - start };
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
  readonly milliseconds: number;
}

/** A program of this backend; benches measure its parts. */
export class CudaProgram implements Program {
  readonly arenaBytes: number;
  readonly bytes: number;
  readonly #session: CudaSession;
  readonly #blocks: readonly Address[];
  readonly #inputs: ReadonlyMap<string, PinnedInput>;
  readonly #outputs: ReadonlyMap<string, Output>;
  readonly #nodes: readonly NamedNode[];
  readonly #ring: OutputRing;
  readonly #poisoned: ProgramParts['poisoned'];
  readonly #executable: bigint;

  static async create(graph: Graph, session: CudaSession): Promise<CudaProgram> {
    const { context, target } = session;
    const lower = lowerOn(target);
    const planned = plan(graph, {
      alignment: ALIGNMENT,
      workspaceBytes: (node) => lower(node).workspaceBytes ?? 0,
      reuseDistance: REUSE_DISTANCE,
    });
    context.use();
    const arena = context.allocate(planned.arenaBytes);
    const pool = session.newPool();
    const place = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Address => {
      const at = pool.allocate(byteLength);
      context.toDevice(at, new Uint8Array(buffer, byteOffset, byteLength), byteLength);
      return at;
    };
    const constants = graph.constants.map(({ source }) => {
      invariant(source.kind === 'constant', 'a constant without its tensor');
      return session.constant(source.tensor.data);
    });
    const of = (storage: Storage): Address => {
      if (storage.region === 'variable') return session.addressOf(storage.name);
      return storage.region === 'constant' ? constants[storage.index]! : arena + BigInt(storage.offset);
    };
    const counters = (count: number): Address => {
      const at = pool.allocate(4 * count);
      context.fill(at, 0, 4 * count);
      return at;
    };
    const variable = (name: string) => session.addressOf(name);
    const memory = { counters, place };
    const tasks = lowerPlan(planned, { of, variable }, lower, memory);

    const inputs = [...graph.inputs].map(
      ([name, value]) => [name, new PinnedInput(context, name, value, of(planned.storage(value)))] as const,
    );
    let smallBytes = 0;
    const outputs = [...graph.outputs].map(([name, value]) => {
      const bytes = sizeOf(value.shape) * bytesPerElement[value.dtype];
      const offset = bytes <= SMALL_OUTPUT_BYTES ? smallBytes : undefined;
      if (offset !== undefined) smallBytes += 4 * Math.ceil(bytes / 4);
      return [name, { type: value, address: of(planned.storage(value)), offset }] as const;
    });
    const block = pool.allocate(smallBytes);
    // Whole words: arenas have room for them.
    const small = outputs.flatMap(([, { type, address, offset }]) => {
      const words = Math.ceil((sizeOf(type.shape) * bytesPerElement[type.dtype]) / 4);
      return offset === undefined ? [] : [{ from: address, to: block + BigInt(offset), words }];
    });
    if (small.length > 0) tasks.push(copyTask(small, memory));
    const prepare = await session.load(tasks.map(({ launch }) => launch));
    context.synchronize();
    return new CudaProgram(session, planned.arenaBytes, arena, pool, {
      nodes: graphNodes(tasks, prepare),
      inputs: new Map(inputs),
      outputs: new Map(outputs),
      ring: new OutputRing(context, block, smallBytes),
      poisoned: session.poison ? behindInputs(graph, planned, arena) : undefined,
    });
  }

  private constructor(
    session: CudaSession,
    arenaBytes: number,
    arena: Address,
    pool: MemoryPool,
    { nodes, inputs, outputs, ring, poisoned }: ProgramParts,
  ) {
    this.#session = session;
    this.arenaBytes = arenaBytes;
    this.bytes = arenaBytes + pool.bytes;
    this.#blocks = [arena, ...pool.blocks];
    this.#inputs = inputs;
    this.#outputs = outputs;
    this.#nodes = nodes;
    this.#executable = session.context.createGraph(nodes);
    this.#ring = ring;
    this.#poisoned = poisoned;
  }

  write(name: string, data: TensorData): void {
    const input = this.#inputs.get(name);
    invariant(input, `the program has no input ${name}`);
    input.write(data);
  }

  async run(): Promise<void> {
    const { context } = this.#session;
    await this.#ring.ready();
    context.use();
    if (this.#poisoned) context.fill(this.#poisoned.from, POISON, this.#poisoned.bytes);
    context.replay(this.#executable);
    this.#ring.collect();
  }

  async read(name: string): Promise<TensorData> {
    const output = this.#outputs.get(name);
    invariant(output, `the program has no output ${name}`);
    const { type, address, offset } = output;
    if (offset === undefined) return this.#session.readMemory(type, address);
    const data = allocate(type.dtype, sizeOf(type.shape));
    new Uint8Array(data.buffer).set(await this.#ring.read(offset, data.byteLength));
    return data;
  }

  /** Runs each kernel `repeats` times in a row and measures it. Variables that a kernel updates in place are left changed. */
  async timeKernels(repeats: number): Promise<KernelTime[]> {
    const { context } = this.#session;
    const { driver, stream } = context;
    context.use();
    const [start, end] = [context.createEvent(true), context.createEvent(true)];
    const times: KernelTime[] = [];
    for (const kernel of this.#nodes) {
      driver.launch(kernel, stream);
      context.record(start);
      for (let n = 0; n < repeats; n++) driver.launch(kernel, stream);
      context.record(end);
      await context.reached(end);
      const { name, label, grid, shared, dependencies } = kernel;
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

  dispose(): void {
    const { context } = this.#session;
    context.destroyGraph(this.#executable);
    for (const block of this.#blocks) context.free(block);
    for (const input of this.#inputs.values()) input.dispose();
    this.#ring.dispose();
  }
}
