// Which options of a command decide something only beside others, or not beside some, in one table: an option that
// decides nothing is refused in one line, with what makes it idle and what to do. Options that say settings of a run
// are in flow/settings/effects.ts.
// Invariant (tested): every option of every command either has a row for its command or is among `free`.

import type { Command } from 'commander';
import { UserError } from '../tensor/errors.ts';

export interface Partners {
  /** Names of commands, those of parts as `sweep work`. */
  readonly commands: readonly string[];
  /** Without their dashes. */
  readonly options: readonly string[];
  /** One of these has to be there, or the argument where that is named. */
  readonly needs?: readonly string[];
  /** None of these may be there, and no argument where that is named. */
  readonly without?: readonly string[];
  /** Only where the command is asked for this. */
  readonly where?: (values: Readonly<Record<string, unknown>>) => boolean;
  /** What is so then. */
  readonly because: string;
}

const everyPhase = ['run', 'train', 'quantize', 'explore', 'recover'];
const synthesis = ['clock', 'delay', 'effort', 'objective', 'yosys'];
const computing = ['device', 'precision', 'emulation', 'threads'];
const training = ['recompute', 'recompute-light'];
const logs = ['tensorboard', 'mlflow', 'mlflow-experiment'];

const namesDevice = ({ device }: Readonly<Record<string, unknown>>, name: string): boolean =>
  [device].flat().some((one) => ((one as { name?: string } | undefined)?.name ?? 'wasm') === name);

const ofOtherPower = ({ by }: Readonly<Record<string, unknown>>): boolean => by !== undefined && by !== 'synthesised';

export const partners: readonly Partners[] = [
  {
    commands: [...everyPhase, 'sweep', 'sweep work', 'sweep submit', 'export'],
    options: ['mlflow-experiment'],
    needs: ['mlflow'],
    because: 'no server is named',
  },
  {
    commands: [...everyPhase, 'sweep', 'sweep work', 'try', 'sensitivity', 'evaluate', 'map'],
    options: ['threads'],
    where: (values) => !namesDevice(values, 'wasm'),
    because: 'only the device wasm has threads of its own',
  },
  {
    commands: ['sweep'],
    options: ['per-layer'],
    needs: ['cheapest'],
    because: 'without it say --over layer-widths=4x4,3x4',
  },
  {
    commands: ['sweep'],
    options: ['library', ...synthesis],
    without: ['no-synthesis'],
    because: 'nothing is synthesised',
  },
  {
    commands: ['sweep'],
    options: ['jobs', 'retry', 'minutes', 'within', 'at-most', 'library', ...synthesis, 'no-synthesis'],
    without: ['plan'],
    because: 'the folder is made, and nothing is trained or shown',
  },
  {
    commands: ['sweep'],
    options: [...computing, ...training, ...logs],
    without: ['plan'],
    because: 'nothing is trained; say it to tram sweep work',
  },
  {
    commands: ['sweep'],
    options: ['jobs', 'retry', 'minutes', ...computing, ...training, ...logs],
    without: ['report'],
    because: 'nothing is trained',
  },
  {
    commands: ['map'],
    options: ['bits', 'theta', 'out', 'start', 'histograms'],
    without: ['RUN'],
    because: 'it is for a multiplier without a run',
  },
  {
    commands: ['map'],
    options: [
      ...['redo', 'unset', 'quiet', 'precision', 'emulation', 'threads', 'multiplier', 'signed', 'operand-order'],
      ...['table-order', 'top', 'liberty', 'weight-codes', 'zero-product', 'operands'],
    ],
    needs: ['RUN'],
    because: 'it is for a run folder, but none is given',
  },
  {
    commands: ['generate'],
    options: ['bits', 'param', 'out', 'verilog', 'blif'],
    without: ['list'],
    because: 'the kinds are shown and nothing is made',
  },
  { commands: ['table'], options: synthesis, needs: ['synth'], because: 'it is for synthesis' },
  {
    commands: ['try'],
    options: synthesis,
    where: ofOtherPower,
    without: ['by'],
    because: 'that kind of power needs no synthesis',
  },
  {
    commands: ['compare'],
    options: ['liberty', ...synthesis],
    where: ofOtherPower,
    without: ['by'],
    because: 'that kind of power needs no synthesis',
  },
  {
    commands: ['try'],
    options: training,
    where: ({ recover = 0 }) => recover === 0,
    needs: ['recover'],
    because: 'nothing is trained',
  },
  {
    commands: ['sensitivity'],
    options: ['operand-order', 'signed', 'lenient', 'top', 'liberty'],
    needs: ['multiplier'],
    because: 'it says how a multiplier is read',
  },
  { commands: ['evaluate'], options: ['images', 'stream-bits'], needs: ['integer'], because: 'it is about --integer' },
  {
    commands: ['serve'],
    options: ['host', 'port', 'token', 'control', 'open'],
    without: ['export'],
    because: 'one view is written, and nothing is served',
  },
  { commands: ['serve'], options: ['out'], needs: ['export'], because: 'it is where --export writes' },
  { commands: ['data'], options: ['each'], needs: ['sheet'], because: 'it is about the picture' },
  { commands: ['models'], options: ['image', 'classes'], needs: ['MODEL'], because: 'the list has each at its own' },
];

/** Options that always decide something, of whatever command, or whose command looks at their values itself. */
export const free: readonly string[] = [
  ...['json', 'quiet', 'format', 'out', 'config', 'published', 'print-config', 'unset', 'redo', 'from', 'device'],
  ...['precision', 'emulation', ...training, 'tensorboard', 'mlflow', 'data', 'figure', 'figures', 'open', 'by'],
  // sweep
  ...['over', 'cheapest', 'rivals', 'halving', 'plan', 'report', 'trials', 'shared', 'jobs', 'retry', 'minutes'],
  ...['no-synthesis', 'within', 'at-most', 'watch'],
  // tram sweep submit refuses what its scheduler does not have.
  ...['slurm', 'kubernetes', 'ray', 'dry-run', 'array-limit', 'partition', 'account', 'sbatch', 'volume', 'image'],
  ...['gpus-per-task', 'cpus-per-task', 'mem', 'time', 'program', 'threads'],
  // multipliers
  ...['lenient', 'signed', 'top', 'liberty', 'bits', 'table-order', 'operand-order', 'histograms', 'samples', 'seed'],
  ...['header', 'lut', 'list', 'param', 'verilog', 'blif', 'yosys', 'clock', 'delay', 'effort', 'objective', 'synth'],
  ...['recover', 'exact', 'weight-codes', 'multiplier', 'layers', 'images'],
  // tram export has which options are about which of its forms.
  ...['stage', 'quantizers', 'to', 'stream-bits', 'array', 'check', 'integer'],
  ...['only', 'sort', 'no-statistics', 'export', 'once', 'wait', 'sheet'],
];

/** "sweep work" of a part, else its name. */
export function nameOf(command: Command): string {
  const above = command.parent;
  return above?.parent ? `${above.name()} ${command.name()}` : command.name();
}

/** Refuses the first option of a command line that decides nothing beside the others. */
export function refuseIdleOptions(command: Command): void {
  const name = nameOf(command);
  const values = command.opts<Record<string, unknown>>();
  const isThere = (one: string): boolean => {
    const argument = command.registeredArguments.findIndex((registered) => registered.name() === one);
    if (argument >= 0) return command.processedArgs[argument] !== undefined;
    const option = command.options.find(({ long }) => long === `--${one}`);
    return option !== undefined && command.getOptionValueSource(option.attributeName()) === 'cli';
  };
  for (const { commands, options, needs, without = [], where, because } of partners) {
    if (!commands.includes(name)) continue;
    const idle = options.find(isThere);
    if (idle === undefined) continue;
    const beside = without.find(isThere);
    const isAlone = needs !== undefined && !needs.some(isThere);
    const isSo = where ? where(values) : beside !== undefined || isAlone;
    if (!isSo) continue;
    const spelt = (one: string) => (one === one.toUpperCase() ? one : `--${one}`);
    const advice =
      beside !== undefined ? `beside ${spelt(beside)}` : needs ? `without ${needs.map(spelt).join(' or ')}` : 'here';
    throw new UserError(`--${idle} has no effect ${advice}: ${because}; leave it out`);
  }
}
