// The program killed with SIGKILL again and again at arbitrary moments ends with the same final weights as one that was
// left alone.

import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { readBytes, sha256 } from '../../src/tensor/files.ts';
import { Random } from '../../src/tensor/random.ts';

const program = join(import.meta.dirname, '../../dist/cli/main.js');
const parent = mkdtempSync(join(tmpdir(), 'tram-killed-'));
afterAll(() => rmSync(parent, { recursive: true }));

const epochs = ['--sample', '300', '--train-epochs', '4', '--explore-epochs', '1', '--recover-epochs', '1'];

/** Runs the program; kills it after so many milliseconds. Resolves to whether it was killed. */
function run(folder: string, threads: number, killAfter?: number): Promise<boolean> {
  return new Promise((resolve, reject) => {
    const child = spawn(
      process.execPath,
      [program, 'run', '--out', folder, ...epochs, '--threads', String(threads), '--quiet'],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    let complaint = '';
    child.stderr.on('data', (chunk) => {
      complaint += chunk;
    });
    const timer = killAfter === undefined ? undefined : setTimeout(() => child.kill('SIGKILL'), killAfter);
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (signal === 'SIGKILL') resolve(true);
      else if (code === 0) resolve(false);
      else reject(new Error(`exit code ${code}: ${complaint}`));
    });
  });
}

test('a run killed at arbitrary moments ends with the same bits', async () => {
  const [whole, killed] = [join(parent, 'whole'), join(parent, 'killed')];
  await run(whole, 2);
  const random = new Random(20261122);
  let kills = 0;
  // Moments grow by a share, so that even a slow machine soon gets through an epoch between two of them.
  while (await run(killed, 1 + (kills % 2), 500 * 1.2 ** kills + random.integer(1500))) {
    kills++;
    for (const name of existsSync(killed) ? readdirSync(killed) : []) {
      if (name.endsWith('.json')) JSON.parse(readFileSync(join(killed, name), 'utf8'));
    }
  }
  expect(kills).toBeGreaterThan(2);
  for (const file of ['checkpoints/float', 'checkpoints/quantized', 'checkpoints/explored', 'checkpoints/recovered']) {
    const path = `${file}.safetensors`;
    expect(sha256(readBytes(join(killed, path))), path).toBe(sha256(readBytes(join(whole, path))));
  }
  expect(readFileSync(join(killed, 'metrics.jsonl'), 'utf8')).toBe(readFileSync(join(whole, 'metrics.jsonl'), 'utf8'));
  expect(readFileSync(join(killed, 'multiplier.v'), 'utf8')).toBe(readFileSync(join(whole, 'multiplier.v'), 'utf8'));
}, 900_000);
