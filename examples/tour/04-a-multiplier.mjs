// %% [markdown]
// ## What a multiplier does to it
// An approximate multiplier leaves gates out and is wrong now and then. Here is one without its eight lowest columns of
// partial products: its dots, and its error for every pair of operands.

// %%
import { drawMultiplier, lastResult, loadMultiplier, tryMultipliers } from 'tram-axm';
import { needs, percent, show, table } from './show.mjs';

needs('quantize');

const truncated = await loadMultiplier('truncated:8x8:columns=8');
const { figures } = await drawMultiplier(truncated);
for (const { name, svg } of figures.slice(0, 2)) await show(name, svg);

// %% [markdown]
// In the quantised network it looks bad at first. Most of that is one constant: products come out too small, by the
// same amount on average. Taken out of the biases (*folded*) and then out of batch norm's statistics (*re-estimated*),
// which costs nothing in hardware, most of the accuracy comes back. Exact multipliers of fewer bits stand beside,
// because they are what an approximate one has to beat.

// %%
const tried = await tryMultipliers({
  run: 'tour/run',
  multipliers: ['truncated:8x8:columns=8', 'drum:8x8:bits=4'],
  exact: [
    { weights: 6, activations: 6 },
    { weights: 4, activations: 4 },
  ],
});
table([
  ['multiplier', 'gate cost', 'as it is', 'folded', 're-estimated'],
  ...tried.multipliers.map((one) => [
    one.name,
    one.gateCost?.toFixed(4) ?? '–',
    percent(one.results.plain.accuracy),
    percent(one.results.folded.accuracy),
    percent(lastResult(one).accuracy),
  ]),
]);
