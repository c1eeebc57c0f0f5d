// How often the descent beats the published greedy mapping at 8×8: on the structure parameters of the published runs
// (where the reference material is beside the project), and on random ones, falling and not falling with the column.
// Neither side's figures are believed: the products come from the BLIF text simulated anew, their error from the
// formula of Y_ref in float64, the cost from counting gates.
// Run after `npm run build`:  node bench/mapping-gain.mjs [random vectors of each kind, default 60]

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readBlif } from '../dist/netlist/blif/read.js';
import { writeBlif } from '../dist/netlist/blif/write.js';
import { mapStructure } from '../dist/netlist/mapping/map.js';
import { simulate } from '../dist/netlist/simulate.js';
import { Random } from '../dist/tensor/random.js';
import { optionsOf } from './options.mjs';

const { positionals } = optionsOf(import.meta.url, { allowPositionals: true });
const count = Number(positionals[0] ?? 60);
if (!Number.isInteger(count) || count < 1) {
  console.error(`bench: ${positionals[0]} vectors: expected a positive integer`);
  process.exit(2);
}
const BITS = 8;
const random = new Random(2026);
const groups = new Map();
const reference = join(import.meta.dirname, '..', '..', 'shared', 'reference');
if (existsSync(reference)) {
  const read = (name) => JSON.parse(readFileSync(join(reference, name), 'utf8'));
  groups.set(
    'published runs',
    [
      ...read('mapping.json').filter(({ bits }) => bits === BITS),
      ...read('resnet18-lambda0.3-demo.json').phase1,
      ...read('resnet18-cifar10jpg-published.json').phase1_including_start,
    ].map(({ theta }) => theta),
  );
} else console.log('the published θ are left out: the reference material is not beside the project');
const draws = (sort) =>
  Array.from({ length: count }, () => {
    const values = Array.from({ length: 4 + random.integer(6) }, () => random.uniform());
    return sort ? values.sort((a, b) => b - a) : values;
  });
groups.set('random, falling', draws(true));
groups.set('random, any order', draws(false));

/** Mean (y − Y_ref)² of the multiplier's BLIF text, and its unit gates. */
function measured({ network }, theta) {
  const { data } = simulate(readBlif(writeBlif(network)).network);
  let squares = 0;
  data.forEach((product, pair) => {
    const [w, x] = [pair >> BITS, pair & (2 ** BITS - 1)];
    let wanted = w * x;
    theta.forEach((share, c) => {
      for (let i = Math.max(0, c - BITS + 1); i <= Math.min(c, BITS - 1); i++) {
        wanted -= share * 2 ** c * ((w >> i) & (x >> (c - i)) & 1);
      }
    });
    squares += (product - wanted) ** 2;
  });
  const costs = { not: 0, and: 1, or: 1, xor: 2, xor3: 4, maj: 4 };
  const sums = new Set(network.nodes.filter(({ kind }) => kind === 'xor3').map(({ fanins }) => fanins.join()));
  const cost = network.nodes.reduce((sum, { kind, fanins }) => {
    const shared = kind === 'maj' && sums.has(fanins.join()) ? 1 : 0;
    return sum + (costs[kind] ?? 0) - shared;
  }, 0);
  return { mse: squares / data.length, cost };
}

const median = (values) => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
console.log(
  '| θ | vectors | worse | smaller error | same error, cheaper | equal | median error | median cost | CPU, ms |',
);
console.log('|---|---|---|---|---|---|---|---|---|');
for (const [name, thetas] of groups) {
  const rows = thetas.map((theta) => {
    const options = { weightBits: BITS, activationBits: BITS, theta };
    const greedy = measured(mapStructure({ ...options, search: 'greedy' }), theta);
    const before = process.cpuUsage();
    const mapped = mapStructure(options);
    const { user, system } = process.cpuUsage(before);
    const ours = measured(mapped, theta);
    const tolerance = 1e-6 * (1 + greedy.mse);
    const worse = ours.mse > greedy.mse + tolerance || ours.cost > greedy.cost;
    const smaller = !worse && ours.mse < greedy.mse - tolerance;
    const cheaper = !worse && !smaller && ours.cost < greedy.cost;
    const ratio = greedy.mse === 0 ? 1 : ours.mse / greedy.mse;
    return { worse, smaller, cheaper, ratio, cost: ours.cost / greedy.cost, ms: (user + system) / 1000 };
  });
  const share = (key) => rows.filter((row) => row[key]).length;
  const [worse, smaller, cheaper] = ['worse', 'smaller', 'cheaper'].map(share);
  const [ratio, cost, ms] = ['ratio', 'cost', 'ms'].map((key) => median(rows.map((row) => row[key])));
  console.log(
    `| ${name} | ${rows.length} | ${worse} | ${smaller} | ${cheaper} | ${rows.length - worse - smaller - cheaper} ` +
      `| ×${ratio.toFixed(3)} | ×${cost.toFixed(3)} | ${ms.toFixed(0)} |`,
  );
  if (worse > 0) process.exitCode = 1;
}
