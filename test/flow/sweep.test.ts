// The built program sweeping: a full disk, a kill, several processes on one folder, a copy that goes on, Ctrl-C. What
// is disturbed ends with the same bits as what was left alone.

import { spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { reportSweep } from '../../src/flow/sweep/sweep.ts';
import { generate } from '../../src/netlist/generators/registry.ts';
import { writeVerilog } from '../../src/netlist/verilog/write.ts';
import { readBytes, sha256 } from '../../src/tensor/files.ts';
import { synthesisedPower, Technology } from '../../src/workbench/synthesised-power.ts';
import { tram as here } from '../cli/program.ts';

const program = join(import.meta.dirname, '../../dist/cli/main.js');
const parent = mkdtempSync(join(tmpdir(), 'tram-sweep-'));
const home = process.cwd();
afterEach(() => process.chdir(home));
afterAll(() => rmSync(parent, { recursive: true }));

/** Where something is trained. */
const threads = (args: readonly string[]) => (args.includes('--report') ? [] : ['--threads', '1']);
const small = ['--sample', '100', '--train-epochs', '8', '--explore-epochs', '1', '--recover-epochs', '1'];
// So large a λ that the structure keeps nothing to tell digits by: cheaper, and less accurate than what has learnt.
const plan = ['--over', 'multiplier=exact:3x3,trained', ...small, '--bits', '3', '--lambda', '1000'];

interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly out: string;
  readonly err: string;
}

type Child = ReturnType<typeof spawn>;

/** `blocks`: the largest file that the program may write, in kilobytes. */
function tram(
  args: readonly string[],
  onOutput?: (child: Child, out: string) => void,
  blocks?: number,
): Promise<Ended> {
  const words = [process.execPath, program, 'sweep', ...args, '--no-synthesis', ...threads(args)];
  const limited = ['bash', '-c', `ulimit -f ${blocks}; exec "$@"`, 'bash', ...words];
  const [command, ...rest] = blocks === undefined ? words : limited;
  const child = spawn(command!, rest, { cwd: parent, env: { ...process.env, FORCE_COLOR: '' } });
  let out = '';
  let err = '';
  child.stdout.on('data', (data: Buffer) => {
    out += data;
    onOutput?.(child, out);
  });
  child.stderr.on('data', (data: Buffer) => {
    err += data;
  });
  return new Promise((done) => child.on('close', (code, signal) => done({ code, signal, out, err })));
}

/** What a sweep came to, to the last bit. */
function resultsOf(folder: string): Record<string, string> {
  const trials = join(parent, folder, 'trials');
  const names = readdirSync(trials).filter((name) => existsSync(join(trials, name, 'manifest.json')));
  const files = names.flatMap((name) =>
    ['checkpoints/recovered.safetensors', 'metrics.jsonl', 'multiplier.v'].map((file) => join(name, file)),
  );
  return Object.fromEntries(files.map((file) => [file, sha256(readBytes(join(trials, file)))]));
}

const begun = (out: string) => [...out.matchAll(/^(\S+): begins/gm)].map(([, job]) => job!);

test('a disk that is full stops the sweep, and the same command goes on; a stop by Ctrl-C says how', async () => {
  const full = await tram(['whole', ...plan], undefined, 64);
  expect(full.err).toMatch(/^tram: cannot write .*exceed the size limit.*\(EFBIG\)\n$/);
  expect(full.code).toBe(2);
  expect(readdirSync(join(parent, 'whole', 'shared')).filter((name) => name.endsWith('.json'))).toEqual([]);

  let isStopped = false;
  const stopped = await tram(['whole', '--no-synthesis', '--within', '0.2'], (child, out) => {
    if (!isStopped && out.includes('✓ shared/')) isStopped = child.kill('SIGINT');
  });
  expect(stopped.err).toBe(
    'tram: stopped; the work so far is saved, go on with: tram sweep whole --no-synthesis --within 0.2\n',
  );
  expect(stopped.code).toBe(130);

  const whole = await tram(['whole', '--json']);
  expect(whole.code).toBe(0);
  const report = JSON.parse(whole.out);
  expect(report.points.map(({ name }: { name: string }) => name).sort()).toEqual(['exact3x3', 'trained']);
  expect(report).toMatchObject({ kind: 'gates', failed: [], open: [] });
  const exact = report.points.find(({ name }: { name: string }) => name === 'exact3x3');
  expect(exact.power).toMatchObject({
    modelled: null,
    gates: { mean: expect.closeTo(39 / 400, 12), n: 1 },
    synthesised: null,
  });
  for (const name of ['front.json', 'front.csv', 'front.tex', 'front.svg']) {
    expect(existsSync(join(parent, 'whole', name))).toBe(true);
  }
  expect(readdirSync(join(parent, 'whole', 'best'))).toContain('exact3x3.multiplier.v');
});

test('of two processes on one folder one is killed: the other takes over, and the results are the same bits', async () => {
  let killed: Promise<Ended> | undefined;
  let isKilled = false;
  const first = new Promise<Ended>((done) => {
    killed = tram(['shared', ...plan], (child, out) => {
      if (!isKilled && /trials\/\S+: .* epoch/.test(out)) isKilled = child.kill('SIGKILL');
    });
    void killed.then(done);
  });
  while (!existsSync(join(parent, 'shared', 'sweep.json'))) await new Promise((wake) => setTimeout(wake, 50));
  const second = await tram(['shared']);
  expect((await first).signal).toBe('SIGKILL');
  expect(second.code).toBe(0);
  const theirs = begun((await first).out);
  const ours = begun(second.out);
  // Each began something; only what was under way at the kill was begun twice.
  expect(theirs.length).toBeGreaterThan(0);
  expect(ours.length).toBeGreaterThan(0);
  expect(ours.filter((job) => theirs.includes(job)).length).toBeLessThanOrEqual(1);
  expect(resultsOf('shared')).toEqual(resultsOf('whole'));
});

test('a copy is a sweep of its own: it makes its results anew, and goes on with what is not done', async () => {
  cpSync(join(parent, 'whole'), join(parent, 'copy'), { recursive: true });
  rmSync(join(parent, 'copy', 'front.json'));
  rmSync(join(parent, 'copy', 'trials', 'exact3x3.json'));
  rmSync(join(parent, 'copy', 'trials', 'exact3x3'), { recursive: true });
  const shown = await tram(['copy', '--report']);
  expect(shown.code).toBe(0);
  expect(shown.out).toContain('not done: exact3x3');
  const { code, out } = await tram(['copy']);
  expect(code).toBe(0);
  expect(begun(out)).toEqual(['trials/exact3x3']);
  expect(resultsOf('copy')).toEqual(resultsOf('whole'));
  expect(JSON.parse(readFileSync(join(parent, 'copy', 'front.json'), 'utf8')).open).toEqual([]);
});

test('the netlist that is kept of an exact multiplier is the one that has its synthesised power', async () => {
  const folder = join(parent, 'whole');
  const { points } = await reportSweep({ folder });
  const { family, power } = points.find(({ name }) => name === 'exact3x3')!;
  const verilog = readFileSync(join(folder, 'best', 'exact3x3.multiplier.v'), 'utf8');
  expect(verilog).toBe(
    writeVerilog(generate(family!.multiplier!.family, { weightBits: 3, activationBits: 3 }).network),
  );
  const technology = new Technology();
  const { relative } = await synthesisedPower({ verilog, file: 'exact3x3.multiplier.v' }, technology);
  await technology.close();
  expect(relative.power).toBeCloseTo(power.synthesised!.mean, 3);
  const table = readFileSync(join(folder, 'best', 'exact3x3.multiplier.npy'));
  expect(table).toEqual(readFileSync(join(folder, 'trials', 'exact3x3', 'multiplier.npy')));
  // A file that the run did not write is no result.
  const path = join(folder, 'trials', 'exact3x3', 'multiplier.npy');
  writeFileSync(path, table.subarray(0, -1));
  await expect(reportSweep({ folder })).rejects.toThrow('is not the file that the run wrote');
  writeFileSync(path, table);
});

test.each([
  [['new'], /new is not the folder of a sweep, and nothing is varied for a new one; say what with --over, --config or/],
  [['new', '--over', 'lamda=1'], /unknown setting to vary 'lamda'; did you mean 'lambda'/],
  [['new', '--over', 'model=resnet9'], /unknown model 'resnet9'; did you mean 'resnet8'/],
  [['new', '--over', 'rivals=recovered'], /unknown setting to vary 'rivals'/],
  [['new', '--cheapest', '--bits', '4x4', '--over', 'bits=4,5'], /--cheapest has widths of its own; say either --bits/],
  [['new', '--cheapest', '--layer-widths', '4x4'], /--cheapest has widths of layers with --per-layer of its own/],
  [
    ['new', '--per-layer', '--over', 'lambda=1'],
    /--per-layer has no effect without --cheapest: without it say --over layer-widths/,
  ],
  [['new', '--over', 'layer-widths=0.01', '--multiplier', 'exact', '--layer-kinds', '0'], /--layer-kinds/],
  [
    ['new', '--over', 'layer-widths=4x4,0.01', '--multiplier', 'exact'],
    /the cheapest pair of widths, 2×2, costs 0\.025/,
  ],
  [
    ['new', '--over', 'layer-kinds=3,50', '--layer-widths', '4x4', '--multiplier', 'exact'],
    /layer-kinds: expected a whole number from 1 to 49/,
  ],
  // What is known with data and network alone: as each trial says it, and before any is trained.
  [
    ['new', '--over', 'theta-learning-rate=0.1,1e-6', '--explore-optimizer', 'adam', '--explore-epochs', '2'],
    /^tram: the trial theta-learning-rate1e-6: settings: explore\.thetaLearningRate is 0\.000001: by adam θ moves by /,
  ],
  [
    ['new', '--over', 'model=resnet8,resnet18'],
    /^tram: the trial model-resnet18: the model resnet18 needs images of at least 16×16 pixels; those of digits have 8×8/,
  ],
  [
    ['new', '--over', 'exact-layers=first,all'],
    /^tram: the trial exact-layers-all: every layer keeps the exact multiplier /,
  ],
  [['new', '--over', 'layer-bits=nolayer=4', '--bits', '5'], /^tram: the trial layer-bits-nolayer-4: .*'nolayer'/],
  [
    ['new', '--over', 'data=digits,cifar10'],
    /^tram: the trial data-cifar10: the data set 'cifar10' lacks its location/,
  ],
  [
    ['new', '--over', 'quantizer=steps,clips', '--zero-product', 'own', '--multiplier', 'truncated:8x8:columns=6'],
    /^tram: the trial quantizer-clips: --zero-product own needs one zero point for all weights: those of --quantizer/,
  ],
  [['new', '--report'], /new is not the folder of a sweep: it has no sweep\.json/],
  [['new', '--over', 'lambda=1', '--power', '0.3'], /explore\.lambda is 1, but explore\.power 0\.3/],
  [['.', '--over', 'lambda=1'], /is not the folder of a sweep \(no sweep\.json\), but /],
  [['copy', '--from', 'copy/trials/trained'], /copy is a sweep with a plan of its own/],
  [
    ['copy', '--over', 'multiplier=exact:3x3,trained', ...small, '--bits', '3', '--from', 'copy/trials/trained'],
    /branch/,
  ],
  [['copy', '--lambda', '2'], /copy is a sweep with a plan of its own/],
  [['copy', '--over', 'lambda=2'], /copy is a sweep without the trial lambda2/],
])('%j is refused in one line before anything is made', async (args, reason) => {
  process.chdir(parent);
  const { code, err } = await here('sweep', ...args, '--no-synthesis', ...threads(args));
  expect(err).toMatch(reason);
  expect(err.trim().split('\n')).toHaveLength(1);
  expect(code).toBe(2);
  expect(existsSync(join(parent, 'new'))).toBe(false);
});
