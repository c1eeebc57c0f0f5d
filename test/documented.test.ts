// Every command on every page: what a shell block shows is executed, in the order of its page, in a folder that has the
// files it names; what needs a GPU, a data set that is not shipped or hours is read by the program up to the point
// where the work would begin. Nothing is passed over: a line that is neither fails.
// What is changed, and nothing else: a training phase has one epoch (exploration two), a run sees 16 training images,
// and a run folder that a command reads, but none of its page has made, is a copy of a short run.
// Of what a text says between backquotes command and options exist.

import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { zipSync } from 'fflate';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildProgram, commandEntries, runProgram } from '../src/cli/program.ts';
import { realServices } from '../src/cli/services.ts';
import type { FlowOptions } from '../src/flow/flow.ts';
import { hasManifest, readManifest } from '../src/flow/run/manifest.ts';
import { type ConfigurationInput, mergeSettings, parseConfiguration } from '../src/flow/settings/config.ts';
import { idleAt } from '../src/flow/settings/effects.ts';
import { tram } from './cli/program.ts';
import { blockCommands, codeSpans, type Documented, pages, root } from './documented.ts';
import { pythonWithTorch } from './python.ts';

const place = mkdtempSync(join(tmpdir(), 'tram-documented-'));
const fixtures = join(place, 'fixtures');
mkdirSync(fixtures);
const started = process.cwd();
afterAll(() => {
  process.chdir(started);
  rmSync(place, { recursive: true });
});

const trainingPhases = ['train', 'quantize', 'explore', 'recover'] as const;
const short = ['--train-epochs', '1', '--explore-epochs', '2', '--recover-epochs', '1', '--sample', '16', '--quiet'];
/** Epochs of a phase that would not train, which is refused: with these words, or in the run that they go on with. */
function isIdle(option: string, words: readonly string[]): boolean {
  const path = { '--explore-epochs': 'explore.epochs', '--train-epochs': 'train.epochs' }[option];
  const own = option === '--epochs' && words[0] === 'train' ? 'train.epochs' : path;
  if (own === undefined) return false;
  const wordBehind = (name: string) => optionOf(name, words)[0];
  const folder = [words[1] ?? '', wordBehind('--from') ?? ''].find(hasManifest);
  const given = folder === undefined ? {} : readManifest(folder).given;
  const [checkpoint, multiplier] = [wordBehind('--checkpoint'), wordBehind('--multiplier')];
  const newClassifier = words.includes('--new-classifier') || undefined;
  const said = { train: { checkpoint, newClassifier }, map: { multiplier } };
  return idleAt(own, parseConfiguration(overlaid(given, said), 'settings')) !== undefined;
}

/** Without what is not said. */
const overlaid = (given: ConfigurationInput, said: ConfigurationInput): ConfigurationInput =>
  mergeSettings(given, JSON.parse(JSON.stringify(said)));

/** What makes a command short that trains; words that it has already are left as they are. */
function shortened(words: readonly string[]): string[] {
  const [command] = words;
  if (command === 'run') return without(short, words);
  if (command === 'train') return without(['--epochs', '1', '--sample', '16', '--quiet'], words);
  if (trainingPhases.some((phase) => phase === command)) return without(['--epochs', '1', '--quiet'], words);
  if (command === 'try') return without(['--exact', '4x4', '--quiet'], words);
  if (command === 'sensitivity') return without(['--images', '20', '--quiet'], words);
  return [];
}

/** A sample that the page itself chooses stays; so do exact multipliers. Epochs are fewer whatever the page says. */
function without(options: readonly string[], words: readonly string[]): string[] {
  const kept = options.flatMap((option, at) => {
    const value = options[at + 1]?.startsWith('--') === false ? [options[at + 1]!] : [];
    if (!option.startsWith('--') || isIdle(option, words)) return [];
    return words.includes(option) && !option.endsWith('epochs') ? [] : [[option, ...value]];
  });
  return kept.flat();
}

/** Neither a plan, nor a view of it, nor files for a scheduler. */
const sweepThatTrains = /^sweep (?!.*--report|.*--plan|status |submit )/;
/** Simulators, which have one flag that ends well where they are installed. */
const simulators: Readonly<Record<string, string>> = { iverilog: '-V', verilator: '--version' };
const isInstalled = (program: string) => spawnSync(program, [simulators[program]!]).status === 0;

/** What a command needs that is not here. Everything else is run. */
const elsewhere: readonly (readonly [RegExp, string])[] = [
  [/--device \S*cuda/, 'a GPU'],
  [/images:\S*imagenet/, 'ImageNet or TinyImageNet'],
  [/cifar/, 'CIFAR'],
  [/mobilenet_v2\.pth|resnet18\.(pth|safetensors)/, 'a checkpoint that is not shipped'],
  [sweepThatTrains, 'more runs than a test has time for'],
  [/^serve (?!.*--export)/, 'someone who looks at it: it does not end by itself'],
  [/--liberty|--library/, 'a cell library'],
  [/--mlflow/, 'an MLflow server'],
  ...(isInstalled('iverilog') ? [] : [[/--to testbench .*--check$/, 'iverilog'] as const]),
];

const needs = (words: readonly string[]) => elsewhere.find(([sign]) => sign.test(words.join(' ')))?.[1];

/** Images of the classes 0 to 9 as lines of a table: height × width values up to `maximum`, and the label. */
const table = (count: number, pixels: number, maximum: number) =>
  Array.from({ length: count }, (_, k) =>
    [...Array.from({ length: pixels }, (_, at) => (at * ((k % 10) + 1)) % (maximum + 1)), k % 10].join(),
  ).join('\n');

/** A NumPy array of bytes. */
function npy(shape: readonly number[], data: Uint8Array): Uint8Array {
  const words = `{'descr': '|u1', 'fortran_order': False, 'shape': (${shape.join(', ')},), }`;
  const header = `${words.padEnd(117)}\n`;
  return Buffer.concat([
    Buffer.from([0x93]),
    Buffer.from('NUMPY\x01\x00'),
    Buffer.from([118, 0]),
    Buffer.from(header),
    data,
  ]);
}

/** A file of MNIST's form: bytes of the given shape. */
function idx(shape: readonly number[], data: Uint8Array): Uint8Array {
  const header = Buffer.alloc(4 + 4 * shape.length);
  header.set([0, 0, 8, shape.length]);
  for (const [at, extent] of shape.entries()) header.writeUInt32BE(extent, 4 + 4 * at);
  return gzipSync(Buffer.concat([header, data]));
}

const patterned = (count: number, pixels: number) =>
  Uint8Array.from({ length: count * pixels }, (_, at) => ((at % pixels) * ((Math.floor(at / pixels) % 10) + 1)) % 256);
const labels = (count: number) => Uint8Array.from({ length: count }, (_, at) => at % 10);

/** A table of products for the page about a multiplier of one's own: the low three bits of operands are dropped. */
const droppedBits = () =>
  Array.from({ length: 256 }, (_, w) => Array.from({ length: 256 }, (_, x) => (w & ~7) * (x & ~7)).join(' ')).join(
    '\n',
  );

beforeAll(async () => {
  process.chdir(fixtures);
  for (const [c, name] of ['cat', 'dog'].entries()) {
    mkdirSync(join('photos', name), { recursive: true });
    for (let k = 0; k < 20; k++) {
      const background = { r: 50 + 100 * c + k, g: 20, b: 30 };
      const picture = sharp({ create: { width: 40, height: 36, channels: 3, background } });
      await picture.toFile(join('photos', name, `${k}.png`));
    }
  }
  writeFileSync('mine.csv.gz', gzipSync(table(60, 784, 255)));
  writeFileSync('faces.csv', table(60, 784, 255));
  writeFileSync('train.csv', table(60, 64, 16));
  writeFileSync('test.csv', table(20, 64, 16));
  writeFileSync('mymultiplier.txt', droppedBits());
  writeFileSync(
    'faces.npz',
    zipSync({
      'x_train.npy': npy([60, 28, 28], patterned(60, 784)),
      'y_train.npy': npy([60], labels(60)),
      'x_test.npy': npy([20, 28, 28], patterned(20, 784)),
      'y_test.npy': npy([20], labels(20)),
    }),
  );
  for (const [folder, prefix] of [
    ['data/mnist', ''],
    ['data/emnist', 'emnist-letters-'],
  ] as const) {
    mkdirSync(folder, { recursive: true });
    for (const [part, count] of [
      ['train', 60],
      [prefix === '' ? 't10k' : 'test', 20],
    ] as const) {
      const name = `${folder}/${prefix}${part}`;
      writeFileSync(`${name}-images-idx3-ubyte.gz`, idx([count, 28, 28], patterned(count, 784)));
      writeFileSync(`${name}-labels-idx1-ubyte.gz`, idx([count], labels(count)));
    }
  }
  cpSync(join(root, 'examples/own-model.mjs'), 'mynet.mjs');
  cpSync(join(root, 'test/onnx/digits.onnx'), 'net.onnx');
  const made = [
    ['run', 'runs/short', ...short],
    ['export', 'runs/short', '--stage', 'float', '--out', 'mine.pth'],
    ['export', 'runs/short', '--stage', 'quantized', '--quantizers', '--out', 'resnet8-digits_w8a8_ptq.pth'],
  ];
  for (const args of made) expect(await tram(...args)).toMatchObject({ code: 0, err: '' });
});

/** Reads a command without doing its work: what the flow would be asked for. */
async function read(args: readonly string[]): Promise<{ asked: FlowOptions[]; code: number; err: string }> {
  const asked: FlowOptions[] = [];
  const err: string[] = [];
  const code = await runProgram(args, {
    stdout: { write: () => true },
    stderr: { write: (text) => err.push(text) },
    loadFlow: async () => ({
      runFlow: async (options) => {
        asked.push(options);
        throw new Error('read');
      },
      evaluateRun: () => Promise.reject(new Error('read')),
    }),
  });
  return { asked, code, err: err.join('') };
}

/** The options of a command by their long names, and those that every command has. */
const program = await buildProgram(realServices, () => true);
function unknownOptions(command: string, words: readonly string[]): string[] {
  const named = program.commands.find((one) => one.name() === command);
  const part = named?.commands.find((one) => one.name() === words[0] || one.name() === words[1]);
  const known = [...((part ?? named)?.options ?? []), ...program.options].flatMap(({ long, short }) => [long, short]);
  return words
    .filter((word) => /^--?[a-z]/.test(word))
    .map((word) => word.replace(/=.*/, ''))
    .filter((word) => !known.includes(word) && word !== '--help');
}

/** In the place of a sweep that was only read one that was done, so that there is something to report. */
async function sweepOfOneRun(folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  const { code, err } = await tram('sweep', folder, '--over', 'lambda=0.3', ...short);
  expect({ code, err }).toEqual({ code: 0, err: '' });
}

/** In the place of a sweep whose work was only read, one with something left. */
async function sweepToSubmit(folder: string): Promise<void> {
  rmSync(folder, { recursive: true, force: true });
  expect(await tram('sweep', folder, '--over', 'lambda=0.3,1', '--plan')).toMatchObject({ code: 0, err: '' });
}

const optionOf = (option: string, args: readonly string[]) =>
  args.includes(option) ? [args[args.indexOf(option) + 1]!] : [];

/** How a command of a block was checked, or what is wrong with it. */
async function check({ words }: Documented): Promise<string> {
  const [name, ...args] = words;
  if (name === 'tram') return checkTram(args);
  if (name === 'node') return checkScript(args);
  if (name !== undefined && name in simulators) {
    if (!isInstalled(name)) return `read: needs ${name}`;
    const { status, stderr } = spawnSync(name, args, { encoding: 'utf8' });
    return status === 0 && stderr === '' ? 'run' : `FAILED: exit code ${status}: ${stderr.slice(0, 500)}`;
  }
  if (name === 'python3') return checkPython(args);
  if (name === 'npm') {
    const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: object };
    const [verb, script = verb!] = args;
    if (verb === 'ci' || verb === 'pack' || verb === 'install') return 'npm’s own';
    return script in scripts ? 'a script of package.json' : `FAILED: no script ${script}`;
  }
  return `FAILED: nothing says how to check ${name}`;
}

async function checkTram(args: readonly string[]): Promise<string> {
  const [command = ''] = args;
  if (command === 'help') {
    const { code, err } = await tram(...args);
    return code === 0 ? 'run' : `FAILED: exit code ${code}: ${err}`;
  }
  if (!commandEntries.some((entry) => entry.name === command)) return `FAILED: no command ${command}`;
  const reason = needs(args);
  const reads =
    command === 'run' || command === 'train' || command === 'sweep' ? optionOf('--from', args) : args.slice(1);
  for (const folder of reads.flatMap((arg) => /^runs\/[^/]+/.exec(arg) ?? [])) {
    if (!existsSync(folder)) cpSync('runs/short', folder, { recursive: true });
  }
  if (command === 'sweep' && args.includes('--report')) await sweepOfOneRun(args[1]!);
  if (args[1] === 'submit') await sweepToSubmit(args[2]!);
  const trains = command === 'run' || trainingPhases.some((phase) => phase === command);
  // The folder is the one of the line as it is typed, whatever makes the training short here.
  const asked = trains || sweepThatTrains.test(args.join(' ')) ? await read(args) : undefined;
  if (asked && asked.asked.length === 0) return `FAILED: ${asked.err}`;
  if (reason === undefined) {
    const isNamed = args.includes('--out') || args[1]?.startsWith('-') === false;
    const out = asked && !isNamed ? ['--out', asked.asked[0]!.folder] : [];
    const { code, err } = await tram(...args, ...shortened(args), ...out);
    return code === 0 ? 'run' : `FAILED: exit code ${code}: ${err}`;
  }
  const unknown = unknownOptions(command, args);
  if (unknown.length > 0) return `FAILED: no option ${unknown.join(', ')}`;
  for (const { settings } of asked?.asked ?? []) parseConfiguration(mergeSettings({}, settings ?? {}), 'settings');
  return `read: needs ${reason}`;
}

/** A Python file that a command of the page has written: it is run where there is a Python with torch. */
function checkPython([file = '', ...args]: readonly string[]): string {
  if (!existsSync(file)) return `FAILED: no file ${file}`;
  const source = readFileSync(file, 'utf8');
  const unknown = args.filter((arg) => !source.includes(`"${arg}"`));
  if (unknown.length > 0) return `FAILED: no option ${unknown.join(', ')}`;
  const python = pythonWithTorch();
  if (python === undefined) return 'read: needs a Python with torch';
  const { status, stdout, stderr } = spawnSync(python, [file, ...args], { encoding: 'utf8' });
  return status === 0 ? 'run' : `FAILED: exit code ${status}: ${stdout}${stderr}`;
}

/** A script of this repository: it is there, it is a program, and it knows the options that it is given. */
function checkScript([script = '', ...args]: readonly string[]): string {
  if (!existsSync(join(root, script))) return `FAILED: no file ${script}`;
  execFileSync(process.execPath, ['--check', join(root, script)]);
  const source = readFileSync(join(root, script), 'utf8');
  const unknown = args.filter((arg) => arg.startsWith('--') && !source.includes(arg));
  return unknown.length === 0 ? 'read: a script with these options' : `FAILED: no option ${unknown.join(', ')}`;
}

/** The command that is being checked: it ends in its own page's folder, also when the page's time is over. */
let underWay: Promise<unknown> = Promise.resolve();

describe.each(pages)('%s', (page) => {
  test('its shell blocks', async ({ signal }) => {
    const commands = blockCommands(page);
    if (commands.length === 0) return;
    await underWay;
    const folder = join(place, page.replace(/\W/g, '-'));
    cpSync(fixtures, folder, { recursive: true });
    process.chdir(folder);
    const lines: string[] = [];
    for (const command of commands) {
      if (signal.aborted) return;
      const checked = check(command);
      underWay = checked.catch(() => {});
      lines.push(`${command.line}: ${command.text} · ${await checked}`);
    }
    process.chdir(fixtures);
    console.log(`${page}\n${lines.join('\n')}`);
    expect(lines.filter((line) => line.includes('· FAILED'))).toEqual([]);
  });

  test('commands and options in its text', () => {
    const wrong = codeSpans(page).flatMap(({ line, text }) => {
      const [first, command = '', ...words] = text.replace(/^npx /, '').split(/\s+/);
      if (first !== 'tram' || !/^[a-z]/.test(command)) return [];
      const known = command === 'help' || commandEntries.some((entry) => entry.name === command);
      return known && unknownOptions(command, words).length === 0 ? [] : [`${line}: ${text}`];
    });
    expect(wrong).toEqual([]);
  });
});
