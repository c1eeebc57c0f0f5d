// How a replica's process ends, as the process that has started it sees it.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { describeEnd, startReplica } from './children.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-children-'));
afterAll(() => rmSync(folder, { recursive: true }));

const order = {
  ...{ host: '127.0.0.1', port: 1, token: '', seconds: 1, ranks: 2, rank: 1, localRank: 1 },
  device: { name: 'reference' },
} as const;

/** What every process of Node does first, until the test ends. */
function first(program: string): void {
  const file = join(folder, 'first.cjs');
  writeFileSync(file, program);
  vi.stubEnv('NODE_OPTIONS', `--require ${file}`);
}
afterAll(() => vi.unstubAllEnvs());

test('the end is told with its last words while a process that it has started lives on', async () => {
  first(`
    const { spawn } = require('node:child_process');
    spawn('sleep', ['20'], { stdio: 'inherit', detached: true }).unref();
    require('node:fs').writeSync(2, 'the device is on fire\\n');
    process.kill(process.pid, 'SIGKILL');
  `);
  const begun = Date.now();
  const replica = startReplica(order);
  expect(describeEnd(await replica.ended)).toBe('rank 1 ended by SIGKILL: the device is on fire');
  await replica.close();
  expect(Date.now() - begun).toBeLessThan(10_000);
});

test('nothing waits on behind the end of one that has closed its pipes', async () => {
  first('process.exit(3);');
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
  const before = timers();
  const replica = startReplica(order);
  expect(describeEnd(await replica.ended)).toBe('rank 1 ended with code 3');
  expect(timers()).toBeLessThanOrEqual(before);
});
