// Approximate convolutions: depthwise ones by kernels of their own; of others planes for exact products, structures and
// tables that factor, look-ups for other tables, gradients of a structure through its planes and of the operands
// through the slopes of the error. Which of the two a table gets is a matter of cost alone: a factorisation that fits
// is faster (docs/performance-cuda.md has the figures).

import { isInteger } from '../../../multiplier/error.ts';
import { checkSums } from '../../graph/sums.ts';
import { bitGradientWays } from './approximate-bit-gradients.ts';
import { bitProduct, bitWays } from './approximate-bits.ts';
import { depthwiseApproximate, depthwiseApproximateWays } from './approximate-depthwise.ts';
import { depthwisePlaneGradientWays } from './approximate-depthwise-gradients.ts';
import { planeGradients, planeGradientWays } from './approximate-plane-gradients.ts';
import { formOf, planeProduct, planeWays, slicesFor } from './approximate-planes.ts';
import { inputSlopeWays, slopesOfInput, slopesOfWeights, weightSlopeWays } from './approximate-slopes.ts';
import { structure, structureWays } from './approximate-structure.ts';
import { lookUpProduct, lookUpWays } from './approximate-table.ts';
import { convolutionOf } from './geometry.ts';
import type { Lowerings, WaysOf } from './lowering.ts';

type Approximate =
  | 'axmConv2d'
  | 'axmConv2dGradients'
  | 'axmErrorWeightGradient'
  | 'axmErrorInputGradient'
  | 'structureMatrix'
  | 'structureMatrixGradient';

export const approximateWays: WaysOf<Approximate> = {
  axmConv2d: { ...depthwiseApproximateWays, ...bitWays, ...planeWays, ...lookUpWays },
  axmConv2dGradients: { ...depthwisePlaneGradientWays, ...bitGradientWays, ...planeGradientWays },
  axmErrorWeightGradient: weightSlopeWays,
  axmErrorInputGradient: inputSlopeWays,
  ...structureWays,
};

export const approximate: Lowerings<Approximate> = {
  axmConv2d: (node, target) => {
    const { inputs, outputs, attributes } = node;
    const g = convolutionOf(inputs[0]!.shape, inputs[1]!.shape, outputs[0]!.shape, attributes);
    const { weightBits, error } = attributes;
    // Digits of a fixed-point weight have 8 bits whatever its width.
    checkSums(node, g.inner, { device: 'cuda', other: 'wasm', weightBits: isInteger(error) ? weightBits : 8 });
    const depthwise = depthwiseApproximate(node, g, target);
    if (depthwise) return depthwise;
    const form = formOf(node, target);
    if (!form) return lookUpProduct(node, g, target);
    return bitProduct(node, g, slicesFor(form, target), target) ?? planeProduct(node, g, form, target);
  },

  axmConv2dGradients: planeGradients,
  axmErrorWeightGradient: slopesOfWeights,
  axmErrorInputGradient: slopesOfInput,

  ...structure,
};
