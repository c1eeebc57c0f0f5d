// `tram synth`: a multiplier in the cells of a library, with area, delay and power. The mapped netlist is checked
// against the circuit before anything is told of it.

import { join } from 'node:path';
import type { Command } from 'commander';
import { nonEmpty } from '../../flow/settings/values.ts';
import type { Synthesis } from '../../hardware/synthesize.ts';
import { makeFolder, writeFileAtomic, writeJson } from '../../tensor/files.ts';
import { given } from '../../tensor/given.ts';
import { wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { grouped, type Style, styleFor } from '../style.ts';
import {
  addHistograms,
  addJson,
  addLenient,
  addSigned,
  addSynthesis,
  addTop,
  filesText,
  givenHistograms,
  outFolder,
  readLoading,
  readSynthesis,
  tellNotes,
} from '../workbench.ts';

const AFTER = `
FILE is Verilog (.v, .sv: all of the language that Yosys reads), BLIF, either also as .gz or in cells of the library, or a generator like
dadda:8x8. Foreign functions (DPI), bind and included files in Verilog are refused, and for a Yosys of the system also tasks that reach
files; even so that one is no sandbox and runs with your rights. Use the bundled one for files of others.

Several scripts of Yosys and ABC are tried, gates are sized against the delay, and the smallest netlist that meets it is kept; if none meets it, the one with the
smallest product of area and delay. --objective power keeps the one of least power instead, as tram compare, try and sweep do. --effort quick
tries one script.

Area is the sum of the cells; delay comes from the library's tables on the mapped netlist; power from simulating it with random operand
pairs, one per cycle, drawn from --histograms if given: internal + switching + leakage. --signed says how a CSV file of
histograms counts. With --liberty figures are in µm², ps and mW. Without it the built-in technology of unit gates is used, and figures are
relative: a two-input AND gate is 1 in area, and in power with random operands at 100 MHz; delays count those of an inverter that drives four
of its kind (FO4). Good for comparing multipliers.

Cells with storage, without a function, or with something that is not understood are left out of a library with a note, and so are those
without delay tables for every edge from every input (NLDM). Liberty files are read up to 256 MiB, unpacked.

--out DIR writes NAME.mapped.v, NAME.mapped.blif, NAME.synth.json and NAME.synth.log.

--json prints one object: name, library, units (of area, delay and power), area, delay, meetsTarget, power (internal, switching, leakage,
total; null where the library gives no voltage), cells, criticalPath, verified, candidate, candidates, notes, yosysVersion.

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
  addSynthesis(command, { objective: 'area' });
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
  const { signed, histograms: path, out, json } = command.opts<Options>();
  const { loadCircuit, subjectName } = await import('../../workbench/load.ts');
  const { operandWidths } = await import('../../workbench/operands.ts');
  const { synthesizeMultiplier } = await import('../../workbench/synthesize.ts');
  const loaded = await loadCircuit(file, readLoading(command));
  tellNotes(stderr, loaded.notes);
  const settings = await readSynthesis(command);
  const histograms = await givenHistograms(path, () => operandWidths(loaded, signed));
  const result = await synthesizeMultiplier(loaded, { ...settings, ...given({ histograms }) });
  tellNotes(stderr, result.notes);
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

const RELATIVE =
  'relative units, for comparing multipliers: a two-input AND gate is 1 in area, and in power with random operands; an FO4 delay is that\n' +
  'of an inverter driving four. --liberty gives µm², ps and mW of a cell library';

function synthesisText(name: string, result: Synthesis, paths: readonly string[], style: Style): string {
  const { units, area, delay, meetsTarget, power, cells, verified, candidates, candidate, library } = result;
  const count = Object.values(cells).reduce((sum, number) => sum + number, 0);
  const slow = meetsTarget ? '' : style.yellow('  (no netlist meets the delay asked for)');
  const parts = (['internal', 'switching', 'leakage'] as const).map(
    (part) => `${part} ${power?.[part].toPrecision(4)}`,
  );
  const most = Object.entries(cells).sort(([a, n], [b, m]) => m - n || (a < b ? -1 : 1));
  const patterns = grouped(verified.patterns);
  const sections = [
    `${style.bold(name)} in ${library}`,
    [
      `  area   ${area.toFixed(3)} ${units.area}`,
      `  delay  ${delay.toFixed(units.delay === 'ps' ? 1 : 2)} ${units.delay}${slow}`,
      `  power  ${power ? `${power.total.toPrecision(4)} ${units.power}  (${parts.join(' + ')})` : 'not known: the library gives no supply voltage'}`,
      `  cells  ${grouped(count)}: ${most.map(([cell, number]) => `${number} ${cell}`).join(', ')}`,
    ].join('\n'),
    ...(units.delay === 'ps' ? [] : [style.dim(RELATIVE)]),
    style.dim(
      `checked against the circuit for ${verified.exhaustive ? `all ${patterns}` : `${patterns} random`} input patterns; ` +
        `kept "${candidate}" of ${candidates.length} ${candidates.length === 1 ? 'candidate' : 'candidates'}`,
    ),
  ];
  if (paths.length > 0) sections.push(filesText(paths, style.bold));
  return `${sections.join('\n\n')}\n`;
}
