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

const MOST_KILLS = 12;
const epochs = ['--sample', '300', '--train-epochs', '2', '--explore-epochs', '1', '--recover-epochs', '1'];

/** How far a run has come: phases that are done and epochs that are logged. */
function progressOf(folder: string): string {
  const of = (name: string) => (existsSync(join(folder, name)) ? readFileSync(join(folder, name), 'utf8') : '');
  const { phases = {} } = JSON.parse(of('manifest.json') || '{}') as { phases?: object };
  return `${Object.keys(phases)} ${of('metrics.jsonl').split('\n').length}`;
}

interface Kill {
  /** From its next epoch or phase on, or else from its start. */
  readonly onProgress: boolean;
  /** Milliseconds. */
  readonly after: number;
}

/** Runs the program and kills it, unless it ends before. Resolves to whether it was killed. */
function run(folder: string, threads: number, kill?: Kill): Promise<boolean> {
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
    let timer: NodeJS.Timeout | undefined;
    const begin = ({ after }: Kill) => {
      timer ??= setTimeout(() => child.kill('SIGKILL'), after);
    };
    const before = progressOf(folder);
    const look = setInterval(() => kill?.onProgress && progressOf(folder) !== before && begin(kill), 20);
    if (kill?.onProgress === false) begin(kill);
    child.on('close', (code, signal) => {
      clearInterval(look);
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
  // Two of three times only when it has come further, whatever the machine needs to start: so kills fall into all
  // phases, and it ends.
  const kill = (): Kill =>
    kills % 3 === 1
      ? { onProgress: false, after: random.integer(3000) }
      : { onProgress: true, after: random.integer(400) };
  const places = new Set<string>();
  while (await run(killed, 1 + (kills % 2), kills < MOST_KILLS ? kill() : undefined)) {
    kills++;
    places.add(progressOf(killed));
    for (const name of existsSync(killed) ? readdirSync(killed) : []) {
      if (name.endsWith('.json')) JSON.parse(readFileSync(join(killed, name), 'utf8'));
    }
  }
  expect(kills).toBeGreaterThan(5);
  expect(places.size).toBeGreaterThan(4);
  for (const file of ['checkpoints/float', 'checkpoints/quantized', 'checkpoints/explored', 'checkpoints/recovered']) {
    const path = `${file}.safetensors`;
    expect(sha256(readBytes(join(killed, path))), path).toBe(sha256(readBytes(join(whole, path))));
  }
  expect(readFileSync(join(killed, 'metrics.jsonl'), 'utf8')).toBe(readFileSync(join(whole, 'metrics.jsonl'), 'utf8'));
  expect(readFileSync(join(killed, 'multiplier.v'), 'utf8')).toBe(readFileSync(join(whole, 'multiplier.v'), 'utf8'));
}, 900_000);
