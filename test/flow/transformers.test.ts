// The whole flow on small transformers: every phase is done, and before a phase trains, each attention and feed-forward
// layer is proved to run on the multiplier (flow/multipliers/proof.ts, flow/multipliers/training-proof.ts); patch
// embedding, patch merging and head stay exact, as the paper has it.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { datasetOf } from '../../src/data/memory.ts';
import { runFlow } from '../../src/flow/flow.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { approximateLayers } from '../../src/flow/settings/layers.ts';
import { Random } from '../../src/tensor/random.ts';
import { smallTransformers } from '../models/transformers.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-transformers-'));
afterAll(() => rmSync(parent, { recursive: true }));

/** Noise with one of the colours brighter, or none. */
function images(count: number, seed: number) {
  const [size, random] = [16, new Random(seed)];
  const labels = Uint8Array.from({ length: count }, (_, at) => at % 4);
  const pixels = Uint8Array.from({ length: count * size * size * 3 }, (_, at) => {
    const label = labels[Math.floor(at / (3 * size ** 2))];
    return random.integer(100) + (at % 3 === label ? 100 : 0);
  });
  return { images: pixels, labels };
}

const dataset = datasetOf({
  ...{ name: 'colours', height: 16, width: 16, channels: 3 },
  train: images(96, 1),
  test: images(32, 2),
});

test.each(smallTransformers.map((model) => [model.name, model] as const))('%s', async (name, model) => {
  const folder = join(parent, name);
  const short = { epochs: 1, batchSize: 32 };
  const phases = ['train', 'quantize', 'explore', 'map', 'recover'] as const;
  const settings = {
    train: { epochs: 4, batchSize: 8, learningRate: 0.02, momentum: 0.5 },
    quantize: { images: 32 },
    explore: { ...short, lambda: 0.3 },
    recover: short,
  };
  const { stages } = await runFlow({ folder, model, dataset, settings, phases, device: { threads: 2 } });
  const accuracy = Object.fromEntries(stages.map((stage) => [stage.stage, stage.accuracy]));
  expect(accuracy.float).toBeGreaterThan(0.9);
  expect(accuracy.recovered).toBeGreaterThan(0.8);
  const { configuration, inputs } = readManifest(folder);
  const approximated = approximateLayers(configuration, inputs.layers).map((layer) => layer.name);
  const parts = ['attn.qkv', 'attn.proj', 'mlp.fc1', 'mlp.fc2'];
  expect(approximated.length).toBe(name.startsWith('vit') ? 8 : 16);
  expect(approximated.filter((layer) => !parts.some((part) => layer.endsWith(part)))).toEqual([]);
});
