// A run stands alone: its summary, its report and a comparison are read from its folder when the data are gone, and a
// command that needs the data opens them once.

import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test, vi } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { compareRuns } from '../../src/flow/results/compare.ts';
import { evaluateRun } from '../../src/flow/results/evaluate.ts';
import { summarize } from '../../src/flow/results/summarize.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { tryMultipliers } from '../../src/flow/try/try.ts';

let opened = 0;
vi.mock('../../src/data/registry.ts', async (load) => {
  const original = await load<typeof import('../../src/data/registry.ts')>();
  return {
    ...original,
    openDataset: (...request: Parameters<typeof original.openDataset>) => {
      opened++;
      return original.openDataset(...request);
    },
  };
});
let hashed = 0;
vi.mock('../../src/data/dataset.ts', async (load) => {
  const original = await load<typeof import('../../src/data/dataset.ts')>();
  return {
    ...original,
    finishDataset: (...request: Parameters<typeof original.finishDataset>) => {
      hashed++;
      return original.finishDataset(...request);
    },
  };
});
beforeEach(() => {
  [opened, hashed] = [0, 0];
});

const parent = mkdtempSync(join(tmpdir(), 'tram-alone-'));
afterAll(() => rmSync(parent, { recursive: true }));
const folder = join(parent, 'run');
const data = join(parent, 'pairs.csv');
const line = (k: number) => [...Array.from({ length: 16 }, (_, i) => (i % 2 === k % 2 ? 200 + k : k)), k % 2].join();
writeFileSync(data, Array.from({ length: 40 }, (_, k) => line(k)).join('\n'));
const device = { name: 'wasm', threads: 1 } as const;
const settings = {
  ...{ data: `csv:${data}`, bits: { weights: 4, activations: 4 } },
  ...{ train: { epochs: 1 }, explore: { epochs: 1 }, recover: { epochs: 1 } },
};

test('a whole run opens and hashes its data once', async () => {
  await runFlow({ folder, settings, device });
  expect([opened, hashed]).toEqual([1, 1]);
});

test('so does going on, redoing a phase, measuring a stage, and trying multipliers', async () => {
  await runFlow({ folder, device });
  expect([opened, hashed]).toEqual([1, 1]);
  await runFlow({ folder, phases: ['recover'], redo: true, device });
  expect([opened, hashed]).toEqual([2, 2]);
  await evaluateRun({ folder, device });
  expect([opened, hashed]).toEqual([3, 3]);
  await tryMultipliers({ run: folder, multipliers: ['truncated:4x4:columns=2'], exact: [], device });
  expect([opened, hashed]).toEqual([4, 4]);
});

test('the manifest holds what readers need', () => {
  const { inputs, phases } = readManifest(folder);
  expect(inputs.data).toMatchObject({
    ...{ trainImages: 32, testImages: 8, classes: 2, image: { height: 4, width: 4, channels: 1 }, scale: 255 },
    ...{ split: 'a fifth of each class held back', labels: 'the last column', classCounts: [20, 20] },
  });
  expect([inputs.data.mean, inputs.data.deviation].map(({ length }) => length)).toEqual([1, 1]);
  const fc = { name: 'fc', macs: 64 * 2, kind: 'linear', usual: false };
  expect(inputs.layers.find(({ name }) => name === 'fc')).toEqual(fc);
  for (const phase of ['train', 'quantize', 'explore', 'map', 'recover'] as const) {
    expect(phases[phase]!.device).toMatchObject({ name: 'wasm', threads: 1, emulation: 'auto' });
  }
});

test('with the data gone the summary, the report and a comparison are the same; an evaluation says what is missing', async () => {
  await runFlow({ folder, phases: ['report'] });
  const page = () => readFileSync(join(folder, 'report.html'), 'utf8');
  const before = { summary: summarize(folder), compared: compareRuns([folder]), page: page() };
  renameSync(data, join(parent, 'elsewhere.csv'));
  rmSync(join(folder, 'report.html'));
  await runFlow({ folder, phases: ['report'] });
  expect({ summary: summarize(folder), compared: compareRuns([folder]), page: page() }).toEqual(before);
  expect([opened, hashed]).toEqual([0, 0]);
  await expect(evaluateRun({ folder, device })).rejects.toThrow(`cannot read ${data}`);
  expect((await evaluateRun({ folder, data: `csv:${join(parent, 'elsewhere.csv')}`, device })).images).toBe(8);
});
