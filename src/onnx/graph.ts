// The graph of an ONNX file as plain data: nodes in an order in which each stands behind what it reads, initialisers
// as numbers, the one input and the one output. What the operators mean is nobody's business here. Data in other files
// are read where they lie beside the model or below it.
// Invariant: what is returned is a graph without circles in which every name is given by one node, initialiser or
// input, and what is read of a file is bounded by its size.

import { existsSync, realpathSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, sep } from 'node:path';
import { quoted, UserError } from '../tensor/errors.ts';
import { sha256 } from '../tensor/files.ts';
import { openSource, sha256OfFile } from '../tensor/source.ts';
import {
  type AttributeProto,
  attributeTypes,
  type GraphProto,
  type NodeProto,
  readModel,
  type TensorProto,
  type ValueInfo,
} from './schema.ts';
import { elementName, type OnnxTensor, readTensor } from './tensors.ts';

/** A value of an attribute: a number, a text, numbers, texts, a tensor; of anything else a word for it. */
export type AttributeValue = number | string | readonly number[] | OnnxTensor | { readonly what: string };

export interface OnnxNode {
  /** Its own, as the file has it; may be '' or stand twice. */
  readonly name: string;
  readonly op: string;
  /** '' for the standard operators. */
  readonly domain: string;
  /** Names of values; '' for an optional input that is not given. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  readonly attributes: ReadonlyMap<string, AttributeValue>;
}

export interface OnnxGraph {
  /** The file, for messages. */
  readonly file: string;
  /** Who wrote it: `pytorch 2.4`; '' where it does not say. */
  readonly producer: string;
  /** Version of the standard operators. */
  readonly opset: number;
  /** What a node reads is given by nodes before it. */
  readonly nodes: readonly OnnxNode[];
  readonly initialisers: ReadonlyMap<string, OnnxTensor>;
  /** What is not a constant; an extent that is named or not given is undefined. */
  readonly input: { readonly name: string; readonly shape: readonly (number | undefined)[] };
  readonly output: string;
  /** SHA-256 of the file, and of the files that hold its data, where there are any. */
  readonly sha256: string;
}

/** Versions of the standard operators that are read: before, operands are broadcast in another way. */
export const OPSETS = { least: 7, most: 22 } as const;

const FLOATS = ['FLOAT', 'FLOAT16', 'BFLOAT16', 'DOUBLE'];

/** Reads a file. Throws a UserError that names it for what is no graph of one input and one output. */
export function readGraph(path: string): OnnxGraph {
  const source = openSource(path);
  try {
    return new Reader(path, source.read(0, source.size)).graph();
  } finally {
    source.close();
  }
}

class Reader {
  readonly #file: string;
  readonly #bytes: Uint8Array;
  /** Files beside the model that hold data, by their place. */
  readonly #beside = new Set<string>();

  constructor(file: string, bytes: Uint8Array) {
    this.#file = file;
    this.#bytes = bytes;
  }

  graph(): OnnxGraph {
    const model = readModel(this.#bytes, this.#file);
    const { graph, producerName = '', producerVersion = '', functions } = model;
    if (!graph || graph.node.length === 0) throw this.#wrong('it holds no graph of nodes; expected an ONNX model');
    if (functions.length > 0) {
      throw this.#wrong(
        `it has functions of its own (${quoted(functions[0]!.name ?? '')}); export it with them inlined`,
      );
    }
    const standard = model.opsetImport.find(({ domain = '' }) => isStandard(domain));
    const opset = standard?.version ?? 1;
    if (opset < OPSETS.least || opset > OPSETS.most) {
      const range = `${OPSETS.least} to ${OPSETS.most}`;
      throw this.#wrong(`its operators are of opset ${opset}; ${range} are read: export it with opset_version=17`);
    }
    const initialisers = this.#initialisers(graph);
    const nodes = this.#ordered(
      graph.node.map((node) => this.#node(node)),
      graph,
      initialisers,
    );
    const inputs = graph.input.filter(({ name = '' }) => !initialisers.has(name));
    const [output, ...others] = graph.output;
    if (inputs.length !== 1 || !output || others.length > 0) {
      const found = `${inputs.length} inputs (${listed(inputs)}) and ${graph.output.length} outputs (${listed(graph.output)})`;
      throw this.#wrong(`it has ${found}; expected one of each: images and logits`);
    }
    return {
      ...{ file: this.#file, producer: `${producerName} ${producerVersion}`.trim().slice(0, 80), opset, nodes },
      ...{ initialisers, input: this.#input(inputs[0]!), output: output.name ?? '' },
      sha256: this.#hash(),
    };
  }

  #wrong(detail: string): UserError {
    return new UserError(`${this.#file}: ${detail}`);
  }

  #input({ name = '', type }: ValueInfo): OnnxGraph['input'] {
    const tensor = type?.tensorType;
    const element = elementName(tensor?.elemType);
    if (!tensor?.shape || element === undefined || !FLOATS.includes(element)) {
      const found = element === undefined ? 'of no type that is read' : `of ${element.toLowerCase()}`;
      throw this.#wrong(
        `its input ${quoted(name)} is ${tensor?.shape ? found : 'without a shape'}; expected floats [N, channels, height, width], those of a network that is not quantised yet`,
      );
    }
    const shape = tensor.shape.dim.map(({ dimValue, dimParam }) =>
      dimParam === undefined && dimValue !== undefined && dimValue > 0 ? dimValue : undefined,
    );
    return { name, shape };
  }

  #initialisers(graph: GraphProto): ReadonlyMap<string, OnnxTensor> {
    const found = new Map<string, OnnxTensor>();
    for (const tensor of graph.initializer) {
      const name = tensor.name ?? '';
      if (found.has(name)) throw this.#wrong(`the initialiser ${quoted(name)} stands twice`);
      found.set(name, readTensor(this.#withData(tensor), this.#file));
    }
    return found;
  }

  #node(node: NodeProto): OnnxNode {
    const { name = '', opType = '', domain = '', input, output, attribute } = node;
    const attributes = new Map<string, AttributeValue>();
    for (const one of attribute) attributes.set(one.name ?? '', this.#attribute(one));
    return { name, op: opType, domain: isStandard(domain) ? '' : domain, inputs: input, outputs: output, attributes };
  }

  #attribute(attribute: AttributeProto): AttributeValue {
    const { type, f, i, s, t, ints, floats } = attribute;
    switch (type) {
      case attributeTypes.FLOAT:
        return f ?? 0;
      case attributeTypes.INT:
        return i ?? 0;
      case attributeTypes.STRING:
        return Buffer.from(s ?? []).toString('utf8');
      case attributeTypes.INTS:
        return ints;
      case attributeTypes.FLOATS:
        return floats;
      case attributeTypes.TENSOR:
        return t ? readTensor(this.#withData(t), this.#file) : { what: 'a tensor without values' };
      default:
        return { what: type === attributeTypes.GRAPH ? 'a graph' : `a value of kind ${type ?? 'unknown'}` };
    }
  }

  /** The nodes, each behind those that it reads. */
  #ordered(nodes: readonly OnnxNode[], graph: GraphProto, initialisers: ReadonlyMap<string, OnnxTensor>) {
    const given = new Set([...initialisers.keys(), ...graph.input.map(({ name = '' }) => name)]);
    const makers = new Map<string, OnnxNode>();
    for (const node of nodes) {
      for (const output of node.outputs.filter((name) => name !== '')) {
        if (makers.has(output) || given.has(output)) throw this.#wrong(`two give the value ${quoted(output)}`);
        makers.set(output, node);
      }
    }
    /** Nodes before a node that are not in the order yet, by how many; and who waits for a node. */
    const missing = new Map<OnnxNode, number>();
    const waiting = new Map<OnnxNode, OnnxNode[]>();
    for (const node of nodes) {
      const before = new Set<OnnxNode>();
      for (const input of node.inputs) {
        if (input === '' || given.has(input)) continue;
        const maker = makers.get(input);
        if (!maker) throw this.#wrong(`${told(node)} reads ${quoted(input)}, which nothing gives`);
        before.add(maker);
      }
      missing.set(node, before.size);
      for (const maker of before) {
        const behind = waiting.get(maker);
        if (behind) behind.push(node);
        else waiting.set(maker, [node]);
      }
    }
    const ordered = nodes.filter((node) => missing.get(node) === 0);
    // A list is walked together with what is added meanwhile.
    for (const node of ordered) {
      for (const next of waiting.get(node) ?? []) {
        missing.set(next, missing.get(next)! - 1);
        if (missing.get(next) === 0) ordered.push(next);
      }
    }
    const left = nodes.find((node) => missing.get(node)! > 0);
    if (left) throw this.#wrong(`${told(left)} stands in a circle of nodes that read each other; expected none`);
    return ordered;
  }

  /** A tensor with its data, wherever they are. */
  #withData(tensor: TensorProto): TensorProto {
    const { dataLocation, externalData, ...rest } = tensor;
    if (dataLocation !== 1) return tensor;
    const fact = (key: string) => externalData.find((entry) => entry.key === key)?.value;
    const wrong = (detail: string) => this.#wrong(`the data of the tensor ${quoted(tensor.name ?? '')} ${detail}`);
    const path = this.#placeBeside(fact('location') ?? '', wrong);
    const source = openSource(path);
    try {
      const from = Number(fact('offset') ?? 0);
      const length = Number(fact('length') ?? source.size - from);
      if (![from, length].every((value) => Number.isSafeInteger(value) && value >= 0) || from + length > source.size) {
        throw wrong(`are bytes ${from} to ${from + length} of ${path}, which has ${source.size}`);
      }
      this.#beside.add(path);
      return { ...rest, externalData: [], rawData: source.read(from, length) };
    } finally {
      source.close();
    }
  }

  /** The file of a location, which may not lead out of the model's folder, by links neither. */
  #placeBeside(location: string, wrong: (detail: string) => UserError): string {
    const folder = realpathSync(dirname(this.#file));
    const leaves = (path: string) => path === '' || path === '..' || path.startsWith(`..${sep}`) || isAbsolute(path);
    const path = join(folder, location);
    if (location === '' || isAbsolute(location) || leaves(relative(folder, path))) {
      throw wrong(`are at ${quoted(location)}; expected a file beside the model`);
    }
    if (!existsSync(path)) throw wrong(`are in ${quoted(location)}, which is not there; put it beside the model`);
    const real = realpathSync(path);
    if (leaves(relative(folder, real))) throw wrong(`are at ${quoted(location)}, a link that leads out of the folder`);
    return real;
  }

  #hash(): string {
    const own = sha256(this.#bytes);
    if (this.#beside.size === 0) return own;
    return sha256(own, ...[...this.#beside].sort().map(sha256OfFile));
  }
}

const isStandard = (domain: string): boolean => domain === '' || domain === 'ai.onnx';

const listed = (values: readonly ValueInfo[]): string =>
  values
    .slice(0, 4)
    .map(({ name = '' }) => name)
    .join(', ');

/** A node as messages name it. */
export function told({ name, op, domain, outputs }: Pick<OnnxNode, 'name' | 'op' | 'domain' | 'outputs'>): string {
  const whole = domain === '' ? op : `${domain}.${op}`;
  return name === ''
    ? `the node of ${quoted(outputs[0] ?? '')} (${whole.slice(0, 60)})`
    : `node ${quoted(name)} (${whole.slice(0, 60)})`;
}
