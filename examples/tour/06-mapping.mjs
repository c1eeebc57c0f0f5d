// %% [markdown]
// ## Mapping
// θ becomes a netlist. Every θ is 0 or 1, so it is the sum of the partial products that stay, with the fewest gates
// that are known for it: mapping loses nothing. Then the netlist, its BLIF text, its Verilog text and its table are
// compared for every pair of operands; only a multiplier for which they are all equal is used.

// %%
import { drawMultiplier, loadMultiplier, runFlow } from 'tram-axm';
import { needs, show } from './show.mjs';

needs('explore');

const mapped = await runFlow({ folder: 'tour/run', phases: ['map'] });
for (const { theta, gateCost, metrics, certificate } of mapped.multipliers) {
  console.log(`${theta.filter((value) => value === 0).length} of ${theta.length} partial products stay`);
  console.log(`gate cost ${gateCost?.toFixed(4)} of the cheapest exact 8×8 multiplier`);
  console.log(
    `wrong in ${(100 * metrics.errorRate).toFixed(1)} % of all products, by ${metrics.maxErrorDistance} at most`,
  );
  console.log(`proved equal over ${certificate.pairs} pairs of operands`);
}
const { figures } = await drawMultiplier(await loadMultiplier('tour/run/multiplier.blif'));
const diagram = figures.find(({ title }) => title === 'Structure');
if (diagram) await show('multiplier-dots', diagram.svg);
