// The default backend: SIMD kernels in WebAssembly on worker threads. Results are the same to the last bit for every
// number of threads and on every machine: work is cut by shape, partial results are combined in order, and only
// baseline (deterministic) SIMD is used.
// The kernels are in ../kernels (AssemblyScript), their layout and tiling is described there; ../lower turns each
// operation of the engine's contract into launches of kernels.

import { availableParallelism } from 'node:os';
import { invariant, UserError } from '../../../tensor/errors.ts';
import type { TensorType } from '../../../tensor/tensor.ts';
import { byteSize, type HostTensor, sizeOf, type TensorData } from '../../../tensor/tensor.ts';
import { encodeModule, type FunctionBody } from '../../../tensor/webassembly.ts';
import { type Backend, POISON, type Program } from '../../backend.ts';
import { concerning, type Graph, type Node } from '../../graph/graph.ts';
import { type Plan, type Step as PlannedStep, plan, type Storage } from '../../graph/plan.ts';
import { SharedSession } from '../../session.ts';
import { copyLaunch, type GeneratedKernel, type Launch, launch, placeRecord } from '../lower/launch.ts';
import type { Lowered } from '../lower/lowering.ts';
import { lower } from '../lower/lowerings.ts';
import { LARGEST_BYTES, LARGEST_PAGES, LinearMemory } from './memory.ts';
import { Places } from './places.ts';
import { Threads } from './threads.ts';
import type { Step } from './walk.ts';
import { type Module, WebAssembly } from './webassembly.ts';

const MOST_THREADS = 16;

export interface WasmOptions {
  /** Threads, the calling one included: 1…64; by default one per core, at most 16. */
  readonly threads?: number;
  /** In tests: what a kernel must write itself is poisoned before (see ../backend.ts). */
  readonly poison?: boolean;
}

/** WebAssembly with SIMD on worker threads, the default device. */
export function wasmBackend(options: WasmOptions = {}): Backend {
  const threads = options.threads ?? Math.min(availableParallelism(), MOST_THREADS);
  if (!Number.isInteger(threads) || threads < 1 || threads > 64) {
    throw new UserError(`threads ${threads}: expected a whole number from 1 to 64`);
  }
  const backend: Backend = {
    device: {
      name: 'wasm',
      description: `WebAssembly SIMD, ${threads} ${threads === 1 ? 'thread' : 'threads'}`,
      threads,
      memoryBytes: LARGEST_BYTES,
      ownMemory: false,
      replicas: 1,
      emulations: ['table'],
    },
    openSession: async () => {
      const memory = new LinearMemory(options.poison);
      return new WasmSession(backend, memory, await Threads.start(memory, threads, options.poison));
    },
  };
  return backend;
}

class WasmSession extends SharedSession<number> {
  readonly memory: LinearMemory;
  readonly threads: Threads;

  constructor(backend: Backend, memory: LinearMemory, threads: Threads) {
    super(backend);
    this.memory = memory;
    this.threads = threads;
  }

  get bytes(): number {
    return this.memory.used;
  }

  protected allocate(type: TensorType): number {
    const address = this.memory.allocate(byteSize(type));
    this.memory.view(type.dtype, address, sizeOf(type.shape)).fill(0);
    return address;
  }

  protected store(to: number, { dtype, shape, data }: HostTensor): void {
    this.memory.view(dtype, to, sizeOf(shape)).set(data);
  }

  protected async load(from: number, { dtype, shape }: TensorType): Promise<TensorData> {
    return this.memory.copy(dtype, from, sizeOf(shape));
  }

  protected async build(graph: Graph): Promise<Program> {
    return new WasmProgram(graph, this);
  }

  protected fitArena(bytes: number): void {
    this.memory.fitArena(bytes);
  }

  protected poisonArena(): void {
    if (this.memory.poison) this.memory.poisonArena();
  }

  protected async end(): Promise<void> {
    await this.threads.dispose();
  }
}

class WasmProgram implements Program {
  readonly arenaBytes: number;
  readonly #session: WasmSession;
  readonly #plan: Plan;
  readonly #lowered = new Map<Node, Lowered>();
  readonly #places: Places;
  readonly #own: number;
  readonly #constants: readonly number[];
  /** Where the arena was when the records were written. */
  #arena: number;
  readonly #generated = new GeneratedModule();
  readonly #run: () => void;

  constructor(graph: Graph, session: WasmSession) {
    const { memory, threads } = session;
    this.#session = session;
    this.#plan = plan(graph, {
      join: true,
      alignment: 64,
      workspaceBytes: (node) => this.#loweringOf(node).workspaceBytes ?? 0,
    });
    this.arenaBytes = this.#plan.arenaBytes;
    this.#places = new Places(memory);
    session.join(this, this.arenaBytes);
    try {
      this.#own = this.#places.take(this.#plan.ownBytes);
      this.#constants = graph.constants.map(({ source }) => {
        invariant(source.kind === 'constant', 'a constant without its tensor');
        return this.#places.put(source.tensor.data);
      });
      this.#arena = memory.arena;
      const { steps, scratchBytes } = this.#resolve();
      this.#run = threads.register(steps, scratchBytes, this.#generated.compile());
    } catch (error) {
      this.#free();
      throw error;
    }
  }

  write(name: string, data: TensorData): void {
    this.#session.checkUse(this, 'written');
    const input = this.#plan.graph.inputs.get(name);
    invariant(input, `the program has no input ${name}`);
    const count = sizeOf(input.shape);
    invariant(count === data.length, `input ${name} takes ${count} elements, not ${data.length}`);
    this.#session.memory.view(input.dtype, this.#addressOf(this.#plan.storage(input)), count).set(data);
  }

  async run(): Promise<void> {
    this.#session.enter(this);
    const { arena } = this.#session.memory;
    if (this.#arena !== arena) {
      this.#arena = arena;
      this.#resolve();
    }
    this.#run();
  }

  async read(name: string): Promise<TensorData> {
    this.#session.checkUse(this, 'read');
    const output = this.#plan.graph.outputs.get(name);
    invariant(output, `the program has no output ${name}`);
    return this.#session.memory.copy(
      output.dtype,
      this.#addressOf(this.#plan.outputStorage(output)),
      sizeOf(output.shape),
    );
  }

  async dispose(): Promise<void> {
    this.#free();
  }

  #free(): void {
    this.#session.leave(this);
    this.#places.free();
  }

  #loweringOf(node: Node): Lowered {
    const known = this.#lowered.get(node) ?? concerning(node, () => lower(node));
    this.#lowered.set(node, known);
    return known;
  }

  #addressOf(at: Storage): number {
    switch (at.region) {
      case 'variable':
        return this.#session.variable(at.name).place;
      case 'constant':
        return this.#constants[at.index]!;
      case 'own':
        return this.#own + at.offset;
      case 'arena':
        return this.#arena + at.offset;
    }
  }

  /**
   * Writes the records of all steps for the arena where it is: the same steps with the same records in the same places
   * each time.
   */
  #resolve(): { readonly steps: readonly Step[]; readonly scratchBytes: number } {
    const address = (at: Storage) => this.#addressOf(at);
    const places = this.#places.again();
    const launches = this.#plan.steps.flatMap((step) => {
      const { node, inputs, outputs, workspace } = step;
      const lowered = this.#loweringOf(node);
      const at = {
        inputs: inputs.map(address),
        outputs: outputs.map(address),
        workspace: workspace ? address(workspace) : 0,
        place: places,
      };
      const launched = concerning(node, () => lowered.launches(at));
      return this.#session.memory.poison ? [...poisoned(step, address, lowered), ...launched] : launched;
    });
    launches.push(...copies(this.#plan, address));
    return {
      steps: launches.map(({ kernel, parts, record }) => ({
        kernel: typeof kernel === 'string' ? kernel : this.#generated.nameOf(kernel),
        parts,
        record: placeRecord(record, places),
      })),
      scratchBytes: launches.reduce((most, { scratchBytes }) => Math.max(most, scratchBytes), 0),
    };
  }
}

/** The kernels that are made for a program, each once. */
class GeneratedModule {
  readonly #functions = new Map<string, FunctionBody>();

  /** The name of a kernel's export. */
  nameOf({ key, body }: GeneratedKernel): string {
    const known = this.#functions.get(key)?.name;
    if (known !== undefined) return known;
    const name = `generated ${this.#functions.size}`;
    this.#functions.set(key, { ...body(), name });
    return name;
  }

  compile(): Module | undefined {
    if (this.#functions.size === 0) return undefined;
    return new WebAssembly.Module(encodeModule([...this.#functions.values()], LARGEST_PAGES));
  }
}

/** Fills what a step has to write: its workspace, and its outputs but those that take an input's place. */
function poisoned(
  { node, inputs, outputs, workspace }: PlannedStep,
  address: (at: Storage) => number,
  lowered: Lowered,
) {
  const taken = new Set(inputs.map(address));
  const own = node.outputs.flatMap((output, index) => {
    const to = address(outputs[index]!);
    return taken.has(to) ? [] : [{ to, bytes: byteSize(output) }];
  });
  if (workspace) own.push({ to: address(workspace), bytes: lowered.workspaceBytes! });
  return own.map(({ to, bytes }) => launch('fill', 1, { to, bytes, value: POISON }));
}

/** What is left to do behind the last step. */
function copies({ snapshots, copies }: Plan, address: (at: Storage) => number): readonly Launch[] {
  return [...snapshots, ...copies].map(({ from, to, of }) => {
    return copyLaunch(address(from), address(to), byteSize(of));
  });
}
