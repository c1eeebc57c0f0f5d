// Dropout: ../kernels/dropout.ts.

import { scaleOf, thresholdOf } from '../../graph/dropping.ts';
import { CUTS, cuts, FILLING, filling, pathOf } from '../../graph/paths.ts';
import { launch } from './launch.ts';
import { elements, type Lowerings, runs, type WaysOf } from './lowering.ts';

const ways = {
  elements: { runs: CUTS, blocks: FILLING },
  groups: { runs: CUTS, vectors: FILLING },
} as const;

export const dropoutWays: WaysOf<'dropout'> = { dropout: ways };

const WORDS = 64;
const BLOCK = 16;

export const dropout: Lowerings<'dropout'> = {
  dropout: ({ inputs: [x], attributes }) => {
    const { stream, group } = attributes;
    const each = group === 1;
    const count = each ? elements(x!) : group;
    const { length, parts } = runs(count);
    const path = each
      ? pathOf(ways, 'elements', { runs: cuts(count, length), blocks: filling(count, BLOCK) })
      : pathOf(ways, 'groups', { runs: cuts(count, length), vectors: filling(count, 4) });
    const drawn = { stream, threshold: thresholdOf(attributes) | 0, scale: scaleOf(attributes) };
    return {
      path,
      launches: ({ inputs: [at, key], outputs: [out] }) => {
        const record = { x: at!, key: key!, out: out!, count, length, partsPerGroup: parts, ...drawn };
        if (each) return [launch('dropElements', parts, record, 2 * WORDS)];
        return [launch('dropGroups', parts * (elements(x!) / group), record, WORDS)];
      },
    };
  },
};
