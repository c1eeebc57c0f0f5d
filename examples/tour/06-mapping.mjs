// %% [markdown]
// ## Mapping
// θ becomes a netlist: the one whose products come closest to what θ asks for, at no more gates than the published
// search needs. Then the netlist, its BLIF text, its Verilog text and its table are compared for every pair of
// operands; only a multiplier for which they are all equal is used.

// %%
import { drawMultiplier, loadMultiplier, runFlow } from 'tram-axm';
import { show } from './show.mjs';

const mapped = await runFlow({ folder: 'tour/run', phases: ['map'] });
for (const { theta, gateCost, metrics, certificate } of mapped.multipliers) {
  console.log(`θ ${theta.map((value) => value.toFixed(2)).join(' ')}`);
  console.log(`gate cost ${gateCost?.toFixed(3)} of the cheapest exact 8×8 multiplier`);
  console.log(
    `wrong in ${(100 * metrics.errorRate).toFixed(1)} % of all products, by ${metrics.maxErrorDistance} at most`,
  );
  console.log(`proved equal over ${certificate.pairs} pairs of operands`);
}
const { figures } = await drawMultiplier(await loadMultiplier('tour/run/multiplier.blif'));
const diagram = figures.find(({ title }) => title === 'Structure');
if (diagram) await show('multiplier-dots', diagram.svg);
