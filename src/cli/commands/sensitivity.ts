// `tram sensitivity`: which layer of a run's network hurts, as a table, JSON or CSV, with a picture.

import { join, relative } from 'node:path';
import { type Command, Option } from 'commander';
import type { SensitivityReport } from '../../flow/sensitivity/report.ts';
import type { SensitivityEvent } from '../../flow/sensitivity/sensitivity.ts';
import { badValue, nameList, nonEmpty, oneOf, perOperand, wholeNumberFrom } from '../../flow/settings/values.ts';
import { UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { operandOrders } from '../../workbench/choices.ts';
import type { OperandBits } from '../../workbench/import.ts';
import { describeOption } from '../facts.ts';
import { Interrupted } from '../failure.ts';
import { interruptible } from '../interrupt.ts';
import { addDeviceOptions, readDevice, wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { fixed, type Output, percent, shellWord, styleFor, textWidth } from '../style.ts';
import {
  addLenient,
  addLiberty,
  addReportOutput,
  addSigned,
  addTop,
  READING,
  type ReportOutput,
  readLoading,
} from '../workbench.ts';

const AFTER = `
Without --multiplier: the float network of the run, with one layer at a time quantised as the run does it (--bits for other widths); the ranges are
those of the float network. With --multiplier: the quantised network of the run, with the multiplier in one layer at a time and exact
ones in all others. The run is only read; for a checkpoint, make one first: tram train runs/mine --model resnet50 --checkpoint FILE

Layers that lose most come first, by the change of the loss, which tells apart what the same accuracy does not.
Writes sensitivity.json, .csv, .svg and .png; the same command goes on after an interruption.

Examples:
  tram sensitivity runs/mine --bits 4
  tram sensitivity runs/mine --multiplier truncated:8x8:columns=8 --images 500
  tram sensitivity runs/mine --layers 'layer3.*,last' --format csv > layer3.csv
`;

const MOST_IMAGES = 2 ** 31 - 1;

interface Options {
  readonly bits?: OperandBits;
  readonly multiplier?: string;
  readonly operandOrder?: (typeof operandOrders)[number];
  readonly layers?: readonly string[];
  readonly images?: number;
  readonly out?: string;
  readonly data?: string;
  readonly format?: ReportOutput;
  readonly quiet?: boolean;
}

export function defineSensitivity(command: Command, services: Services): void {
  const MEASURING = 'Measuring:';
  command
    .description('Measures what each layer costs when it alone is quantised, or multiplies approximately.')
    .argument('<RUN>', 'run folder; it is not changed', nonEmpty('RUN', 'a run folder'))
    .addHelpText('after', AFTER)
    .addOption(
      new Option(
        '--bits <B>',
        describeOption({ help: 'operand widths of the layer', values: WIDTHS, default: "the run's" }),
      )
        .argParser(widths)
        .helpGroup(MEASURING),
    )
    .addOption(
      new Option('--multiplier <FILE>', 'approximate with this one instead: a netlist, a table or a generator')
        .argParser(nonEmpty('--multiplier', 'a file, or a generator such as truncated:8x8:columns=8'))
        .helpGroup(MEASURING),
    )
    .addOption(
      new Option('--operand-order <ORDER>', describeOption(orderFacts))
        .argParser(oneOf('--operand-order', operandOrders))
        .helpGroup(MEASURING),
    )
    .addOption(
      new Option('--layers <A,B>', describeOption(layerFacts))
        .argParser((text) => nameList(text) ?? refuse('--layers', text, layerFacts.values))
        .helpGroup(MEASURING),
    )
    .addOption(
      new Option(
        '--images <N>',
        describeOption({ help: 'test images, drawn by the seed of the run', values: 'at least 1', default: '1000' }),
      )
        .argParser(wholeNumberFrom('--images', 1, MOST_IMAGES))
        .helpGroup(MEASURING),
    )
    .addOption(
      new Option('--data <DATA>', 'where the run’s data are now')
        .argParser(nonEmpty('--data', 'a data set'))
        .helpGroup(READING),
    );
  addSigned(command);
  addLenient(command);
  addTop(command);
  addLiberty(command);
  addDeviceOptions(command);
  addReportOutput(command, 'sensitivity');
  command.action((run: string) => measure(run, command, services));
}

const WIDTHS = '2 to 8, or 4x8 (or w4a8) for 4-bit weights and 8-bit activations';

const orderFacts = {
  help: 'which operand of the multiplier is the first',
  values: `one of ${operandOrders.join(', ')}`,
  default: 'what its file says, or the custom of its form',
};

const layerFacts = {
  help: 'layers to treat, one at a time',
  values: 'names separated by commas, * for any characters in one; all, convolutions, linear-layers, first, last',
  default: 'all',
};

function refuse(option: string, text: string, expected: string): never {
  throw badValue(option, text, expected);
}

function widths(text: string): OperandBits {
  const [weights, activations] = perOperand(text) ?? [0, 0];
  if ([weights, activations].every((bits) => bits >= 2 && bits <= 8)) return { weights, activations };
  throw badValue('--bits', text, WIDTHS);
}

function tell(stream: Output, event: SensitivityEvent): void {
  if (event.kind === 'note') stream.write(`note: ${event.text}\n`);
  else if (event.kind === 'base') stream.write(`no layer: ${percent(event.accuracy)}, loss ${fixed(event.loss, 4)}\n`);
  else {
    const { at, of, layer, kept } = event;
    const before = kept ? ' (measured before)' : '';
    stream.write(`${at}/${of} ${layer.name}: ${percent(layer.accuracy)}, loss ${fixed(layer.loss, 4)}${before}\n`);
  }
}

async function measure(run: string, command: Command, services: Services): Promise<void> {
  const { stdout, stderr } = services;
  const { multiplier, format = 'text', quiet, out, ...rest } = command.opts<Options>();
  if (rest.bits && multiplier !== undefined) {
    throw new UserError(
      '--bits and --multiplier exclude each other: a multiplier has the widths of the run; leave one out',
    );
  }
  const { measureSensitivity, sensitivityFolder } = await import('../../flow/sensitivity/sensitivity.ts');
  const { sensitivityFiles } = await import('../../flow/try/folder.ts');
  const { bits: _, ...reading } = readLoading(command);
  const { bits, operandOrder, layers, images, data } = rest;
  const folder = out ?? sensitivityFolder(run);
  const interrupt = interruptible({
    onFirst: () => stderr.write('\ntram: stopping after this layer; finished measurements are kept\n'),
    onSecond: () => {},
  });
  let report: SensitivityReport;
  try {
    report = await measureSensitivity({
      ...{ run, out: folder, device: readDevice(command), reading, signal: interrupt.signal },
      ...given({ bits, operandOrder, layers, images, data, approximateWith: multiplier }),
      ...(quiet ? {} : { listener: (event) => tell(format === 'text' ? stdout : stderr, event) }),
    });
  } catch (error) {
    const code = interrupt.code();
    if (code === undefined || error !== interrupt.signal.reason) throw error;
    throw new Interrupted(`stopped; finished measurements are kept in ${folder}, the same command goes on`, code);
  } finally {
    interrupt.dispose();
  }
  if (format === 'json') stdout.write(`${JSON.stringify(report)}\n`);
  else if (format === 'csv') stdout.write((await import('../../flow/sensitivity/report.ts')).sensitivityCsv(report));
  else {
    const { sensitivityText } = await import('../sensitivity-table.ts');
    const files = Object.values(sensitivityFiles).map((name) => shellWord(relative('', join(folder, name))));
    const text = sensitivityText(report, styleFor(stdout, wantsColor(command)), textWidth(stdout));
    stdout.write(`${quiet ? '' : '\n'}${text}\n\nfiles: ${files.join(' ')}\n`);
  }
}
