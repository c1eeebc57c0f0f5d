import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { UserError } from '../tensor/errors.ts';
import { compareRuns } from './compare.ts';
import { type ConfigurationInput, parseConfiguration } from './config.ts';
import { MANIFEST_VERSION, type Manifest, writeManifest } from './manifest.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-compare-'));
afterAll(() => rmSync(parent, { recursive: true }));

function run(name: string, settings: ConfigurationInput, done: Manifest['phases']): string {
  const folder = join(parent, name);
  mkdirSync(folder);
  writeManifest(folder, {
    format: 'tram-run',
    version: MANIFEST_VERSION,
    program: { tram: '0', node: '20' },
    created: '2026-11-22T00:00:00Z',
    given: settings,
    configuration: parseConfiguration(settings, name),
    inputs: {
      data: {
        ...{ name: 'digits', sha256: '0', directory: '/', trainImages: 1, testImages: 1, classes: 10, scale: 16 },
        ...{ image: { height: 8, width: 8, channels: 1 }, mean: [0.3], deviation: [0.4], classCounts: [2], split: '' },
      },
      layers: [{ name: 'fc', macs: 640 }],
    },
    phases: done,
  });
  return folder;
}

const phase = (...stages: NonNullable<Manifest['phases']['map']>['stages']) => ({
  ...{ settings: '{}', files: {}, stages, seconds: 1, finished: '2026-11-22T00:00:00Z' },
  device: { name: 'wasm', detail: '1 thread' },
});
const float = phase({ stage: 'float', accuracy: 0.9, loss: 0.4 });
const quantized = phase({ stage: 'quantized', accuracy: 0.89, loss: 0.4, power: 1 });
const recovered = phase({ stage: 'recovered', accuracy: 0.88, loss: 0.5, power: 0.7 });

test('a run is named by its λ or its multiplier and counts with its last stage of known power', () => {
  const low = run('low', { explore: { lambda: 0.1 } }, { train: float, quantize: quantized });
  const high = run('high', { explore: { lambda: 2 } }, { train: float, quantize: quantized, recover: recovered });
  const given = run('given', { map: { multiplier: 'drum:8x8' } }, { train: float, recover: recovered });
  const runs = compareRuns([low, high, given]);
  expect(runs.map(({ label, result }) => [label, result.stage, result.power])).toEqual([
    ['λ = 0.1', 'quantized', 1],
    ['λ = 2', 'recovered', 0.7],
    ['drum:8x8', 'recovered', 0.7],
  ]);
});

test('runs of the same λ are told apart by their folders', () => {
  const one = run('seed1', { seed: 1 }, { recover: recovered });
  const two = run('seed2', { seed: 2 }, { recover: recovered });
  expect(compareRuns([one, `${two}/`]).map(({ label }) => label)).toEqual(['seed1', 'seed2']);
});

test('a run without a power yet is named with what to do', () => {
  const begun = run('begun', {}, { train: float });
  expect(() => compareRuns([begun])).toThrow(UserError);
  expect(() => compareRuns([begun])).toThrow(`run tram run ${begun} to the end first`);
});
