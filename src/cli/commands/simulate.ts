// `tram simulate`: the error metrics of a multiplier over all operand pairs, or over random ones where there are too
// many; and its table.
// Invariant: sampled figures are never shown without saying so.

import { type Command, Option } from 'commander';
import { nonEmpty, oneOf, wholeNumberFrom } from '../../flow/settings/values.ts';
import type { Simulation, SimulationReport } from '../../netlist/circuit.ts';
import { UserError } from '../../tensor/errors.ts';
import { writeFileAtomic } from '../../tensor/files.ts';
import { given } from '../../tensor/given.ts';
import { MOST_SEED } from '../../tensor/random.ts';
import { tableEndings } from '../../workbench/choices.ts';
import { describeOption } from '../facts.ts';
import { wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { grouped, percent, type Style, styleFor } from '../style.ts';
import {
  addHistograms,
  addJson,
  addLenient,
  addLiberty,
  addSigned,
  addTableReading,
  addTop,
  givenHistograms,
  OUTPUT,
  type ReadingOptions,
  readLoading,
  SUBJECTS,
  tellNotes,
} from '../workbench.ts';

const AFTER = `
${SUBJECTS}

A netlist has two operand buses and a product bus, of any widths; the first bus is the weight w. Of a table the rows say whether it is signed.

All operand pairs are simulated up to 24 operand bits together (12×12). Beyond that the figures are estimates from random pairs
(Monte Carlo) with 95 % confidence intervals, and MaxED is only the largest error seen; the output says so.

  ER    share of the pairs with a wrong product       MSE   mean of error²
  MED   mean |error|                                  MaxED largest |error|
  NMED  MED / 2^(operand bits together)               MRED  mean of |error| / max(1, |exact product|)

Pairs whose product is 0 count in MRED with their |error|; EvoApproxLib leaves them out, and that figure stands beside it (mredNonzero).

--json prints one object: name, bits (one number, or [weight, activation]), weightBits, activationBits, signed, pairs, errorRate (0 to 1),
med, nmed, mse, maxEd, mred, mredNonzero, mean, variance, worst (a list of w, x, product, exact, error), and sampled (samples, seed, confidence,
interval) when the pairs were sampled, else not.

Examples:
  tram simulate multiplier.blif
  tram simulate multiplier.v --signed --json
  tram simulate multiplier.blif --histograms operands.csv
  tram simulate multiplier.blif --lenient --format published > multiplier.txt
  tram simulate multiplier.npy --histograms operands.csv
  tram simulate drum:8x8:bits=4 --lut drum.npy
  tram simulate drum:8x8:bits=4 --lut drum.h
`;

const formats = ['text', 'json', 'published'] as const;
const headers = ['full', 'short'] as const;

interface Options extends ReadingOptions {
  readonly format?: (typeof formats)[number];
  readonly json?: boolean;
  readonly header?: (typeof headers)[number];
  readonly lut?: string;
  readonly samples?: number;
  readonly seed?: number;
}

export function defineSimulate(command: Command, services: Services): void {
  const values = (help: string, among: readonly string[], fallback: string) =>
    describeOption({ help, values: `one of ${among.join(', ')}`, default: fallback });
  command
    .description('Simulates a multiplier over all pairs of operands and tells its error.')
    .argument('<FILE>', 'netlist, table or generator', nonEmpty('FILE', 'a multiplier'));
  addSigned(command);
  addLenient(command);
  addTop(command);
  addLiberty(command);
  addTableReading(command);
  addHistograms(command, 'the error metrics');
  const lut = describeOption({
    help: 'write the table of all products',
    values:
      'a file that ends in .txt (published form), .npy (int32), .bin (raw little-endian int32) or .h (C, of a netlist with its gates as functions)',
  });
  const sampling = 'More than 24 operand bits:';
  const samples = describeOption({ help: 'random operand pairs', values: '100 to 4294967296', default: '1048576' });
  command
    .addOption(
      new Option('--samples <N>', samples).argParser(wholeNumberFrom('--samples', 100, 2 ** 32)).helpGroup(sampling),
    )
    .addOption(
      new Option('--seed <N>', describeOption({ help: 'seed of the pairs', values: '0 to 4294967295', default: '1' }))
        .argParser(wholeNumberFrom('--seed', 0, MOST_SEED))
        .helpGroup(sampling),
    )
    .addOption(
      new Option('--format <NAME>', values('what to print', formats, 'text'))
        .argParser(oneOf('--format', formats))
        .helpGroup(OUTPUT),
    );
  addJson(command);
  command
    .addOption(
      new Option('--header <WHICH>', values('header of the published form', headers, 'full'))
        .argParser(oneOf('--header', headers))
        .helpGroup(OUTPUT),
    )
    .addOption(new Option('--lut <FILE>', lut).argParser(tablePath).helpGroup(OUTPUT))
    .addHelpText('after', AFTER)
    .action((file: string) => simulateFile(file, command, services));
}

function tablePath(path: string): string {
  if (tableEndings.some((ending) => path.toLowerCase().endsWith(ending))) return path;
  throw new UserError(`--lut: expected a file that ends in ${tableEndings.join(', ')}, got '${path}'`);
}

async function simulateFile(file: string, command: Command, { stdout, stderr }: Services): Promise<void> {
  const options = command.opts<Options>();
  const format = chosenFormat(options);
  const { loadMultiplier, subjectName } = await import('../../workbench/load.ts');
  const { measure } = await import('../../workbench/measure.ts');
  const multiplier = await loadMultiplier(file, readLoading(command));
  const histograms = await givenHistograms(options.histograms, () => multiplier);
  const { samples, seed } = options;
  const name = multiplier.network?.name ?? subjectName(file);
  const { notes, ...simulation } = measure(multiplier, name, { histograms, samples, seed });
  const { header = 'full' } = options;
  const warnings = multiplier.kind === 'network' ? multiplier.warnings : [];
  if (options.lut !== undefined) {
    const { tableFile } = await import('../../workbench/tables.ts');
    const { metrics } = simulation;
    const text = { metrics, header, warnings, name: subjectName(file), ...given({ network: multiplier.network }) };
    writeFileAtomic(options.lut, tableFile(options.lut, wholeTable(simulation, '--lut'), text));
  }
  // The published form has the warnings of its own.
  const told = [...multiplier.notes, ...notes];
  tellNotes(stderr, format === 'published' ? told.filter((note) => !warnings.includes(note)) : told);
  if (format === 'json') stdout.write(`${JSON.stringify(simulation.report)}\n`);
  else if (format === 'text') {
    const style = styleFor(stdout, wantsColor(command));
    stdout.write(reportText(simulation.report, options.histograms !== undefined, style, options.lut));
  } else {
    const { textTableParts } = await import('../../workbench/tables.ts');
    const table = wholeTable(simulation, '--format published');
    for (const part of textTableParts(table, simulation.metrics, { header, warnings })) stdout.write(part);
  }
}

function chosenFormat({ format, json, header, lut }: Options): (typeof formats)[number] {
  if (json && format !== undefined && format !== 'json') {
    throw new UserError(`--json and --format ${format} are given; leave one out`);
  }
  const chosen = json ? 'json' : (format ?? 'text');
  if (header !== undefined && chosen !== 'published' && !lut?.toLowerCase().endsWith('.txt')) {
    throw new UserError(`--header ${header} is for --format published or --lut FILE.txt; leave it out`);
  }
  return chosen;
}

function wholeTable({ table, report }: Simulation, option: string) {
  if (table) return table;
  const { weightBits, activationBits } = report;
  throw new UserError(
    `${option} needs all operand pairs, but ${weightBits}×${activationBits} bits are too many (at most 24 together); leave it out`,
  );
}

function reportText(report: SimulationReport, weighted: boolean, style: Style, lut: string | undefined): string {
  const { weightBits, activationBits, signed, sampled, worst } = report;
  const between = (interval: readonly [number, number] | undefined, show: (value: number) => string) =>
    interval ? `  (${show(interval[0])} to ${show(interval[1])})` : '';
  const share = (value: number) => percent(value, 3);
  const interval = sampled?.interval;
  // Only products of 0 with an error make the difference worth a word.
  const other = percent(report.mredNonzero, 4);
  const zeros =
    report.mred > report.mredNonzero
      ? `  products of 0 counted with |error|; without them, as in EvoApproxLib, ${other}`
      : '';
  const rows: [string, string, string][] = [
    ['ER', share(report.errorRate), between(interval?.errorRate, share)],
    ['MED', figure(report.med), between(interval?.meanErrorDistance, figure)],
    ['NMED', percent(report.nmed, 5), ''],
    ['MSE', figure(report.mse), between(interval?.meanSquareError, figure)],
    ['MaxED', `${sampled ? '≥ ' : ''}${report.maxEd}`, ''],
    ['MRED', percent(report.mred, 4), zeros],
    ['mean', figure(report.mean), between(interval?.meanError, figure)],
    ['variance', figure(report.variance), ''],
  ];
  const width = Math.max(...rows.map(([, value]) => value.length));
  const operands = weighted ? ', weighted by the operand histograms' : '';
  const sections = [
    `${style.bold(report.name)}: ${weightBits}×${activationBits} bits, ${signed ? 'signed' : 'unsigned'}`,
    rows.map(([name, value, range]) => `  ${name.padEnd(9)}${value.padStart(width)}${range}`).join('\n'),
    sampled
      ? style.yellow(
          `estimated from ${grouped(sampled.samples)} random operand pairs (seed ${sampled.seed})${operands}; in parentheses the 95 % ` +
            `confidence interval; MaxED is the largest seen${report.errorRate === 0 ? `. No wrong product was seen: at most ${largestShare(interval!.errorRate[1])} of the pairs have one; tram verify can prove that none has` : ''}`,
        )
      : style.dim(`over all ${grouped(report.pairs)} operand pairs${operands}`),
  ];
  if (worst.length > 0) {
    const lines = worst.map(
      ({ w, x, product, exact, error }) =>
        `  ${w} × ${x} = ${product} instead of ${exact} (${error > 0 ? '+' : ''}${error})`,
    );
    sections.push([style.bold('worst operands'), ...lines].join('\n'));
  }
  if (lut !== undefined) sections.push(`${style.bold('table')} ${lut}`);
  return `${sections.join('\n\n')}\n`;
}

/** An upper bound of a share in parts of a million, rounded up. */
function largestShare(value: number): string {
  return `${Math.ceil(value * 1e7) / 10} in a million`;
}

function figure(value: number): string {
  return String(Number(value.toPrecision(6)));
}
