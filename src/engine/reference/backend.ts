// The reference backend: the same plan as every other backend, run step by step with the plain kernels of this folder. With
// `precision: 'double'` the f32 tensors are held in float64, which makes finite differences sharp.

import { totalmem } from 'node:os';
import { invariant } from '../../tensor/errors.ts';
import { allocate, bytesPerElement, type HostTensor, sameShape, sizeOf, type TensorData } from '../../tensor/tensor.ts';
import { type Backend, POISON, type Program, type Session } from '../backend.ts';
import type { Graph, Value } from '../graph/graph.ts';
import type { OpAttributes, OpName, TensorType } from '../graph/ops.ts';
import { type Plan, plan, type Storage } from '../graph/plan.ts';
import { approximate } from './approximate.ts';
import { convolution } from './convolution.ts';
import { elementwise } from './elementwise.ts';
import { images } from './images.ts';
import type { Data, Kernel, Kernels, Operand } from './kernel.ts';
import { loss } from './loss.ts';
import { normalization } from './normalization.ts';
import { pooling } from './pooling.ts';
import { quantization } from './quantization.ts';
import { reduction } from './reduction.ts';

/** Renames need no kernel: the plan gives both names one storage. */
type Computed = Exclude<OpName, 'reshape' | 'stopGradient'>;

const kernels: Kernels<Computed> = {
  ...elementwise,
  ...convolution,
  ...normalization,
  ...pooling,
  ...images,
  ...loss,
  ...quantization,
  ...reduction,
  ...approximate,
};

export interface ReferenceOptions {
  readonly precision?: 'single' | 'double';
  /** In tests: outputs are poisoned before they are written (see ../backend.ts). */
  readonly poison?: boolean;
}

/** Plain loops in JavaScript: slow, and what the other devices are compared with. */
export function referenceBackend({ precision = 'single', poison = false }: ReferenceOptions = {}): Backend {
  const backend: Backend = {
    device: {
      name: 'reference',
      description: `plain TypeScript, ${precision} precision`,
      memoryBytes: totalmem(),
      ownMemory: false,
      emulations: ['table'],
    },
    openSession: async () => new ReferenceSession(backend, precision === 'double', poison),
  };
  return backend;
}

interface Variable extends TensorType {
  readonly data: Data;
}

class ReferenceSession implements Session {
  readonly backend: Backend;
  readonly #double: boolean;
  readonly #poison: boolean;
  readonly #variables = new Map<string, Variable>();
  readonly #programs: ReferenceProgram[] = [];

  constructor(backend: Backend, double: boolean, poison: boolean) {
    this.backend = backend;
    this.#double = double;
    this.#poison = poison;
  }

  get bytes(): number {
    const variables = [...this.#variables.values()].reduce((sum, { data }) => sum + data.byteLength, 0);
    return this.#programs.reduce((sum, program) => sum + program.arenaBytes, variables);
  }

  async compile(graph: Graph): Promise<Program> {
    for (const [name, value] of graph.variables) this.#declare(name, value);
    const program = new ReferenceProgram(plan(graph, { alignment: 8 }), this.#double, this.#poison, this.#variables);
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
    this.#declare(name, tensor).data.set(tensor.data);
  }

  async read(name: string): Promise<HostTensor> {
    const variable = this.#variables.get(name);
    invariant(variable, `no variable ${name} in this session`);
    const data = allocate(variable.dtype, variable.data.length);
    data.set(variable.data);
    return { dtype: variable.dtype, shape: variable.shape, data };
  }

  async dispose(): Promise<void> {
    this.#variables.clear();
  }

  #declare(name: string, { dtype, shape }: TensorType): Variable {
    const known = this.#variables.get(name);
    if (known) {
      invariant(known.dtype === dtype && sameShape(known.shape, shape), `variable ${name} changes its type`);
      return known;
    }
    const data = this.#double && dtype === 'f32' ? new Float64Array(sizeOf(shape)) : allocate(dtype, sizeOf(shape));
    const variable = { dtype, shape, data };
    this.#variables.set(name, variable);
    return variable;
  }
}

interface ReadyStep {
  readonly kernel: Kernel<OpName>;
  readonly inputs: readonly Operand[];
  readonly outputs: readonly Operand[];
  readonly attributes: OpAttributes[OpName];
  /** In tests: outputs to poison first, all but those that take an input's place. */
  readonly poisoned: readonly Uint8Array[];
}

class ReferenceProgram implements Program {
  readonly arenaBytes: number;
  readonly #steps: ReadyStep[];
  readonly #copies: { readonly to: Data; readonly from: Data }[];
  readonly #inputs = new Map<string, Data>();
  readonly #outputs = new Map<string, { readonly type: TensorType; readonly data: Data }>();

  constructor(planned: Plan, double: boolean, poison: boolean, variables: ReadonlyMap<string, Variable>) {
    const { graph } = planned;
    // In double precision every element takes eight bytes where the plan counted four.
    const widen = double ? 2 : 1;
    const arena = new ArrayBuffer(planned.arenaBytes * widen);
    this.arenaBytes = arena.byteLength;
    const place = (type: TensorType, at: Storage): Data => {
      if (at.region === 'variable') return variables.get(at.name)!.data;
      if (at.region === 'constant') return constantData(graph, at.index, double);
      const count = sizeOf(type.shape);
      const offset = at.offset * widen;
      invariant(offset + count * bytesPerElement[type.dtype] <= arena.byteLength, 'a value lies outside the arena');
      if (type.dtype === 'f32')
        return double ? new Float64Array(arena, offset, count) : new Float32Array(arena, offset, count);
      return type.dtype === 'i32' ? new Int32Array(arena, offset, count) : new Uint8Array(arena, offset, count);
    };
    const operand = (value: Value, at: Storage): Operand => ({ shape: value.shape, data: place(value, at) });
    this.#steps = planned.steps.map((step) => {
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
        poisoned: poison ? own.map(({ data }) => bytesOf(data)) : [],
      };
    });
    this.#copies = planned.copies.map(({ from, variable }) => {
      const to = variables.get(variable)!;
      return { to: to.data, from: place(to, from) };
    });
    for (const [name, value] of graph.inputs) this.#inputs.set(name, place(value, planned.storage(value)));
    for (const [name, value] of graph.outputs) {
      this.#outputs.set(name, { type: value, data: place(value, planned.storage(value)) });
    }
  }

  write(name: string, data: TensorData): void {
    const input = this.#inputs.get(name);
    invariant(input, `the program has no input ${name}`);
    invariant(input.length === data.length, `input ${name} takes ${input.length} elements, not ${data.length}`);
    input.set(data);
  }

  async run(): Promise<void> {
    for (const { kernel, inputs, outputs, attributes, poisoned } of this.#steps) {
      for (const bytes of poisoned) bytes.fill(POISON);
      kernel(inputs, outputs, attributes);
    }
    for (const { to, from } of this.#copies) to.set(from);
  }

  async read(name: string): Promise<TensorData> {
    const output = this.#outputs.get(name);
    invariant(output, `the program has no output ${name}`);
    const data = allocate(output.type.dtype, output.data.length);
    data.set(output.data);
    return data;
  }
}

const bytesOf = ({ buffer, byteOffset, byteLength }: Data): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

function constantData(graph: Graph, index: number, double: boolean): Data {
  const source = graph.constants[index]!.source;
  invariant(source.kind === 'constant', 'a constant without its tensor');
  const { dtype, data } = source.tensor;
  return double && dtype === 'f32' ? Float64Array.from(data) : data;
}
