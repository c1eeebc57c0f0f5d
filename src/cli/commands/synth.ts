// `tram synth`: a multiplier in the cells of a library, with area, delay and power. The mapped netlist is checked against the circuit
// before anything is told of it.

import { join } from 'node:path';
import type { Command } from 'commander';
import type { Synthesis } from '../../hardware/synthesize.ts';
import { makeFolder, writeFileAtomic, writeJson } from '../../tensor/files.ts';
import { wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { grouped, type Style, styleFor } from '../style.ts';
import { nonEmpty } from '../values.ts';
import {
  addHistograms,
  addJson,
  addLenient,
  addSigned,
  addSynthesis,
  addTop,
  filesText,
  outFolder,
  readLoading,
  readSynthesis,
  subjectName,
  synthesisHistograms,
  tellNotes,
} from '../workbench.ts';

const AFTER = `
FILE is Verilog (.v, .sv: all of the language that Yosys reads), BLIF, either also as .gz or in cells of the library, or a generator like
dadda:8x8. Foreign functions (DPI), bind and included files in Verilog are refused, and for a Yosys of the system also tasks that reach
files; even so that one is no sandbox and runs with your rights. Use the bundled one for files of others.

Several scripts of Yosys and ABC are tried, gates are sized against the delay, and the smallest netlist that meets it is kept; if none meets it, the one with the
smallest product of area and delay. --effort quick tries one script.

Area is the sum of the cells; delay comes from the library's tables on the mapped netlist; power from simulating it with random operand
pairs, one per cycle, drawn from --histograms if given: internal + switching + leakage. --signed says how a CSV file of
histograms counts. Without --liberty the built-in technology is used: unit-gate costs, good for comparing multipliers, not for absolute
figures.

--out DIR writes NAME.mapped.v, NAME.mapped.blif, NAME.synth.json and NAME.synth.log.

--json prints one object: name, library, areaUm2, delayPs, meetsTarget, powerMw (internal, switching, leakage, total), cells, criticalPath,
verified, candidate, candidates, yosysVersion.

Examples:
  tram synth dadda:8x8
  tram synth multiplier.v --liberty simple.lib.gz invbuf.lib.gz --clock 100 --delay 500
  tram synth multiplier.blif --effort quick --histograms operands.csv --json
`;

export function defineSynth(command: Command, services: Services): void {
  command
    .description('Maps a multiplier to the cells of a library with Yosys and ABC, and tells area, delay and power.')
    .argument('<FILE>', 'netlist or generator', nonEmpty('FILE', 'a netlist'));
  addSigned(command);
  addLenient(command);
  addTop(command);
  addHistograms(command, 'the power');
  addSynthesis(command);
  command.addOption(outFolder('the mapped netlist and the report'));
  addJson(command);
  command.addHelpText('after', AFTER).action((file: string) => synth(file, command, services));
}

interface Options {
  readonly signed?: boolean;
  readonly histograms?: string;
  readonly out?: string;
  readonly json?: boolean;
}

async function synth(file: string, command: Command, { stdout, stderr }: Services): Promise<void> {
  const { signed = false, histograms, out, json } = command.opts<Options>();
  const { loadCircuit } = await import('../../workbench/load.ts');
  const loaded = await loadCircuit(file, readLoading(command));
  tellNotes(stderr, loaded.notes);
  const { circuit } = loaded;
  const settings = await readSynthesis(command);
  const weights = await synthesisHistograms(loaded, { signed, histograms });
  const { synthesize } = await import('../../hardware/synthesize.ts');
  const result = await synthesize({ ...settings, circuit, ...(weights === undefined ? {} : { histograms: weights }) });
  const name = subjectName(file);
  const { mappedVerilog, mappedBlif, log, ...rest } = result;
  const report = { name, ...rest };
  const paths: string[] = [];
  if (out !== undefined) {
    makeFolder(out);
    const write = (ending: string, text: string) => {
      paths.push(join(out, `${name}.${ending}`));
      writeFileAtomic(paths.at(-1)!, text);
    };
    write('mapped.v', mappedVerilog);
    write('mapped.blif', mappedBlif);
    write('synth.log', log);
    paths.push(join(out, `${name}.synth.json`));
    writeJson(paths.at(-1)!, report);
  }
  const style = styleFor(stdout, wantsColor(command));
  stdout.write(json ? `${JSON.stringify(report)}\n` : synthesisText(name, result, paths, style));
}

function synthesisText(name: string, result: Synthesis, paths: readonly string[], style: Style): string {
  const { areaUm2, delayPs, meetsTarget, powerMw, cells, verified, candidates, candidate, library } = result;
  const count = Object.values(cells).reduce((sum, number) => sum + number, 0);
  const slow = meetsTarget ? '' : style.yellow('  (no netlist meets the delay asked for)');
  const parts = (['internal', 'switching', 'leakage'] as const).map(
    (part) => `${part} ${powerMw[part].toPrecision(4)}`,
  );
  const most = Object.entries(cells).sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
  const patterns = grouped(verified.patterns);
  const sections = [
    `${style.bold(name)} in ${library}`,
    [
      `  area   ${areaUm2.toFixed(3)} µm²`,
      `  delay  ${delayPs.toFixed(1)} ps${slow}`,
      `  power  ${powerMw.total.toPrecision(4)} mW  (${parts.join(' + ')})`,
      `  cells  ${grouped(count)}: ${most.map(([cell, number]) => `${number} ${cell}`).join(', ')}`,
    ].join('\n'),
    style.dim(
      `checked against the circuit for ${verified.exhaustive ? `all ${patterns}` : `${patterns} random`} input patterns; ` +
        `kept "${candidate}" of ${candidates.length} ${candidates.length === 1 ? 'candidate' : 'candidates'}`,
    ),
  ];
  if (paths.length > 0) sections.push(filesText(paths, style.bold));
  return `${sections.join('\n\n')}\n`;
}
