// The structure matrix of a trained multiplier, and the gradient of its parameters; see
// kernels/approximate-structure.cu.

import { addresses, integers } from './launch.ts';
import { elementsOf, type Lowerings, launchOverElements, noChoice, theOnlyPath, type WaysOf } from './lowering.ts';

type Structure = 'structureMatrix' | 'structureMatrixGradient';

const SOURCE = { file: 'approximate-structure.cu', defines: {} };

export const structureWays: WaysOf<Structure> = { structureMatrix: noChoice, structureMatrixGradient: noChoice };

export const structure: Lowerings<Structure> = {
  structureMatrix: (node) => {
    const count = elementsOf(node);
    return {
      path: theOnlyPath,
      launches: ({ inputs: [theta], outputs: [m], memory }) => {
        const index = memory.place(Int32Array.from(node.attributes.index));
        const args = { ...addresses({ theta: theta!, index, m: m! }), ...integers({ count }) };
        return [launchOverElements(SOURCE, 'structure_matrix', count, args)];
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
      return [launchOverElements(SOURCE, 'structure_matrix_gradient', count, args)];
    },
  }),
};
