// The built program where its surroundings fail: a full disk behind the output, a terminal that is closed, a pipe in
// the place of a file, names that are commands to a terminal, a container that is started again with the same process
// numbers.

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { guarded } from '../../src/cli/style.ts';
import { tram } from './program.ts';

const program = join(import.meta.dirname, '../../dist/cli/main.js');
const folder = mkdtempSync(join(tmpdir(), 'tram-output-'));
afterAll(() => rmSync(folder, { recursive: true }));

const brief = ['--sample', '60', '--train-epochs', '1', '--explore-epochs', '1', '--recover-epochs', '1', '--quiet'];
const environment = { ...process.env, TRAM_DEBUG: '', FORCE_COLOR: '' };

/** Runs the program to its end with the shell's redirections; stdout and stderr as far as they come here. */
function shell(command: string, env: NodeJS.ProcessEnv = {}) {
  const { status, stdout, stderr } = spawnSync(
    'sh',
    ['-c', command.replaceAll('tram', `"${process.execPath}" "${program}"`)],
    {
      cwd: folder,
      env: { ...environment, ...env },
      encoding: 'utf8',
    },
  );
  return { code: status, out: stdout, err: stderr };
}

beforeAll(() => {
  const { err } = shell(`tram run whole ${brief.join(' ')}`);
  if (err !== '') throw new Error(err);
});

describe.runIf(existsSync('/dev/full'))('output to a full disk', () => {
  test.each([
    'simulate dadda:8x8',
    'simulate dadda:8x8 --json',
    'report whole',
    'evaluate whole --stage float',
    '--help',
  ])('of tram %s is told in one line, with exit code 2', (args) => {
    expect(shell(`tram ${args} > /dev/full`)).toEqual({
      code: 2,
      out: '',
      err: 'tram: cannot write the output: no space left on the disk; free some space and run again (ENOSPC)\n',
    });
  });

  test('of a whole run does not lose the run', () => {
    const { code, err } = shell(`tram run kept ${brief.join(' ').replace('--quiet', '')} > /dev/full`);
    expect(code).toBe(2);
    expect(err.split('\n')).toHaveLength(2);
    expect(shell('tram check kept').code).toBe(0);
  });

  test('of messages leaves their exit code', () => {
    expect(shell('tram simulate nowhere.v 2> /dev/full')).toEqual({ code: 2, out: '', err: '' });
  });
});

test('a terminal that is closed stops a run after saving', async () => {
  const child = spawn(process.execPath, [program, 'train', 'closed', '--sample', '60', '--epochs', '500'], {
    cwd: folder,
    env: environment,
  });
  let [out, err] = ['', ''];
  child.stdout.on('data', (data) => {
    if (!out.includes('epoch 2/500') && `${out}${data}`.includes('epoch 2/500')) child.kill('SIGHUP');
    out += data;
  });
  child.stderr.on('data', (data) => {
    err += data;
  });
  expect(await new Promise((done) => child.on('close', done))).toBe(129);
  expect(err).toBe('tram: stopped; the work so far is saved, go on with: tram train closed\n');
  expect(existsSync(join(folder, 'closed/checkpoints/resume.safetensors'))).toBe(true);
  expect(existsSync(join(folder, 'closed/.lock'))).toBe(false);
});

test('the folder in which the program stands may be gone', () => {
  expect(shell('mkdir gone && cd gone && rmdir ../gone && tram report ../whole')).toMatchObject({
    code: 2,
    err: 'tram: the current folder does not exist any more; change to another one\n',
  });
});

describe.skipIf(process.platform === 'win32')('a pipe or a device in the place of a file', () => {
  test('of a run is refused, not waited for', () => {
    execFileSync('cp', ['-r', 'whole', 'piped'], { cwd: folder });
    rmSync(join(folder, 'piped/metrics.jsonl'));
    execFileSync('mkfifo', ['piped/metrics.jsonl'], { cwd: folder });
    const { code, err } = shell('tram report piped');
    expect(code).toBe(2);
    expect(err).toMatch(/metrics\.jsonl .*it is a pipe, a regular file was expected/);
  });

  test('that a user names is refused', () => {
    execFileSync('mkfifo', ['model.safetensors'], { cwd: folder });
    for (const path of ['model.safetensors', '/dev/zero']) {
      const { code, err } = shell(`tram train new --checkpoint ${path}`);
      expect(code).toBe(2);
      expect(err).toMatch(/cannot read .*: it is a (pipe|device), a regular file was expected/);
    }
    expect(existsSync(join(folder, 'new'))).toBe(false);
  });
});

describe('names of files', () => {
  const hostile = 't\u001b]0;pwned\u0007\u009b2J';

  test('are written out where they would be commands to a terminal', async () => {
    const file = join(folder, 'hostile.blif');
    const text = `.model ${hostile}\n.inputs a[0] b[0] a[1] b[1]\n.outputs p[0] p[1] p[2] p[3]\n.end\n`;
    writeFileSync(file, text);
    writeFileSync(join(folder, `${hostile}.v`), 'module');
    for (const args of [
      ['simulate', file],
      ['simulate', join(folder, `${hostile}.v`)],
      ['check', join(folder, hostile)],
    ]) {
      const { out, err } = await tram(...args);
      expect(out + err).not.toMatch(/(?!\n)\p{Cc}/u);
      expect(out + err).not.toBe('');
    }
  });

  test('keep our own colours, and JSON stays JSON', () => {
    const written: string[] = [];
    const stream = guarded({ isTTY: true, columns: 70, write: (text) => written.push(text) });
    expect([stream.isTTY, stream.columns]).toEqual([true, 70]);
    stream.write(`\u001b[1mbold\u001b[22m\r\u001b[K${hostile}\n`);
    expect(written[0]).toBe('\u001b[1mbold\u001b[22m\r\u001b[Kt\\u001b]0;pwned\\u0007\\u009b2J\n');
    stream.write(JSON.stringify({ name: hostile }));
    expect(JSON.parse(written[1]!)).toEqual({ name: hostile });
  });
});

/** Kills the process (a thread of it, with all others) just before the given renaming of a file. */
const HOOK = `
const fs = require('node:fs');
const rename = fs.renameSync;
let left = Number(process.env.KILL_AT);
fs.renameSync = (...paths) => {
  if (--left === 0) process.kill(process.pid, 'SIGKILL');
  return rename(...paths);
};
require('node:module').syncBuiltinESMExports();
`;

const canUnshare = spawnSync('unshare', ['--pid', '--fork', '--mount-proc', 'true']).status === 0;

test.runIf(canUnshare)('a container that was killed within a write goes on with the same process numbers', () => {
  writeFileSync(join(folder, 'hook.cjs'), HOOK);
  const container = (env: NodeJS.ProcessEnv) =>
    shell(`unshare --pid --fork --mount-proc sh -c 'tram train boxed --sample 60 --epochs 1 --quiet; exit $?'`, env);
  for (const at of [1, 3]) {
    const { code } = container({ NODE_OPTIONS: `--require ${join(folder, 'hook.cjs')}`, KILL_AT: String(at) });
    expect(code).toBe(137);
    expect(
      readdirSync(join(folder, 'boxed'), { recursive: true }).filter((name) => `${name}`.endsWith('.tmp')),
    ).toHaveLength(1);
  }
  expect(container({})).toMatchObject({ code: 0, err: '' });
  expect(shell('tram check boxed').out).toMatch(/^whole: boxed/m);
  expect(readdirSync(join(folder, 'boxed')).filter((name) => name.startsWith('.'))).toEqual([]);
});
