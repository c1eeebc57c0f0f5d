// Networks at rest: the graph is that of an evaluation, for one image.

import { expect, test } from 'vitest';
import { errs, fixture, fixtureNames } from './fixtures.ts';

test.each(fixtureNames)(
  'the fixture %s has a variable for each of its graph and multipliers that err',
  async (name) => {
    const { frozen } = await fixture(name);
    expect([...frozen.variables.keys()]).toEqual([...frozen.graph.variables.keys()]);
    expect(frozen.logits.shape).toEqual([1, 5]);
    expect(frozen.multipliers.some(errs)).toBe(true);
    expect(frozen.layers.every(({ operands }) => operands)).toBe(true);
  },
);
