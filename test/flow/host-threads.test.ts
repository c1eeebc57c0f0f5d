// What a phase has threads of the host compute is the same to the last bit on any number of them; and they keep no
// process alive.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test, vi } from 'vitest';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { runFlow } from '../../src/flow/flow.ts';
import { loadToQuantize, observe } from '../../src/flow/phases/calibrate.ts';
import { files } from '../../src/flow/run/folder.ts';
import { openTask } from '../../src/flow/run/inputs.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { type ConfigurationInput, parseConfiguration } from '../../src/flow/settings/config.ts';
import { readBytes } from '../../src/tensor/files.ts';

const host = vi.hoisted(() => ({ threads: 1 }));
vi.mock('../../src/flow/host/threads.ts', async (original) => ({
  ...(await original<typeof import('../../src/flow/host/threads.ts')>()),
  threadsFor: () => host.threads,
}));

const folder = mkdtempSync(join(tmpdir(), 'tram-host-'));
afterAll(() => rmSync(folder, { recursive: true }));

const settings: ConfigurationInput = {
  ...{ data: 'digits', model: 'resnet8', maximum: 16 },
  train: { epochs: 1, batchSize: 20 },
};

test.each<[string, ConfigurationInput]>([
  ['steps', { quantize: { images: 40, quantizer: 'steps' } }],
  ['clips', { quantize: { images: 37, quantizer: 'clips', observer: 'moving-average' } }],
  ['one step a layer', { quantize: { images: 40, quantizer: 'steps' }, channelwise: false }],
])('calibration: %s', async (_, more) => {
  await runFlow({ folder, settings, phases: ['train'], device: { threads: 1 } });
  const configuration = parseConfiguration({ ...settings, ...more }, 'test');
  const run = { ...(await openTask(configuration, readManifest(folder).inputs)), configuration, folder };
  const calibrated = async (threads: number) => {
    host.threads = threads;
    const session = await wasmBackend({ threads: 1 }).openSession();
    loadToQuantize(run, readBytes(join(folder, files.float)), session);
    const seen = await observe(run, session);
    const names = session.variableNames();
    const values = await Promise.all(names.map(async (name) => [name, await session.read(name)]));
    await session.dispose();
    return { values, seen: [...seen].map(([layer, histogram]) => [layer, { ...histogram }, histogram.bins()]) };
  };
  const alone = await calibrated(1);
  expect(alone.seen.length).toBeGreaterThan(8);
  for (const threads of [2, 3]) expect(await calibrated(threads)).toEqual(alone);
});

test('threads at work keep the process alive, others do not', () => {
  const modules = (name: string) => JSON.stringify(new URL(`../../dist/flow/${name}.js`, import.meta.url).href);
  const script = `
    const { HostWork } = await import(${modules('host/threads')});
    const { countValues } = await import(${modules('phases/calibrate-tasks')});
    const work = new HostWork(countValues, 2);
    await work.give({ values: new Float32Array(3e6), name: 'x' }, ({ count }) => console.log(count));
    await work.end();
    process.on('exit', () => console.log(performance.now() - ended < 3000));
    const ended = performance.now();`;
  const said = execFileSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
  expect(said).toBe('3000000\ntrue\n');
});
