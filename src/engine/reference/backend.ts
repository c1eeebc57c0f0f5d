// The reference backend: the same plan as every other backend, run step by step with the plain kernels of this folder.
// With `precision: 'double'` the f32 tensors are held in float64, which makes finite differences sharp.

import { totalmem } from 'node:os';
import { invariant } from '../../tensor/errors.ts';
import type { TensorType } from '../../tensor/tensor.ts';
import { allocate, bytesPerElement, type HostTensor, sizeOf, type TensorData } from '../../tensor/tensor.ts';
import { type Backend, POISON, type Program } from '../backend.ts';
import type { Graph, Node, Value } from '../graph/graph.ts';
import { type OpAttributes, type OpName, type ReduceKind, renames } from '../graph/ops.ts';
import { type Plan, plan, type Storage } from '../graph/plan.ts';
import { SharedSession } from '../session.ts';
import { approximate } from './approximate.ts';
import { type Collective, collective } from './collective.ts';
import { convolution } from './convolution.ts';
import { dropout } from './dropout.ts';
import { elementwise } from './elementwise.ts';
import { formula } from './formula.ts';
import { images } from './images.ts';
import type { Data, Kernel, Kernels, Operand } from './kernel.ts';
import { loss } from './loss.ts';
import { matrices } from './matrices.ts';
import { movement } from './movement.ts';
import { normalization } from './normalization.ts';
import { pooling } from './pooling.ts';
import { quantization } from './quantization.ts';
import { reduction } from './reduction.ts';
import { repeat } from './repeat.ts';

/** Renames need no kernel: the plan gives both names one storage. */
type Computed = Exclude<OpName, 'reshape' | 'stopGradient'>;

const kernels: Kernels<Computed> = {
  ...formula,
  ...movement,
  ...collective,
  ...elementwise,
  ...dropout,
  ...convolution,
  ...matrices,
  ...normalization,
  ...pooling,
  ...images,
  ...loss,
  ...quantization,
  ...reduction,
  ...repeat,
  ...approximate,
};

/** One operation on the host, from its operands to its outputs of the given types. */
export function computeOperation<K extends OpName>(
  op: K,
  attributes: OpAttributes[K],
  inputs: readonly HostTensor[],
  types: readonly TensorType[],
): HostTensor[] {
  if (renames.has(op)) return types.map((type) => ({ ...type, data: inputs[0]!.data }));
  const outputs = types.map(({ dtype, shape }) => ({ dtype, shape, data: allocate(dtype, sizeOf(shape)) }));
  (kernels[op as Computed] as Kernel<OpName>)(inputs, outputs, attributes);
  return outputs;
}

export interface ReferenceOptions {
  readonly precision?: 'single' | 'double';
  /** In tests: outputs are poisoned before they are written (see ../backend.ts). */
  readonly poison?: boolean;
  /** What brings the values of all replicas together, where this device is one of several. */
  readonly collective?: Collective;
}

/** Plain loops in JavaScript: slow, and what the other devices are compared with. */
export function referenceBackend(options: ReferenceOptions = {}): Backend {
  const { precision = 'single', poison = false, collective } = options;
  const backend: Backend = {
    device: {
      name: 'reference',
      description: `plain TypeScript, ${precision} precision`,
      memoryBytes: totalmem(),
      ownMemory: false,
      replicas: collective?.replicas ?? 1,
      emulations: ['table'],
    },
    openSession: async () => new ReferenceSession(backend, precision === 'double', poison, collective),
  };
  return backend;
}

class ReferenceSession extends SharedSession<Data> {
  readonly double: boolean;
  readonly poison: boolean;
  readonly collective: Collective | undefined;
  /** Whether a program runs: where it waits for other replicas, the host could start another. */
  running = false;
  /** One buffer, made anew when its size changes. */
  arena = new ArrayBuffer(0);
  /** Bytes of variables and of what is the programs' own. */
  held = 0;

  constructor(backend: Backend, double: boolean, poison: boolean, collective: Collective | undefined) {
    super(backend);
    this.double = double;
    this.poison = poison;
    this.collective = collective;
  }

  get bytes(): number {
    return this.held + this.arena.byteLength;
  }

  protected allocate({ dtype, shape }: TensorType): Data {
    const count = sizeOf(shape);
    const data = this.double && dtype === 'f32' ? new Float64Array(count) : allocate(dtype, count);
    this.held += data.byteLength;
    return data;
  }

  protected store(to: Data, { data }: HostTensor): void {
    to.set(data);
  }

  protected async load(from: Data, { dtype }: TensorType): Promise<TensorData> {
    const data = allocate(dtype, from.length);
    data.set(from);
    return data;
  }

  protected async build(graph: Graph): Promise<Program> {
    return new ReferenceProgram(plan(graph, { alignment: 8 }), this);
  }

  protected fitArena(bytes: number): void {
    this.arena = new ArrayBuffer(bytes);
  }

  protected poisonArena(): void {
    if (this.poison) new Uint8Array(this.arena).fill(POISON);
  }

  protected async end(): Promise<void> {
    this.held = 0;
  }
}

interface ReadyStep {
  readonly kernel: Kernel<OpName>;
  readonly inputs: readonly Operand[];
  readonly outputs: readonly Operand[];
  readonly attributes: OpAttributes[OpName];
  /** Where the outputs are reduced over replicas behind the kernel. */
  readonly reduce: ReduceKind | undefined;
  /** In tests: outputs to poison first, all but those that take an input's place. */
  readonly poisoned: readonly Uint8Array[];
}

class ReferenceProgram implements Program {
  readonly arenaBytes: number;
  readonly #session: ReferenceSession;
  readonly #plan: Plan;
  readonly #own: ArrayBuffer;
  #arena: ArrayBuffer | undefined;
  #disposed = false;
  #steps: readonly ReadyStep[] = [];
  #copies: readonly { readonly to: Data; readonly from: Data }[] = [];

  constructor(planned: Plan, session: ReferenceSession) {
    // In double precision every element takes eight bytes where the plan counted four.
    const widen = session.double ? 2 : 1;
    this.#plan = planned;
    this.#session = session;
    this.arenaBytes = planned.arenaBytes * widen;
    session.join(this, this.arenaBytes);
    this.#own = new ArrayBuffer(planned.ownBytes * widen);
    if (session.poison) new Uint8Array(this.#own).fill(POISON, planned.inputBytes * widen);
    session.held += this.#own.byteLength;
  }

  write(name: string, data: TensorData): void {
    this.#session.checkUse(this, 'written');
    const value = this.#plan.graph.inputs.get(name);
    invariant(value, `the program has no input ${name}`);
    const input = this.#place(value, this.#plan.storage(value));
    invariant(input.length === data.length, `input ${name} takes ${input.length} elements, not ${data.length}`);
    input.set(data);
  }

  async run(): Promise<void> {
    const session = this.#session;
    invariant(!session.running, 'a program is run while another one is');
    session.enter(this);
    session.running = true;
    try {
      await this.#runSteps(session.arena);
    } finally {
      session.running = false;
    }
  }

  async #runSteps(arena: ArrayBuffer): Promise<void> {
    if (this.#arena !== arena) this.#resolve(arena);
    for (const { kernel, inputs, outputs, attributes, reduce, poisoned } of this.#steps) {
      for (const bytes of poisoned) bytes.fill(POISON);
      kernel(inputs, outputs, attributes);
      if (reduce) await this.#session.collective!.allReduce(reduce, outputs.map(floatsOf));
    }
    for (const { to, from } of this.#copies) to.set(from);
  }

  async read(name: string): Promise<TensorData> {
    this.#session.checkUse(this, 'read');
    const value = this.#plan.graph.outputs.get(name);
    invariant(value, `the program has no output ${name}`);
    const found = this.#place(value, this.#plan.outputStorage(value));
    const data = allocate(value.dtype, found.length);
    data.set(found);
    return data;
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#session.leave(this);
    this.#session.held -= this.#own.byteLength;
  }

  /** The steps over the arena as it is now. */
  #resolve(arena: ArrayBuffer): void {
    const { steps, snapshots, copies } = this.#plan;
    const operand = (value: Value, at: Storage): Operand => ({ shape: value.shape, data: this.#place(value, at) });
    this.#arena = arena;
    this.#steps = steps.map((step) => {
      const { node } = step;
      const inputs = node.inputs.map((value, index) => operand(value, step.inputs[index]!));
      const outputs = node.outputs.map((value, index) => operand(value, step.outputs[index]!));
      const own = outputs.filter(({ data: to }) =>
        inputs.every(({ data: from }) => from.buffer !== to.buffer || from.byteOffset !== to.byteOffset),
      );
      return {
        kernel: kernels[node.op as Computed] as Kernel<OpName>,
        inputs,
        outputs,
        attributes: node.attributes,
        reduce: reductionOf(node),
        poisoned: this.#session.poison ? own.map(({ data }) => bytesOf(data)) : [],
      };
    });
    this.#copies = [...snapshots, ...copies].map(({ from, to, of }) => ({
      ...{ from: this.#place(of, from), to: this.#place(of, to) },
    }));
  }

  #place(type: TensorType, at: Storage): Data {
    const { double } = this.#session;
    if (at.region === 'variable') return this.#session.variable(at.name).place;
    if (at.region === 'constant') return constantData(this.#plan.graph, at.index, double);
    const buffer = at.region === 'own' ? this.#own : this.#arena!;
    const count = sizeOf(type.shape);
    const offset = at.offset * (double ? 2 : 1);
    invariant(offset + count * bytesPerElement[type.dtype] <= buffer.byteLength, 'a value lies outside its memory');
    if (type.dtype === 'f32')
      return double ? new Float64Array(buffer, offset, count) : new Float32Array(buffer, offset, count);
    return type.dtype === 'i32' ? new Int32Array(buffer, offset, count) : new Uint8Array(buffer, offset, count);
  }
}

/** The kind of a node that reduces over replicas, where there are several. */
function reductionOf({ op, attributes, outputs }: Node): ReduceKind | undefined {
  if (op !== 'allReduce' || outputs[0]!.graph.replicas === 1) return undefined;
  return (attributes as OpAttributes['allReduce']).kind;
}

const floatsOf = ({ data }: Operand) => data as Float32Array | Float64Array;

const bytesOf = ({ buffer, byteOffset, byteLength }: Data): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

function constantData(graph: Graph, index: number, double: boolean): Data {
  const source = graph.constants[index]!.source;
  invariant(source.kind === 'constant', 'a constant without its tensor');
  const { dtype, data } = source.tensor;
  return double && dtype === 'f32' ? Float64Array.from(data) : data;
}
