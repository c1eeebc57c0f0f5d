// How long phase 2 takes for one 8-bit multiplier, and an exhaustive simulation with error metrics, in process and
// warm.
// It first validates what it times: the mapped multiplier is certified over all 65 536 operand pairs.
// Run after `npm run build`:  node bench/mapping.mjs [runs]
// Published figures (released program, two CPU cores): mapping 3.3 s, one exhaustive simulation 0.8–1.4 s.

import { errorMetrics } from '../dist/multiplier/metrics.js';
import { certify } from '../dist/netlist/certify.js';
import { arrayMultiplier } from '../dist/netlist/generators/array.js';
import { mapStructure } from '../dist/netlist/mapping/map.js';
import { simulate } from '../dist/netlist/simulate.js';
import { optionsOf } from './options.mjs';

const { positionals } = optionsOf(import.meta.url, { allowPositionals: true });
const runs = Number(positionals[0] ?? 15);
if (!Number.isInteger(runs) || runs < 1) {
  console.error(`bench: ${positionals[0]} runs: expected a positive integer`);
  process.exit(2);
}

const options = {
  search: 'greedy',
  weightBits: 8,
  activationBits: 8,
  theta: [1, 1, 1, 1, 0.174248, 0.199563, 0.194773, 0.147112],
};
const mapped = mapStructure(options);
const { pairs, sha256 } = certify(mapped);
if (errorMetrics(simulate(arrayMultiplier(8, 8))).errorRate !== 0) throw new Error('the exact multiplier is not exact');
console.log(
  `validated: ${pairs} operand pairs equal in network, BLIF, Verilog and table ${sha256.table.slice(0, 12)}…`,
);
console.log(
  `           mean squared error ${mapped.mseToTarget.after.toFixed(4)}, ${mapped.moves.length} moves accepted\n`,
);

function median(work) {
  for (let n = 0; n < 3; n++) work();
  const times = Array.from({ length: runs }, () => {
    const start = performance.now();
    work();
    return performance.now() - start;
  });
  return times.sort((a, b) => a - b)[Math.floor(runs / 2)];
}

const rows = [
  ['mapping of one 8×8 multiplier, greedy', () => mapStructure(options), '3300'],
  ['the same by descent (default search)', () => mapStructure({ ...options, search: 'descent' }), '—'],
  ['exhaustive 8×8 simulation with metrics', () => errorMetrics(simulate(mapped.network)), '800–1400'],
  ['certificate (BLIF, Verilog, table)', () => certify(mapped), '—'],
];
console.log(`${'median of'.padEnd(40)}${`${runs} runs, ms`.padStart(14)}${'published, ms'.padStart(16)}`);
for (const [name, work, published] of rows) {
  console.log(`${name.padEnd(40)}${median(work).toFixed(1).padStart(14)}${published.padStart(16)}`);
}
