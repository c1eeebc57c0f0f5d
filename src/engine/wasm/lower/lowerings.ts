// The table from operations to launches of kernels. An operation of the contract without an entry is a type error here.

import type { Node } from '../../graph/graph.ts';
import type { OpName } from '../../graph/ops.ts';
import { approximate, approximateWays } from './approximate.ts';
import { collective, collectiveWays } from './collective.ts';
import { convolution, convolutionWays } from './convolution.ts';
import { dropout, dropoutWays } from './dropout.ts';
import { elementwise, elementwiseWays } from './elementwise.ts';
import { formula, formulaWays } from './formula.ts';
import { images, imageWays } from './images.ts';
import { loss, lossWays } from './loss.ts';
import type { Lowered, Lowering, Lowerings, WaysOf } from './lowering.ts';
import { matrices, matrixWays } from './matrices.ts';
import { movement, movementWays } from './movement.ts';
import { normalization, normalizationWays } from './normalization.ts';
import { pooling, poolingWays } from './pooling.ts';
import { quantization, quantizationWays } from './quantization.ts';
import { reduction, reductionWays } from './reduction.ts';
import { repeat, repeatWays } from './repeat.ts';

/** Renames need no kernel: the plan gives both names one storage. */
type Computed = Exclude<OpName, 'reshape' | 'stopGradient'>;

const lowerings: Lowerings<Computed> = {
  ...formula,
  ...movement,
  ...collective,
  ...elementwise,
  ...dropout,
  ...reduction,
  ...repeat,
  ...convolution,
  ...matrices,
  ...normalization,
  ...pooling,
  ...images,
  ...loss,
  ...quantization,
  ...approximate,
};

/** All ways of each operation's lowering. */
export const ways: WaysOf<Computed> = {
  ...formulaWays,
  ...movementWays,
  ...collectiveWays,
  ...elementwiseWays,
  ...dropoutWays,
  ...reductionWays,
  ...repeatWays,
  ...convolutionWays,
  ...matrixWays,
  ...normalizationWays,
  ...poolingWays,
  ...imageWays,
  ...lossWays,
  ...quantizationWays,
  ...approximateWays,
};

export function lower(node: Node): Lowered {
  return (lowerings[node.op as Computed] as Lowering<OpName>)(node);
}
