// Fits the power models to synthesis and judges them by structures that they were not fitted to (power-structures.mjs):
//   npm run build && node scripts/power-model.mjs CACHE [--liberty A,B] [--cached] [--write]
// The truth: the tree over the kept partial products that mapping takes, synthesised by `synthesize` for the least
// power (best effort; 19 FO4 delays with the built-in cells, 500 ps with a library; fresh random operands), relative
// to the exact 8×8 array multiplier synthesised alike. CACHE is a JSON file of results, so that a run that was stopped
// goes on; --cached takes what is there and synthesises nothing. --liberty has the ASAP7 model fitted too. --write
// replaces src/multiplier/power-fits.ts and docs/images/power-model.svg; the table goes to the output.
// All 337 structures take about 20 minutes of processor time for each technology, from the fewest products up.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { optionsOf } from '../bench/options.mjs';
import { readLibertyFile } from '../dist/hardware/liberty/file.js';
import { synthesize } from '../dist/hardware/synthesize.js';
import { BundledYosys } from '../dist/hardware/yosys/bundled.js';
import { treeCells } from '../dist/multiplier/adder-tree.js';
import { fittedPower } from '../dist/multiplier/power-model.js';
import { arrayMultiplier } from '../dist/netlist/generators/array.js';
import { keptNetwork } from '../dist/netlist/mapping/kept.js';
import { renderSpec } from '../dist/report/vega.js';
import { Random } from '../dist/tensor/random.js';
import { powerStructures } from './power-structures.mjs';

const { values, positionals } = optionsOf(import.meta.url, {
  allowPositionals: true,
  options: { liberty: { type: 'string' }, cached: { type: 'boolean' }, write: { type: 'boolean' } },
});
const [cachePath] = positionals;
if (cachePath === undefined) {
  console.error('expected a file for the results of synthesis');
  process.exit(2);
}
/** Stream of the structures among the random numbers of a seed. */
const STREAM = 201;
/** Errors are relative, but below this power the less so. */
const FLOOR = 0.05;
/** Power from which on points are drawn. */
const DRAWN = 0.02;
/** Power from which on the errors are told. */
const TOLD = 0.1;

const known = existsSync(cachePath) ? JSON.parse(readFileSync(cachePath, 'utf8')) : {};
const yosys = new BundledYosys();

async function power(model, name, network) {
  const key = `${model} ${name}`;
  if (known[key] === undefined && !values.cached) {
    const liberty =
      values.liberty && (await Promise.all(values.liberty.split(',').map((path) => readLibertyFile(path))));
    const technology = { liberty: model === 'asap7' ? liberty : 'builtin', objective: 'power' };
    const { power } = await synthesize({ circuit: { network: network() }, yosys, ...technology });
    known[key] = power.total;
    writeFileSync(cachePath, JSON.stringify(known));
  }
  return known[key];
}

async function measure(model) {
  const exact = await power(model, 'array', () => arrayMultiplier(8, 8));
  const found = [];
  const size = ({ keep }) => keep.replaceAll('0', '').length;
  const structures = powerStructures((seed) => new Random(seed, STREAM)).sort((a, b) => size(a) - size(b));
  for (const structure of structures) {
    const { weightBits, activationBits, keep } = structure;
    const removed = Float64Array.from(keep, (bit) => 1 - Number(bit));
    const total = await power(model, `${weightBits}x${activationBits}:${keep}`, () =>
      keptNetwork({ weightBits, activationBits, removed }, false),
    );
    if (total === undefined) continue;
    const kept = removed.map((gone) => 1 - gone);
    found.push({ ...structure, kept, power: total / exact, cells: treeCells(structure, kept) });
  }
  return found;
}

/** What costs are for, in the order of the fit's coefficients; what is more than another may be less. */
const KINDS = ['products', 'fullAdders', 'halfAdders', 'lone'];
const MAY_BE_NEGATIVE = KINDS.indexOf('lone');

/** The least squares of weighted residuals over costs; `rows`: cells by kind, then power, weighted. */
function costsOf(rows) {
  let used = KINDS.map((_, k) => k);
  for (;;) {
    const a = used.map((k) => used.map((l) => rows.reduce((sum, row) => sum + row[k] * row[l], 0)));
    const b = used.map((k) => rows.reduce((sum, row) => sum + row[k] * row[KINDS.length], 0));
    for (let k = 0; k < used.length; k++) {
      for (let l = 0; l < used.length; l++) {
        if (l === k) continue;
        const share = a[l][k] / a[k][k];
        for (let m = 0; m < used.length; m++) a[l][m] -= share * a[k][m];
        b[l] -= share * b[k];
      }
    }
    const solution = KINDS.map(() => 0);
    used.forEach((k, at) => {
      solution[k] = b[at] / a[at][at];
    });
    const isPossible = (k) => k === MAY_BE_NEGATIVE || solution[k] >= 0;
    if (used.every(isPossible)) return solution;
    used = used.filter(isPossible);
  }
}

/** Of a grid of loads, slacks, spans and hurries the one of least relative errors; costs by least squares. */
function fitTo(structures) {
  let best;
  for (const load of [0, 1 / 96, 1 / 48, 1 / 32, 1 / 24, 1 / 16, 1 / 12, 1 / 8]) {
    for (let slack = 7; slack <= 16; slack += 0.25) {
      for (const span of [0.25, 0.5, 1, 2, 4]) {
        const late = structures.map(({ cells: { depth, products } }) =>
          Math.min(1, Math.max(0, (depth + load * products - slack) / span)),
        );
        for (let hurry = 0; hurry <= 40; hurry++) {
          const rows = structures.map(({ cells, power }, at) => {
            const weight = 1 / (power + FLOOR);
            const scale = weight * (1 + (hurry / 100) * late[at]);
            return [...KINDS.map((kind) => scale * cells[kind]), weight * power];
          });
          const costs = costsOf(rows);
          const missed = (row) => costs.reduce((sum, cost, k) => sum + cost * row[k], -row[KINDS.length]);
          const error = rows.reduce((sum, row) => sum + Math.abs(missed(row)), 0);
          if (!best || error < best.error) best = { error, load, slack, span, hurry: hurry / 100, costs };
        }
      }
    }
  }
  const rounded = (value) => Number(value.toPrecision(4));
  const [product, fullAdder, halfAdder, lone] = best.costs.map(rounded);
  const { hurry, slack, span } = best;
  return { product, lone, fullAdder, halfAdder, hurry, load: rounded(best.load), slack, span };
}

const percent = (share) => `${(100 * share).toFixed(1)} %`;
const quantile = (sorted, share) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))];

function row(name, judged) {
  const errors = judged.map(({ error }) => Math.abs(error)).sort((a, b) => a - b);
  if (errors.length === 0) return;
  const within = errors.filter((error) => error <= 0.05).length / errors.length;
  const worst = judged.find(({ error }) => Math.abs(error) === errors.at(-1));
  console.log(
    `| ${name} | ${errors.length} | ${percent(quantile(errors, 0.5))} | ${percent(quantile(errors, 0.95))} | ${percent(errors.at(-1))} (${worst.name}) | ${percent(within)} |`,
  );
}

const fits = {};
const points = [];
for (const model of values.liberty === undefined && !values.cached ? ['fitted'] : ['fitted', 'asap7']) {
  const structures = await measure(model);
  const fitted = structures.filter(({ held }) => !held);
  fits[model] = { ...fitTo(fitted), structures: fitted.length };
  const judged = structures.map((one) => {
    const modelled = fittedPower(fits[model], one, one.kept);
    return { ...one, modelled, error: modelled / one.power - 1 };
  });
  console.log(`\n${model}: ${JSON.stringify(fits[model])}\n`);
  console.log('| structures | number | median error | 95 % below | worst | within 5 % |\n|---|---|---|---|---|---|');
  const told = judged.filter(({ power }) => power >= TOLD);
  row(
    `fitted to, power ≥ ${TOLD}`,
    told.filter(({ held }) => !held),
  );
  row(
    `**held out**, power ≥ ${TOLD}`,
    told.filter(({ held }) => held),
  );
  for (const family of new Set(told.filter(({ held }) => held).map((one) => one.family)))
    row(
      `held out: ${family}`,
      told.filter((one) => one.held && one.family === family),
    );
  const small = judged.filter(({ power }) => power < TOLD);
  row(
    `fitted to, power < ${TOLD}`,
    small.filter(({ held }) => !held),
  );
  row(
    `held out, power < ${TOLD}`,
    small.filter(({ held }) => held),
  );
  const label = model === 'fitted' ? 'built-in cells' : 'ASAP7';
  for (const { power, modelled, held } of judged.filter(({ power }) => power >= DRAWN))
    points.push({ model: label, synthesised: power, modelled, set: held ? 'held out' : 'fitted to' });
}
await yosys.close();

if (values.write) {
  const number = ({ structures, ...coefficients }) =>
    Object.entries(coefficients)
      .map(([name, value]) => `    ${name}: ${value},\n`)
      .join('');
  const body = Object.entries(fits).map(
    ([model, one]) => `  // To ${one.structures} structures.\n  ${model}: {\n${number(one)}  },\n`,
  );
  writeFileSync(
    new URL('../src/multiplier/power-fits.ts', import.meta.url),
    `// Coefficients of the fitted power models (power-model.ts). Generated by scripts/power-model.mjs, not written by hand.

import type { FittedModelName, PowerFit } from './power-model.ts';

export const powerFits: Readonly<Record<FittedModelName, PowerFit>> = {
${body.join('')}};
`,
  );
  const axis = (title) => ({
    type: 'quantitative',
    title,
    scale: { type: 'log', domain: [0.02, 1.05], nice: false },
    axis: { values: [0.02, 0.05, 0.1, 0.2, 0.5, 1] },
  });
  const svg = await renderSpec({
    data: { values: points },
    facet: { column: { field: 'model', title: null } },
    spec: {
      width: 300,
      height: 300,
      layer: [
        {
          data: { values: [{ at: 0.02 }, { at: 1 }] },
          mark: { type: 'line', color: '#888', strokeWidth: 1 },
          encoding: { x: { field: 'at', type: 'quantitative' }, y: { field: 'at', type: 'quantitative' } },
        },
        {
          mark: { type: 'point', filled: true, size: 28, opacity: 0.8 },
          encoding: {
            x: { field: 'synthesised', ...axis('synthesised power (exact 8×8 array = 1)') },
            y: { field: 'modelled', ...axis('modelled power') },
            color: {
              field: 'set',
              title: null,
              scale: { domain: ['fitted to', 'held out'], range: ['#9aa5b1', '#c2410c'] },
            },
          },
        },
      ],
    },
  });
  writeFileSync(new URL('../docs/images/power-model.svg', import.meta.url), svg);
}
