// `tram table`: several multipliers side by side in the form of the paper's Table 1.

import { type Command, Option } from 'commander';
import { type ComparisonFormat, comparisonFormats } from '../../report/comparison.ts';
import { UserError } from '../../tensor/errors.ts';
import { describeOption } from '../facts.ts';
import type { Services } from '../services.ts';
import { nonEmpty, oneOf } from '../values.ts';
import {
  addHistograms,
  addLenient,
  addSigned,
  addSynthesis,
  addTableReading,
  loadHistograms,
  OUTPUT,
  readLoading,
  readSynthesis,
  SUBJECTS,
  subjectName,
  synthesisHistograms,
  synthesisOptions,
  tellNotes,
} from '../workbench.ts';

const AFTER = `
${SUBJECTS}

One row per multiplier: error rate, NMED and MaxED over all operand pairs (up to 12×12 bits); with --synth also area, delay and
power, synthesised one after the other as tram synth does. A figure that is not known is a dash, in CSV an empty cell. LaTeX needs the
packages booktabs and siunitx. --histograms weighs the errors, and with --synth the power, of all of them.

Netlist files do not say whether they are signed: --signed reads all of them so. Compare signed and unsigned ones in two tables.

Examples:
  tram table multipliers/*.v
  tram table dadda:8x8 truncated:8x8:columns=6 drum:8x8 --synth --format latex > table.tex
`;

interface Options {
  readonly signed?: boolean;
  readonly histograms?: string;
  readonly format?: ComparisonFormat;
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
  addTableReading(command);
  addHistograms(command, 'errors and power');
  command.addOption(new Option('--synth', 'synthesise each one for its area, delay and power').helpGroup('Synthesis:'));
  addSynthesis(command);
  command
    .addOption(new Option('--format <NAME>', format).argParser(oneOf('--format', comparisonFormats)).helpGroup(OUTPUT))
    .addHelpText('after', AFTER)
    .action((files: readonly string[]) => compare(files, command, services));
}

async function compare(files: readonly string[], command: Command, { stdout, stderr }: Services): Promise<void> {
  const { format = comparisonFormats[0], synth, signed, histograms } = command.opts<Options>();
  const misplaced = synthesisOptions.find((name) => command.opts()[name] !== undefined);
  if (!synth && misplaced !== undefined) {
    throw new UserError(
      `--${misplaced} is for synthesis, but --synth is not given; add it, or leave --${misplaced} out`,
    );
  }
  const { loadMultiplier, productsOf } = await import('../../workbench/load.ts');
  const { errorMetrics } = await import('../../netlist/metrics.ts');
  const { isGeneratorSpec } = await import('../../netlist/generators/registry.ts');
  const { comparisonTable } = await import('../../report/comparison.ts');
  const rows = [];
  for (const name of files) {
    const multiplier = await loadMultiplier(name, readLoading(command));
    tellNotes(stderr, multiplier.notes);
    const table = productsOf(multiplier);
    const metrics = errorMetrics(table, await loadHistograms(histograms, table));
    rows.push({
      name: isGeneratorSpec(name) ? name : subjectName(name),
      metrics,
      multiplier,
    });
  }
  // Errors are cheap, synthesis is not: mistakes in any file were told before it begins.
  const settings = synth ? await readSynthesis(command) : undefined;
  const compared = [];
  for (const { name, metrics, multiplier } of rows) {
    if (settings === undefined || multiplier.kind === 'table') {
      compared.push({ name, metrics });
      continue;
    }
    const { synthesize } = await import('../../hardware/synthesize.ts');
    const { circuit } = multiplier;
    const weights = await synthesisHistograms(multiplier, { signed: signed ?? false, histograms });
    const result = await synthesize({
      ...settings,
      circuit,
      ...(weights === undefined ? {} : { histograms: weights }),
    });
    const { areaUm2: area, delayPs: delay, powerMw } = result;
    compared.push({ name, metrics, area, delay, power: powerMw.total });
  }
  stdout.write(comparisonTable(compared, format));
}
