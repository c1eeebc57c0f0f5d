// Biases that follow θ while it trains (--constants follow): which layers have them, that a start takes nothing out a
// second time, that the explored network is an ordinary one with the accuracy it had, that a stopped run goes on to the
// same bits, and that networks with batch norms know nothing of it.

import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { evaluateRun } from '../../src/flow/results/evaluate.ts';
import type { Listener } from '../../src/flow/run/events.ts';
import { loadModelFile } from '../../src/flow/run/model-file.ts';
import { parseConfiguration } from '../../src/flow/settings/config.ts';
import type { ConfigurationInput } from '../../src/flow/settings/settings.ts';
import { exploringArithmetic } from '../../src/flow/start/following-biases.ts';
import type { Model } from '../../src/nn/models/model.ts';
import { readBytes, sha256 } from '../../src/tensor/files.ts';
import { decodeAll } from '../../src/tensor/safetensors.ts';
import { imageTask } from '../../src/train/images.ts';
import { multiplyingLayers } from '../../src/train/task.ts';
import { dataset } from '../several-devices.ts';
import { runInParts } from './stopped.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-constants-'));
afterAll(() => rmSync(parent, { recursive: true }));
const device = { threads: 1 } as const;
const base = (foldBatchNorm: boolean) => join(parent, `base-${foldBatchNorm}`);
beforeAll(async () => {
  for (const foldBatchNorm of [true, false]) {
    const settings: ConfigurationInput = {
      ...{ sample: 300, train: { epochs: 6, learningRate: 0.05 } },
      quantize: { images: 100, foldBatchNorm },
    };
    await runFlow({ folder: base(foldBatchNorm), settings, phases: ['train', 'quantize'], device });
  }
});

const usual = { epochs: 3, batchSize: 24, power: 0.4 } as const;

function optionsFor(name: string, explore: ConfigurationInput['explore'], foldBatchNorm = true) {
  const folder = join(parent, name);
  cpSync(base(foldBatchNorm), folder, { recursive: true });
  return { folder, settings: { explore: { ...usual, ...explore } }, phases: ['explore'], device } as const;
}

async function explored(name: string, explore: ConfigurationInput['explore'], foldBatchNorm = true) {
  const options = optionsFor(name, explore, foldBatchNorm);
  const notes: string[] = [];
  const listener: Listener = (event) => void (event.kind === 'note' && notes.push(event.text));
  const { stages } = await runFlow({ ...options, listener });
  const stage = (wanted: string) => stages.find((one) => one.stage === wanted)!;
  return { ...found(options.folder), folder: options.folder, notes, stage };
}

const found = (folder: string) => ({
  hash: sha256(readBytes(join(folder, 'checkpoints/explored.safetensors'))),
  theta: readFileSync(join(folder, 'theta.json'), 'utf8'),
  metrics: readFileSync(join(folder, 'metrics.jsonl'), 'utf8'),
});

/** The layers whose biases follow θ in a network. */
function following(build: Model['build'], settings: ConfigurationInput = {}): string[] {
  const task = imageTask({ name: 'm', description: '', minimumSize: 1, build }, dataset);
  const layers = multiplyingLayers(task).map((layer) => ({ ...layer, usual: true }));
  const configuration = parseConfiguration({ approximate: ['all'], ...settings }, 'test');
  return [...(exploringArithmetic({ configuration, task, layers }).following ?? [])];
}

test('layers have them that go into a bias and into no batch norm, which takes constants by itself', async () => {
  const build: Model['build'] = (nn, image, classes) => {
    const biased = nn.conv('biased', image, { out: 4, kernel: 3, bias: true });
    const normed = nn.batchNorm('norm', nn.conv('normed', nn.relu(biased), { out: 4, kernel: 1, bias: true }));
    const [left, right] = ['left', 'right'].map((name) => nn.conv(name, normed, { out: 2, kernel: 1 }));
    let x = nn.relu(nn.concat([left!, right!], 3));
    for (let times = 0; times < 2; times++) x = nn.relu(nn.conv('twice', x, { out: 4, kernel: 1, bias: true }));
    return nn.linear('fc', nn.globalAveragePool(x), classes);
  };
  expect(following(build)).toEqual(['biased', 'fc']);
  expect(following(build, { exactLayers: ['fc'] })).toEqual(['biased']);
  expect(following(build, { explore: { constants: 'leave' } })).toEqual([]);
  expect(following(build, { explore: { weightCodes: 'best' } })).toEqual([]);
  const transformer = await loadModelFile(join(import.meta.dirname, 'small-transformer.mjs'));
  const parts = ['qkv', 'proj', 'fc1', 'fc2'];
  const blocks = [0, 1].flatMap((block) => parts.map((part) => `blocks.${block}.${part}`));
  expect(following(transformer.model.build)).toEqual(['patches', ...blocks, 'head']);
});

test('the explored network is an ordinary one, as accurate as it was with them', async () => {
  const [follow, leave] = [await explored('follow', {}), await explored('leave', { constants: 'leave' })];
  expect(follow.notes.filter((text) => text.startsWith('the biases of 9 layers follow θ'))).toHaveLength(1);
  expect(leave.notes.filter((text) => text.includes('follow θ'))).toEqual([]);
  expect(follow.stage('approximated')).toEqual(leave.stage('approximated'));
  expect(follow.hash).not.toBe(leave.hash);

  const last = JSON.parse(follow.metrics.trim().split('\n').at(-1)!);
  const { accuracy, loss } = follow.stage('explored');
  expect(accuracy).toBe(last.testAccuracy);
  expect(loss).toBeCloseTo(last.testLoss, 5);
  expect(await evaluateRun({ folder: follow.folder, device })).toMatchObject({ accuracy, loss });
  const [names, plain] = [follow, leave].map(({ folder }) => {
    const path = join(folder, 'checkpoints/explored.safetensors');
    return [...decodeAll(readBytes(path), path).tensors.keys()].sort();
  });
  expect(names).toEqual(plain);
  // Most of what these θ do is a constant.
  expect(follow.stage('explored').loss).toBeLessThan(leave.stage('explored').loss);
});

test('what the first θ removes is taken out once, whether a start is asked for or not', async () => {
  const removed = { power: undefined, lambda: 0.1, grain: 'column', initiallyRemoved: 7, epochs: 1 } as const;
  const folded = await explored('folded', { ...removed, start: 'biases', constants: 'leave' });
  const followed = await explored('followed', { ...removed, start: 'biases' });
  const { loss } = folded.stage('exploration-started');
  expect(folded.stage('approximated').loss).toBeGreaterThan(loss + 0.1);
  expect(followed.stage('exploration-started').loss).toBeCloseTo(loss, 5);
  const alone = await explored('alone', { ...removed, start: 'none' });
  // The first epoch begins where the start would have led.
  expect(alone.metrics).toBe(followed.metrics);
});

test.each([
  ['one multiplier', {}],
  ['a multiplier per layer, put together while they train', { types: 1 }],
])('a stopped run goes on to the same bits: %s', async (name, explore) => {
  const whole = await explored(`whole-${name}`, explore);
  const options = optionsFor(`parts-${name}`, explore);
  await runInParts(options, [1, 9, 13]);
  expect(found(options.folder)).toEqual({ hash: whole.hash, theta: whole.theta, metrics: whole.metrics });
});

test('a network with batch norms behind its layers has the same bits either way', async () => {
  const [follow, leave] = [
    await explored('normed', {}, false),
    await explored('normed-leave', { constants: 'leave' }, false),
  ];
  expect(follow.hash).toBe(leave.hash);
  expect(follow.metrics).toBe(leave.metrics);
  expect(follow.notes).toEqual(leave.notes);
});
