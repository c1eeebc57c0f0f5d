// Approximate convolutions: planes for exact products, structures and tables that factor, look-ups for other tables, gradients of a structure
// through its planes and of the operands through the slopes of the error. Which of the two a table gets is a matter of cost alone: a
// factorisation that fits is faster (docs/performance-cuda.md has the figures).

import { isInteger } from '../../../multiplier/error.ts';
import { checkSums } from '../../graph/sums.ts';
import { convolutionOf } from './geometry.ts';
import { addresses, integers } from './launch.ts';
import { elementsOf, type Lowerings, launchOverElements, noChoice, theOnlyPath, type WaysOf } from './lowering.ts';
import { planeGradients, planeGradientWays } from './plane-gradients.ts';
import { formOf, planeProduct, planeWays } from './planes.ts';
import { inputSlopeWays, slopesOfInput, slopesOfWeights, weightSlopeWays } from './slopes.ts';
import { lookUpProduct, lookUpWays } from './table.ts';

type Approximate =
  | 'axmConv2d'
  | 'axmConv2dGradients'
  | 'axmErrorWeightGradient'
  | 'axmErrorInputGradient'
  | 'structureMatrix'
  | 'structureMatrixGradient';

export const approximateWays: WaysOf<Approximate> = {
  axmConv2d: { ...planeWays, ...lookUpWays },
  axmConv2dGradients: planeGradientWays,
  axmErrorWeightGradient: weightSlopeWays,
  axmErrorInputGradient: inputSlopeWays,
  structureMatrix: noChoice,
  structureMatrixGradient: noChoice,
};

const STRUCTURE = { file: 'structure.cu', defines: {} };

export const approximate: Lowerings<Approximate> = {
  axmConv2d: (node, target) => {
    const { inputs, outputs, attributes } = node;
    const g = convolutionOf(inputs[0]!.shape, inputs[1]!.shape, outputs[0]!.shape, attributes);
    const { weightBits, error } = attributes;
    // Digits of a fixed-point weight have 8 bits whatever its width.
    checkSums(node, g.inner, { device: 'cuda', other: 'wasm', weightBits: isInteger(error) ? weightBits : 8 });
    const form = formOf(node, target);
    return form ? planeProduct(node, g, form, target) : lookUpProduct(node, g, target);
  },

  axmConv2dGradients: planeGradients,
  axmErrorWeightGradient: slopesOfWeights,
  axmErrorInputGradient: slopesOfInput,

  structureMatrix: (node) => {
    const count = elementsOf(node);
    return {
      path: theOnlyPath,
      launches: ({ inputs: [theta], outputs: [m], memory }) => {
        const index = memory.place(Int32Array.from(node.attributes.index));
        const args = { ...addresses({ theta: theta!, index, m: m! }), ...integers({ count }) };
        return [launchOverElements(STRUCTURE, 'structure_matrix', count, args)];
      },
    };
  },

  structureMatrixGradient: ({ attributes: { index, count } }) => ({
    path: theOnlyPath,
    launches: ({ inputs: [dm], outputs: [dtheta], memory }) => {
      const table = memory.place(Int32Array.from(index));
      const args = {
        ...addresses({ dm: dm!, index: table, dtheta: dtheta! }),
        ...integers({ count, entries: index.length }),
      };
      return [launchOverElements(STRUCTURE, 'structure_matrix_gradient', count, args)];
    },
  }),
};
