// Batch norm whole and in the pieces that ../fuse.ts makes of it: statistics alone, normalisation with an addition and a relu behind it, the
// gradient with that of a relu in front. See kernels/normalization.cu.

import { type Shape, sizeOf } from '../../../tensor/tensor.ts';
import type { Node } from '../../graph/graph.ts';
import { pathOf } from '../../graph/paths.ts';
import type { KernelSource } from '../runtime/compiler.ts';
import type { Address } from '../runtime/driver.ts';
import type { FusedNode } from './fuse.ts';
import { ceilDivide } from './geometry.ts';
import { address, f32, i32, type KernelLaunch, launch, type Target } from './launch.ts';
import {
  type Lowering,
  type Lowerings,
  type Operands,
  type ProgramMemory,
  REDUCTION_ASPECTS,
  type Reduction,
  reduce,
  reductionAspects,
  reductionBytes,
  reductionOf,
  rowsAndColumns,
} from './lowering.ts';

const THREADS = 256;
/** Few large blocks leave few partial sums to the last of them. */
const REDUCTION_THREADS = 512;
/** Vectors that a thread of an element-wise kernel has. */
const UNROLL = 4;

const widthOf = (shape: Shape): number => (shape.at(-1)! % 4 === 0 ? 4 : 1);
const sourceOf = (shape: Shape): KernelSource => ({ file: 'normalization.cu', defines: { WIDTH: widthOf(shape) } });

const statistics = (shape: Shape, target: Target): Reduction =>
  reductionOf(...rowsAndColumns(shape, 'channel'), target, { width: widthOf(shape), threads: REDUCTION_THREADS });

const scratchBytes = ({ inputs: [x] }: Pick<Node, 'inputs'>, target: Target): number =>
  reductionBytes(statistics(x!.shape, target));

const elementWays = { 'four channels at a time': {}, 'one channel at a time': {} } as const;
const reducingWays = {
  'four channels at a time': REDUCTION_ASPECTS,
  'one channel at a time': REDUCTION_ASPECTS,
} as const;
const wayOf = (shape: Shape) => (widthOf(shape) === 4 ? 'four channels at a time' : 'one channel at a time');
const elementwise = {
  ways: elementWays,
  path: ({ inputs: [x] }: Pick<Node, 'inputs'>) => pathOf(elementWays, wayOf(x!.shape), {}),
};
const reducing = {
  ways: reducingWays,
  path: ({ inputs: [x] }: Pick<Node, 'inputs'>, target: Target) =>
    pathOf(reducingWays, wayOf(x!.shape), reductionAspects(statistics(x!.shape, target))),
};

const behind = { behind: ['a relu', 'an addition', 'an addition and a relu'] } as const;
const normalizeWays = { 'four channels at a time': behind, 'one channel at a time': behind } as const;
const joined = {
  ways: normalizeWays,
  path: ({ inputs, attributes }: FusedNode<'normalize'>) => {
    const added = inputs.length > 5;
    const rectified = added ? 'an addition and a relu' : 'a relu';
    return pathOf(normalizeWays, wayOf(inputs[0]!.shape), {
      behind: attributes.rectified ? rectified : 'an addition',
    });
  },
};

/** Blocks, and the arguments behind the addresses: vectors in all and in a row, what keeps the root away from zero. */
function elements(shape: Shape, epsilon: number) {
  const vectors = sizeOf(shape) / widthOf(shape);
  const inRow = shape.at(-1)! / widthOf(shape);
  return { blocks: ceilDivide(vectors, THREADS * UNROLL), shape: [i32(vectors), i32(inRow), f32(epsilon)] };
}

function moments(x: Shape, places: readonly Address[], scratch: Address, target: Target, memory: ProgramMemory) {
  return reduce('moments', statistics(x, target), places.map(address), scratch, memory, { source: sourceOf(x) });
}

/** x, gamma, beta, mean, variance, and what is added: null where nothing is. */
function normalize(x: Shape, places: readonly Address[], y: Address, epsilon: number, rectified: boolean) {
  const { blocks, shape } = elements(x, epsilon);
  const operands = [...places, ...(places.length === 5 ? [0n] : []), y].map(address);
  return launch(sourceOf(x), 'normalize', blocks, THREADS, [...operands, ...shape, i32(rectified ? 1 : 0)]);
}

/** g, x, gamma, mean, variance and, behind a relu, beta. */
function gradient(
  { inputs: [, x], attributes: { epsilon } }: Pick<Node<'batchNormGradient'>, 'inputs' | 'attributes'>,
  { inputs, outputs, scratch }: Operands,
  target: Target,
  memory: ProgramMemory,
): KernelLaunch[] {
  const [g, from, gamma, mean, variance, beta] = inputs as [Address, Address, Address, Address, Address, Address?];
  const [dx, dgamma, dbeta] = outputs as [Address, Address, Address];
  const prefix = beta === undefined ? '' : 'rectified_';
  const operands = [g, from, gamma, ...(beta === undefined ? [] : [beta]), mean, variance, dgamma, dbeta].map(address);
  const reduction = statistics(x!.shape, target);
  const { blocks, shape } = elements(x!.shape, epsilon);
  const source = sourceOf(x!.shape);
  return [
    reduce(`${prefix}gradient_sums`, reduction, [...operands, f32(epsilon)], scratch, memory, { source }),
    launch(source, `${prefix}normalize_gradient`, blocks, THREADS, [
      ...operands,
      ...[address(dx), ...shape, f32(1 / reduction.rows)],
    ]),
  ];
}

export const normalizationLowerings: Lowerings<'batchNorm' | 'batchNormInference' | 'batchNormGradient'> = {
  batchNorm: {
    ...reducing,
    scratchBytes,
    launches: ({ inputs: [x], attributes }, { inputs, outputs: [y, mean, variance], scratch }, target, memory) => [
      moments(x!.shape, [inputs[0]!, mean!, variance!], scratch, target, memory),
      normalize(x!.shape, [...inputs, mean!, variance!], y!, attributes.epsilon, false),
    ],
  },
  batchNormInference: {
    ...elementwise,
    launches: ({ inputs: [x], attributes }, { inputs, outputs: [y] }) => [
      normalize(x!.shape, inputs, y!, attributes.epsilon, false),
    ],
  },
  batchNormGradient: { ...reducing, scratchBytes, launches: gradient },
};

export const fusedNormalizationLowerings: {
  readonly [Op in 'moments' | 'normalize' | 'rectifiedGradient']: Lowering<never, FusedNode<Op>>;
} = {
  moments: {
    ...reducing,
    scratchBytes,
    launches: ({ inputs: [x] }, { inputs, outputs, scratch }, target, memory) => [
      moments(x!.shape, [...inputs, ...outputs], scratch, target, memory),
    ],
  },
  normalize: {
    ...joined,
    launches: ({ inputs: [x], attributes }, { inputs, outputs: [y] }) => [
      normalize(x!.shape, inputs, y!, attributes.epsilon, attributes.rectified),
    ],
  },
  rectifiedGradient: { ...reducing, scratchBytes, launches: gradient },
};
