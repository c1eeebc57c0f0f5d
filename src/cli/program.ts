// The commands of `tram` and what they share: global options, the look of help, errors as one line and an exit code. A
// command's own options are defined, and its modules loaded, only when the arguments name it, so that `tram --help`
// answers at once.

import { Command, Option } from 'commander';
import type { World } from '../flow/devices/world.ts';
import { version } from '../version.ts';
import { describeFailure } from './failure.ts';
import { refuseIdleOptions } from './partners.ts';
import type { Define, Services } from './services.ts';
import { guarded, reflowed, styleFor } from './style.ts';

export interface CommandEntry {
  readonly name: string;
  /** Name and arguments as the list of commands shows them. */
  readonly term: string;
  readonly summary: string;
  readonly group: string;
  readonly load: () => Promise<Define>;
  /** Whether it does phases of a run in this process. */
  readonly doesPhases?: boolean;
  /** Commands below it, with options of their own: `tram sweep work SWEEP`. */
  readonly parts?: readonly Omit<CommandEntry, 'parts'>[];
}

const phase = (name: 'run' | 'train' | 'quantize' | 'explore' | 'recover') => ({
  doesPhases: true,
  load: async () => (await import('./commands/phases.ts')).definePhases(name),
});

const whole = 'The whole way:';
const single = 'One phase at a time:';
const around = 'Around a run:';
const cluster = 'On a cluster:';
const workbench = 'Multipliers, without a network:';

export const commandEntries: readonly CommandEntry[] = [
  {
    name: 'run',
    term: 'run',
    summary: 'do everything: from data to a certified netlist',
    group: whole,
    ...phase('run'),
  },
  {
    name: 'sweep',
    term: 'sweep SWEEP',
    summary: 'the cheapest multiplier that works; the front of many settings',
    group: whole,
    load: async () => (await import('./commands/sweep.ts')).defineSweep,
    parts: [
      {
        ...{ name: 'work', term: 'work SWEEP', summary: 'one worker on a sweep that is there', group: cluster },
        load: async () => (await import('./commands/sweep-work.ts')).defineSweepWork,
      },
      {
        ...{
          name: 'submit',
          term: 'submit SWEEP',
          summary: 'what is left to Slurm, Kubernetes or Ray',
          group: cluster,
        },
        load: async () => (await import('./commands/sweep-submit.ts')).defineSweepSubmit,
      },
      {
        ...{ name: 'status', term: 'status SWEEP', summary: 'what is done, at work, waiting, failed', group: cluster },
        load: async () => (await import('./commands/sweep-status.ts')).defineSweepStatus,
      },
    ],
  },
  { name: 'train', term: 'train', summary: 'train or load the float model', group: single, ...phase('train') },
  {
    name: 'quantize',
    term: 'quantize RUN',
    summary: 'calibrate integer operands',
    group: single,
    ...phase('quantize'),
  },
  {
    name: 'explore',
    term: 'explore RUN',
    summary: 'phase 1: train θ and weights',
    group: single,
    ...phase('explore'),
  },
  {
    name: 'map',
    term: 'map [RUN]',
    summary: 'phase 2: θ to a gate-level multiplier, of a run or of its own',
    group: single,
    load: async () => (await import('./commands/map.ts')).defineMap,
  },
  {
    name: 'recover',
    term: 'recover RUN',
    summary: 'phase 3: retrain with the multiplier',
    group: single,
    ...phase('recover'),
  },
  {
    name: 'simulate',
    term: 'simulate FILE',
    summary: 'the error of a multiplier netlist, and its table',
    group: workbench,
    load: async () => (await import('./commands/simulate.ts')).defineSimulate,
  },
  {
    name: 'generate',
    term: 'generate [KIND]',
    summary: 'make an exact or approximate multiplier of a known family',
    group: workbench,
    load: async () => (await import('./commands/generate.ts')).defineGenerate,
  },
  {
    name: 'verify',
    term: 'verify A B',
    summary: 'prove two multipliers equal, or show where they differ',
    group: workbench,
    load: async () => (await import('./commands/verify.ts')).defineVerify,
  },
  {
    name: 'synth',
    term: 'synth FILE',
    summary: 'area, delay and power in a cell library',
    group: workbench,
    load: async () => (await import('./commands/synth.ts')).defineSynth,
  },
  {
    name: 'draw',
    term: 'draw FILE',
    summary: 'pictures of its structure and its errors',
    group: workbench,
    load: async () => (await import('./commands/draw.ts')).defineDraw,
  },
  {
    name: 'table',
    term: 'table FILES…',
    summary: 'several multipliers in a table, as Markdown, CSV or LaTeX',
    group: workbench,
    load: async () => (await import('./commands/table.ts')).defineTable,
  },
  {
    name: 'try',
    term: 'try RUN M…',
    summary: 'many multipliers in the network of a run, beside exact ones of fewer bits',
    group: around,
    load: async () => (await import('./commands/try.ts')).defineTry,
  },
  {
    name: 'sensitivity',
    term: 'sensitivity RUN',
    summary: 'which layer hurts: one at a time quantised or approximated',
    group: around,
    load: async () => (await import('./commands/sensitivity.ts')).defineSensitivity,
  },
  {
    name: 'evaluate',
    term: 'evaluate RUN',
    summary: 'measure the network on the test images',
    group: around,
    load: async () => (await import('./commands/evaluate.ts')).defineEvaluate,
  },
  {
    name: 'export',
    term: 'export RUN',
    summary: 'write the network for PyTorch, or the run for TensorBoard and MLflow',
    group: around,
    load: async () => (await import('./commands/export.ts')).defineExport,
  },
  {
    name: 'inspect',
    term: 'inspect FILE',
    summary: 'what a checkpoint holds: tensors, shapes, statistics',
    group: around,
    load: async () => (await import('./commands/inspect.ts')).defineInspect,
  },
  {
    name: 'report',
    term: 'report RUN',
    summary: 'show the results and rebuild the figures',
    group: around,
    load: async () => (await import('./commands/report.ts')).defineReport,
  },
  {
    name: 'compare',
    term: 'compare RUNS…',
    summary: 'runs side by side, and accuracy over power',
    group: around,
    load: async () => (await import('./commands/compare.ts')).defineCompare,
  },
  {
    name: 'serve',
    term: 'serve [FOLDER]',
    summary: 'runs and sweeps in the browser, live while they train',
    group: around,
    load: async () => (await import('./commands/serve.ts')).defineServe,
  },
  {
    name: 'watch',
    term: 'watch RUN',
    summary: 'the curves of a run, or of a sweep, in the terminal while it trains',
    group: around,
    load: async () => (await import('./commands/watch.ts')).defineWatch,
  },
  {
    name: 'check',
    term: 'check RUN',
    summary: 'verify a run folder, and prove its netlists anew',
    group: around,
    load: async () => (await import('./commands/check.ts')).defineCheck,
  },
  {
    name: 'data',
    term: 'data DATA',
    summary: 'what a data set is: images, classes, files that cannot be decoded',
    group: around,
    load: async () => (await import('./commands/data.ts')).defineData,
  },
  {
    name: 'models',
    term: 'models [MODEL]',
    summary: 'the networks that can be named, or the layers of one',
    group: around,
    load: async () => (await import('./commands/models.ts')).defineModels,
  },
  {
    name: 'doctor',
    term: 'doctor',
    summary: 'check this machine and this installation',
    group: around,
    load: async () => (await import('./commands/doctor.ts')).defineDoctor,
  },
  {
    name: 'completion',
    term: 'completion SHELL',
    summary: 'completion of commands, options and runs in bash, zsh or fish',
    group: around,
    load: async () => (await import('./commands/completion.ts')).defineCompletion,
  },
];

const DESCRIPTION =
  'TRAM trains the structure of an approximate multiplier together with the weights of a neural network, maps it to gates, and ' +
  'retrains the network with it.';

const EXAMPLES = `
Examples:
  tram run                                   digits, a small network, 8 bits
  tram run --data cifar10:data/cifar --model resnet20 --lambda 0.5
  tram sweep runs/cheapest --cheapest        the cheapest multiplier at which the network still works
  tram map --bits 8 --theta 1,1,1,1,0.5,0.2  a multiplier without any network
  tram simulate multiplier.blif              the error of any multiplier netlist
  tram run --help                            every option, with default and valid values
  tram help NMED                             a term of the field, or what a file holds
`;

/**
 * The program with the commands that `wanted` accepts fully defined. Where `part` is asked for of a command, that has
 * no options of its own, which would be taken for the part's.
 */
export async function buildProgram(
  services: Services,
  wanted: (name: string) => boolean,
  part?: string,
): Promise<Command> {
  const { stdout, stderr } = services;
  const program = new Command('tram')
    .description(DESCRIPTION)
    .version(version, '-V, --version', 'show the version')
    .helpOption('-h, --help', 'show this help')
    .addOption(
      new Option('--verbose', 'show the stack of an internal error (also: TRAM_DEBUG=1)').helpGroup('Global options:'),
    )
    .addOption(new Option('--no-color', 'no colours (also: NO_COLOR=1)').helpGroup('Global options:'))
    .addHelpCommand(
      new Command('help')
        .argument('[TOPIC]')
        .summary('help of a command, a term such as θ or NMED, or a file; topics lists them')
        .helpGroup(around),
    )
    .addHelpText('after', EXAMPLES)
    .configureOutput({
      // Commander fits what it makes itself; the texts behind the options are fitted here.
      writeOut: (text) => void stdout.write(reflowed(text, helpWidth(stdout.columns))),
      writeErr: (text) => void stderr.write(text),
      outputError: () => {},
      getOutHelpWidth: () => helpWidth(stdout.columns),
      getErrHelpWidth: () => helpWidth(stderr.columns),
      getOutHasColors: () => styleFor(stdout).isColorSupported,
      getErrHasColors: () => styleFor(stderr).isColorSupported,
    })
    .configureHelp({
      showGlobalOptions: true,
      subcommandTerm: (command) => {
        const name = command.name();
        const known = commandEntries.flatMap((entry) => [entry, ...(entry.parts ?? [])]);
        return known.find((entry) => entry.name === name)?.term ?? `${name} TOPIC`;
      },
      styleTitle: (title) => styleFor(stdout).bold(title),
    })
    .exitOverride();
  for (const { name, summary, group, load, parts = [] } of commandEntries) {
    const command = program.command(name).summary(summary).helpGroup(group);
    if (!wanted(name)) continue;
    const asked = parts.filter((one) => one.name === part);
    if (asked.length === 0) (await load())(command, services);
    command.helpCommand(false);
    for (const one of asked.length > 0 ? asked : parts) {
      (await one.load())(command.command(one.name).summary(one.summary).helpGroup(one.group), services);
    }
  }
  return program;
}

function helpWidth(columns: number | undefined): number {
  return Math.min(Math.max(columns || 100, 60), 120);
}

/** Runs the program on arguments (without node and script); the result is the exit code. */
export async function runProgram(args: readonly string[], given: Services): Promise<number> {
  const services = { ...given, stdout: guarded(given.stdout), stderr: guarded(given.stderr) };
  let world: World | undefined;
  const code = await perform(args, services, (met) => {
    world = met;
  });
  await world?.end(code);
  return code;
}

/** `met`: told of the ranks that the command works with, where there are some. */
async function perform(
  args: readonly string[],
  services: Services,
  met: (world: World | undefined) => void,
): Promise<number> {
  try {
    const topic = topicOf(args);
    if (topic !== undefined) {
      const { topicText } = await import('./topics.ts');
      const names = commandEntries.map(({ name }) => name);
      const style = styleFor(services.stdout, !args.includes('--no-color'));
      services.stdout.write(topicText(topic, services.stdout, style, names));
      return 0;
    }
    if (wantsFlow(args)) void services.readyFlow?.();
    const program = await buildProgram(services, (name) => args.includes(name), partOf(args)?.name);
    program.hook('preAction', async (_, command) => {
      refuseIdleOptions(command);
      const { meetRanks } = await import('./ranks.ts');
      met(await meetRanks(command, args, services));
    });
    await program.parseAsync(args.length === 0 ? ['--help'] : [...args], { from: 'user' });
    return 0;
  } catch (error) {
    const verbose = args.includes('--verbose') || Boolean(process.env.TRAM_DEBUG);
    const { code, text } = describeFailure(error, verbose, usageOf(args));
    if (text !== '') services.stderr.write(`${text}\n`);
    return code;
  }
}

/** Whether the arguments, as far as can be said before they are read, ask for phases of a run. */
function wantsFlow(args: readonly string[]): boolean {
  const tells = ['-h', '--help', '--print-config'];
  return (
    (commandEntries.find(({ name }) => name === args[0])?.doesPhases ?? false) &&
    !args.some((arg) => tells.includes(arg))
  );
}

/** What `tram help` is asked for that is no command. */
function topicOf(args: readonly string[]): string | undefined {
  const [first, ...words] = args.filter((arg) => !arg.startsWith('-'));
  if (first !== 'help' || words.length === 0 || commandEntries.some(({ name }) => name === words[0])) return undefined;
  return words.join(' ');
}

/** The part of a command that the arguments begin with; a folder of that name is ./work. */
function partOf(args: readonly string[]): Pick<CommandEntry, 'name'> | undefined {
  const [first, second] = args.filter((arg) => !['--verbose', '--no-color'].includes(arg));
  const { parts } = commandEntries.find(({ name }) => name === first) ?? {};
  return parts?.find(({ name }) => name === second);
}

/** The command whose help explains the usage. */
function usageOf(args: readonly string[]): string {
  const named = args.find((arg) => commandEntries.some(({ name }) => name === arg));
  const part = partOf(args);
  return ['tram', ...(named === undefined ? [] : [named]), ...(part ? [part.name] : [])].join(' ');
}
