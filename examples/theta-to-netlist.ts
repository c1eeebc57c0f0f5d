// From structure parameters to hardware, without a network: a netlist, its proof, its errors, its pictures, and its
// cost in gates.

import { mkdir, writeFile } from 'node:fs/promises';
import {
  certify,
  describeStructure,
  errorMetrics,
  mapStructure,
  multiplierFigures,
  writeBlif,
  writeVerilog,
} from 'tram-axm';

const folder = 'multiplier';
await mkdir(folder, { recursive: true });

// The three lowest columns are left out, the next two in part.
const mapped = mapStructure({ weightBits: 6, activationBits: 6, theta: [1, 1, 1, 0.5, 0.25] });
const verilog = writeVerilog(mapped.network);
const blif = writeBlif(mapped.network);

// Network, BLIF text, Verilog text and table are the same function of all 4096 operand pairs, or this throws.
const certificate = certify({ network: mapped.network, table: mapped.table, blif, verilog });
await writeFile(`${folder}/multiplier.v`, verilog);
await writeFile(`${folder}/multiplier.blif`, blif);

const metrics = errorMetrics(mapped.table);
const { normalizedCost } = describeStructure(mapped.network);
console.log(`proved over ${certificate.pairs} pairs`);
console.log(`gate cost ${normalizedCost.toFixed(3)} of the exact 6×6 array`);
console.log(`error rate ${metrics.errorRate.toFixed(4)}, largest error ${metrics.maxErrorDistance}`);

for (const { name, svg } of await multiplierFigures('multiplier', mapped.structure, mapped.table)) {
  await writeFile(`${folder}/${name}.svg`, svg);
  console.log(`${folder}/${name}.svg`);
}
