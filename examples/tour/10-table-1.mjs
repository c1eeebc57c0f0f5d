// %% [markdown]
// ## The paper's Table 1
// Table 1 of the paper has area, delay, power, error rate (ER), normalised mean error distance (NMED) and largest error
// (MaxED) of published 8-bit multipliers. Below is every row as it is printed there, and what this program computes
// from the multiplier's structure: ER, NMED and MaxED by all 65 536 products, area, delay and power by synthesis.
//
// The exact multiplier, and the one of the published demonstration (λ = 0.3), come with the program: the second is
// mapped here from its θ. The others are other people's netlists. Put theirs into a folder under the names in the list
// below (BLIF or Verilog) and name it in `TRAM_PUBLISHED`: then their rows are computed, too.
//
// Area, delay and power are relative to the exact multiplier's, in the paper's figures as in ours. Synthesis takes the
// built-in cells, or those of the Liberty files that `TRAM_LIBERTY` names, with commas between them; the paper's are
// from a commercial flow in ASAP7.

// %%
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { env } from 'node:process';
import {
  errorMetrics,
  loadMultiplier,
  mapStructure,
  openLibraries,
  productsOf,
  synthesizeMultiplier,
  writeBlif,
} from 'tram-axm';
import { table } from './show.mjs';

// Table 1 of C. Meng et al., TRAM, DAC 2026: µm², ps, mW, %, % and a number.
const printed = [
  { name: 'AccMul', area: 27.2, delay: 496.5, power: 0.0031, er: 0, nmed: 0, maxEd: 0, source: 'array:8x8' },
  { name: 'OPACT_1', area: 18.6, delay: 499.6, power: 0.0019, er: 23.0, nmed: 0.022, maxEd: 516, file: 'OPACT1' },
  { name: 'OPACT_18', area: 14.1, delay: 495.1, power: 0.0011, er: 51.0, nmed: 0.619, maxEd: 7684, file: 'OPACT18' },
  { name: 'Evo_0AB', area: 21.3, delay: 499.6, power: 0.0022, er: 97.7, nmed: 0.057, maxEd: 115, file: 'mul8u_0AB' },
  { name: 'Evo_1DMU', area: 16.9, delay: 499.2, power: 0.0015, er: 66.0, nmed: 0.65, maxEd: 4084, file: 'mul8u_1DMU' },
  { name: 'Evo_GJM', area: 12.1, delay: 499.5, power: 0.001, er: 74.9, nmed: 1.543, maxEd: 9124, file: 'mul8u_GJM' },
  { name: 'AMPPS_S2', area: 17.0, delay: 499, power: 0.0019, er: 96.3, nmed: 0.076, maxEd: 417, file: 'AMPPS_S2' },
  { name: 'AMPPS_S3', area: 18.9, delay: 499, power: 0.002, er: 95.9, nmed: 0.073, maxEd: 417, file: 'AMPPS_S3' },
  { name: 'AMPPS_S4', area: 20.8, delay: 499, power: 0.0022, er: 95.7, nmed: 0.07, maxEd: 417, file: 'AMPPS_S4' },
];

/** The files of a multiplier, where there are any. */
const fileOf = (/** @type {string} */ name) =>
  ['.blif', '.v'].map((ending) => join(env.TRAM_PUBLISHED ?? '', name + ending)).find(existsSync);

/** The netlist mapped from the θ of the published demonstration, as the published search maps it. */
function demonstration() {
  const theta = [1, 1, 1, 1, 0.174248, 0.199563, 0.194773, 0.147112];
  const { network } = mapStructure({ weightBits: 8, activationBits: 8, theta, search: 'greedy' });
  const path = 'tour/lambda-0.3.blif';
  mkdirSync('tour', { recursive: true });
  writeFileSync(path, writeBlif(network));
  return path;
}

const liberty = env.TRAM_LIBERTY ? await openLibraries(env.TRAM_LIBERTY.split(',')) : undefined;

/** ER and NMED in percent, MaxED; area, delay and power of the synthesised netlist. */
async function measured(/** @type {string} */ path) {
  // Undriven nets are 0, as the published tables have them.
  const multiplier = await loadMultiplier(path, { lenient: true });
  const { errorRate, normalizedMeanErrorDistance, maxErrorDistance } = errorMetrics(productsOf(multiplier));
  if (multiplier.kind !== 'network') throw new Error(`${path} has no gates`);
  const options = liberty ? { liberty } : { effort: /** @type {const} */ ('quick') };
  const { area, delay, power } = await synthesizeMultiplier(multiplier, options);
  const errors = { er: 100 * errorRate, nmed: 100 * normalizedMeanErrorDistance, maxEd: maxErrorDistance };
  return { ...errors, area, delay, power: power.total };
}

const rows = [...printed, { name: 'λ = 0.3', source: demonstration() }];

/** What is computed here, by the names of the rows that there is a netlist for. */
async function computed() {
  const figures = new Map();
  for (const { name, source, file } of rows) {
    const path = source ?? fileOf(file);
    if (path) figures.set(name, await measured(path));
  }
  return figures;
}

const here = await computed();

// %% [markdown]
// Each cell has the paper's figure first and, behind a bar, what was computed here. A dash: no figure is printed, or
// there was no file.

// %%
const columns = /** @type {const} */ ([
  { title: 'area', key: 'area', relative: true, digits: 3 },
  { title: 'delay', key: 'delay', relative: true, digits: 3 },
  { title: 'power', key: 'power', relative: true, digits: 3 },
  { title: 'ER %', key: 'er', relative: false, digits: 1 },
  { title: 'NMED %', key: 'nmed', relative: false, digits: 3 },
  { title: 'MaxED', key: 'maxEd', relative: false, digits: 0 },
]);
const [accurate] = printed;
table([
  ['paper | here', ...columns.map(({ title }) => title)],
  ...rows.map((row) => [
    row.name,
    ...columns.map(({ key, relative, digits }) => {
      const cell = (/** @type {any} */ figures, /** @type {any} */ exact) =>
        figures?.[key] === undefined ? '–' : (figures[key] / (relative ? exact[key] : 1)).toFixed(digits);
      return `${cell(row, accurate)} | ${cell(here.get(row.name), here.get('AccMul'))}`;
    }),
  ]),
]);
const errorColumns = columns.filter(({ relative }) => !relative);
const differing = printed.flatMap((row) =>
  errorColumns
    .filter(
      ({ key, digits }) => here.has(row.name) && here.get(row.name)[key].toFixed(digits) !== row[key].toFixed(digits),
    )
    .map(({ title }) => `${title} of ${row.name}`),
);
const compared = printed.filter(({ name }) => here.has(name)).length;
console.log(
  `ER, NMED and MaxED of ${compared} published multipliers: ${differing.length === 0 ? 'as printed' : `otherwise than printed: ${differing.join(', ')}`}`,
);
