// `tram export`: a network of a run as a file for PyTorch and others.

import { join } from 'node:path';
import { type Command, Option } from 'commander';
import type { BenchOutcome } from '../../flow/results/check-benches.ts';
import { exportFormats, exportStages } from '../../flow/results/export.ts';
import {
  type ArraySize,
  EXPORT_IMAGES,
  type ExportFormName,
  exportFormNames,
  exportForms,
  type Simulator,
  simulators,
  simulatorTitles,
} from '../../flow/results/exports.ts';
import { frozenStages, STREAM_BITS } from '../../flow/results/frozen-stages.ts';
import type { LogOptions } from '../../flow/run/logs.ts';
import { keptStages } from '../../flow/run/stages.ts';
import { badValue, nameList, nonEmpty, oneOf, wholeNumberFrom } from '../../flow/settings/values.ts';
import { UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { formatBytes } from '../../tensor/numbers.ts';
import { describeOption } from '../facts.ts';
import { Exit } from '../failure.ts';
import { addLogOptions, readLogs } from '../options.ts';
import type { Services } from '../services.ts';
import { grouped, shellWord } from '../style.ts';
import { libertyFiles } from '../workbench.ts';

const AFTER = `
Writes the parameters by PyTorch's names and layouts: model.load_state_dict(torch.load(FILE, weights_only=True)) takes them. Quantisers
and θ are left out; --quantizers writes the network as the published program saves it after quantisation (prefix model.), which
tram run --checkpoint takes as the start of phase 1. The run is only read. --json prints one object: path, stage, format, tensors, bytes.

With --to the quantised network is written for hardware and other tools, each form in a folder of its own below --out:
${exportForms.map(({ name, what }) => `  ${name.padEnd(11)}${what}`).join('\n')}
Each folder appears whole or not at all; one that is there is replaced where it is an export of the same form as it was written. A form
that the network cannot have refuses the export; all leaves it out and says why. --json then prints
path, stage, images, forms (form, path, files, bytes), leftOut (form, reason); with --check also checks (kind, title, bench, simulator, equal, values, lines).
--check simulates what was written; where a value differs, the first is shown with its operands, and the exit code is 1.

With --tensorboard or --mlflow no network is written: the run's epochs, results, settings and figures go there, what is there already is left
(docs/logging.md). --json then prints events (the file in the run folder) and mlflow (the address).

Examples:
  tram export runs/mine
  tram export runs/mine --stage float --out resnet8.safetensors
  tram export runs/mine --stage quantized --quantizers --out resnet8_w8a8_ptq.pth
  tram export runs/mine --to integer --images 50
  tram export runs/mine --to rtl --array 4x4
  tram export runs/mine --to testbench --check
  tram export runs/mine --tensorboard
`;

const FORMS = exportForms.map(({ name }) => name).join(', ');

/** Names of forms separated by commas, or all. */
function parseForms(text: string): readonly ExportFormName[] {
  const names = namesIn(text, '--to', FORMS).map(oneOf('--to', ['all', ...exportFormNames] as const));
  return names.flatMap((name): readonly ExportFormName[] => (name === 'all' ? exportFormNames : [name]));
}

export function defineExport(command: Command, services: Services): void {
  const { stdout } = services;
  const text = (help: string, values: readonly string[], usual: string) =>
    describeOption({ help, values: `one of ${values.join(', ')}`, default: usual });
  const asForms = 'Export for hardware and other tools:';
  command
    .description(
      'Writes a network of a run as a PyTorch or safetensors file, as integers for hardware and other tools, or the run into the logs of other programs.',
    )
    .argument('<RUN>', 'run folder', nonEmpty('RUN', 'a run folder'))
    .addOption(
      new Option(
        '--stage <STAGE>',
        text('which network to write', stagesToWrite, 'the last that the run has'),
      ).argParser(oneOf('--stage', stagesToWrite)),
    )
    .addOption(
      new Option(
        '--format <FORMAT>',
        text('format of the file', exportFormats, 'as --out ends; without --out pth'),
      ).argParser(oneOf('--format', exportFormats)),
    )
    .addOption(new Option('--quantizers', 'with the quantisers, as the published program saves a network'))
    .addOption(
      new Option(
        '--to <FORMS>',
        describeOption({ help: 'forms to write', values: `${FORMS}, separated by commas, or all` }),
      )
        .argParser(parseForms)
        .helpGroup(asForms),
    )
    .addOption(
      new Option(
        '--images <N>',
        describeOption({
          help: 'test images, from the first on, that forms are compared on and take examples from',
          ...{ values: 'a whole number of at least 1', default: String(EXPORT_IMAGES) },
        }),
      )
        .argParser(wholeNumberFrom('--images', 1, 1_000_000))
        .helpGroup(asForms),
    )
    .addOption(
      new Option(
        '--stream-bits <BITS>',
        describeOption({
          help: 'bits of values in fixed point between layers',
          ...{ values: `${STREAM_BITS.least} to ${STREAM_BITS.most}`, default: String(STREAM_BITS.usual) },
        }),
      )
        .argParser(wholeNumberFrom('--stream-bits', STREAM_BITS.least, STREAM_BITS.most))
        .helpGroup(asForms),
    )
    .addOption(
      new Option(
        '--array <SIZE>',
        describeOption({
          help: 'rtl, testbench: rows and columns of the systolic arrays',
          ...{ values: 'ROWSxCOLUMNS, each 1 to 64', default: '8x8; of testbench 4x4' },
        }),
      )
        .argParser(arraySize)
        .helpGroup(asForms),
    )
    .addOption(
      new Option(
        '--layers <LAYERS>',
        describeOption({
          help: 'testbench: layers to simulate',
          ...{ values: 'names, separated by commas', default: 'the first and the last approximate one' },
        }),
      )
        .argParser(layerNames)
        .helpGroup(asForms),
    )
    .addOption(
      new Option(
        '--check [SIMULATORS]',
        describeOption({
          help: 'testbench: run the benches',
          ...{ values: `${simulators.join(', ')}, separated by commas`, default: simulators[0] },
        }),
      )
        .argParser(simulatorNames)
        .helpGroup(asForms),
    )
    .addOption(
      new Option(
        '--liberty <LIB...>',
        describeOption({
          help: 'rtl: cells for area, cycle and power, Liberty files of one corner',
          ...{ values: 'paths of .lib or .lib.gz files', default: 'the built-in gates' },
        }),
      )
        .argParser(libertyFiles)
        .helpGroup(asForms),
    )
    .addOption(
      new Option(
        '--effort <EFFORT>',
        describeOption({
          help: 'rtl: how hard elements are synthesised for their figures',
          ...{ values: 'one of quick (seconds), best (minutes)', default: 'best' },
        }),
      )
        .argParser(oneOf('--effort', ['quick', 'best']))
        .helpGroup(asForms),
    )
    .addOption(
      new Option('--data <DATA>', 'where the run’s data set is now, when it was moved')
        .argParser(nonEmpty('--data', 'a data set'))
        .helpGroup(asForms),
    )
    .addOption(
      new Option(
        '--out <PATH>',
        describeOption({
          help: 'the file to write; with --to the folder',
          ...{ values: 'a path', default: 'RUN-STAGE.pth in this folder; RUN-export' },
        }),
      )
        .argParser(nonEmpty('--out', 'a path'))
        .helpGroup('Output:'),
    )
    .addOption(new Option('--json', 'print one JSON object').helpGroup('Output:'))
    .addHelpText('after', AFTER)
    .action(async (folder: string) => {
      const logs = readLogs(command);
      if (logs.tensorboard || logs.mlflow) return await exportToLogs(folder, logs, command, services);
      const options = command.opts<ExportOptions>();
      if (options.to) return await writeForms(folder, options.to, options, services);
      const odd = formOptions.find((name) => options[name] !== undefined);
      if (odd) throw new UserError(`--${optionOf(odd)} is about the forms of --to; say which, or leave it out`);
      const { exportNetwork } = await import('../../flow/results/export.ts');
      const { out, json, stage, format, quantizers } = options;
      const written = exportNetwork({ folder, ...given({ path: out, stage: fileStage(stage), format, quantizers }) });
      if (json) return void stdout.write(`${JSON.stringify(written)}\n`);
      const { path, stage: found, tensors, bytes } = written;
      stdout.write(`${path}: the ${found} network, ${grouped(tensors)} tensors, ${formatBytes(bytes)}\n`);
    });
  addLogOptions(command);
}

const stagesToWrite = [...new Set([...exportStages, ...frozenStages])].toSorted(
  (a, b) => keptStages.indexOf(a) - keptStages.indexOf(b),
);
type StageToWrite = (typeof stagesToWrite)[number];

interface ExportOptions {
  readonly out?: string;
  readonly json?: boolean;
  readonly stage?: StageToWrite;
  readonly format?: (typeof exportFormats)[number];
  readonly quantizers?: boolean;
  readonly to?: readonly ExportFormName[];
  readonly images?: number;
  readonly streamBits?: number;
  readonly array?: ArraySize;
  readonly layers?: readonly string[];
  /** true: with the usual simulator. */
  readonly check?: readonly Simulator[] | true;
  readonly liberty?: readonly string[];
  readonly effort?: 'quick' | 'best';
  readonly data?: string;
}

/** Options of single forms, and which. */
const concerns: Readonly<Record<string, readonly ExportFormName[]>> = {
  array: ['rtl', 'testbench'],
  layers: ['testbench'],
  check: ['testbench'],
  liberty: ['rtl'],
  effort: ['rtl'],
} satisfies { readonly [name in keyof ExportOptions]?: readonly ExportFormName[] };

/** Everything that only forms have. */
const formOptions = ['images', 'streamBits', 'data', ...Object.keys(concerns)] as readonly (keyof ExportOptions)[];

/** `8x8` as rows and columns. */
function arraySize(text: string): ArraySize {
  const [rows, columns] = (/^(\d{1,2})x(\d{1,2})$/.exec(text)?.slice(1) ?? []).map(Number);
  const fits = (count: number | undefined) => count !== undefined && count >= 1 && count <= 64;
  if (fits(rows) && fits(columns)) return { rows: rows!, columns: columns! };
  throw badValue('--array', text, 'rows and columns from 1 to 64, such as 8x8');
}

/** At least one name. */
function namesIn(text: string, option: string, names: string): readonly string[] {
  const found = nameList(text);
  if (found && found.length > 0) return found;
  throw badValue(option, text, `${names}, separated by commas`);
}

const layerNames = (text: string) => namesIn(text, '--layers', 'names of layers');

function simulatorNames(text: string): readonly Simulator[] {
  return namesIn(text, '--check', simulators.join(', ')).map(oneOf('--check', simulators));
}

const optionOf = (name: string): string => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** The stage of a network with a file of its own. */
function fileStage(stage: StageToWrite | undefined): (typeof exportStages)[number] | undefined {
  if (stage === undefined) return undefined;
  const found = exportStages.find((name) => name === stage);
  if (found) return found;
  throw new UserError(
    `the stage ${stage} has no parameters of its own; give ${exportStages.join(', ')}, or a form with --to`,
  );
}

/** The stage of a network that can be integers. */
function formStage(stage: StageToWrite | undefined): (typeof frozenStages)[number] | undefined {
  if (stage === undefined) return undefined;
  const found = frozenStages.find((name) => name === stage);
  if (found) return found;
  throw new UserError(
    `the network of the stage ${stage} has no integers; with --to give one of ${frozenStages.join(', ')}`,
  );
}

async function writeForms(
  folder: string,
  forms: readonly ExportFormName[],
  { out, json, stage, format, quantizers, ...options }: ExportOptions,
  { stdout, stderr }: Services,
): Promise<void> {
  const odd = Object.entries({ format, quantizers }).find(([, value]) => value !== undefined);
  if (odd) throw new UserError(`--${odd[0]} is about a file of parameters, and --to writes none; leave one out`);
  const { exportRun } = await import('../../flow/results/export-forms.ts');
  const { images, streamBits, array, layers, liberty, effort, data } = options;
  const checkedBy = options.check === true ? [simulators[0]] : options.check;
  for (const [name, of] of Object.entries(concerns)) {
    if (options[name as keyof typeof options] === undefined || forms.some((form) => of.includes(form))) continue;
    throw new UserError(`--${name} is about the form ${of.join(' or ')}; give --to ${of[0]}, or leave it out`);
  }
  const { checkTestbench, requireSimulators } = await import('../../flow/results/check-benches.ts');
  if (checkedBy) await requireSimulators(checkedBy);
  const asked = given({ path: out, stage: formStage(stage), images, streamBits, array, layers, liberty, effort, data });
  const whereFits = forms === exportFormNames && !layers && !checkedBy;
  const exported = await exportRun({ folder, forms, whereFits, ...asked });
  for (const { form, reason } of exported.leftOut) stderr.write(`note: ${form} is left out: ${reason}\n`);
  if (json) {
    const checks = checkedBy && (await checkTestbench(exported.path, checkedBy, () => {}));
    const told = { ...exported, forms: exported.forms.map(({ report: _, ...form }) => form), ...given({ checks }) };
    stdout.write(`${JSON.stringify(told)}\n`);
    if (checks?.some(({ equal }) => !equal)) throw new Exit(1);
    return;
  }
  for (const { form, path, files, bytes, report } of exported.forms) {
    stdout.write(`${path}: ${form} of the ${exported.stage} network, ${grouped(files)} files, ${formatBytes(bytes)}\n`);
    if (report) stdout.write(`\n${report}\n`);
  }
  if (!checkedBy) return;
  const tell = (outcome: BenchOutcome) => stdout.write(`${outcomeText(outcome)}\n`);
  const checks = await checkTestbench(exported.path, checkedBy, tell);
  if (checks.some(({ equal }) => !equal)) throw new Exit(1);
}

/** Lines of a difference that are shown; all of them are printed by the bench itself. */
const SHOWN_LINES = 40;

function outcomeText({ kind, title, simulator, equal, values, lines, bench }: BenchOutcome): string {
  const what = `${simulatorTitles[simulator]}, ${kind} ${title}`;
  if (equal) return `${what}: equal, ${grouped(values)} ${kind === 'layer' ? 'outputs' : 'operand pairs'} compared`;
  // Where a sum is long, its wrong products say more than the first ones.
  const shown =
    lines.length > SHOWN_LINES ? lines.filter((line) => !line.startsWith('  tap')).slice(0, SHOWN_LINES) : lines;
  const rest = lines.length - shown.length;
  const more = rest > 0 ? [`… ${rest} lines more: make ${simulator}-${bench} in the folder of the benches`] : [];
  return [`${what}: NOT EQUAL`, ...shown, ...more].join('\n');
}

async function exportToLogs(
  folder: string,
  logs: LogOptions,
  command: Command,
  { stdout, stderr }: Services,
): Promise<void> {
  const { json, ...others } = command.opts<Record<string, unknown>>();
  const odd = ['stage', 'format', 'quantizers', 'to', 'out', ...formOptions].find((name) => others[name] !== undefined);
  if (odd)
    throw new UserError(
      `--${optionOf(odd)} is about a network, and --tensorboard and --mlflow write none; leave one out`,
    );
  const { exportLogs } = await import('../../flow/logs/export.ts');
  const exported = await exportLogs(folder, logs, (event) => {
    if (event.kind === 'note') stderr.write(`note: ${event.text}\n`);
  });
  if (json) stdout.write(`${JSON.stringify(exported)}\n`);
  else {
    if (exported.events)
      stdout.write(`${join(folder, exported.events)}: for tensorboard --logdir ${shellWord(folder)}\n`);
    if (exported.mlflow) stdout.write(`${exported.mlflow}: has the run\n`);
  }
  if (logs.mlflow && !exported.mlflow) throw new Exit(2);
}
