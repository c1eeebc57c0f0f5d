// Sums over the places at which an operand is repeated: ../kernels/repeat.ts.

import { CUTS, cuts, FILLING, filling, pathOf } from '../../graph/paths.ts';
import { repetitionOf } from '../../graph/repeat.ts';
import { launch } from './launch.ts';
import { type Lowerings, rowsPerPart, type WaysOf } from './lowering.ts';

const LINE = 16;
const ways = {
  sums: { chunks: CUTS, vectors: FILLING, factors: ['one', 'two'] },
} as const;

export const repeatWays: WaysOf<'repeatSum'> = { repeatSum: ways };

export const repeat: Lowerings<'repeatSum'> = {
  repeatSum: ({ inputs: [a, b], attributes: { shape, scale } }) => {
    const repetition = repetitionOf(shape, a!.shape)!;
    const { times, blocks, repeats, length } = repetition;
    // As many cache lines of a row as make a part of the usual size.
    const chunk = LINE * Math.max(1, Math.floor(rowsPerPart(times * repeats) / LINE));
    const chunksPerBlock = Math.ceil(length / chunk);
    return {
      path: pathOf(ways, 'sums', {
        chunks: cuts(length, chunk),
        vectors: filling(length, 4),
        factors: b ? 'two' : 'one',
      }),
      launches: ({ inputs: [a, b = 0], outputs: [out] }) => [
        launch('repeatSum', blocks * chunksPerBlock, {
          ...{ a: a!, b, out: out! },
          ...{ times, blocks, repeats, length, chunk, chunksPerBlock, scale },
        }),
      ],
    };
  },
};
