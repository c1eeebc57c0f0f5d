// What exporters write as several nodes is one operation here: layer normalisation, GELU, SiLU, hard swish, a linear
// layer (a product with a bias behind it). Such nodes become one under a name of our own domain; a softmax at the end
// is left out, because the loss begins with logits. Nodes that nothing reads any more are left out too.
// Invariant: the graph computes what it did, a softmax at its end apart.

import type { OnnxGraph, OnnxNode } from '../../onnx/graph.ts';
import { sizeOf } from '../../tensor/tensor.ts';

/** The domain of what patterns become. */
export const OWN = 'tram';

/** Element types of real numbers, by their numbers: FLOAT, FLOAT16, DOUBLE, BFLOAT16. */
const FLOATS: readonly unknown[] = [1, 10, 11, 16];

/** Whether a node leaves numbers as they are. */
const isSame = ({ op, domain, attributes }: OnnxNode): boolean =>
  domain === '' && (op === 'Identity' || op === 'Dropout' || (op === 'Cast' && FLOATS.includes(attributes.get('to'))));

/** A graph with patterns as nodes, and what was left out of it, for people. */
export interface Simplified {
  readonly nodes: readonly OnnxNode[];
  readonly output: string;
  readonly notes: readonly string[];
}

export function simplified(graph: OnnxGraph): Simplified {
  return new Patterns(graph).simplified();
}

type Tensors = OnnxGraph['initialisers'];

class Patterns {
  readonly #graph: OnnxGraph;
  readonly #makers = new Map<string, OnnxNode>();
  readonly #constants: Set<string>;
  readonly #values: Map<string, Tensors extends ReadonlyMap<string, infer T> ? T : never>;
  /** How many nodes read a value. */
  readonly #readers = new Map<string, number>();

  constructor(graph: OnnxGraph) {
    this.#graph = graph;
    this.#values = new Map(graph.initialisers);
    this.#constants = new Set(graph.initialisers.keys());
    for (const node of graph.nodes) {
      for (const name of new Set(node.inputs)) this.#readers.set(name, (this.#readers.get(name) ?? 0) + 1);
      const value = node.op === 'Constant' ? node.attributes.get('value') : undefined;
      if (typeof value === 'object' && 'data' in value) this.#values.set(node.outputs[0]!, value);
      // What images do not decide: constants, and what is made of them alone.
      const given = node.inputs.filter((name) => name !== '');
      if (given.every((name) => this.#constants.has(name))) for (const name of node.outputs) this.#constants.add(name);
    }
  }

  simplified(): Simplified {
    const nodes = this.#graph.nodes.map((node) => {
      const found = this.#rewritten(node) ?? node;
      for (const name of node.outputs) this.#makers.set(name, found);
      return found;
    });
    const last = this.#maker(this.#graph.output);
    const isSoftmax = last !== undefined && ['Softmax', 'LogSoftmax'].includes(last.op);
    const output = isSoftmax ? last.inputs[0]! : this.#graph.output;
    const notes = isSoftmax ? [`the ${last.op} at its end is left out: the loss begins with logits`] : [];
    return { nodes: this.#needed(nodes, output), output, notes };
  }

  /** Those that the output is computed from, in their order. */
  #needed(nodes: readonly OnnxNode[], output: string): readonly OnnxNode[] {
    const needed = new Set([output]);
    const kept: OnnxNode[] = [];
    for (const node of nodes.toReversed()) {
      if (!node.outputs.some((name) => needed.has(name))) continue;
      for (const name of node.inputs) needed.add(name);
      kept.push(node);
    }
    return kept.reverse();
  }

  #rewritten(node: OnnxNode): OnnxNode | undefined {
    if (node.domain !== '') return undefined;
    if (node.op === 'Div') return this.#normalisation(node);
    if (node.op === 'Mul') return this.#gelu(node) ?? this.#gated(node) ?? this.#scaled(node);
    if (node.op === 'Add') return this.#shifted(node) ?? this.#biased(node);
    if (node.op === 'MatMul' && this.#isMatrix(node.inputs[1])) return own(node, 'Linear', node.inputs);
    return undefined;
  }

  /** What gives a value, behind nodes that leave it as it is. */
  #maker(name: string | undefined): OnnxNode | undefined {
    let node = this.#makers.get(name ?? '');
    while (node && isSame(node)) node = this.#makers.get(node.inputs[0]!);
    return node;
  }

  /** The name of a value where it was made, before nodes that leave it as it is. */
  #origin(name: string): string {
    let at = name;
    for (let node = this.#makers.get(at); node && isSame(node); node = this.#makers.get(at)) at = node.inputs[0]!;
    return at;
  }

  #made(name: string | undefined, op: string): OnnxNode | undefined {
    const node = this.#maker(name);
    return node?.op === op ? node : undefined;
  }

  #scalar(name: string | undefined): number | undefined {
    const tensor = this.#values.get(this.#origin(name ?? ''));
    return tensor && sizeOf(tensor.shape) === 1 ? tensor.data[0] : undefined;
  }

  #rank(name: string): number | undefined {
    return this.#values.get(name)?.shape.length;
  }

  #isMatrix(name: string | undefined): boolean {
    if (name === undefined || !this.#constants.has(name)) return false;
    // What a node makes of constants is looked at as the network is built.
    return (this.#rank(name) ?? 2) === 2;
  }

  /** Of two operands, in either order, the ones that `first` and `second` take. */
  #pair<A>(
    node: OnnxNode,
    first: (name: string) => A | undefined,
  ): { readonly found: A; readonly other: string } | undefined {
    const [a, b] = node.inputs as [string, string];
    const [ofA, ofB] = [first(a), first(b)];
    if (ofA !== undefined) return { found: ofA, other: b };
    return ofB === undefined ? undefined : { found: ofB, other: a };
  }

  /** (x − mean)/√(mean((x − mean)²) + ε) over the last axis. */
  #normalisation(node: OnnxNode): OnnxNode | undefined {
    const [above, below] = node.inputs as [string, string];
    const difference = this.#made(above, 'Sub');
    const shifted = this.#made(this.#made(below, 'Sqrt')?.inputs[0], 'Add');
    if (!difference || !shifted) return undefined;
    const variance = this.#pair(shifted, (name) => this.#made(name, 'ReduceMean'));
    const epsilon = variance && this.#scalar(variance.other);
    const mean = this.#made(difference.inputs[1], 'ReduceMean');
    const x = this.#origin(difference.inputs[0]!);
    if (epsilon === undefined || !mean || this.#origin(mean.inputs[0]!) !== x) return undefined;
    if (![mean, variance!.found].every((one) => this.#isOverLast(one))) return undefined;
    const square = this.#maker(variance!.found.inputs[0]);
    const own1 = this.#origin(above);
    const isSquare =
      (square?.op === 'Pow' && this.#scalar(square.inputs[1]) === 2 && this.#origin(square.inputs[0]!) === own1) ||
      (square?.op === 'Mul' && square.inputs.every((name) => this.#origin(name) === own1));
    return isSquare ? own(node, 'LayerNorm', [x], new Map([['epsilon', epsilon]])) : undefined;
  }

  #isOverLast({ attributes, inputs }: OnnxNode): boolean {
    const axes = attributes.get('axes') ?? this.#values.get(inputs[1] ?? '')?.data;
    const list = axes === undefined ? [] : Array.from(axes as ArrayLike<number>);
    return list.length === 1 && list[0] === -1 && (attributes.get('keepdims') ?? 1) === 1;
  }

  /** The learned scale behind a normalisation. */
  #scaled(node: OnnxNode): OnnxNode | undefined {
    const found = this.#pair(node, (name) => {
      const norm = this.#made(name, 'LayerNorm');
      return norm?.inputs.length === 1 ? norm : undefined;
    });
    if (!found || this.#rank(found.other) !== 1) return undefined;
    return own(node, 'LayerNorm', [...found.found.inputs, found.other], found.found.attributes);
  }

  /** The learned shift behind a normalisation with a scale. */
  #shifted(node: OnnxNode): OnnxNode | undefined {
    const found = this.#pair(node, (name) => {
      const norm = this.#made(name, 'LayerNorm');
      return norm?.inputs.length === 2 ? norm : undefined;
    });
    if (!found || this.#rank(found.other) !== 1) return undefined;
    return own(node, 'LayerNorm', [...found.found.inputs, found.other], found.found.attributes);
  }

  /** The bias behind a product with a matrix of weights. */
  #biased(node: OnnxNode): OnnxNode | undefined {
    const found = this.#pair(node, (name) => {
      const product = this.#makers.get(name);
      return product?.op === 'Linear' && product.inputs.length === 2 && this.#readers.get(name) === 1
        ? product
        : undefined;
    });
    if (!found || this.#rank(found.other) !== 1) return undefined;
    const { found: product, other } = found;
    return { ...own(node, 'Linear', [...product.inputs, other]), name: product.name };
  }

  /** x·½·(1 + erf(x/√2)), the factors in any order. */
  #gelu(node: OnnxNode): OnnxNode | undefined {
    const factors = this.#factors(node, 3);
    const scalars = factors.map((name) => this.#scalar(name));
    const half = scalars.reduce<number>((product, value) => product * (value ?? 1), 1);
    const rest = factors.filter((_, at) => scalars[at] === undefined);
    if (rest.length !== 2 || !isNear(half, 0.5)) return undefined;
    for (const [x, gate] of [rest, rest.toReversed()] as [string, string][]) {
      const sum = this.#made(gate, 'Add');
      const inner = sum && this.#pair(sum, (name) => this.#made(name, 'Erf'));
      const argument = this.#maker(inner?.found.inputs[0]);
      if (!inner || this.#scalar(inner.other) !== 1 || !argument) continue;
      const factor = this.#scalar(argument.inputs[1]);
      const isScaled =
        factor !== undefined &&
        ((argument.op === 'Div' && isNear(factor, Math.SQRT2)) ||
          (argument.op === 'Mul' && isNear(factor, Math.SQRT1_2)));
      if (isScaled && this.#origin(argument.inputs[0]!) === this.#origin(x)) return own(node, 'Gelu', [x]);
    }
    return undefined;
  }

  /** What a product is made of, through products that it is made of. */
  #factors(node: OnnxNode, depth: number): string[] {
    return node.inputs.flatMap((name) => {
      const inner = depth > 0 ? this.#made(name, 'Mul') : undefined;
      return inner ? this.#factors(inner, depth - 1) : [name];
    });
  }

  /** x·sigmoid(x), and x·hardSigmoid(x). */
  #gated(node: OnnxNode): OnnxNode | undefined {
    const found = this.#pair(node, (name) => this.#made(name, 'Sigmoid') ?? this.#made(name, 'HardSigmoid'));
    if (!found || this.#origin(found.found.inputs[0]!) !== this.#origin(found.other)) return undefined;
    const { op, attributes } = found.found;
    if (op === 'Sigmoid') return own(node, 'Silu', [found.other]);
    const [slope, middle] = [attributes.get('alpha'), attributes.get('beta') ?? 0.5];
    return isNear(Number(slope), 1 / 6) && middle === 0.5 ? own(node, 'HardSwish', [found.other]) : undefined;
  }
}

const isNear = (value: number, wanted: number): boolean => Math.abs(value - wanted) < 1e-6;

function own(
  { name, outputs }: OnnxNode,
  op: string,
  inputs: readonly string[],
  attributes: OnnxNode['attributes'] = new Map(),
): OnnxNode {
  return { name, op, domain: OWN, inputs, outputs, attributes };
}
