import { expect, test } from 'vitest';
import type { Circuit } from '../../hardware/yosys/design.ts';
import type { Technology } from '../../workbench/synthesised-power.ts';
import { synthesisedExact } from './synthesised.ts';

test('an exact multiplier has the power of the cheapest of its netlists, which is not the same in all cells', async () => {
  for (const powers of [
    [2, 3, 4, 5],
    [5, 2, 3, 4],
    [4, 5, 2, 3],
    [3, 4, 5, 2],
  ]) {
    const asked = new Set<Circuit>();
    const synthesise = async (circuit: Circuit) => {
      asked.add(circuit);
      return { area: 1, delay: 1, powerTotal: powers[asked.size - 1] };
    };
    const reference = async () => ({ area: 1, delay: 1, power: { total: 8 } });
    const technology = { synthesise, reference } as unknown as Technology;
    const { relative } = await synthesisedExact({ weights: 3, activations: 4 }, technology);
    expect(relative.power).toBe(0.25);
    expect(asked.size).toBe(powers.length);
  }
});
