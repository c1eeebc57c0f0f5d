// The tables of docs/power.md about exact multipliers and small structures: their synthesised power, as `tram compare`
// and the rivals of a run have it, relative to the exact 8×8 array (the least power at 500 ps, random operands):
//   npm run build && node scripts/exact-power.mjs --liberty A,B [--write]
// A,B: the two ASAP7 Liberty files that docs/synthesis.md names. --write puts the tables into the page, else they go to
// the output. Results of synthesis are kept in the user's cache; without it, about ten minutes of processor time.

import { readFileSync, writeFileSync } from 'node:fs';
import { optionsOf } from '../bench/options.mjs';
import { synthesisedExact } from '../dist/flow/multipliers/synthesised.js';
import { readLibertyFile } from '../dist/hardware/liberty/file.js';
import { keptNetwork } from '../dist/netlist/mapping/kept.js';
import { synthesisedPower, Technology } from '../dist/workbench/synthesised-power.js';

const { values } = optionsOf(import.meta.url, { options: { liberty: { type: 'string' }, write: { type: 'boolean' } } });
if (values.liberty === undefined) {
  console.error('expected --liberty with the two files of the library, a comma between them');
  process.exit(2);
}
const page = new URL('../docs/power.md', import.meta.url);
const technology = new Technology({ liberty: await Promise.all(values.liberty.split(',').map(readLibertyFile)) });
const told = (power) => power.toFixed(3);

/** Power of the products that are kept of 2×b, a string of 0 and 1 at i·b + j. */
async function small(activationBits, keep) {
  const removal = { weightBits: 2, activationBits, removed: Float64Array.from(keep, (bit) => 1 - Number(bit)) };
  return told((await synthesisedPower(keptNetwork(removal, false), technology)).relative.power);
}

const widths = [2, 3, 4, 5, 6, 7, 8];
const exact = [`| weight bits, or the other way round | ${widths.map((bits) => `×${bits}`).join(' | ')} |`];
exact.push(`|---|${'---|'.repeat(widths.length)}`);
for (const weights of widths) {
  const cells = [];
  for (const activations of widths) {
    const power = async () => told((await synthesisedExact({ weights, activations }, technology)).relative.power);
    cells.push(activations < weights ? '' : await power());
  }
  exact.push(`| ${[weights, ...cells].join(' | ')} |`);
}

const without = [
  '| 2×4 without (weight bit, activation bit) | power |',
  '|---|---|',
  `| nothing | ${await small(4, '11111111')} |`,
];
const sets = [
  ...[0, 1].flatMap((i) => [0, 1, 2, 3].map((j) => [[i, j]])),
  ...[
    [
      [0, 0],
      [1, 0],
    ],
    [
      [0, 0],
      [0, 1],
    ],
    [
      [0, 0],
      [0, 1],
      [1, 0],
    ],
  ],
];
for (const set of sets) {
  const keep = Array.from({ length: 8 }, (_, at) => (set.some(([i, j]) => 4 * i + j === at) ? '0' : '1')).join('');
  without.push(`| ${set.map((place) => `(${place.join(', ')})`).join(', ')} | ${await small(4, keep)} |`);
}

const rows = [];
for (const bits of widths) rows.push(await small(bits, '0'.repeat(bits) + '1'.repeat(bits)));
const row = `A row of b AND gates (1×b): ${rows.join(', ')} for b = 2 … 8.`;
await technology.close();

const texts = [exact.join('\n'), without.join('\n'), row];
if (values.write) {
  const places = [
    /^\| weight bits, or [\s\S]*?(?=\n\n)/m,
    /^\| 2×4 without [\s\S]*?(?=\n\n)/m,
    /^A row of b AND gates.*$/m,
  ];
  const written = places.reduce((text, place, at) => text.replace(place, texts[at]), readFileSync(page, 'utf8'));
  writeFileSync(page, written);
} else console.log(texts.join('\n\n'));
