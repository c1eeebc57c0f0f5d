// `tram table`: several multipliers side by side in the form of the paper's Table 1.

import { type Command, Option } from 'commander';
import { nonEmpty, oneOf } from '../../flow/settings/values.ts';
import { comparisonLayouts } from '../../report/comparison.ts';
import { given } from '../../tensor/given.ts';
import type { ComparedRow } from '../../workbench/compare.ts';
import { describeOption } from '../facts.ts';
import { Exit } from '../failure.ts';
import type { Services } from '../services.ts';
import { grouped } from '../style.ts';
import {
  addHistograms,
  addLenient,
  addSigned,
  addSynthesis,
  addTableReading,
  addTop,
  OUTPUT,
  readLoading,
  readSynthesis,
  SUBJECTS,
  tellNotes,
} from '../workbench.ts';

const AFTER = `
${SUBJECTS}

One row per multiplier: widths, gates (unit gates relative to the cheapest exact 8×8 multiplier whatever the widths, as tram try and runs have
them), ER, MED, NMED, MSE, MaxED, MRED (all as in tram simulate; MRED≠0 without the pairs whose product is 0, as EvoApproxLib has it) and the mean error; with --synth also area, delay
and power, synthesised one after the other as tram synth does. Beyond 12×12 bits the errors are estimates from random pairs: they are marked
with ~, and ≥ at the largest error seen; CSV has the number of samples. A figure that is not known is a dash, in CSV an empty
cell. LaTeX needs the packages booktabs and siunitx. --histograms weighs the errors, and with --synth the power, of all of them.

A multiplier that cannot be read or synthesised keeps its row, with the reason in the column problem. Exit code: 0 all were measured; 2 one or
more were not, or a mistake in the arguments.

--format json prints one object: multipliers, a list with name, weightBits, activationBits, signed, gates and the errors by the names of
tram simulate --json (sampled where they are estimates), or with problem; with --synth also area, delay, power, and units.

Netlist files do not say whether they are signed: --signed reads all of them so. Compare signed and unsigned ones in two tables.

Examples:
  tram table multipliers/*.v
  tram table mul16u_*.v dadda:16x16 --format json
  tram table dadda:8x8 truncated:8x8:columns=6 drum:8x8 --synth --format latex > table.tex
`;

const comparisonFormats = [...comparisonLayouts, 'json'] as const;

interface Options {
  readonly signed?: boolean;
  readonly histograms?: string;
  readonly format?: (typeof comparisonFormats)[number];
  readonly synth?: boolean;
}

export function defineTable(command: Command, services: Services): void {
  const format = describeOption({
    help: 'layout',
    values: `one of ${comparisonFormats.join(', ')}`,
    default: comparisonFormats[0],
  });
  const file = nonEmpty('FILES', 'multipliers');
  command
    .description('Compares multipliers in a table: errors, and with --synth area, delay and power.')
    .argument('<FILES...>', 'netlists, tables or generators', (text: string, all: readonly string[] = []) => [
      ...all,
      file(text),
    ]);
  addSigned(command);
  addLenient(command);
  addTop(command);
  addTableReading(command);
  addHistograms(command, 'errors and power');
  command.addOption(new Option('--synth', 'synthesise each one for its area, delay and power').helpGroup('Synthesis:'));
  addSynthesis(command, { objective: 'area' });
  command
    .addOption(new Option('--format <NAME>', format).argParser(oneOf('--format', comparisonFormats)).helpGroup(OUTPUT))
    .addHelpText('after', AFTER)
    .action((files: readonly string[]) => compare(files, command, services));
}

async function compare(files: readonly string[], command: Command, { stdout, stderr }: Services): Promise<void> {
  const { format = comparisonFormats[0], synth, signed, histograms } = command.opts<Options>();
  const { comparedFigures, comparisonReport, compareMultipliers, synthesizeRows } = await import(
    '../../workbench/compare.ts'
  );
  // Errors are cheap, synthesis is not: mistakes in any file are told before it begins.
  let rows = await compareMultipliers(files, { ...readLoading(command), ...given({ histograms }) });
  tellNotes(
    stderr,
    rows.flatMap((row) => [...row.notes, ...estimateNote(row)]),
  );
  const failures = rows.flatMap(({ failure }) => failure ?? []);
  const none = failures.length === rows.length;
  tellNotes(
    stderr,
    failures.slice(none ? 1 : 0).map(({ message }) => message),
  );
  if (none) throw failures[0];
  if (synth) {
    rows = await synthesizeRows(rows, { ...(await readSynthesis(command)), ...given({ histograms, signed }) });
    const failed = rows.flatMap(({ name, multiplier, failure }) =>
      multiplier && failure ? [`${name}: ${failure.message}`] : [],
    );
    tellNotes(stderr, [...failed, ...new Set(rows.flatMap(({ synthesis }) => synthesis?.notes ?? []))]);
  }
  if (format === 'json') stdout.write(`${JSON.stringify(comparisonReport(rows))}\n`);
  else {
    const { comparisonTable } = await import('../../report/comparison.ts');
    const units = command.opts().liberty === undefined ? 'gates' : 'library';
    stdout.write(comparisonTable(comparedFigures(rows), format, synth ? units : undefined));
  }
  if (rows.some(({ failure }) => failure)) throw new Exit(2);
}

function estimateNote({ spec, simulation }: ComparedRow): string[] {
  const { report } = simulation ?? {};
  return report?.sampled ? [`${spec}: ~ estimated from ${grouped(report.pairs)} random operand pairs`] : [];
}
