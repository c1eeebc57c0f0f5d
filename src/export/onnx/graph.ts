// An ONNX graph in the making: nodes in the order in which they are computed, constants as initialisers, names that are
// unique and say what they belong to. The operator set is the smallest that has all that was asked for.
// Not here: what a network's operations become (lower.ts), how files are written (src/onnx/).

import type { Draft } from '../../onnx/messages.ts';
import {
  type AttributeProto,
  attributeTypes,
  type FunctionProto,
  type ModelProto,
  type NodeProto,
  type TensorProto,
  type ValueInfo,
  writeModel,
} from '../../onnx/schema.ts';
import { type ElementName, elementTypes, writeTensor } from '../../onnx/tensors.ts';
import type { Shape } from '../../tensor/tensor.ts';

/** The name of the symbolic first axis. */
export const BATCH = 'batch';

/** A whole number is an INT, `real` a FLOAT. */
export type Attribute =
  | number
  | string
  | readonly number[]
  | { readonly real: number }
  | { readonly tensor: Draft<TensorProto> }
  | { readonly graph: Draft<NonNullable<AttributeProto['g']>> }
  /** In a function: the attribute of this name that its caller gives. */
  | { readonly of: string; readonly type: keyof typeof attributeTypes };

export type Attributes = Readonly<Record<string, Attribute>>;

function attribute(name: string, value: Attribute): Draft<AttributeProto> {
  if (typeof value === 'number') return { name, type: attributeTypes.INT, i: value };
  if (typeof value === 'string') return { name, type: attributeTypes.STRING, s: Buffer.from(value, 'utf8') };
  if ('real' in value) return { name, type: attributeTypes.FLOAT, f: value.real };
  if ('tensor' in value) return { name, type: attributeTypes.TENSOR, t: value.tensor };
  if ('graph' in value) return { name, type: attributeTypes.GRAPH, g: value.graph };
  if ('of' in value) return { name, type: attributeTypes[value.type], refAttrName: value.of };
  return { name, type: attributeTypes.INTS, ints: [...value] };
}

/** A node as a message. */
export function nodeOf(
  op: string,
  input: readonly string[],
  output: readonly string[],
  attributes: Attributes = {},
): Draft<NodeProto> {
  return {
    opType: op,
    input,
    output,
    attribute: Object.entries(attributes).map(([name, one]) => attribute(name, one)),
  };
}

/**
 * The type of a value; a text in the shape is a name for an extent that is not fixed, and the same wherever it stands.
 * Nothing is said of an extent that is undefined: those of a function differ from call to call.
 */
export function valueInfo(
  name: string,
  type: ElementName,
  shape: readonly (number | string | undefined)[],
): Draft<ValueInfo> {
  const dim = shape.map((extent) => {
    if (extent === undefined) return {};
    return typeof extent === 'number' ? { dimValue: extent } : { dimParam: extent };
  });
  return { name, type: { tensorType: { elemType: elementTypes[type], shape: { dim } } } };
}

/** First versions of the operator set with an operator, or with the form of it that is written here. */
const since: Readonly<Record<string, number>> = { HardSwish: 14, LayerNormalization: 17 };
const LEAST = 13;

export interface NodeOptions {
  readonly attributes?: Attributes;
  readonly domain?: string;
  readonly doc?: string;
}

export interface ModelParts {
  readonly name: string;
  readonly doc: string;
  readonly input: Draft<ValueInfo>;
  readonly output: Draft<ValueInfo>;
  readonly properties: Readonly<Record<string, string>>;
  /** By the operator set of the model. */
  readonly functions: (operators: number) => readonly Draft<FunctionProto>[];
}

export class OnnxGraph {
  #nodes: Draft<NodeProto>[] = [];
  #initialisers: Draft<TensorProto>[] = [];
  readonly #known = new Map<string, string>();
  readonly #names = new Map<string, number>();
  readonly #domains = new Map<string, number>();
  #infos: Draft<ValueInfo>[] = [];
  #operators = LEAST;
  /** What the nodes that are added belong to. */
  label = '';

  /** A name that no other has. */
  unique(name: string): string {
    const count = this.#names.get(name) ?? 0;
    this.#names.set(name, count + 1);
    return count === 0 ? name : this.unique(`${name}_${count}`);
  }

  /** Adds a node of one output; its name. */
  node(op: string, inputs: readonly string[], { attributes, domain, doc }: NodeOptions = {}): string {
    const name = this.unique(this.label === '' ? op : `${this.label}.${op}`);
    this.#operators = Math.max(this.#operators, domain ? 0 : (since[op] ?? 0));
    if (domain) this.#domains.set(domain, 1);
    const made = nodeOf(op, inputs, [name], attributes);
    this.#nodes.push({ ...made, name, ...(domain && { domain }), ...(doc && { docString: doc }) });
    return name;
  }

  /** Says the type of a value that other programs cannot infer. */
  say(name: string, type: ElementName, shape: readonly (number | string)[]): void {
    this.#infos.push(valueInfo(name, type, shape));
  }

  /** Adds an initialiser; equal small ones without a name of their own are one. */
  constant(type: ElementName, shape: Shape, values: ArrayLike<number>, name?: string): string {
    const key = name === undefined && values.length <= 64 ? [type, shape.join('x'), Array.from(values)].join(' ') : '';
    const known = key === '' ? undefined : this.#known.get(key);
    if (known !== undefined) return known;
    const made = this.unique(name ?? 'constant');
    this.#initialisers.push(writeTensor(made, type, shape, values));
    if (key !== '') this.#known.set(key, made);
    return made;
  }

  scalar(value: number, type: ElementName = 'FLOAT'): string {
    return this.constant(type, [], [value]);
  }

  /** Numbers of axes, extents. */
  whole(values: readonly number[]): string {
    return this.constant('INT64', [values.length], values);
  }

  /** Gives the result its name, and leaves out what it does not depend on. */
  finish(result: string, as: string): void {
    const needed = new Set([as]);
    const named = (names: readonly string[] = []) => names.map((name) => (name === result ? as : name));
    const renamed = this.#nodes.map((node) => ({ ...node, input: named(node.input), output: named(node.output) }));
    const kept = renamed.reverse().filter(({ input, output }) => {
      const isNeeded = output.some((name) => needed.has(name));
      if (isNeeded) for (const name of input) needed.add(name);
      return isNeeded;
    });
    this.#nodes = kept.reverse();
    this.#initialisers = this.#initialisers.filter(({ name }) => needed.has(name!));
    this.#infos = this.#infos.filter(({ name }) => needed.has(name!));
  }

  /** The file. */
  model({ name, doc, input, output, properties, functions }: ModelParts): Uint8Array {
    const domains = [...this.#domains].map(([domain, version]) => ({ domain, version }));
    const draft: Draft<ModelProto> = {
      ...{ irVersion: 8, producerName: 'tram', docString: doc },
      opsetImport: [{ domain: '', version: this.#operators }, ...domains],
      metadataProps: Object.entries(properties).map(([key, value]) => ({ key, value })),
      functions: functions(this.#operators),
      graph: {
        ...{ name, node: this.#nodes, initializer: this.#initialisers, input: [input], output: [output] },
        valueInfo: this.#infos,
      },
    };
    return writeModel(draft);
  }
}
