// %% [markdown]
// ## Recovery
// The multiplier stays as it is from here on, and the weights learn to live with it. The report closes the run: a page,
// `tour/run/report.html`, and its figures.

// %%
import { readFileSync } from 'node:fs';
import { runFlow } from 'tram-axm';
import { needs, show, stages } from './show.mjs';

needs('map');

const recovered = await runFlow({ folder: 'tour/run', phases: ['recover', 'report'] });
stages(recovered);
console.log(recovered.verdict);
for (const name of ['curves', 'theta']) await show(name, readFileSync(`tour/run/figures/${name}.svg`, 'utf8'));
