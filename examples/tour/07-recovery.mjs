// %% [markdown]
// ## Recovery
// The multiplier stays as it is from here on, and the weights learn to live with it. The report closes the run: a page,
// `tour/run/report.html`, and its figures.

// %%
import { readFileSync } from 'node:fs';
import { runFlow } from 'tram-axm';
import { show, stages } from './show.mjs';

const recovered = await runFlow({ folder: 'tour/run', phases: ['recover', 'report'] });
stages(recovered);
console.log(recovered.verdict);
await show('curves', readFileSync('tour/run/figures/curves.svg', 'utf8'));
