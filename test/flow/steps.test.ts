// Learned step sizes through a run: few bits end better than with learned clips, all phases train them, and a network
// goes out in the published form and comes back as it was.

import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { exportNetwork } from '../../src/flow/results/export.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { type ConfigurationInput, parseConfiguration, published } from '../../src/flow/settings/config.ts';
import { recipeNames } from '../../src/flow/settings/recipes.ts';
import { publishedTraining } from '../../src/flow/settings/training.ts';
import { openTensorFile } from '../../src/tensor/checkpoint-file.ts';
import { readSafetensors } from '../../src/tensor/safetensors.ts';
import { readStored } from '../../src/tensor/stored.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-steps-'));
afterAll(() => rmSync(parent, { recursive: true }));
const device = { name: 'wasm', threads: 1 } as const;
const float = join(parent, 'float');
const base: ConfigurationInput = { sample: 600, train: { epochs: 8, batchSize: 32, lastBatch: 'short' } };

beforeAll(() => runFlow({ folder: float, settings: base, phases: ['train'], device }));

type Phases = NonNullable<Parameters<typeof runFlow>[0]['phases']>;

/** A run on the float network. */
async function goOn(name: string, settings: ConfigurationInput, phases: Phases): Promise<string> {
  const folder = join(parent, name);
  cpSync(float, folder, { recursive: true });
  await runFlow({ folder, settings: { ...base, ...settings }, phases, device });
  return folder;
}

const stored = (folder: string, stage: string) =>
  readSafetensors(join(folder, `checkpoints/${stage}.safetensors`)).tensors;

const hashOf = (folder: string, stage: 'quantized') =>
  readManifest(folder).phases.quantize!.files[`checkpoints/${stage}.safetensors`];

const narrow = { bits: { weights: 3, activations: 3 } } as const;
/** Of labels alone: a teacher tells both more than the choice of the quantiser does in so few epochs. */
const training = {
  ...publishedTraining.quantize,
  ...({ images: 256, epochs: 3, batchSize: 32, learningRate: 0.01, optimizer: 'nesterov' } as const),
};

test('three bits of weights and activations end with a lower loss than learned clips', async () => {
  const losses: number[] = [];
  for (const quantizer of ['steps', 'clips'] as const) {
    const folder = await goOn(`w3a3-${quantizer}`, { ...narrow, quantize: { ...training, quantizer } }, ['quantize']);
    losses.push(readManifest(folder).phases.quantize!.stages[0]!.loss);
  }
  const [steps, clips] = losses as [number, number];
  expect(steps).toBeLessThan(clips);
});

describe('a run with learned steps', () => {
  let folder: string;
  beforeAll(async () => {
    const settings: ConfigurationInput = {
      ...{ bits: { weights: 3, activations: 4 }, quantize: { images: 128, quantizer: 'steps' } },
      explore: { epochs: 1, grain: 'column', initiallyRemoved: 1, lambda: 0.05 },
      recover: { epochs: 1, learningRate: 1e-3 },
    };
    folder = await goOn('all', settings, ['quantize', 'explore', 'map', 'recover']);
  });

  test('has scales and zero points alone, which exploration and recovery train', () => {
    const [quantised, explored, recovered] = ['quantized', 'explored', 'recovered'].map((stage) =>
      stored(folder, stage),
    );
    const states = [...quantised!.keys()].filter((name) => /\.(weight|input)_/.test(name));
    expect(new Set(states.map((name) => name.replace(/.*\./, '')))).toEqual(
      new Set(['weight_scale', 'weight_zero_point', 'input_scale', 'input_zero_point']),
    );
    const moved = (name: string) => {
      const [before, between, after] = [quantised!, explored!, recovered!].map((tensors) => tensors.get(name)!.data);
      expect([...after!].every((value) => value > 0)).toBe(true);
      return before![0] !== between![0] && between![0] !== after![0];
    };
    for (const name of states) if (name.endsWith('_scale')) expect(moved(name), name).toBe(true);
    expect(quantised!.get('conv1.weight_zero_point')!.data.every((zero) => zero === 4 || zero === 3)).toBe(true);
    expect(recovered!.get('conv1.weight_zero_point')).toEqual(quantised!.get('conv1.weight_zero_point'));
  });

  test('goes out in the published form, whose clips give its scales, and comes back bit for bit', async () => {
    const path = join(parent, 'steps.pth');
    exportNetwork({ folder, path, stage: 'quantized', quantizers: true });
    const file = openTensorFile(path);
    const value = (state: string) => {
      const tensor = readStored(file.dictionaries[0]!.tensors.get(`model.layer1.0.conv1.act_quantizer.${state}`)!);
      return typeof tensor === 'string' ? Number.NaN : tensor.data[0]!;
    };
    const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
    const high = sigmoid(value('observer.upper_bound_factor')) * value('observer.max_val');
    const low = sigmoid(value('observer.lower_bound_factor')) * value('observer.min_val');
    expect((high - low) / 15 / value('scale')).toBeCloseTo(1, 6);
    expect(value('scale')).toBe(stored(folder, 'quantized').get('layer1.0.conv1.input_scale')!.data[0]);
    file.close();
    const again = join(parent, 'again');
    const { bits } = parseConfiguration({ bits: { weights: 3, activations: 4 } }, 'test');
    const quantize = { images: 128, quantizer: 'steps' } as const;
    const settings = { ...base, bits, train: { checkpoint: path }, quantize };
    await runFlow({ folder: again, settings, phases: ['train', 'quantize'], device });
    expect(readManifest(again).phases.quantize!.from).toBe('checkpoint');
    expect(hashOf(again, 'quantized')).toBe(hashOf(folder, 'quantized'));
  });
});

test('what the paper has learns clips, and bad values are refused', () => {
  const paper = recipeNames.filter((name) => name.startsWith('paper-')).map((recipe) => ({ recipe }));
  for (const input of [published, ...paper]) {
    expect(parseConfiguration(input, 'test').quantize.quantizer).toBe('clips');
    // Named, so that another default changes nothing.
    if ('recipe' in input) continue;
    expect(input.quantize?.quantizer).toBe('clips');
  }
  const parsed = (quantize: object) => () => parseConfiguration({ quantize }, 'test');
  expect(parsed({ quantizer: 'step' })).toThrow(/quantize\.quantizer/);
  expect(parsed({ quantizer: 'clips', weightZero: 'between' })).toThrow(
    /weightZero is between, but the quantiser clips.*choose the quantiser steps/,
  );
  expect(parsed({ weightZero: 'between', quantizer: 'steps' })().quantize.weightZero).toBe('between');
  for (const stepRate of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(parsed({ quantizer: 'steps', stepRate })).toThrow(/quantize\.stepRate/);
  }
});
