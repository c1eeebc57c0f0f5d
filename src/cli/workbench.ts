// What the commands of the multiplier workbench share: how a multiplier is named on the command line, how its operands
// are read and weighted, and how synthesis is set. Every option is defined once, here; the libraries behind them are
// loaded when a command runs.

import { type Command, Option } from 'commander';
import { badValue, decimalNumber, nonEmpty, oneOf, perOperand } from '../flow/settings/values.ts';
import type { HistogramWidths } from '../multiplier/histograms.ts';
import type { OperandHistograms } from '../multiplier/metrics.ts';
import { given } from '../tensor/given.ts';
import {
  MAX_EXHAUSTIVE_BITS,
  MIN_OPERAND_BITS,
  synthesisEfforts,
  synthesisObjectives,
  type TableOrder,
  tableOrders,
  yosysPlaces,
} from '../workbench/choices.ts';
import type { LoadOptions } from '../workbench/load.ts';
import type { MultiplierSynthesisOptions } from '../workbench/synthesize.ts';
import { describeOption } from './facts.ts';
import type { Output } from './style.ts';

/** For help texts: what stands for FILE. */
export const SUBJECTS = `A FILE is BLIF (.blif), Verilog (.v, .sv: structural or behavioural, read by the bundled Yosys where our own reader does not), a
netlist of library cells (with --liberty; without, those of tram synth), a table, any of them also as .gz, or a generator, made on the
spot: kind:8x8 or kind:8x8:name=value,name=value (tram generate --list shows the kinds).

A table is .npy or .npz (integers of any type), the published text form, CSV or text (a matrix, or rows a,b,product), a C array (.h, .c), or
raw int32 or uint16 (.bin). Rows are the first operand, the weight. Its widths are those of rows and columns, of a list those of a square.`;

export const READING = 'Reading:';
export const OUTPUT = 'Output:';

export interface ReadingOptions {
  readonly signed?: boolean;
  readonly lenient?: boolean;
  readonly top?: string;
  readonly liberty?: readonly string[];
  readonly histograms?: string;
  /** Of tables. */
  readonly bits?: readonly [number, number];
  readonly tableOrder?: TableOrder;
}

/** How a multiplier is read, from the options of the command. */
export function readLoading(command: Command): LoadOptions {
  const { signed, lenient, top, liberty, bits, tableOrder } = command.opts<ReadingOptions>();
  return given({ signed, lenient, top, liberty, bits, order: tableOrder });
}

export function addSigned(command: Command): void {
  command.addOption(new Option('--signed', 'operands and product are two’s complement').helpGroup(READING));
}

export function addLenient(command: Command): void {
  command.addOption(new Option('--lenient', 'take undriven nets as 0 instead of refusing the file').helpGroup(READING));
}

export function addTop(command: Command): void {
  const text = describeOption({
    help: 'the module or model that is the multiplier',
    values: 'a name in the file',
    default: 'the only one that no other instantiates',
  });
  command.addOption(new Option('--top <NAME>', text).argParser(nonEmpty('--top', 'a module')).helpGroup(READING));
}

/** Cells that netlists instantiate; where a command synthesises, too, addSynthesis has the option. */
export function addLiberty(command: Command): void {
  const text = describeOption({
    help: 'library of the cells that the netlist instantiates',
    values: '.lib or .lib.gz files',
    default: 'the cells of tram synth without a library',
  });
  command.addOption(new Option('--liberty <LIB...>', text).argParser(libertyFiles).helpGroup(READING));
}

export function libertyFiles(text: string, all: readonly string[] = []): string[] {
  return [...all, nonEmpty('--liberty', 'a Liberty file')(text)];
}

/** What a table of products alone may not say. */
export function addTableReading(command: Command): void {
  const bits = describeOption({
    help: 'widths of the operands of a table that is one list, or raw, and no square',
    values: 'weights × activations, like 4x8',
    default: 'a square',
  });
  const order = describeOption({
    help: 'order of signed rows and columns without operands: by bit pattern (0, 1, …, −1) or by value (−128, …, 127)',
    values: `one of ${tableOrders.join(', ')}`,
    default: 'patterns, or an error where values fit better',
  });
  command
    .addOption(new Option('--bits <WxX>', bits).argParser(tableBits).helpGroup(READING))
    .addOption(
      new Option('--table-order <NAME>', order).argParser(oneOf('--table-order', tableOrders)).helpGroup(READING),
    );
}

function tableBits(text: string): readonly [number, number] {
  const bits = perOperand(text);
  if (bits?.every((width) => width >= MIN_OPERAND_BITS) && bits[0] + bits[1] <= MAX_EXHAUSTIVE_BITS) return bits;
  throw badValue(
    '--bits',
    text,
    `widths like 8 or 4x8, from ${MIN_OPERAND_BITS}, at most ${MAX_EXHAUSTIVE_BITS} together`,
  );
}

export function addHistograms(command: Command, weighs: string): void {
  const text = describeOption({
    help: `how often each operand occurs; weighs ${weighs}`,
    values: 'a JSON file {"weight": counts, "activation": counts} or a CSV file of rows operand,value,count',
    default: 'all operands equally often',
  });
  command.addOption(
    new Option('--histograms <FILE>', text).argParser(nonEmpty('--histograms', 'a file')).helpGroup(READING),
  );
}

export function addJson(command: Command): void {
  command.addOption(new Option('--json', 'print one JSON object').helpGroup(OUTPUT));
}

const reportOutputs = ['text', 'json', 'csv'] as const;
export type ReportOutput = (typeof reportOutputs)[number];

/** Where a command that measures a run leaves its report, and what of it is printed. */
export function addReportOutput(command: Command, name: string): void {
  const help = 'what is printed at the end';
  const facts = { help, values: `one of ${reportOutputs.join(', ')}`, default: 'text' };
  command
    .addOption(outFolder(`the results; not inside the run [default: the run’s folder with -${name} behind its name]`))
    .addOption(
      new Option('--format <NAME>', describeOption(facts))
        .argParser(oneOf('--format', reportOutputs))
        .helpGroup(OUTPUT),
    )
    .addOption(new Option('--quiet', 'no progress').helpGroup(OUTPUT));
}

export function outFolder(what: string): Option {
  return new Option('--out <DIR>', `folder for ${what}`).argParser(nonEmpty('--out', 'a folder')).helpGroup(OUTPUT);
}

/** A parser of a positive number. */
export function positive(option: string, unit: string): (text: string) => number {
  return (text) => {
    const value = decimalNumber(text);
    if (value !== undefined && value > 0) return value;
    throw badValue(option, text, `a number of ${unit} above 0`);
  };
}

/** The histograms of a file, or undefined where none is given. */
export async function givenHistograms(
  path: string | undefined,
  widths: () => HistogramWidths,
): Promise<OperandHistograms | undefined> {
  return path === undefined ? undefined : (await import('../workbench/operands.ts')).loadHistograms(path, widths());
}

const SYNTHESIS = 'Synthesis:';

interface SynthesisSettings {
  readonly liberty?: readonly string[];
  readonly clock?: number;
  readonly delay?: number;
  readonly effort?: (typeof synthesisEfforts)[number];
  readonly objective?: (typeof synthesisObjectives)[number];
  readonly yosys?: (typeof yosysPlaces)[number];
}

/** The options that addSynthesis defines. */
export const synthesisOptions = [
  'liberty',
  'clock',
  'delay',
  'effort',
  'objective',
  'yosys',
] as const satisfies readonly (keyof SynthesisSettings)[];

interface SynthesisFacts {
  /** The option for the cells: another where the command has a --liberty of another meaning. */
  readonly library?: 'liberty' | 'library';
  /** What is least where the user does not say. */
  readonly objective: (typeof synthesisObjectives)[number];
}

export function addSynthesis(command: Command, { library = 'liberty', objective }: SynthesisFacts): void {
  const option = (flags: string, help: string, values: string, fallback: string) =>
    new Option(flags, describeOption({ help, values, default: fallback })).helpGroup(SYNTHESIS);
  command
    .addOption(
      option(
        `--${library} <LIB...>`,
        library === 'liberty' ? 'cell library, also of the cells that netlists instantiate' : 'cell library',
        '.lib or .lib.gz files of one corner',
        'unit gates, built in',
      ).argParser(libertyFiles),
    )
    .addOption(
      option('--clock <MHZ>', 'clock of the power figures, one operand pair per cycle', 'MHz above 0', '100').argParser(
        positive('--clock', 'MHz'),
      ),
    )
    .addOption(
      option(
        '--delay <PS>',
        'delay that the netlist must meet',
        `ps above 0; without --${library} FO4 delays`,
        `500, without --${library} 19`,
      ).argParser(positive('--delay', 'ps')),
    )
    .addOption(
      option('--effort <NAME>', 'scripts that are tried', `one of ${synthesisEfforts.join(', ')}`, 'best').argParser(
        oneOf('--effort', synthesisEfforts),
      ),
    )
    .addOption(
      option(
        '--objective <NAME>',
        'what is least in the netlist that is kept, of those that meet the delay',
        `one of ${synthesisObjectives.join(', ')}`,
        objective,
      ).argParser(oneOf('--objective', synthesisObjectives)),
    )
    .addOption(
      option(
        '--yosys <WHICH>',
        'the Yosys that runs; a system one is no sandbox for Verilog of others',
        `one of ${yosysPlaces.join(', ')}`,
        'bundled',
      ).argParser(oneOf('--yosys', yosysPlaces)),
    );
}

/** The user's settings as options of `synthesizeMultiplier`; reads the Liberty files. */
export async function readSynthesis(
  command: Command,
  library: 'liberty' | 'library' = 'liberty',
): Promise<Omit<MultiplierSynthesisOptions, 'histograms'>> {
  const options = command.opts<SynthesisSettings & { readonly library?: readonly string[] }>();
  const { clock, delay, effort, objective, yosys, [library]: paths } = options;
  const { openLibraries } = await import('../workbench/synthesize.ts');
  const libraries = paths && (await openLibraries(paths));
  return given({ liberty: libraries, clockMHz: clock, delayTarget: delay, effort, objective, yosys });
}

/** The list of files that were written, for the end of a text. */
export function filesText(paths: readonly string[], bold: (text: string) => string): string {
  return [bold('files'), ...paths.map((path) => `  ${path}`)].join('\n');
}

/** Notes about how a file was read, on the error stream. */
export function tellNotes(stderr: Output, notes: readonly string[]): void {
  for (const note of notes) stderr.write(`${note}\n`);
}
