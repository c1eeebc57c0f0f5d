// Table 1 of the TRAM paper (8-bit unsigned multipliers, ASAP7, 100 MHz) with the synthesis of this program beside the
// paper's commercial flow, for the multipliers that there are files for. Needs the reference material beside the
// project; says so otherwise.
// Every mapped netlist is compared with its circuit over all 65 536 operand pairs before it is measured (synthesize
// does that).
// Power of fresh random operands in every cycle without glitches, the default of `synthesize`; `--activity 0.1` lets
// input bits change in one cycle of ten, `--glitches` counts glitches. The paper does not say which exact multiplier
// its figures are relative to: four are tried.
// Run after `npm run build`:  node bench/table1.mjs [--activity SHARE] [--glitches] [--json]

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { readLibertyFile } from '../dist/hardware/liberty/file.js';
import { synthesize } from '../dist/hardware/synthesize.js';
import { BundledYosys } from '../dist/hardware/yosys/bundled.js';
import { arrayMultiplier } from '../dist/netlist/generators/array.js';
import { daddaMultiplier, wallaceMultiplier } from '../dist/netlist/generators/trees.js';
import { optionsOf } from './options.mjs';

// Words of its own; this answers --help.
optionsOf(import.meta.url, { allowPositionals: true, strict: false });
const shared = join(import.meta.dirname, '..', '..', 'shared');
const libraries = ['asap7sc7p5t_SIMPLE_RVT_TT_nldm_211120.lib.gz', 'asap7sc7p5t_INVBUF_RVT_TT_nldm_220122.lib.gz'];
if (!existsSync(join(shared, 'data', 'asap7'))) {
  console.log('skipped: the ASAP7 libraries and the reference multipliers are not beside the project');
  process.exit(0);
}

// Lenient, because the published OPACT_1 leaves nets undriven and its table takes them as 0.
const blif = (name) => ({
  blif: readFileSync(join(shared, 'reference', 'multipliers', `${name}.blif`), 'utf8'),
  lenient: true,
});
const behaviour = 'module exact (input [7:0] w, input [7:0] x, output [15:0] y); assign y = w * x; endmodule';
// Area (µm²), delay (ps) and power (mW) of the paper's Table 1; for λ = 0.3 the normalised power of its Figure 4.
const rows = [
  { name: 'AccMul (array)', circuit: { network: arrayMultiplier(8, 8) }, paper: [27.2, 496.5, 0.0031] },
  { name: 'OPACT_1', circuit: blif('OPACT1'), paper: [18.6, 499.6, 0.0019] },
  { name: 'Evo_0AB', circuit: blif('mul8u_0AB'), paper: [21.3, 499.6, 0.0022] },
  { name: 'λ = 0.3', circuit: blif('resnet18_w8a8_lbd0.3'), normalisedPower: 0.58 },
  { name: 'exact, Dadda', circuit: { network: daddaMultiplier(8, 8) }, exact: true },
  { name: 'exact, Wallace', circuit: { network: wallaceMultiplier(8, 8) }, exact: true },
  { name: 'exact, w * x', circuit: { verilog: behaviour }, exact: true },
];
const at = process.argv.indexOf('--activity');
const activity = at < 0 ? undefined : Number(process.argv[at + 1]);
if (activity !== undefined && !(activity > 0 && activity <= 1)) {
  console.error(
    `bench: --activity ${process.argv[at + 1]}: expected transitions per input bit and cycle, above 0 and up to 1`,
  );
  process.exit(2);
}

const liberty = await Promise.all(libraries.map((name) => readLibertyFile(join(shared, 'data', 'asap7', name))));
const yosys = new BundledYosys();
const settings = {
  liberty,
  yosys,
  clockMHz: 100,
  delayTarget: 500,
  ...(activity === undefined ? {} : { inputActivity: activity }),
  glitches: process.argv.includes('--glitches'),
};
for (const row of rows) {
  const start = performance.now();
  row.ours = await synthesize({ circuit: row.circuit, ...settings });
  row.seconds = (performance.now() - start) / 1000;
}
await yosys.close();

const paperOf = ({ paper, normalisedPower }) => ({
  area: paper ? paper[0] / rows[0].paper[0] : null,
  power: paper ? paper[2] / rows[0].paper[2] : (normalisedPower ?? null),
});
/** Mean |ours / paper − 1| of the normalised figures of the approximate multipliers, relative to an exact one. */
function deviation(exact) {
  const deviations = rows.slice(1).flatMap((row) => {
    if (row.exact) return [];
    const paper = paperOf(row);
    const ours = {
      area: row.ours.area / exact.ours.area,
      power: row.ours.power.total / exact.ours.power.total,
    };
    return ['area', 'power'].flatMap((key) => (paper[key] === null ? [] : [Math.abs(ours[key] / paper[key] - 1)]));
  });
  return deviations.reduce((sum, one) => sum + one, 0) / deviations.length;
}
const [exact] = rows;
const compared = rows.map((row) => {
  const { area: areaUm2, delay: delayPs, power, candidate } = row.ours;
  const paper = paperOf(row);
  return {
    name: row.name,
    areaUm2,
    delayPs,
    powerMw: power.total,
    area: areaUm2 / exact.ours.area,
    power: power.total / exact.ours.power.total,
    paperArea: paper.area,
    paperPower: paper.power,
    paper: row.paper ?? null,
    candidate,
  };
});
const references = rows.filter((row) => row === exact || row.exact);
const means = references.map((row) => ({ reference: row.name, meanAbsoluteDeviation: deviation(row) }));

if (process.argv.includes('--json')) console.log(JSON.stringify({ rows: compared, references: means }, null, 2));
else {
  const cell = (value, digits) => (value === null || value === undefined ? '–' : value.toFixed(digits));
  const off = (ours, paper) =>
    paper === null ? '–' : `${ours / paper >= 1 ? '+' : '−'}${Math.abs((ours / paper - 1) * 100).toFixed(1)} %`;
  console.log(
    '| multiplier | area µm² (paper) | delay ps (paper) | power µW (paper) | area / AccMul (paper) | power / AccMul (paper) |',
  );
  console.log('|---|---|---|---|---|---|');
  for (const row of compared) {
    console.log(
      `| ${row.name} | ${cell(row.areaUm2, 2)} (${cell(row.paper?.[0], 1)}) | ${cell(row.delayPs, 1)} (${cell(row.paper?.[1], 1)}) ` +
        `| ${cell(row.powerMw * 1000, 2)} (${cell(row.paper && row.paper[2] * 1000, 1)}) ` +
        `| ${cell(row.area, 3)} (${cell(row.paperArea, 3)}) ${off(row.area, row.paperArea)} ` +
        `| ${cell(row.power, 3)} (${cell(row.paperPower, 3)}) ${off(row.power, row.paperPower)} |`,
    );
  }
  console.log('\nmean absolute deviation of the normalised figures, relative to');
  for (const { reference, meanAbsoluteDeviation } of means)
    console.log(`  ${reference}: ${(meanAbsoluteDeviation * 100).toFixed(1)} %`);
  for (const row of rows)
    console.log(
      `${row.name}: kept "${row.ours.candidate}" of ${row.ours.candidates.length} candidates, ${row.seconds.toFixed(1)} s`,
    );
  console.log(`${exact.ours.yosysVersion}, ${exact.ours.library}`);
}
