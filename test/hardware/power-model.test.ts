// Modelled power against synthesis, anew, for structures that the model was not fitted to: the first of each family
// that is held out, of a middling size. What the model's errors are over all of them is in docs/power.md.

import { afterAll, expect, test } from 'vitest';
import { powerStructures } from '../../scripts/power-structures.mjs';
import { synthesize } from '../../src/hardware/synthesize.ts';
import { BundledYosys } from '../../src/hardware/yosys/bundled.ts';
import { modelledPower } from '../../src/multiplier/power-model.ts';
import { productStructure } from '../../src/multiplier/structure.ts';
import { arrayMultiplier } from '../../src/netlist/generators/array.ts';
import { keptNetwork } from '../../src/netlist/mapping/kept.ts';
import type { Network } from '../../src/netlist/network.ts';
import { Random } from '../../src/tensor/random.ts';

const yosys = new BundledYosys();
afterAll(() => yosys.close());

const powerOf = async (network: Network) =>
  (await synthesize({ circuit: { network }, yosys, objective: 'power' })).power!.total;

test('power of held-out structures is what synthesis says, within 5 %', async () => {
  const held = powerStructures((seed) => new Random(seed, 201)).filter((one) => one.held);
  const sized = held.filter(({ keep }) => {
    const kept = keep.replaceAll('0', '').length;
    return kept >= 16 && kept <= 30;
  });
  const families = [...new Set(sized.map(({ family }) => family))];
  expect(families.length).toBeGreaterThanOrEqual(5);
  const exact = await powerOf(arrayMultiplier(8, 8));
  for (const family of families) {
    const { name, weightBits, activationBits, keep } = sized.find((one) => one.family === family)!;
    const removed = Float64Array.from(keep, (bit) => 1 - Number(bit));
    const widths = { weightBits, activationBits };
    const synthesised = (await powerOf(keptNetwork({ ...widths, removed }, false))) / exact;
    const modelled = modelledPower('fitted', productStructure(widths), removed);
    expect(Math.abs(modelled / synthesised - 1), `${name}: ${modelled}, synthesised ${synthesised}`).toBeLessThan(0.05);
  }
});
