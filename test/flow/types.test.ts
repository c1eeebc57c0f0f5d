// Layers that end with few multipliers: they begin with one each and are put together while they train. All keep
// their own where there are as many as layers; one is what they share; a run that was stopped goes on to the same bits;
// names, files and proofs are those of the kinds.

import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type FlowOptions, runFlow } from '../../src/flow/flow.ts';
import { parseTheta } from '../../src/flow/multipliers/theta.ts';
import { groupingOf } from '../../src/flow/phases/types.ts';
import { checkRun } from '../../src/flow/results/check.ts';
import { evaluateRun } from '../../src/flow/results/evaluate.ts';
import { summarize } from '../../src/flow/results/summarize.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { type ConfigurationInput, parseConfiguration } from '../../src/flow/settings/config.ts';
import { approximateLayers } from '../../src/flow/settings/layers.ts';
import { publishedTraining } from '../../src/flow/settings/training.ts';
import { readBytes, sha256 } from '../../src/tensor/files.ts';
import { runInParts } from './stopped.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-types-'));
afterAll(() => rmSync(parent, { recursive: true }));

const base = join(parent, 'base');
const settings: ConfigurationInput = { sample: 300, train: { epochs: 3, batchSize: 16, learningRate: 0.02 } };
beforeAll(() => runFlow({ folder: base, settings, phases: ['train', 'quantize'] }));

type Explore = NonNullable<ConfigurationInput['explore']>;
const usual: Explore = {
  ...publishedTraining.explore,
  ...{ epochs: 3, batchSize: 24, initiallyRemoved: 2, thetaLearningRate: 0.1 },
};

function optionsFor(name: string, explore: Explore, phases: FlowOptions['phases'] = ['explore']) {
  const folder = join(parent, name);
  cpSync(base, folder, { recursive: true });
  return { folder, settings: { explore: { ...usual, ...explore }, recover: { epochs: 1 } }, phases: phases! };
}

const found = (folder: string) => ({
  theta: parseTheta(readBytes(join(folder, 'theta.json')), 'theta.json'),
  types: readManifest(folder).phases.explore!.types,
  hash: sha256(readBytes(join(folder, 'checkpoints/explored.safetensors'))),
  metrics: readFileSync(join(folder, 'metrics.jsonl'), 'utf8'),
});

async function explored(name: string, explore: Explore) {
  const options = optionsFor(name, explore);
  await runFlow(options);
  return found(options.folder);
}

test('three kinds are mapped, recovered, reported and proved as three multipliers', async () => {
  const options = optionsFor('three', { types: 3 }, ['explore', 'map', 'recover', 'report']);
  const { folder } = options;
  await runFlow(options);
  const { configuration, inputs } = readManifest(folder);
  const { theta, types, metrics } = found(folder);
  const layers = approximateLayers(configuration, inputs.layers).map(({ name }) => name);
  expect(theta.structures.map(({ name }) => name)).toEqual(['type1.theta', 'type2.theta', 'type3.theta']);
  expect(theta.structures.flatMap((one) => one.layers).sort()).toEqual([...layers].sort());
  expect(types!.kinds!.map((kind) => kind.layers)).toEqual(theta.structures.map((one) => one.layers));
  expect(types!.table.map((row) => row.types)).toEqual([1, 2, 3, 5, 8, layers.length]);
  const epochs = metrics
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .filter(({ phase }) => phase === 'explore');
  expect(epochs.map((epoch) => Object.keys(epoch.theta).length)).toEqual([layers.length, 3, 3]);
  const { multipliers } = summarize(folder);
  expect(multipliers.map(({ name }) => name)).toEqual(['multiplier-type1', 'multiplier-type2', 'multiplier-type3']);
  for (const { name } of multipliers) expect(existsSync(join(folder, `${name}.v`))).toBe(true);
  expect(existsSync(join(folder, 'figures/theta.svg'))).toBe(true);
  expect(checkRun(folder).faults).toEqual([]);
  const stage = readManifest(folder).phases.explore!.stages.at(-1)!;
  const again = await evaluateRun({ folder, stage: 'explored' });
  expect(again.accuracy).toBe(stage.accuracy);
});

test('as many kinds as layers, or all, are layers that keep their own, to the last bit', async () => {
  const own = await explored('own', { structure: 'per-layer' });
  const all = await explored('all', { types: 0 });
  expect(all.hash).toBe(own.hash);
  expect(all.metrics).toBe(own.metrics);
  expect(all.theta).toEqual(own.theta);
  expect(own.types).toBeUndefined();
  expect(all.types!.kinds).toBeUndefined();
  const [least, most] = [all.types!.table[0]!, all.types!.table.at(-1)!];
  expect(least.types).toBe(1);
  expect(most.power).toBeCloseTo(all.theta.power, 6);
  expect(least.loss).not.toBe(most.loss);
});

test('one kind is what all share, but for the way there', async () => {
  const shared = await explored('shared', { structure: 'shared' });
  const one = await explored('one', { types: 1 });
  expect(one.theta.structures).toHaveLength(1);
  expect(Math.abs(one.theta.power - shared.theta.power)).toBeLessThan(0.05);
});

test('stopped before layers are put together, and behind it, a run goes on to the same bits', async () => {
  const explore: Explore = { types: 2, power: 0.8, columns: 15 };
  const whole = await explored('whole', explore);
  expect(whole.theta.structures).toHaveLength(2);
  const options = optionsFor('stopped', explore);
  // 13 steps an epoch, 39 in all; put together behind 13.
  await runInParts(options, [8, 9, 6]);
  expect(found(options.folder)).toEqual(whole);
});

test.each([
  [3, { types: 3, epoch: 4 }],
  [8, { types: 8, epoch: 4 }],
  [9, undefined],
  [99, undefined],
  [0, undefined],
])('%d kinds of nine layers: %j', (types, grouping) => {
  const { inputs } = readManifest(base);
  const configuration = parseConfiguration({ explore: { types } }, 'test');
  expect(approximateLayers(configuration, inputs.layers)).toHaveLength(9);
  expect(groupingOf({ configuration, layers: inputs.layers as never })).toEqual(grouping);
});

test('a single epoch has no room for it', () => {
  expect(() => parseConfiguration({ explore: { types: 2, epochs: 1 } }, 'test')).toThrow(
    /^test: explore\.types is 2, but explore\.epochs is 1/,
  );
});
