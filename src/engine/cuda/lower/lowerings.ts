// The table from operations to launches of kernels, those of neighbouring operations that fuse.ts joins with them. An
// operation of the contract without an entry is a type error here.

import { TooLargeError } from '../../../tensor/errors.ts';
import { sizeOf } from '../../../tensor/tensor.ts';
import { concerning, type Node } from '../../graph/graph.ts';
import type { OpName } from '../../graph/ops.ts';
import { approximate, approximateWays } from './approximate.ts';
import { biased, biasedWays } from './bias.ts';
import { collective, collectiveWays } from './collective.ts';
import { convolution, convolutionWays, fusedConvolution, fusedConvolutionWays } from './convolution.ts';
import { dropout, dropoutWays } from './dropout.ts';
import { elementwise, elementwiseWays } from './elementwise.ts';
import { formula, formulaWays } from './formula.ts';
import type { FusedNode, FusedOp } from './fuse.ts';
import { images, imageWays } from './images.ts';
import type { Target } from './launch.ts';
import { loss, lossWays } from './loss.ts';
import type { Lowered, Lowering, Lowerings, WaysOf } from './lowering.ts';
import { matrixProduct, matrixProductWays } from './matrix-product.ts';
import { measured, measuredWays } from './measured.ts';
import { movement, movementWays } from './movement.ts';
import { fusedNormalization, fusedNormalizationWays, normalization, normalizationWays } from './normalization.ts';
import { pooledNormalization, pooledNormalizationWays } from './pooled-normalization.ts';
import { fusedPooling, fusedPoolingWays, pooling, poolingWays } from './pooling.ts';
import { fusedQuantization, fusedQuantizationWays, quantization, quantizationWays } from './quantization.ts';
import { fusedReduction, fusedReductionWays, reduction, reductionWays } from './reduction.ts';
import { repeat, repeatWays } from './repeat.ts';
import { rows, rowsWays } from './rows.ts';
import { updates, updateWays } from './updates.ts';

/** Renames need no kernel: the plan gives both names one storage. */
type Computed = Exclude<OpName, 'reshape' | 'stopGradient'>;

const lowerings: Lowerings<Computed> & { readonly [Op in FusedOp]: Lowering<never, FusedNode<Op>> } = {
  ...formula,
  ...movement,
  ...collective,
  ...elementwise,
  ...dropout,
  ...updates,
  ...reduction,
  ...repeat,
  ...convolution,
  ...matrixProduct,
  ...rows,
  ...normalization,
  ...pooling,
  ...images,
  ...loss,
  ...quantization,
  ...approximate,
  ...biased,
  ...measured,
  ...fusedConvolution,
  ...fusedNormalization,
  ...fusedPooling,
  ...pooledNormalization,
  ...fusedQuantization,
  ...fusedReduction,
};

/** All ways of each operation's lowering. */
export const ways: WaysOf<Computed | FusedOp> = {
  ...formulaWays,
  ...movementWays,
  ...collectiveWays,
  ...elementwiseWays,
  ...dropoutWays,
  ...updateWays,
  ...reductionWays,
  ...repeatWays,
  ...convolutionWays,
  ...matrixProductWays,
  ...rowsWays,
  ...normalizationWays,
  ...poolingWays,
  ...imageWays,
  ...lossWays,
  ...quantizationWays,
  ...approximateWays,
  ...biasedWays,
  ...measuredWays,
  ...fusedConvolutionWays,
  ...fusedNormalizationWays,
  ...fusedPoolingWays,
  ...pooledNormalizationWays,
  ...fusedQuantizationWays,
  ...fusedReductionWays,
};

/**
 * How the nodes of a plan run on a device. Each node is lowered once, be it asked for its workspace or for its
 * launches.
 */
export type Lower = (node: Node | FusedNode) => Lowered;

/**
 * Kernels count elements in signed 32-bit words, some a block of threads beyond the last one. What is gathered from is
 * counted in longer ones: it may be a whole data set.
 */
const MOST_ELEMENTS = 2 ** 31 - 2 ** 16;

function checkSizes({ inputs, outputs, label }: Node | FusedNode): void {
  const largest = Math.max(
    ...[...inputs.filter(({ source }) => source.kind !== 'constant'), ...outputs].map(({ shape }) => sizeOf(shape)),
  );
  if (largest <= MOST_ELEMENTS) return;
  throw new TooLargeError(
    `${label === '' ? '' : `${label}: `}a tensor has ${largest} elements, and the device cuda can count ${MOST_ELEMENTS}; choose a smaller batch size or smaller images`,
  );
}

export function lowerOn(target: Target): Lower {
  const lowered = new Map<Node | FusedNode, Lowered>();
  return (node) => {
    const known = lowered.get(node);
    if (known) return known;
    checkSizes(node);
    const lowering = lowerings[node.op as Computed] as Lowering<OpName, Node | FusedNode>;
    const now = concerning(node, () => lowering(node, target));
    lowered.set(node, now);
    return now;
  };
}
