// `tram try`: many multipliers in the network of one run, as a table, JSON or CSV, with a picture beside exact
// multipliers of fewer bits.

import { join, relative } from 'node:path';
import { type Command, Option } from 'commander';
import { badValue, nonEmpty, oneOf, perOperand, wholeNumberFrom } from '../../flow/settings/values.ts';
import type { TryReport } from '../../flow/try/report.ts';
import type { TryOptions } from '../../flow/try/try.ts';
import { given } from '../../tensor/given.ts';
import { operandOrders, weightCodeChoices } from '../../workbench/choices.ts';
import type { OperandBits } from '../../workbench/import.ts';
import { describeOption } from '../facts.ts';
import { Exit, Interrupted } from '../failure.ts';
import { interruptible } from '../interrupt.ts';
import { addDeviceOptions, addTrainingOptions, readDevice, wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { shellWord, styleFor, textWidth } from '../style.ts';
import { ProgressLines } from '../try-progress.ts';
import {
  addLenient,
  addReportOutput,
  addSigned,
  addSynthesis,
  addTableReading,
  addTop,
  READING,
  type ReportOutput,
  readLoading,
  readSynthesis,
  SUBJECTS,
} from '../workbench.ts';

const AFTER = `
${SUBJECTS}
A pattern of file names in quotes stands for the files that match it; exact:4x5 is the exact multiplier of these widths, as in --exact.

The run needs a finished quantisation and is only read. For each multiplier: its gate cost, its errors over all operands alike and over those
that the network multiplies, and the accuracy of the run’s quantised network with it
  as it is       in every layer but the exact ones
  folded         with its mean error taken out of the biases (or the means of batch norm), exactly, over the calibration images
  re-estimated   and batch norm’s statistics estimated anew on training images, without crops and flips
  recovered      and --recover N epochs of retraining with the settings of the run’s recovery
Each stands on the one before it. An asymmetric multiplier is measured with either operand as the weight; the better one, by the accuracy
re-estimated on the test images, is marked and retrained. Exact multipliers of fewer bits, from the run’s float model by post-training
quantisation to them, stand in the same table and picture.

Writes try.json, try.csv, try.svg and try.png; finished measurements are kept in results/, so that the same command goes on after an
interruption and adds further multipliers at their own cost. A multiplier that fails is named with the reason, and the exit code is then 2.

Examples:
  tram try runs/mine dadda:8x8 drum:8x8:bits=4 truncated:8x8:columns=6
  tram try runs/mine 'evoapprox/*.v' --recover 2
  tram try runs/mine m1.npy m2.lut.txt --format csv > tried.csv
`;

const orders = [...operandOrders, 'both'] as const;
const MOST_EPOCHS = 10_000;

interface Options {
  readonly liberty?: readonly string[];
  readonly operandOrder?: (typeof orders)[number];
  readonly recover?: number;
  readonly exact?: readonly OperandBits[];
  readonly weightCodes?: (typeof weightCodeChoices)[number];
  readonly out?: string;
  readonly data?: string;
  readonly format?: ReportOutput;
  readonly quiet?: boolean;
  readonly by?: (typeof kinds)[number];
}

export function defineTry(command: Command, services: Services): void {
  const source = nonEmpty('MULTIPLIERS', 'files, generators or patterns');
  command
    .description('Measures multipliers in the quantised network of a run, each before and after it is adapted to them.')
    .argument('<RUN>', 'run folder; it is not changed', nonEmpty('RUN', 'a run folder'))
    .argument('<MULTIPLIERS...>', 'netlists, tables, generators', (text: string, all: readonly string[] = []) => [
      ...all,
      source(text),
    ])
    .addHelpText('after', AFTER);
  addSigned(command);
  addLenient(command);
  addTop(command);
  addTableReading(command);
  command
    .addOption(
      new Option('--operand-order <ORDER>', describeOption(orderFacts))
        .argParser(oneOf('--operand-order', orders))
        .helpGroup(READING),
    )
    .addOption(
      new Option('--data <DATA>', 'where the run’s data are now')
        .argParser(nonEmpty('--data', 'a data set'))
        .helpGroup(READING),
    )
    .addOption(
      new Option(
        '--recover <N>',
        describeOption({
          help: 'epochs of retraining with each multiplier',
          values: `0 to ${MOST_EPOCHS}`,
          default: '0',
        }),
      )
        .argParser(wholeNumberFrom('--recover', 0, MOST_EPOCHS))
        .helpGroup('Measuring:'),
    )
    .addOption(
      new Option('--exact <WIDTHS>', describeOption(exactFacts)).argParser(exactWidths).helpGroup('Measuring:'),
    )
    .addOption(
      new Option('--weight-codes <NAME>', describeOption(codeFacts))
        .argParser(oneOf('--weight-codes', weightCodeChoices))
        .helpGroup('Measuring:'),
    );
  command.addOption(
    new Option('--by <KIND>', describeOption(byFacts)).argParser(oneOf('--by', kinds)).helpGroup('Measuring:'),
  );
  addSynthesis(command, { objective: 'power' });
  addDeviceOptions(command);
  addTrainingOptions(command);
  addReportOutput(command, 'try');
  command.action((run: string, multipliers: readonly string[]) => tryAll(run, multipliers, command, services));
}

const kinds = ['gates', 'synthesised'] as const;

const byFacts = {
  help: 'kind of power that multipliers are set against: unit gates, or synthesised in a library, some seconds each',
  values: `one of ${kinds.join(', ')}`,
  default: 'gates; synthesised with --clock, --delay, --effort or --objective',
};

/** Whether an option says how to synthesise; a library may only be that of a netlist's cells. */
const asksForSynthesis = (command: Command): boolean =>
  (['clock', 'delay', 'effort', 'objective'] as const).some((name) => command.getOptionValueSource(name) === 'cli');

const orderFacts = {
  help: 'which operand of a multiplier is the first: the first bus of a netlist, the row of a table',
  values: `one of ${orders.join(', ')}`,
  default: 'both, where that makes a difference',
};

const codeFacts = {
  help: "what weights are stored as: the nearest code, or the one whose row of the multiplier is nearest to the weight's multiples",
  values: `one of ${weightCodeChoices.join(', ')}`,
  default: 'as the run has it',
};

const exactFacts = {
  help: 'exact multipliers to compare with, by the bits of their operands',
  values: 'widths from 2 to 8 separated by commas, such as 7,6x6,4x5; or none',
  default: '7x7,6x6,5x5,4x5,4x4,3x4,3x3, as far as the run has as many bits',
};

function exactWidths(text: string): readonly OperandBits[] {
  if (text === 'none') return [];
  return text.split(',').map((word) => {
    const [weights, activations] = perOperand(word.trim()) ?? [0, 0];
    if ([weights, activations].every((bits) => bits >= 2 && bits <= 8)) return { weights, activations };
    throw badValue('--exact', text, 'widths from 2 to 8 separated by commas, such as 7,6x6,4x5; or none');
  });
}

async function tryAll(
  run: string,
  multipliers: readonly string[],
  command: Command,
  services: Services,
): Promise<void> {
  const { stdout, stderr } = services;
  const { operandOrder, recover, exact, weightCodes, out, data, format = 'text', quiet } = command.opts<Options>();
  const { by = asksForSynthesis(command) ? 'synthesised' : 'gates' } = command.opts<Options>();
  const technology = by === 'synthesised' ? await readSynthesis(command) : undefined;
  const { tryMultipliers } = await import('../../flow/try/try.ts');
  const { tryFiles } = await import('../../flow/try/folder.ts');
  const { tryFolder } = await import('../../flow/results/tried.ts');
  const folder = out ?? tryFolder(run);
  const progress = quiet ? undefined : new ProgressLines(format === 'text' ? stdout : stderr);
  const interrupt = interruptible({
    onFirst: () => stderr.write('\ntram: stopping after this step; finished measurements are kept\n'),
    onSecond: () => {},
  });
  const options: TryOptions = {
    ...{
      run,
      multipliers,
      out: folder,
      reading: readLoading(command),
      device: readDevice(command),
      signal: interrupt.signal,
    },
    ...given({ operandOrder, recover, exact, weightCodes, data, technology }),
    ...(progress ? { listener: (event) => progress.tell(event) } : {}),
  };
  let report: TryReport;
  try {
    report = await tryMultipliers(options);
  } catch (error) {
    const code = interrupt.code();
    if (code === undefined || error !== interrupt.signal.reason) throw error;
    throw new Interrupted(`stopped; finished measurements are kept in ${folder}, the same command goes on`, code);
  } finally {
    progress?.close();
    interrupt.dispose();
  }
  if (format === 'json') stdout.write(`${JSON.stringify(report)}\n`);
  else if (format === 'csv') stdout.write((await import('../../flow/try/report.ts')).tryCsv(report));
  else {
    const { tryText } = await import('../try-table.ts');
    const files = Object.values(tryFiles).map((name) => shellWord(relative('', join(folder, name))));
    stdout.write(
      `${progress ? '\n' : ''}${tryText(report, styleFor(stdout, wantsColor(command)), textWidth(stdout))}\n\nfiles: ${files.join(' ')}\n`,
    );
  }
  if (report.failed.length > 0) throw new Exit(2);
}
