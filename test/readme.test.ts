// The README's library example runs as it stands, and is as short as promised; its commands work when they are typed
// one after another.

import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { runProgram } from '../src/cli/program.ts';
import type { FlowOptions } from '../src/flow/flow.ts';

const root = join(import.meta.dirname, '..');

test('the library example of the README runs and prints what it says', () => {
  const example = /```ts\n([\s\S]*?)```/.exec(readFileSync(join(root, 'README.md'), 'utf8'))![1]!;
  expect(example.trim().split('\n').length).toBeLessThanOrEqual(15);
  const folder = mkdtempSync(join(tmpdir(), 'tram-readme-'));
  const library = pathToFileURL(join(root, 'dist/index.js')).href;
  writeFileSync(join(folder, 'example.mjs'), example.replace("'tram-axm'", `'${library}'`));
  const output = execFileSync(process.execPath, ['example.mjs'], { cwd: folder, encoding: 'utf8' });
  rmSync(folder, { recursive: true });
  const lines = output.trim().split('\n');
  expect(lines.slice(0, -1).map((line) => line.split(' ')[0])).toEqual([
    'train',
    'train',
    'train',
    'train',
    'explore',
    'explore',
    'recover',
  ]);
  const [accuracy, cost, worst] = lines.at(-1)!.split(' ').map(Number);
  expect(accuracy).toBeGreaterThan(0.85);
  expect(cost).toBeLessThan(0.9);
  expect(worst).toBeGreaterThan(0);
}, 180_000);

/** The `tram` commands of the README's shell blocks, in order, as arguments. */
function commands(): string[][] {
  const readme = readFileSync(join(root, 'README.md'), 'utf8');
  const lines = [...readme.matchAll(/```sh\n([\s\S]*?)```/g)].flatMap(([, block]) => block!.split('\n'));
  return lines.flatMap((line) => {
    const typed = /(?:^|&&|npx )\s*(?:npx )?tram ([^#]*)/.exec(line)?.[1]?.trim();
    return typed ? [typed.split(/\s+/)] : [];
  });
}

/** Data or a machine that this test does not have: such commands are read, but their work is not done. */
const isElsewhere = (args: readonly string[]) => args.some((arg) => /^cifar10|^cuda|^photos|mynet/.test(arg));

/** Reads a command's arguments in a directory without doing its work: the run folder that it is about. */
async function folderOf(args: readonly string[], directory: string): Promise<string> {
  const before = process.cwd();
  process.chdir(directory);
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
  process.chdir(before);
  // A sweep asks for all its runs, and keeps what became of each.
  if (args[0] === 'sweep') {
    expect({ args, many: asked.length > 10, code }).toEqual({ args, many: true, code: 2 });
  } else {
    expect({ args, asked: asked.length, code, err: err.join() }).toEqual({
      args,
      ...{ asked: 1, code: 1, err: expect.stringContaining('read') },
    });
  }
  return asked[0]!.folder;
}

test('the commands of the README work when they are typed one after another', async () => {
  const typed = commands();
  expect(typed.length).toBeGreaterThanOrEqual(4);
  const folder = mkdtempSync(join(tmpdir(), 'tram-typed-'));
  const images = Array.from({ length: 60 }, (_, k) => [
    ...Array.from({ length: 784 }, (_, at) => (at * (k % 10)) % 256),
    k % 10,
  ]);
  writeFileSync(join(folder, 'mine.csv.gz'), gzipSync(images.map((image) => `${image.join()}\n`).join('')));
  const short = ['--train-epochs', '1', '--explore-epochs', '1', '--recover-epochs', '1', '--quiet'];
  for (const args of typed) {
    const line = `tram ${args.join(' ')}`;
    if (isElsewhere(args)) {
      await folderOf(args, folder);
      continue;
    }
    // The folder is the one of the line as it is typed, whatever makes the training short here.
    const quick =
      args[0] === 'run'
        ? [...short, '--out', await folderOf(args, folder)]
        : args[0] === 'try'
          ? ['--exact', 'none', '--quiet']
          : [];
    const { status, stderr } = spawnSync(process.execPath, [join(root, 'dist/cli/main.js'), ...args, ...quick], {
      cwd: folder,
      encoding: 'utf8',
    });
    expect({ line, status, stderr }).toEqual({ line, status: 0, stderr: '' });
  }
  expect(existsSync(join(folder, 'runs'))).toBe(true);
  rmSync(folder, { recursive: true });
}, 300_000);
