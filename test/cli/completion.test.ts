// Shell completion, asked of the shells themselves: bash always, fish and zsh where they are installed.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { commandEntries } from '../../src/cli/program.ts';
import { tram } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-completion-'));
afterAll(() => rmSync(folder, { recursive: true }));

beforeAll(async () => {
  for (const shell of ['bash', 'zsh', 'fish']) {
    const { code, out } = await tram('completion', shell);
    expect(code).toBe(0);
    writeFileSync(join(folder, `tram.${shell}`), out);
  }
  for (const name of ['runs/one', 'runs/two words', 'sweeps/s', 'sweeps/s/trials/t1', 'other/deep']) {
    mkdirSync(join(folder, name), { recursive: true });
  }
  for (const name of ['runs/one', 'runs/two words', 'sweeps/s/trials/t1']) {
    writeFileSync(join(folder, name, 'manifest.json'), '{}');
  }
  writeFileSync(join(folder, 'sweeps/s/sweep.json'), '{}');
});

const has = (shell: string) => spawnSync(shell, ['-c', 'exit 0']).status === 0;

/** What bash offers behind these words, the last one begun. */
function bash(...words: string[]): string[] {
  const line = words.map((word) => `'${word}'`).join(' ');
  const script = `source ./tram.bash; COMP_WORDS=(${line}); COMP_CWORD=${words.length - 1}; _tram; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const out = execFileSync('bash', ['--norc', '-c', script], { cwd: folder, encoding: 'utf8' });
  return out.split('\n').filter((word) => word !== '');
}

test('bash completes every command, and help its topics', () => {
  expect(bash('tram', '')).toEqual([...commandEntries.map(({ name }) => name), 'help']);
  expect(bash('tram', 'exp')).toEqual(['explore', 'export']);
  expect(bash('tram', '--no')).toEqual(['--no-color']);
  expect(bash('tram', 'help', 'N')).toEqual(['NMED']);
});

test('bash completes options of the command, and their values', () => {
  expect(bash('tram', 'run', '--explore-ep')).toEqual(['--explore-epochs']);
  expect(bash('tram', 'report', '--')).toEqual(expect.arrayContaining(['--figures', '--open', '--help']));
  expect(bash('tram', 'report', '--lam')).toEqual([]);
  expect(bash('tram', 'run', '--model', 'resnet1')).toEqual(['resnet18']);
  expect(bash('tram', 'run', '--model', '=', 'resnet1')).toEqual(['resnet18']);
  expect(bash('tram', 'run', '--recipe', 'paper')).toEqual(expect.arrayContaining(['paper-cifar10']));
  expect(bash('tram', 'run', '--data', 'cif')).toEqual(expect.arrayContaining(['cifar10:']));
  expect(bash('tram', 'run', '--precision', '')).toEqual(expect.arrayContaining(['tf32']));
  expect(bash('tram', 'export', '--stage', 'q')).toEqual(['quantized']);
});

test('bash completes run folders and sweeps where they lie, other folders only where there are none', () => {
  expect(bash('tram', 'report', 'ru')).toEqual(['runs/one', 'runs/two words']);
  expect(bash('tram', 'report', 'sweeps/s/t')).toEqual(['sweeps/s/trials/t1']);
  expect(bash('tram', 'sweep', 'sw')).toEqual(['sweeps/s']);
  expect(bash('tram', 'report', 'oth')).toEqual(['other']);
  expect(bash('tram', 'simulate', 'tram.b')).toEqual(['tram.bash']);
  expect(bash('tram', 'run', '--from', 'runs/o')).toEqual(['runs/one']);
});

test.skipIf(!has('fish'))('fish offers the same (skipped where it is not installed)', () => {
  const fish = (line: string) =>
    execFileSync('fish', ['--no-config', '-c', `source tram.fish; complete -C '${line}'`], {
      cwd: folder,
      encoding: 'utf8',
    })
      .split('\n')
      .flatMap((one) => (one === '' ? [] : [one.split('\t')[0]!]));
  expect(fish('tram exp').toSorted()).toEqual(['explore', 'export']);
  expect(fish('tram run --explore-ep')).toEqual(['--explore-epochs']);
  expect(fish('tram run --model resnet1').toSorted()).toEqual(['resnet18']);
  expect(fish('tram report runs/o')).toEqual(['runs/one']);
});

test.skipIf(!has('zsh'))('zsh reads its script (skipped where it is not installed)', () => {
  const script = 'autoload -Uz compinit; compinit -u -d ./dump; source ./tram.zsh; print -r -- $_comps[tram]';
  expect(execFileSync('zsh', ['-f', '-c', script], { cwd: folder, encoding: 'utf8' }).trim()).toBe('_tram');
  // The cases are read with the function that holds them.
  expect(spawnSync('zsh', ['-f', '-n', 'tram.zsh'], { cwd: folder }).status).toBe(0);
});

test('another shell is refused with the names of those that are known', async () => {
  const { code, err } = await tram('completion', 'tcsh');
  expect([code, err]).toEqual([2, "tram: completion for 'tcsh' is not known; valid: bash, zsh, fish\n"]);
});
