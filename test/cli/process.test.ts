// The built program as a process: exit codes, what goes to which stream, closed pipes, Ctrl-C, and that nothing is
// written on an error.

import { spawn, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const program = join(import.meta.dirname, '../../dist/cli/main.js');
const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as {
  version: string;
};
const folder = mkdtempSync(join(tmpdir(), 'tram-process-'));

beforeAll(() => {
  if (!existsSync(program)) throw new Error(`${program} is missing; run npm run build`);
});
afterAll(() => rmSync(folder, { recursive: true }));

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

type Child = ReturnType<typeof spawn>;

/** Runs `tram` in the temporary folder; `onOutput` sees the standard output as it grows. */
function tram(args: readonly string[], onOutput: (child: Child, out: string) => void = () => {}): Promise<Ended> {
  const environment = { ...process.env, TRAM_DEBUG: '', FORCE_COLOR: '' };
  const child = spawn(process.execPath, [program, ...args], { cwd: folder, env: environment });
  let out = '';
  let err = '';
  child.stdout.on('data', (data: Buffer) => {
    out += data;
    onOutput(child, out);
  });
  child.stderr.on('data', (data: Buffer) => {
    err += data;
  });
  return new Promise((done) => child.on('close', (code) => done({ code, out, err })));
}

test('--version is that of package.json', async () => {
  expect(await tram(['--version'])).toEqual({ code: 0, out: `${version}\n`, err: '' });
});

test.skipIf(process.platform === 'win32')('a run that may not be written is reported elsewhere', async () => {
  const run = join(folder, 'read-only');
  mkdirSync(run);
  chmodSync(folder, 0o755);
  chmodSync(run, 0o555);
  const user = process.geteuid!() === 0 ? { uid: 65534 } : {};
  const { status, stderr } = spawnSync(process.execPath, [program, 'report', run], { encoding: 'utf8', ...user });
  expect([status, stderr]).toEqual([
    2,
    `tram: ${run} may not be written; tram report ${run} --out FOLDER makes the page and its figures elsewhere\n`,
  ]);
  rmSync(run, { recursive: true });
});

test.skipIf(Number(process.versions.node.split('.')[0]) >= 22)(
  'a model in TypeScript is refused by a Node.js that reads none, with one that does',
  async () => {
    writeFileSync(join(folder, 'net.ts'), 'export default (nn: unknown) => nn;');
    const { code, err } = await tram(['models', './net.ts']);
    expect({ code, err }).toEqual({
      code: 2,
      err: `tram: ./net.ts: Node.js ${process.version} reads no TypeScript; use 22.18 or later, or give the compiled .js or .mjs\n`,
    });
    rmSync(join(folder, 'net.ts'));
  },
);

describe('an error', () => {
  test.each([
    [['run', '--seed', '1x']],
    [['run', '--epochs', '1']],
    [['run', '--model', 'resnet9']],
    [['run', '--data', 'csv:none.csv', '--image', '8x8x1']],
    [['run', '--bits', '4', '--columns', '8']],
    [['train', '--checkpoint', 'none.safetensors']],
    [['explore', 'nothing']],
    [['evaluate', 'nothing']],
    [['report', 'nothing']],
    [['map', '--theta', '1,2', '--out', 'multiplier']],
    [['map', 'nothing']],
  ])('of %j is one line on the error stream, code 2, and writes nothing', async (args) => {
    const before = readdirSync(folder);
    const { code, out, err } = await tram(args);
    expect(err).toMatch(/^tram: [^\n]+\n$/);
    expect(err).not.toMatch(/internal/);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(readdirSync(folder)).toEqual(before);
  });
});

test('doctor --json and map --json print one object and nothing else', async () => {
  const doctor = await tram(['doctor', '--json']);
  expect(doctor).toMatchObject({ code: 0, err: '' });
  expect(JSON.parse(doctor.out)).toMatchObject({ healthy: true, tram: version, data: { works: true } });
  const map = await tram(['map', '--bits', '3', '--theta', '1,0.5', '--json']);
  expect(map).toMatchObject({ code: 0, err: '' });
  expect(JSON.parse(map.out)).toMatchObject({ weightBits: 3, theta: [1, 0.5] });
});

test('a training phase prints plain lines into a pipe, resumes after Ctrl-C, and goes on when its reader has left', async () => {
  let pressed = false;
  const stopped = await tram(['train', 'one', '--epochs', '4', '--threads', '2'], (child, out) => {
    if (pressed || !out.includes('epoch 1/4')) return;
    pressed = true;
    child.kill('SIGINT');
  });
  expect(stopped.code).toBe(130);
  expect(stopped.out.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
  expect(stopped.out).toMatch(/^note: data: 1797 images [^\n]+\ntrain: .*\ntrain: epoch 1\/4: loss [^\n]+\n/);
  expect(stopped.err).toBe('tram: stopped; the work so far is saved, go on with: tram train one --threads 2\n');

  const left = await tram(['train', 'one'], (child) => child.stdout?.destroy());
  expect(left).toMatchObject({ code: 0, err: '' });

  const skipped = await tram(['train', 'one', '--json']);
  expect(skipped.err).toMatch(/^note: data: [^\n]+\ntrain: skipped \(done with these settings\)\n$/);
  expect(JSON.parse(skipped.out)).toMatchObject({ data: 'digits', donePhases: ['train'] });

  const evaluated = JSON.parse((await tram(['evaluate', 'one', '--json'])).out);
  expect(evaluated.accuracy).toBe(JSON.parse(skipped.out).stages[0].accuracy);

  const other = await tram(['train', 'one', '--epochs', '1']);
  expect(other).toMatchObject({ code: 2, out: '' });
  expect(other.err).toMatch(/^tram: .*train\.epochs 1 instead of 4.*--redo.*\n$/);
});

test('a second Ctrl-C ends the process at once', async () => {
  let pressed = 0;
  const { code } = await tram(['train', 'two', '--epochs', '500'], (child, out) => {
    if (pressed === 0 && out.includes('epoch 1/500')) {
      pressed = 1;
      child.kill('SIGINT');
    } else if (pressed === 1 && out.includes('stopping')) {
      pressed = 2;
      child.kill('SIGINT');
    }
  });
  expect(code).toBe(130);
});
