// Targets in the place of λ: the power that is asked for is met by θ of 0 and 1, and λ has brought θ there before they
// are made hard; what cannot be is refused or said; a run that was stopped goes on to the same bits.

import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type FlowOptions, runFlow } from '../../src/flow/flow.ts';
import { judge, requireReachable, requireTimeForTheta } from '../../src/flow/multipliers/targets.ts';
import { parseTheta } from '../../src/flow/multipliers/theta.ts';
import { summarize } from '../../src/flow/results/summarize.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { readMetrics } from '../../src/flow/run/metrics.ts';
import { type ConfigurationInput, mergeSettings, parseConfiguration } from '../../src/flow/settings/config.ts';
import type { RunLayer } from '../../src/flow/settings/layers.ts';
import { publishedTraining } from '../../src/flow/settings/training.ts';
import { readBytes, sha256 } from '../../src/tensor/files.ts';
import { runInParts } from './stopped.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-targets-'));
afterAll(() => rmSync(parent, { recursive: true }));

const base = join(parent, 'base');
const settings: ConfigurationInput = {
  sample: 480,
  train: { ...publishedTraining.train, epochs: 3, batchSize: 16, learningRate: 0.02 },
  quantize: publishedTraining.quantize,
};
beforeAll(() => runFlow({ folder: base, settings, phases: ['train', 'quantize'] }));

type Explore = NonNullable<ConfigurationInput['explore']>;

function optionsFor(name: string, explore: Explore): FlowOptions {
  const folder = join(parent, name);
  cpSync(base, folder, { recursive: true });
  return {
    folder,
    settings: { explore: { ...publishedTraining.explore, harden: undefined, epochs: 3, batchSize: 16, ...explore } },
    phases: ['explore'],
  };
}

async function explored(name: string, explore: Explore) {
  const options = optionsFor(name, explore);
  const notes: string[] = [];
  const listener: FlowOptions['listener'] = (event) => void (event.kind === 'note' && notes.push(event.text));
  await runFlow({ ...options, listener });
  return { ...found(options.folder), notes };
}

const found = (folder: string) => ({
  epochs: readMetrics(folder).filter(({ phase }) => phase === 'explore'),
  theta: parseTheta(readBytes(join(folder, 'theta.json')), 'theta.json'),
  targets: readManifest(folder).phases.explore!.targets!,
  hash: sha256(readBytes(join(folder, 'checkpoints/explored.safetensors'))),
  metrics: readFileSync(join(folder, 'metrics.jsonl'), 'utf8'),
  summary: summarize(folder),
});

describe('a power', () => {
  test.each<[string, Explore, number]>([
    ['columns', { power: 0.65, grain: 'column', columns: 15 }, 0.15],
    ['products', { power: 0.55, grain: 'product' }, 0.02],
    ['products of each layer', { power: 0.55, grain: 'product', structure: 'per-layer' }, 0.005],
  ])(
    'is met by %s that are kept or gone, and λ has brought them near before',
    async (name, explore, grain) => {
      const { targets, theta, epochs, summary } = await explored(name, explore);
      const power = explore.power!;
      expect(targets.power.target).toBe(power);
      expect(targets.power.reached).toBe(theta.power);
      expect(theta.power).toBeLessThanOrEqual(power);
      expect(theta.power).toBeGreaterThan(power - grain);
      const values = theta.structures.flatMap((structure) => structure.theta);
      expect(values.filter((value) => value !== 0 && value !== 1)).toEqual([]);
      // Not by setting θ alone: before that it was where λ had brought it.
      expect(Math.abs(targets.power.soft - power)).toBeLessThan(0.06);
      expect(epochs[0]!.power).toBeGreaterThan(epochs[0]!.wantedPower! - 0.1);
      expect(epochs.map(({ wantedPower }) => wantedPower).at(-1)).toBeCloseTo(power, 6);
      expect(new Set(epochs.map(({ lambda }) => lambda)).size).toBe(3);
      expect(judge(targets)).toMatchObject({ powerMet: true, lossMet: true });
      expect(summary.verdict).toMatch(/^Targets met after exploration: power 0\.\d{4} \(target 0\.\d+\); λ ended at/);
    },
    240_000,
  );

  test.each<[string, ConfigurationInput, RegExp]>([
    [
      'less than the columns leave',
      { explore: { grain: 'column', power: 0.2 } },
      /explore\.power is 0\.2, but without the columns that may go a 8×8 multiplier has 0\.\d{4}; choose a power from 0\.\d+ to 1; more columns/,
    ],
    [
      'more than the exact multiplier',
      { bits: { weights: 4, activations: 4 }, explore: { grain: 'column', power: 0.5 } },
      /explore\.power is 0\.5, but the exact 4×4 multiplier has 0\.2\d+ already; choose a power from 0\.\d+ to 0\.2\d+$/,
    ],
  ])('of %s is refused before anything is read', async (name, own, message) => {
    const folder = join(parent, name);
    const data = join(parent, 'no data');
    await expect(runFlow({ folder, settings: { ...settings, ...own, data } })).rejects.toThrow(message);
    expect(() => readManifest(folder)).toThrow();
  });
});

test('a power that Adam has no time for is refused before anything is trained, with a rate that does', async () => {
  const explore = { optimizer: 'adam', epochs: 2, batchSize: 64, power: 0.3, thetaLearningRate: 0.01 } as const;
  const folder = join(parent, 'slow');
  const refusal = runFlow({ folder, settings: { ...settings, explore } });
  await expect(refusal).rejects.toThrow(
    /thetaLearningRate is 0\.01: by adam θ moves by about that in a step, and 13 steps before hardening bring the power down to about 0\.\d+, but explore\.power is 0\.3; give more epochs or --theta-learning-rate 0\.\d+ or --power 0\.\d+$/,
  );
  expect(() => readManifest(folder)).toThrow();
  const { message } = (await refusal.catch((error: unknown) => error)) as Error;
  const layer = { name: 'conv', kind: 'convolution', macs: 9, usual: true } as RunLayer;
  const requireTime = (own: ConfigurationInput['explore']) =>
    requireTimeForTheta(parseConfiguration({ explore: { ...explore, ...own } }, 'test'), [layer], 480);
  expect(() => requireTime({})).toThrow(message);
  requireTime({ thetaLearningRate: Number(/-rate (\S+) or/.exec(message)![1]) });
  requireTime({ power: Number(/--power (\S+)$/.exec(message)![1]) });
  // Beside a limit of loss the power may be left out.
  expect(() => requireTime({ maxLoss: 0.5 })).toThrow(`${message}, or leave the power out: --max-loss 0.5 alone takes`);
  requireTime({ maxLoss: 0.5, power: undefined });
  requireTime({ epochs: 20 });
  // Where θ is hard from the first step on no rate is high enough.
  expect(() => requireTime({ epochs: 1, batchSize: 480 })).toThrow(
    /and 0 steps .* explore\.power is 0\.3; give more epochs$/,
  );
  expect(() => requireTime({ epochs: 2, batchSize: 480 })).toThrow(
    /and 1 step before .*; give more epochs or --theta-learning-rate 2\.1( |$)/,
  );
  // λ makes gradients as large as they have to be, and the loss alone may stop anywhere.
  requireTime({ optimizer: 'sgd' });
  requireTime({ power: undefined, maxLoss: 1 });
});

test.each<ConfigurationInput>(
  ([2, 4, 8] as const).flatMap((bits) =>
    (['analytic', 'fitted', 'asap7'] as const).flatMap((powerModel) => [
      { bits: { weights: bits, activations: bits }, explore: { powerModel } },
      { bits: { weights: bits, activations: bits }, explore: { powerModel, columns: 2 } },
      { bits: { weights: bits, activations: bits }, explore: { powerModel, grain: 'column', columns: bits } },
    ]),
  ),
)('the powers that a refusal names are taken: %j', (settings) => {
  const requirePower = (power: number) =>
    requireReachable(parseConfiguration(mergeSettings(settings, { explore: { power } }), 'test'));
  for (const refused of [1, 1e-6]) {
    let message = '';
    try {
      requirePower(refused);
    } catch (error) {
      ({ message } = error as Error);
    }
    if (message === '') continue;
    const [, least, most] = /choose a power (?:from ([\d.]+)|above 0 and up) to ([\d.]+)/.exec(message)!;
    for (const taken of [least ?? 1e-4, most]) requirePower(Number(taken));
  }
});

test('a power above that of widths that were searched is refused with what multipliers of these have', () => {
  const layer = { name: 'conv', kind: 'convolution', macs: 9, usual: true } as RunLayer;
  const searched = { layerCost: 0.3, layerBits: ['conv=4'] };
  const configuration = parseConfiguration({ quantize: searched, explore: { power: 0.9 } }, 'test');
  expect(() => requireReachable(configuration, [layer])).toThrow(
    /is 0\.9, but exact multipliers of the layers' widths have 0\.20\d+ already; choose/,
  );
});

describe('a loss', () => {
  test('that may be is estimated on training images, and power falls as it allows', async () => {
    const large = await explored('large', { maxLoss: 30, grain: 'product', thetaLearningRate: 0.1 });
    const small = await explored('small', { maxLoss: 0, grain: 'product', thetaLearningRate: 0.1 });
    expect(large.targets.loss).toMatchObject({ target: 30, images: 160 });
    expect(large.theta.power).toBeLessThan(small.theta.power - 0.05);
    expect(small.theta.power).toBeGreaterThan(0.5);
    expect(large.epochs.at(-1)!.estimatedLoss).toBeTypeOf('number');
    expect(large.summary.targets!.testLoss).toBeTypeOf('number');
  });

  test('that a power does not allow is told with both values', async () => {
    const { targets, notes, summary } = await explored('contradiction', { power: 0.02, maxLoss: 0, grain: 'product' });
    const settled = /^statistics of 9 batch norms taken anew from 480 training images: test \d+\.\d+ % → \d+\.\d+ %$/;
    expect(notes.filter((text) => settled.test(text))).toHaveLength(1);
    const judged = judge(targets);
    expect([judged.powerMet, judged.lossMet]).not.toEqual([true, true]);
    const said =
      /power and loss could not be met together: exploration reached power \d\.\d+ \(target 0\.02\) and a loss of −?\d+\.\d+ points on 160 training images \(target 0\)/;
    expect(judged.text).toMatch(said);
    expect(notes.join('\n')).toMatch(said);
    expect(summary.verdict).toMatch(said);
    // The network must still work: the loss wins.
    expect(targets.power.reached).toBeGreaterThan(0.3);
  });
});

test('a run that is stopped while λ is found goes on to the same bits', async () => {
  const explore: Explore = { power: 0.7, maxLoss: 5, grain: 'product', epochs: 2 };
  const whole = await explored('whole', explore);
  const options = optionsFor('stopped', explore);
  await runInParts(options, [7, 20, 15]);
  const { hash, metrics, targets } = found(options.folder);
  expect({ hash, metrics, targets }).toEqual({ hash: whole.hash, metrics: whole.metrics, targets: whole.targets });
});
