// Sums over the places at which an operand is repeated; see kernels/repeat.cu.

import { pathOf } from '../../graph/paths.ts';
import { repetitionOf } from '../../graph/repeat.ts';
import { addresses, floats, integers } from './launch.ts';
import type { Lowerings, WaysOf } from './lowering.ts';
import { REDUCTION_ASPECTS, reduce, reductionAspects, reductionBytes, reductionOf } from './reduce.ts';

/** Blocks of a launch: what the grid's third axis holds. */
const MOST_BLOCKS = 65_535;

const aspects = { ...REDUCTION_ASPECTS, factors: ['one', 'two'] } as const;
const ways = { 'four elements at a time': aspects, 'one element at a time': aspects } as const;

export const repeatWays: WaysOf<'repeatSum'> = { repeatSum: ways };

export const repeat: Lowerings<'repeatSum'> = {
  repeatSum: ({ inputs: [a, b], attributes: { shape, scale } }, target) => {
    const { times, blocks, repeats, length } = repetitionOf(shape, a!.shape)!;
    const width = length % 4 === 0 ? 4 : 1;
    const reduction = reductionOf(times * repeats, length, target, { width, copies: blocks });
    const source = { file: 'repeat.cu', defines: { WIDTH: width } };
    const run = (repeats * length) / width;
    const skip = times > 1 ? (blocks - 1) * run : 0;
    const launched = Math.min(blocks, MOST_BLOCKS);
    return {
      path: pathOf(ways, width === 4 ? 'four elements at a time' : 'one element at a time', {
        ...reductionAspects(reduction),
        factors: b ? 'two' : 'one',
      }),
      workspaceBytes: reductionBytes(reduction, launched),
      launches: (at) => {
        const [a, b = a] = at.inputs;
        const name = at.inputs.length > 1 ? 'repeat_dot' : 'repeat_sum';
        const starts = Array.from({ length: Math.ceil(blocks / MOST_BLOCKS) }, (_, piece) => piece * MOST_BLOCKS);
        return starts.map((first) => {
          const args = {
            ...addresses({ a: a!, b: b!, y: at.outputs[0]! }),
            ...floats({ scale }),
            ...integers({ run, skip, first }),
          };
          return reduce(source, name, reduction, args, at, Math.min(blocks - first, MOST_BLOCKS));
        });
      },
    };
  },
};
