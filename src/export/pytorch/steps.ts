// An evaluation graph as the steps of a forward pass, as a person counts them: a layer that multiplies is one step,
// with the reshapes, the quantiser and the bias that belong to it; every other operation is one.
// Invariant: a step is there only if the logits need it, and what a layer's step swallows is read by nothing else.

import type { Graph, Node, Value } from '../../engine/graph/graph.ts';
import type { FrozenNetwork } from '../../integer/frozen.ts';
import { invariant, UserError } from '../../tensor/errors.ts';

export interface LayerStep {
  readonly kind: 'layer';
  readonly label: string;
  readonly layerKind: 'convolution' | 'linear';
  /** `axmConv2d`, or `conv2d` where the layer multiplies in float32. */
  readonly product: Node;
  /** Of an integer product: what made its input's codes. */
  readonly quantiser?: Node<'quantize'>;
  readonly bias?: Value;
  readonly inputs: readonly [Value];
  readonly output: Value;
}

export interface NodeStep {
  readonly kind: 'node';
  readonly label: string;
  readonly node: Node;
  /** Those of the node's that depend on the image. */
  readonly inputs: readonly Value[];
  readonly output: Value;
}

export type Step = LayerStep | NodeStep;

export const nodeOf = ({ source }: Value): Node | undefined => (source.kind === 'node' ? source.node : undefined);

/** Everything that a value is computed from, itself included. */
export function ancestorsOf(graph: Graph, values: Iterable<Value>): Set<Value> {
  const found = new Set(values);
  for (const { inputs, outputs } of graph.nodes.toReversed()) {
    if (outputs.some((output) => found.has(output))) for (const input of inputs) found.add(input);
  }
  return found;
}

/** The values that depend on the image, the image included. */
export function dependentOn(graph: Graph, image: Value): Set<Value> {
  const found = new Set([image]);
  for (const { inputs, outputs } of graph.nodes) {
    if (inputs.some((input) => found.has(input))) for (const output of outputs) found.add(output);
  }
  return found;
}

/** The steps from the image to the logits, in order. Throws a UserError. */
export function stepsOf({ graph, image, logits, layers }: FrozenNetwork): Step[] {
  const dependent = dependentOn(graph, image);
  const used = ancestorsOf(graph, [logits]);
  const kinds = new Map(layers.map(({ name, kind }) => [name, kind]));
  const readers = new Map<Value, number>();
  for (const { inputs, outputs } of graph.nodes) {
    if (!outputs.some((output) => used.has(output))) continue;
    for (const input of inputs) readers.set(input, (readers.get(input) ?? 0) + 1);
  }
  /** The node that made a value which one other node alone reads, if they belong to the same layer. */
  const within = (value: Value, label: string): Node | undefined => {
    const node = nodeOf(value);
    return node?.label === label && readers.get(value) === 1 ? node : undefined;
  };
  const isProduct = (node: Node | undefined): node is Node => node?.op === 'axmConv2d' || node?.op === 'conv2d';

  /** The layer whose last node this is. */
  const layerEndingAt = (last: Node): LayerStep | undefined => {
    const { label } = last;
    const shaped = last.op === 'reshape' ? within(last.inputs[0]!, label) : last;
    const biased = shaped?.op === 'bias' && !dependent.has(shaped.inputs[1]!) ? shaped : undefined;
    const product = biased ? within(biased.inputs[0]!, label) : shaped;
    if (!isProduct(product)) return undefined;
    const [x, weight] = product.inputs as [Value, Value];
    const isLinear = last.op === 'reshape';
    const quantiser = product.op === 'axmConv2d' ? quantiserOf(x, label) : undefined;
    const read = quantiser?.inputs[0] ?? x;
    const pixels = isLinear ? within(read, label) : undefined;
    if (isLinear && (pixels?.op !== 'reshape' || kinds.get(label) !== 'linear')) return undefined;
    if (dependent.has(weight)) throw new UserError(`${label}: its weights depend on the image; no layer of PyTorch's`);
    return {
      ...{ kind: 'layer', label, layerKind: isLinear ? 'linear' : 'convolution', product },
      ...(quantiser && { quantiser }),
      ...(biased && { bias: biased.inputs[1]! }),
      ...{ inputs: [pixels?.inputs[0] ?? read], output: last.outputs[0]! },
    };
  };
  const quantiserOf = (codes: Value, label: string): Node<'quantize'> => {
    const node = within(codes, label);
    invariant(
      node?.op === 'quantize' && node.inputs.slice(1).every((value) => !dependent.has(value)),
      `${label}: its activations are not codes of a stored quantiser`,
    );
    return node as Node as Node<'quantize'>;
  };

  /** An operation; of two reshapes in a row the last says all. */
  const nodeStep = (last: Node): NodeStep => {
    let node = last;
    if (node.op === 'reshape') {
      for (;;) {
        const inner = nodeOf(node.inputs[0]!);
        if (inner?.op !== 'reshape' || readers.get(inner.outputs[0]!) !== 1 || layerEndingAt(inner)) break;
        node = { ...node, inputs: inner.inputs };
      }
    }
    const inputs = node.inputs.filter((input) => dependent.has(input));
    return { kind: 'node', label: node.label, node, inputs, output: node.outputs[0]! };
  };

  const needed = new Set([logits]);
  const steps: Step[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((output) => needed.has(output))) continue;
    if (!needed.has(node.outputs[0]!)) throw new UserError(`${node.label}: ${node.op} is used by its second result`);
    const step = layerEndingAt(node) ?? nodeStep(node);
    for (const input of step.inputs) needed.add(input);
    steps.push(step);
  }
  return steps.reverse();
}
