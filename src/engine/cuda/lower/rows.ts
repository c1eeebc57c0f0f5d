// Rows picked from a matrix by number, and their gradient; see kernels/rows.cu.

import { CUTS, cuts, pathOf } from '../../graph/paths.ts';
import { rowsBySource } from '../../graph/rows.ts';
import { ceilDivide } from './geometry.ts';
import { addresses, integers, type KernelSource, launch } from './launch.ts';
import { elementsOf, type Lowerings, type WaysOf } from './lowering.ts';

const THREADS = 256;
const ways = { elements: { blocks: CUTS } } as const;
const SOURCE: KernelSource = { file: 'rows.cu', defines: {} };

type Gather = 'gatherRows' | 'gatherRowsGradient';

export const rowsWays: WaysOf<Gather> = { gatherRows: ways, gatherRowsGradient: ways };

export const rows: Lowerings<Gather> = {
  gatherRows: (node) => {
    const { index } = node.attributes;
    const count = elementsOf(node);
    return {
      path: pathOf(ways, 'elements', { blocks: cuts(count, THREADS) }),
      launches: ({ inputs: [x], outputs: [y], memory }) => [
        launch(
          SOURCE,
          'gather_rows',
          { grid: ceilDivide(count, THREADS), block: THREADS },
          {
            ...addresses({ x: x!, index: memory.place(Int32Array.from(index)), y: y! }),
            ...integers({ count, columns: count / index.length }),
          },
        ),
      ],
    };
  },

  gatherRowsGradient: (node) => {
    const { index, count: all } = node.attributes;
    const count = elementsOf(node);
    return {
      path: pathOf(ways, 'elements', { blocks: cuts(count, THREADS) }),
      launches: ({ inputs: [g], outputs: [dx], memory }) => {
        const { starts, sources } = rowsBySource(index, all);
        return [
          launch(
            SOURCE,
            'gather_rows_gradient',
            { grid: ceilDivide(count, THREADS), block: THREADS },
            {
              ...addresses({ g: g!, starts: memory.place(starts), sources: memory.place(sources), dx: dx! }),
              ...integers({ count, columns: count / all }),
            },
          ),
        ];
      },
    };
  },
};
