// The graph IR: nodes appended in topological order, so creation order is a schedule. A graph reads named variables
// (which persist across programs of a session), named inputs (fed before each run) and constants; it yields named
// outputs and assignments to variables.
// Within one run every read of a variable sees its value from before the run; assignments take effect at the end.

import { invariant, UserError } from '../../tensor/errors.ts';
import type { DType, HostTensor, Shape, TensorType } from '../../tensor/tensor.ts';
import { sameShape } from '../../tensor/tensor.ts';
import { infer } from './inference.ts';
import type { OpAttributes, OpName, ReduceKind } from './ops.ts';

/** One tensor in a graph: what produced it and its type. */
export interface Value extends TensorType {
  readonly graph: Graph;
  readonly id: number;
  readonly source: Source;
}

export type Source =
  | { readonly kind: 'node'; readonly node: Node; readonly index: number }
  | { readonly kind: 'variable'; readonly name: string }
  | { readonly kind: 'input'; readonly name: string }
  | { readonly kind: 'constant'; readonly tensor: HostTensor };

export interface Node<K extends OpName = OpName> {
  readonly op: K;
  readonly attributes: OpAttributes[K];
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /**
   * What the node belongs to: the name of a layer or of a block of layers, or a part of the program (`loss`); '' for
   * none.
   */
  readonly label: string;
}

/** Works on a node; what is thrown meanwhile says which layer it is about. */
export function concerning<T>({ label }: Pick<Node, 'label'>, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (label === '' || !(error instanceof Error)) throw error;
    if (error instanceof UserError) throw new UserError(`${label}: ${error.message}`);
    error.message = error.message.replace(/^(internal: )?/, `$1${label}: `);
    throw error;
  }
}

export interface GraphOptions {
  /** The variable of the session that stands for one of this name; default: the one of the name. */
  readonly aliasOf?: (name: string) => string;
  /** Default: 1. Else the number that the device has: `Device.replicas`. */
  readonly replicas?: number;
}

/** A program in the making: operations on values, compiled by a backend. */
export class Graph {
  readonly nodes: Node[] = [];
  readonly variables = new Map<string, Value>();
  readonly inputs = new Map<string, Value>();
  readonly constants: Value[] = [];
  readonly outputs = new Map<string, Value>();
  readonly assignments = new Map<string, Value>();
  /** How many devices compute the graph, each a part of the whole; see `reduced`. */
  readonly replicas: number;
  readonly #aliasOf: (name: string) => string;
  #nextId = 0;
  #label = '';
  #scope = '';

  constructor({ aliasOf = (name) => name, replicas = 1 }: GraphOptions = {}) {
    invariant(Number.isInteger(replicas) && replicas >= 1, `a graph for ${replicas} replicas`);
    this.#aliasOf = aliasOf;
    this.replicas = replicas;
  }

  /** A tensor that persists in the session under this name; the same name gives the same value. */
  variable(asked: string, shape: Shape, dtype: DType = 'f32'): Value {
    const name = this.#nameOf(asked);
    const known = this.variables.get(name);
    if (known) {
      invariant(known.dtype === dtype && sameShape(known.shape, shape), `variable ${name} declared with two types`);
      return known;
    }
    const value = this.#value({ dtype, shape }, { kind: 'variable', name });
    this.variables.set(name, value);
    return value;
  }

  /** The variable of this name, where it is declared already. */
  declared(asked: string): Value | undefined {
    return this.variables.get(this.#nameOf(asked));
  }

  #nameOf(asked: string): string {
    return this.#aliasOf(`${this.#scope}${asked}`);
  }

  /** A tensor that is written before each run. */
  input(name: string, shape: Shape, dtype: DType = 'f32'): Value {
    invariant(!this.inputs.has(name), `input ${name} declared twice`);
    const value = this.#value({ dtype, shape }, { kind: 'input', name });
    this.inputs.set(name, value);
    return value;
  }

  constant(tensor: HostTensor): Value {
    const value = this.#value(tensor, { kind: 'constant', tensor });
    this.constants.push(value);
    return value;
  }

  /** A f32 scalar constant. */
  scalar(value: number): Value {
    return this.constant({ dtype: 'f32', shape: [], data: Float32Array.of(value) });
  }

  /**
   * Builds a part of the graph: nodes that are appended meanwhile have this label, the innermost where several are
   * open.
   */
  labelled<T>(label: string, build: () => T): T {
    const outer = this.#label;
    this.#label = `${this.#scope}${label}`;
    try {
      return build();
    } finally {
      this.#label = outer;
    }
  }

  /**
   * Builds a network of its own beside what the graph has: variables that are asked for meanwhile, and labels, have
   * `scope` before their names.
   */
  scoped<T>(scope: string, build: () => T): T {
    const outer = this.#scope;
    this.#scope = `${outer}${scope}`;
    try {
      return this.labelled('', build);
    } finally {
      this.#scope = outer;
    }
  }

  /** Appends an operation and returns its outputs. */
  apply<K extends OpName>(op: K, inputs: readonly Value[], attributes: OpAttributes[K]): readonly Value[] {
    invariant(
      inputs.every((value) => value.graph === this),
      `${op}: an input belongs to another graph`,
    );
    const label = this.#label;
    const types = concerning({ label }, () => infer(op, inputs, attributes));
    const outputs: Value[] = [];
    const node: Node<K> = { op, attributes, inputs, outputs, label };
    types.forEach((type, index) => {
      outputs.push(this.#value(type, { kind: 'node', node: node as Node, index }));
    });
    this.nodes.push(node as Node);
    return outputs;
  }

  /** The first output of an operation: what most have. */
  apply1<K extends OpName>(op: K, inputs: readonly Value[], attributes: OpAttributes[K]): Value {
    return this.apply(op, inputs, attributes)[0]!;
  }

  /** f32 values brought together over all replicas (`allReduce`), in one operation; themselves where there is one. */
  reduced(kind: ReduceKind, values: readonly Value[]): readonly Value[] {
    return this.replicas === 1 || values.length === 0 ? values : this.apply('allReduce', values, { kind });
  }

  /** Makes a value readable after each run. */
  output(name: string, value: Value): void {
    if (this.outputs.has(name)) throw new UserError(`the graph has two outputs named ${name}`);
    this.outputs.set(name, value);
  }

  /** At the end of each run the variable takes this value. */
  assign(variable: Value, value: Value): void {
    invariant(variable.source.kind === 'variable', 'only variables can be assigned');
    invariant(
      sameShape(variable.shape, value.shape) && variable.dtype === value.dtype,
      'an assignment changes the type of a variable',
    );
    invariant(!this.assignments.has(variable.source.name), `variable ${variable.source.name} assigned twice`);
    this.assignments.set(variable.source.name, value);
  }

  #value(type: TensorType, source: Source): Value {
    return { graph: this, id: this.#nextId++, dtype: type.dtype, shape: type.shape, source };
  }
}
