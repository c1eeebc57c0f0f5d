// The cuda backend: the plan of every backend, lowered to kernels, captured once as a CUDA graph and replayed for each run. A session owns the
// variables and one stream, to which all work goes in order. Inputs travel through page-locked buffers; outputs are copied back by the
// graph itself when they are small, on demand when they are large. Nothing waits for the device but `read`.

import { invariant, UserError } from '../../tensor/errors.ts';
import { allocate, bytesPerElement, type HostTensor, sameShape, sizeOf, type TensorData } from '../../tensor/tensor.ts';
import type { Backend, Program, Session } from '../backend.ts';
import type { Graph } from '../graph.ts';
import type { TensorType } from '../ops.ts';
import { plan, type Storage } from '../plan.ts';
import type { Command, Precision, Target } from './command.ts';
import { KernelLibrary } from './compiler.ts';
import { openCuda } from './device.ts';
import { type Address, Context, type DeviceProperties, type HostBuffer } from './driver.ts';
import { lowerPlan, scratchBytes } from './lower/program.ts';
import { MemoryPool } from './pool.ts';
import { PinnedInput } from './staging.ts';

export interface CudaOptions {
  /** Which of the machine's GPUs; default 0. */
  readonly device?: number;
  /** Operands of float convolutions and gradients: tf32 (default), bf16, or f32 in two tf32 parts. */
  readonly precision?: Precision;
}

const ALIGNMENT = 256;
/** Outputs up to this size come back with every run. */
const SMALL_OUTPUT_BYTES = 1024;

/** Opens the GPU; a UserError says why there is none. */
export function cudaBackend({ device = 0, precision = 'tf32' }: CudaOptions = {}): Backend {
  const { driver, compiler, devices } = openCuda();
  const properties = devices[device];
  if (!properties) throw new UserError(`there is no GPU ${device}; the machine has ${devices.length}, counted from 0`);
  const kernels = new KernelLibrary(() => compiler, {
    capability: properties.capability,
    device: properties.name,
    driverVersion: driver.version,
  });
  const backend: Backend = {
    name: 'cuda',
    description: `${describe(properties)}, ${precision}`,
    openSession: async () => new CudaSession(backend, new Context(driver, properties), kernels, precision),
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
  readonly #kernels: KernelLibrary;
  readonly #pool: MemoryPool;
  readonly #variables = new Map<string, Variable>();
  readonly #programs: CudaProgram[] = [];
  readonly #modules = new Map<string, Promise<bigint>>();

  constructor(backend: Backend, context: Context, kernels: KernelLibrary, precision: Precision) {
    this.backend = backend;
    this.context = context;
    this.#kernels = kernels;
    this.#pool = new MemoryPool(context);
    const { multiprocessors, sharedBytesPerBlock } = context.device;
    this.target = { multiprocessors, sharedBytesPerBlock, precision };
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
    const { context } = this;
    const data = allocate(dtype, sizeOf(shape));
    context.use();
    const buffer = context.allocateHost(data.byteLength);
    const done = context.createEvent();
    try {
      context.toHost(buffer.pointer, from, data.byteLength);
      context.record(done);
      await context.reached(done);
      new Uint8Array(data.buffer).set(buffer.bytes.subarray(0, data.byteLength));
    } finally {
      context.destroyEvent(done);
      context.freeHost(buffer);
    }
    return data;
  }

  addressOf(name: string): Address {
    const variable = this.#variables.get(name);
    invariant(variable, `no variable ${name} in this session`);
    return variable.address;
  }

  /** The kernels that commands need, compiled and loaded, by the name of their specialised source and their own. */
  async load(commands: readonly Command[]): Promise<(command: Command & { kind: 'kernel' }) => bigint> {
    const launches = commands.filter((command) => command.kind === 'kernel');
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
    const kernels = new Map<string, bigint>();
    for (const { source, name, shared } of launches) {
      const key = `${KernelLibrary.nameOf(source)}#${name}`;
      const kernel = kernels.get(key) ?? this.context.kernel(modules.get(KernelLibrary.nameOf(source))!, name);
      kernels.set(key, kernel);
      if (shared > 48 * 1024) this.context.allowShared(kernel, shared);
    }
    return ({ source, name }) => kernels.get(`${KernelLibrary.nameOf(source)}#${name}`)!;
  }

  async dispose(): Promise<void> {
    this.context.synchronize();
    for (const program of this.#programs) program.dispose();
    for (const module of this.#modules.values()) this.context.unloadModule(await module);
    this.#pool.dispose();
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
  /** Where the graph copies it, if it is small. */
  readonly host: HostBuffer | undefined;
}

interface ProgramParts {
  readonly commands: readonly Command[];
  readonly issueCommand: (command: Command) => void;
  readonly inputs: ReadonlyMap<string, PinnedInput>;
  readonly outputs: ReadonlyMap<string, Output>;
}

/** How long one command of a program takes by itself. */
export interface CommandTime {
  readonly name: string;
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
  readonly #commands: readonly Command[];
  readonly #issueCommand: (command: Command) => void;
  readonly #finished: bigint;
  #executable: bigint | undefined;

  static async create(graph: Graph, session: CudaSession): Promise<CudaProgram> {
    const { context, target } = session;
    const planned = plan(graph, { alignment: ALIGNMENT, workspaceBytes: (node) => scratchBytes(node, target) });
    context.use();
    const arena = context.allocate(planned.arenaBytes);
    const pool = new MemoryPool(context);
    const table = (bytes: Uint8Array): Address => {
      const at = pool.allocate(bytes.byteLength);
      context.toDevice(at, bytes, bytes.byteLength);
      return at;
    };
    const constants = graph.constants.map(({ source }) => {
      invariant(source.kind === 'constant', 'a constant without its tensor');
      const { data } = source.tensor;
      return table(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
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
    const commands = lowerPlan(planned, { of, variable }, target, { counters, table });
    const kernelOf = await session.load(commands);
    context.synchronize();

    const inputs = [...graph.inputs].map(
      ([name, value]) => [name, new PinnedInput(context, name, value, of(planned.storage(value)))] as const,
    );
    const outputs = [...graph.outputs].map(([name, value]) => {
      const bytes = sizeOf(value.shape) * bytesPerElement[value.dtype];
      const host = bytes <= SMALL_OUTPUT_BYTES ? context.allocateHost(bytes) : undefined;
      return [name, { type: value, address: of(planned.storage(value)), host }] as const;
    });
    const issueCommand = (command: Command) => {
      if (command.kind === 'fill') return context.fill(command.to, 0, command.bytes);
      const { grid, block, shared, args } = command;
      context.driver.launch(kernelOf(command), grid, block, shared, args, context.stream);
    };
    const parts = { commands, issueCommand, inputs: new Map(inputs), outputs: new Map(outputs) };
    return new CudaProgram(session, planned.arenaBytes, arena, pool, parts);
  }

  private constructor(
    session: CudaSession,
    arenaBytes: number,
    arena: Address,
    pool: MemoryPool,
    { commands, issueCommand, inputs, outputs }: ProgramParts,
  ) {
    this.#session = session;
    this.arenaBytes = arenaBytes;
    this.bytes = arenaBytes + pool.bytes;
    this.#blocks = [arena, ...pool.blocks];
    this.#inputs = inputs;
    this.#outputs = outputs;
    this.#commands = commands;
    this.#issueCommand = issueCommand;
    this.#finished = session.context.createEvent();
  }

  write(name: string, data: TensorData): void {
    const input = this.#inputs.get(name);
    invariant(input, `the program has no input ${name}`);
    input.write(data);
  }

  async run(): Promise<void> {
    const { context } = this.#session;
    context.use();
    this.#executable ??= context.capture(() => this.#issueAll());
    context.replay(this.#executable);
    context.record(this.#finished);
  }

  async read(name: string): Promise<TensorData> {
    const output = this.#outputs.get(name);
    invariant(output, `the program has no output ${name}`);
    const { type, address, host } = output;
    if (!host) return this.#session.readMemory(type, address);
    await this.#session.context.reached(this.#finished);
    const data = allocate(type.dtype, sizeOf(type.shape));
    new Uint8Array(data.buffer).set(host.bytes.subarray(0, data.byteLength));
    return data;
  }

  #issueAll(): void {
    const { context } = this.#session;
    for (const command of this.#commands) this.#issueCommand(command);
    for (const { address, host, type } of this.#outputs.values()) {
      if (host) context.toHost(host.pointer, address, sizeOf(type.shape) * bytesPerElement[type.dtype]);
    }
  }

  /** Runs each command `repeats` times in a row and measures it. Variables that a command updates in place are left changed. */
  async timeCommands(repeats: number): Promise<CommandTime[]> {
    const { context } = this.#session;
    context.use();
    const [start, end] = [context.createEvent(true), context.createEvent(true)];
    const times: CommandTime[] = [];
    for (const command of this.#commands) {
      this.#issueCommand(command);
      context.record(start);
      for (let n = 0; n < repeats; n++) this.#issueCommand(command);
      context.record(end);
      await context.reached(end);
      const name = command.kind === 'kernel' ? command.name : command.kind;
      times.push({ name, milliseconds: context.elapsed(start, end) / repeats });
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
    if (this.#executable !== undefined) context.destroyGraph(this.#executable);
    for (const block of this.#blocks) context.free(block);
    for (const input of this.#inputs.values()) input.dispose();
    for (const { host } of this.#outputs.values()) if (host) context.freeHost(host);
    context.destroyEvent(this.#finished);
  }
}
