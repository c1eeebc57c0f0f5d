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

type Elementwise = 'add' | 'affine' | 'lookUp' | 'sgd' | 'adam' | 'movingAverage';

export const elementwiseWays: WaysOf<Elementwise> = {
  add: overElements,
  affine: overElements,
  lookUp: overElements,
  sgd: overElements,
  adam: overElements,
  movingAverage: overElements,
};

export const elementwise: Lowerings<Elementwise> = {
  add: (node) => over(node, 'add', node.attributes.alpha, node.attributes.beta),
  affine: (node) => over(node, 'affine', node.attributes.scale, node.attributes.offset),
  lookUp: (node) => over(node, 'lookUp'),
  sgd: ({ outputs, attributes: { momentum, weightDecay, nesterov = false } }) => {
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
          nesterov: nesterov ? 1 : 0,
        }),
      ],
    };
  },
  adam: ({ outputs, attributes: { beta1, beta2, epsilon, weightDecay, decoupled } }) => {
    const count = elements(outputs[0]!);
    const { length: perPart, parts } = runs(count);
    return {
      path: pathOverElements(count),
      launches: ({ inputs, outputs: [newParameter, newMean, newSquare] }) => {
        const [parameter, gradient, mean, square, rate, corrections] = inputs;
        return [
          launch('adam', parts, {
            ...{ parameter: parameter!, gradient: gradient!, mean: mean!, square: square! },
            ...{ rate: rate!, corrections: corrections! },
            ...{ newParameter: newParameter!, newMean: newMean!, newSquare: newSquare! },
            ...{ count, perPart, beta1, rest1: 1 - beta1, beta2, rest2: 1 - beta2, epsilon },
            ...{ weightDecay: decoupled ? 0 : weightDecay, ownDecay: decoupled ? weightDecay : 0 },
          }),
        ];
      },
    };
  },
  movingAverage: ({ outputs }) => {
    const count = elements(outputs[0]!);
    const { length: perPart, parts } = runs(count);
    return {
      path: pathOverElements(count),
      launches: ({ inputs: [average, value, keep], outputs: [newAverage] }) => [
        launch('movingAverage', parts, {
          ...{ average: average!, value: value!, keep: keep!, newAverage: newAverage!, count, perPart },
        }),
      ],
    };
  },
};
