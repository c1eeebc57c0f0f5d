// Operations on elements in memory order: assembly/elementwise.ts.

import type { Node } from '../../graph/graph.ts';
import type { OpName } from '../../graph/ops.ts';
import {
  elements,
  float,
  type Lowered,
  type Lowerings,
  overElements,
  pathOverElements,
  runs,
  type WaysOf,
} from './lowering.ts';

/** A launch of the Elementwise record over all elements of the output. */
function over(node: Node<OpName>, kernel: string, alpha = 0, beta = 0): Lowered {
  const count = elements(node.outputs[0]!);
  const { length, parts } = runs(count);
  return {
    path: pathOverElements(count),
    launches: ({ inputs: [a, b = 0], outputs: [out] }) => [
      { kernel, parts, record: [out!, a!, b, count, length, float(alpha), float(beta)] },
    ],
  };
}

type Elementwise =
  | 'add'
  | 'affine'
  | 'scaleBy'
  | 'broadcast'
  | 'relu'
  | 'reluGradient'
  | 'clampStraightThrough'
  | 'divide'
  | 'sgd';

export const elementwiseWays: WaysOf<Elementwise> = {
  add: overElements,
  affine: overElements,
  scaleBy: overElements,
  broadcast: overElements,
  relu: overElements,
  reluGradient: overElements,
  clampStraightThrough: overElements,
  divide: overElements,
  sgd: overElements,
};

export const elementwise: Lowerings<Elementwise> = {
  add: (node) => over(node, 'add', node.attributes.alpha, node.attributes.beta),
  affine: (node) => over(node, 'affine', node.attributes.scale, node.attributes.offset),
  scaleBy: (node) => over(node, 'scaleBy'),
  broadcast: (node) => over(node, 'broadcast'),
  relu: (node) => over(node, 'relu'),
  reluGradient: (node) => over(node, 'reluGradient'),
  clampStraightThrough: (node) => over(node, 'clamp', node.attributes.low, node.attributes.high),
  divide: (node) => over(node, 'divide'),
  sgd: ({ outputs, attributes: { momentum, weightDecay } }) => {
    const count = elements(outputs[0]!);
    const { length, parts } = runs(count);
    return {
      path: pathOverElements(count),
      launches: ({ inputs, outputs: results }) => [
        {
          kernel: 'sgd',
          parts,
          record: [...inputs, ...results, count, length, float(momentum), float(weightDecay)],
        },
      ],
    };
  },
};
