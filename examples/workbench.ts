// Multipliers without a network: generators and files side by side, one of them compared with another, and drawn.

import { mkdir, writeFile } from 'node:fs/promises';
import {
  comparedFigures,
  compareMultipliers,
  comparisonTable,
  drawMultiplier,
  loadMultiplier,
  measure,
  verifyMultipliers,
} from 'tram-axm';

// Netlists and tables are named by their paths, generators as kind:8x8:name=value. What cannot be read keeps its row.
const rows = await compareMultipliers(['dadda:6x6', 'truncated:6x6:columns=4', 'drum:6x6:bits=3']);
console.log(comparisonTable(comparedFigures(rows), 'text'));

const truncated = await loadMultiplier('truncated:6x6:columns=4');
const { report } = measure(truncated, truncated.name);
console.log(`mean error ${report.mean} over ${report.pairs} pairs`);

const result = await verifyMultipliers(truncated, await loadMultiplier('wallace:6x6'));
if (result.equal) console.log('equal');
else console.log(`different at ${result.counterexample.w} × ${result.counterexample.x}`);

await mkdir('workbench', { recursive: true });
const { figures } = await drawMultiplier(truncated);
for (const { name, svg } of figures) await writeFile(`workbench/${name}.svg`, svg);
console.log(figures.map(({ name }) => name).join(' '));
