import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { UserError } from '../../tensor/errors.ts';
import { sha256 } from '../../tensor/files.ts';
import { MANIFEST_VERSION, type Manifest, writeManifest } from '../run/manifest.ts';
import { type ConfigurationInput, parseConfiguration } from '../settings/config.ts';
import { commonKind, compareRuns } from './compare.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-compare-'));
afterAll(() => rmSync(parent, { recursive: true }));

function run(
  name: string,
  settings: ConfigurationInput,
  done: Manifest['phases'],
  layers = [{ name: 'fc', macs: 640 }],
): string {
  const folder = join(parent, name);
  mkdirSync(folder, { recursive: true });
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
      layers,
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
const explored = phase({ stage: 'explored', accuracy: 0.885, loss: 0.4, power: 0.6 });
const recovered = phase({ stage: 'recovered', accuracy: 0.88, loss: 0.5, gateCost: 0.5 });

test('a run is named by its λ or its multiplier and counts with its last stage in either measure, never one for the other', () => {
  const low = run('low', { explore: { lambda: 0.1 } }, { train: float, quantize: quantized });
  const high = run('high', { explore: { lambda: 2 } }, { quantize: quantized, explore: explored, recover: recovered });
  const given = run('given', { map: { multiplier: 'drum:8x8' } }, { quantize: quantized, recover: recovered });
  const runs = compareRuns([low, high, given]);
  expect(runs.map(({ label, power, gateCost }) => [label, power?.stage, power?.power, gateCost?.gateCost])).toEqual([
    ['λ = 0.1', 'quantized', 1, undefined],
    ['λ = 2', 'explored', 0.6, 0.5],
    ['drum:8x8', undefined, undefined, 0.5],
  ]);
  expect(commonKind(runs)).toBe('gates');
  expect(commonKind(runs.slice(0, 2))).toBe('modelled');
});

test('exact multipliers of the run’s widths are no widths by layer', () => {
  const map = { multiplier: 'exact' };
  const bits = { weights: 4, activations: 4 };
  const one = run('one', { bits, map }, { recover: recovered });
  const other = run('other', { bits, map, quantize: { layerBits: [] } }, { recover: recovered });
  const mixed = run('mixed', { bits, map, quantize: { layerCost: 0.2 } }, { recover: recovered });
  expect(compareRuns([one, other, mixed]).map((found) => found.hasOwnWidths ?? false)).toEqual([false, false, true]);
});

test('runs of the same λ are told apart by the ends of their paths, a folder given twice counts once', () => {
  const one = run('a/seed1', { seed: 1 }, { recover: recovered });
  const two = run('a/seed2', { seed: 2 }, { recover: recovered });
  const other = run('b/seed1', { seed: 3 }, { recover: recovered });
  expect(compareRuns([one, `${two}/`, `${one}/.`]).map(({ label }) => label)).toEqual(['seed1', 'seed2']);
  expect(compareRuns([one, two, other]).map(({ label }) => label)).toEqual(['a/seed1', 'a/seed2', 'b/seed1']);
});

test('errors of several multipliers are means over their multiplications, with the largest distance', () => {
  const metrics = (errorRate: number, maxErrorDistance: number) => ({
    ...{ errorRate, maxErrorDistance, meanErrorDistance: 1, normalizedMeanErrorDistance: errorRate / 100 },
    ...{
      meanSquareError: 2,
      meanRelativeErrorDistance: 0.1,
      meanRelativeErrorOfNonzero: 0.1,
      meanError: -1,
      errorVariance: 1,
    },
    worst: { w: 1, x: 1, product: 0, exact: 1 },
  });
  const record = (name: string, errors: ReturnType<typeof metrics>) => ({
    ...{ name: `multiplier-${name}`, layers: [name], theta: [1], gateCost: 0.5, mseToTarget: 1, signed: false },
    metrics: errors,
    certificate: { pairs: 65536, forms: ['table'] as const, sha256: { table: '0' } },
  });
  const multipliers = [record('conv1', metrics(0.2, 9)), record('fc', metrics(0.8, 5))];
  const layers = [
    { name: 'conv1', macs: 300 },
    { name: 'fc', macs: 100 },
  ];
  const files = Object.fromEntries(multipliers.map(({ name }) => [`${name}.npy`, sha256(name)]));
  const folder = run('two', {}, { map: { ...recovered, files, multipliers } }, layers);
  for (const { name } of multipliers) writeFileSync(join(folder, `${name}.npy`), name);
  const [compared] = compareRuns([folder]);
  const { errorRate, normalizedMeanErrorDistance, ...others } = compared!.errors!;
  expect(errorRate).toBeCloseTo(0.35);
  expect(normalizedMeanErrorDistance).toBeCloseTo(0.0035);
  expect(others).toEqual({ multipliers: 2, meanError: -1, maxErrorDistance: 9 });
});

test('runs whose costs are those of different parts of a network are told apart', () => {
  const layers = [
    { name: 'conv1', macs: 300 },
    { name: 'fc', macs: 100 },
  ];
  const all = run('all', { explore: { lambda: 1 }, approximate: ['all'] }, { recover: recovered }, layers);
  const part = run('part', { explore: { lambda: 2 }, exactLayers: ['fc'] }, { recover: recovered }, layers);
  const runs = compareRuns([all, part]);
  expect(runs.map(({ approximateShare }) => approximateShare)).toEqual([1, 0.75]);
});

test('a run with neither measure yet is named with what to do', () => {
  const begun = run('begun', {}, { train: float });
  expect(() => compareRuns([begun])).toThrow(UserError);
  expect(() => compareRuns([begun])).toThrow(`run tram run ${begun} to the end first`);
});
