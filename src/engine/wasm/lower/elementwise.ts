// Operations on elements in memory order: ../kernels/elementwise.ts.

import type { Node } from '../../graph/graph.ts';
import type { OpName } from '../../graph/ops.ts';
import { type Kernel, launch } from './launch.ts';
import {
  elements,
  type Lowered,
  type Lowerings,
  overElements,
  pathOverElements,
  runs,
  type WaysOf,
} from './lowering.ts';
import type { Elementwise as ElementwiseRecord, KernelRecords } from './records.ts';

/** The kernels with the Elementwise record. */
type ElementwiseKernel = { [K in Kernel]: KernelRecords[K] extends ElementwiseRecord ? K : never }[Kernel];

/** One launch over all elements of the output. */
function over(node: Node<OpName>, kernel: ElementwiseKernel, alpha = 0, beta = 0): Lowered {
  const count = elements(node.outputs[0]!);
  const { length: perPart, parts } = runs(count);
  return {
    path: pathOverElements(count),
    launches: ({ inputs: [a, b = 0], outputs: [out] }) => [
      launch(kernel, parts, { out: out!, a: a!, b, count, perPart, alpha, beta }),
    ],
  };
}

type Elementwise = 'add' | 'affine' | 'sgd';

export const elementwiseWays: WaysOf<Elementwise> = {
  add: overElements,
  affine: overElements,
  sgd: overElements,
};

export const elementwise: Lowerings<Elementwise> = {
  add: (node) => over(node, 'add', node.attributes.alpha, node.attributes.beta),
  affine: (node) => over(node, 'affine', node.attributes.scale, node.attributes.offset),
  sgd: ({ outputs, attributes: { momentum, weightDecay } }) => {
    const count = elements(outputs[0]!);
    const { length: perPart, parts } = runs(count);
    return {
      path: pathOverElements(count),
      launches: ({ inputs: [parameter, gradient, velocity, rate], outputs: [newParameter, newVelocity] }) => [
        launch('sgd', parts, {
          parameter: parameter!,
          gradient: gradient!,
          velocity: velocity!,
          rate: rate!,
          newParameter: newParameter!,
          newVelocity: newVelocity!,
          count,
          perPart,
          momentum,
          weightDecay,
        }),
      ],
    };
  },
};
