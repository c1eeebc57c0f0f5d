// The products of codes in a graph and the layers that they belong to. They meet by the label that the layer library
// gives its nodes, never by their order: a layer may have several products, or none.

import type { Graph, Node } from '../../engine/graph/graph.ts';
import type { MultiplyingLayer } from '../../nn/layers.ts';
import { invariant } from '../../tensor/errors.ts';
import { isTeachers } from '../../train/distillation.ts';

export interface Product {
  /** Name of the layer. */
  readonly layer: string;
  readonly node: Node<'axmConv2d'>;
}

const isProduct = (node: Node): node is Node & Node<'axmConv2d'> => node.op === 'axmConv2d';

/** Every product of the graph but those of a teacher, in the order in which they are computed. */
export function productsOf({ nodes }: Graph, layers: readonly Pick<MultiplyingLayer, 'name'>[]): Product[] {
  const names = new Set(layers.map(({ name }) => name));
  const own = nodes.filter(isProduct).filter(({ label }) => !isTeachers(label));
  return own.map((node) => {
    invariant(names.has(node.label), `a product is labelled '${node.label}', which is no layer that multiplies`);
    return { layer: node.label, node };
  });
}
