// The default backend: SIMD kernels in WebAssembly on worker threads. Results are the same to the last bit for every number of threads
// and on every machine: work is cut by shape, partial results are combined in order, and only baseline (deterministic) SIMD is used.
// The kernels are in ../kernels (AssemblyScript), their layout and tiling is described there; ../lower turns each operation of the
// engine's contract into launches of kernels.

import { availableParallelism } from 'node:os';
import { invariant, UserError } from '../../../tensor/errors.ts';
import { bytesPerElement, type HostTensor, sameShape, sizeOf, type TensorData } from '../../../tensor/tensor.ts';
import { type Backend, POISON, type Program, type Session } from '../../backend.ts';
import { concerning, type Graph, type Node, type Value } from '../../graph/graph.ts';
import type { TensorType } from '../../graph/ops.ts';
import { type Plan, type Step as PlannedStep, plan, type Storage } from '../../graph/plan.ts';
import { type Launch, launch, placeRecord } from '../lower/launch.ts';
import { type Lowered, runs } from '../lower/lowering.ts';
import { lower } from '../lower/lowerings.ts';
import { LARGEST_BYTES, LinearMemory } from './memory.ts';
import { Threads } from './threads.ts';
import type { Step } from './walk.ts';

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
      emulations: ['table'],
    },
    openSession: async () => {
      const memory = new LinearMemory(options.poison);
      return new WasmSession(backend, memory, await Threads.start(memory, threads, options.poison));
    },
  };
  return backend;
}

interface Variable extends TensorType {
  readonly address: number;
}

class WasmSession implements Session {
  readonly backend: Backend;
  readonly #memory: LinearMemory;
  readonly #threads: Threads;
  readonly #variables = new Map<string, Variable>();

  constructor(backend: Backend, memory: LinearMemory, threads: Threads) {
    this.backend = backend;
    this.#memory = memory;
    this.#threads = threads;
  }

  get bytes(): number {
    return this.#memory.used;
  }

  async compile(graph: Graph): Promise<Program> {
    for (const [name, value] of graph.variables) this.#declare(name, value);
    return new WasmProgram(graph, this.#memory, this.#threads, this.#variables);
  }

  hasVariable(name: string): boolean {
    return this.#variables.has(name);
  }

  variableNames(): readonly string[] {
    return [...this.#variables.keys()];
  }

  write(name: string, tensor: HostTensor): void {
    const { dtype, shape, address } = this.#declare(name, tensor);
    this.#memory.view(dtype, address, sizeOf(shape)).set(tensor.data);
  }

  async read(name: string): Promise<HostTensor> {
    const variable = this.#variables.get(name);
    invariant(variable, `no variable ${name} in this session`);
    const { dtype, shape, address } = variable;
    return { dtype, shape, data: this.#memory.copy(dtype, address, sizeOf(shape)) };
  }

  async dispose(): Promise<void> {
    this.#variables.clear();
    await this.#threads.dispose();
  }

  #declare(name: string, { dtype, shape }: TensorType): Variable {
    const known = this.#variables.get(name);
    if (known) {
      invariant(known.dtype === dtype && sameShape(known.shape, shape), `variable ${name} changes its type`);
      return known;
    }
    const address = this.#memory.allocate(sizeOf(shape) * bytesPerElement[dtype]);
    const variable = { dtype, shape, address };
    this.#memory.view(dtype, address, sizeOf(shape)).fill(0);
    this.#variables.set(name, variable);
    return variable;
  }
}

class WasmProgram implements Program {
  readonly arenaBytes: number;
  readonly #memory: LinearMemory;
  readonly #run: () => void;
  readonly #inputs = new Map<string, Variable>();
  readonly #outputs = new Map<string, Variable>();

  constructor(graph: Graph, memory: LinearMemory, threads: Threads, variables: ReadonlyMap<string, Variable>) {
    const lowered = new Map<Node, Lowered>();
    const loweringOf = (node: Node): Lowered => {
      const known = lowered.get(node) ?? concerning(node, () => lower(node));
      lowered.set(node, known);
      return known;
    };
    const planned = plan(graph, { alignment: 64, workspaceBytes: (node) => loweringOf(node).workspaceBytes ?? 0 });
    this.#memory = memory;
    this.arenaBytes = planned.arenaBytes;
    const arena = memory.allocate(planned.arenaBytes);
    const constants = graph.constants.map(({ source }) => {
      invariant(source.kind === 'constant', 'a constant without its tensor');
      return memory.place(source.tensor.data);
    });
    const address = (at: Storage): number => {
      if (at.region === 'arena') return arena + at.offset;
      return at.region === 'constant' ? constants[at.index]! : variables.get(at.name)!.address;
    };
    const launches = planned.steps.flatMap((step) => {
      const { node, inputs, outputs, workspace } = step;
      const at = {
        inputs: inputs.map(address),
        outputs: outputs.map(address),
        workspace: workspace ? address(workspace) : 0,
        place: (data: TensorData | Float64Array) => memory.place(data),
      };
      const launched = concerning(node, () => loweringOf(node).launches(at));
      return memory.poison ? [...poisoned(step, address, loweringOf(node)), ...launched] : launched;
    });
    launches.push(...copies(planned, address, variables));
    const steps = launches.map(
      ({ kernel, parts, record }): Step => ({
        kernel,
        parts,
        record: placeRecord(record, (words) => memory.place(words)),
      }),
    );
    this.#run = threads.register(
      steps,
      launches.reduce((most, { scratchBytes }) => Math.max(most, scratchBytes), 0),
    );
    const place = (value: Value): Variable => ({
      dtype: value.dtype,
      shape: value.shape,
      address: address(planned.storage(value)),
    });
    for (const [name, value] of graph.inputs) this.#inputs.set(name, place(value));
    for (const [name, value] of graph.outputs) this.#outputs.set(name, place(value));
  }

  write(name: string, data: TensorData): void {
    const input = this.#inputs.get(name);
    invariant(input, `the program has no input ${name}`);
    const count = sizeOf(input.shape);
    invariant(count === data.length, `input ${name} takes ${count} elements, not ${data.length}`);
    this.#memory.view(input.dtype, input.address, count).set(data);
  }

  async run(): Promise<void> {
    this.#run();
  }

  async read(name: string): Promise<TensorData> {
    const output = this.#outputs.get(name);
    invariant(output, `the program has no output ${name}`);
    return this.#memory.copy(output.dtype, output.address, sizeOf(output.shape));
  }
}

/** Fills what a step has to write: its workspace, and its outputs but those that take an input's place. */
function poisoned(
  { node, inputs, outputs, workspace }: PlannedStep,
  address: (at: Storage) => number,
  lowered: Lowered,
) {
  const taken = new Set(inputs.map(address));
  const own = node.outputs.flatMap(({ dtype, shape }, index) => {
    const to = address(outputs[index]!);
    return taken.has(to) ? [] : [{ to, bytes: sizeOf(shape) * bytesPerElement[dtype] }];
  });
  if (workspace) own.push({ to: address(workspace), bytes: lowered.workspaceBytes! });
  return own.map(({ to, bytes }) => launch('fill', 1, { to, bytes, value: POISON }));
}

/** Assignments that the plan could not produce in the variables' own storage. */
function copies(
  planned: Plan,
  address: (at: Storage) => number,
  variables: ReadonlyMap<string, Variable>,
): readonly Launch[] {
  return planned.copies.map(({ from, variable, bytes }) => {
    const { length: perPart, parts } = runs(bytes, 1 << 18);
    return launch('copy', parts, { to: variables.get(variable)!.address, from: address(from), bytes, perPart });
  });
}
