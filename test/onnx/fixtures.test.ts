// Three files that PyTorch wrote (networks.py) give PyTorch's logits; one that was trained on the digits goes through
// a whole run, which begins with its weights.

import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { evaluateRun } from '../../src/flow/results/evaluate.ts';
import type { RunEvent } from '../../src/flow/run/events.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import type { ConfigurationInput } from '../../src/flow/settings/config.ts';
import { modelOf } from '../../src/nn/onnx/model.ts';
import { readGraph } from '../../src/onnx/graph.ts';
import { sha256 } from '../../src/tensor/files.ts';
import { type Expected, farthest, logitsOf } from './logits.ts';

const here = import.meta.dirname;
const expected: Readonly<Record<string, Expected>> = JSON.parse(readFileSync(join(here, 'expected.json'), 'utf8'));
const fixture = (name: string) => modelOf(readGraph(join(here, name)), name);

describe('files of PyTorch', () => {
  test.each(Object.entries(expected))('%s gives its logits', async (file, { image, logits }) => {
    const found = await logitsOf(fixture(file), image);
    expect(farthest(found.logits, logits)).toBeLessThan(1e-5);
    expect(farthest([logits[0]!], [logits[1]!])).toBeGreaterThan(0.1);
    // The graph is built anew for each size of batch: one image alone has the same logits.
    expect(farthest((await logitsOf(fixture(file), image, 1)).logits, [logits[0]!])).toBeLessThan(1e-5);
  });

  test('keep the names of their modules, and count the multiplications of one image', async () => {
    const layersOf = async (file: string) => {
      const { layers } = await logitsOf(fixture(file), expected[file]!.image, 2);
      return Object.fromEntries(layers.map(({ name, macs }) => [name, macs]));
    };
    expect(await layersOf('digits.onnx')).toEqual({
      ...{ conv1: 4608, 'layer1.conv1': 36864, 'layer1.conv2': 36864, 'layer2.conv1': 13824, 'layer2.conv2': 20736 },
      ...{ 'layer2.downsample.0': 1536, fc: 120 },
    });
    const transformer = await layersOf('transformer.onnx');
    expect(transformer).toMatchObject({ proj: 6144, 'blocks.1.attn.qkv': 17 * 8 * 24, 'blocks.1.fc2': 17 * 16 * 8 });
    expect(transformer.head).toBe(80);
    const { parameters, graph } = await logitsOf(fixture('transformer.onnx'), expected['transformer.onnx']!.image);
    const names = parameters.map(({ name }) => name);
    expect(names).toEqual(expect.arrayContaining(['cls_token', 'pos_embed', 'blocks.0.gamma', 'norm.weight']));
    expect(graph.nodes.map(({ attributes }) => 'name' in attributes && attributes.name)).toEqual(
      expect.arrayContaining(['gelu', 'layerNorm', 'softmax']),
    );
  });

  test('need no element to be moved for convolutions', async () => {
    const { graph } = await logitsOf(fixture('mobile.onnx'), expected['mobile.onnx']!.image);
    expect(graph.nodes.filter(({ op }) => op === 'move')).toEqual([]);
  });
});

describe('a run of an ONNX file', () => {
  const parent = mkdtempSync(join(tmpdir(), 'tram-onnx-'));
  afterAll(() => rmSync(parent, { recursive: true }));
  const file = join(parent, 'digits.onnx');
  copyFileSync(join(here, 'digits.onnx'), file);
  const folder = join(parent, 'run');
  // It was trained on raw / 16.
  const settings = { model: file, mean: [0], deviation: [1], sample: 320 };
  const few = { map: { multiplier: 'truncated:8x8' }, recover: { epochs: 1 } };
  const device = { threads: 1 };

  test('takes its weights, and goes on to an approximate multiplier', async () => {
    const phases = ['train', 'quantize', 'map', 'recover'] as const;
    const { stages } = await runFlow({ folder, settings: { ...settings, ...few }, phases, device });
    const accuracy = Object.fromEntries(stages.map((stage) => [stage.stage, stage.accuracy]));
    expect(accuracy.float).toBeGreaterThan(0.97);
    expect(accuracy.quantized).toBeGreaterThan(accuracy.float! - 0.01);
    expect(accuracy.recovered).toBeGreaterThan(accuracy.float! - 0.03);
    const { inputs, configuration } = readManifest(folder);
    expect(inputs.model).toEqual({ path: file, sha256: sha256(readFileSync(file)) });
    expect(configuration.train.epochs).toBe(0);
  });

  test('trains on where epochs are asked for, also with a new classifier', async () => {
    const train = async (name: string, settings: ConfigurationInput) => {
      const told: string[] = [];
      const listener = (event: RunEvent) => {
        if (event.kind === 'phase-start') told.push(event.title);
        if (event.kind === 'note') told.push(event.text);
      };
      const { stages } = await runFlow({ folder: join(parent, name), settings, phases: ['train'], device, listener });
      return { accuracy: stages[0]!.accuracy, told: told.join('\n') };
    };
    const short = { epochs: 1, learningRate: 0.001 };
    const on = await train('on', { ...settings, train: short });
    expect(on.told).toMatch(/train on from .*digits\.onnx/);
    // One epoch from random weights is far from this.
    expect(on.accuracy).toBeGreaterThan(0.95);
    const anew = await train('anew', { ...settings, train: { ...short, newClassifier: true } });
    expect(anew.told).toMatch(/the classifier begins anew, drawn from the seed: fc\.weight \[1, 1, 12, 10\]/);
    expect(anew.accuracy).toBeLessThan(on.accuracy);
  });

  test('goes on with this file alone', async () => {
    const bytes = readFileSync(file);
    const { accuracy } = await evaluateRun({ folder });
    writeFileSync(file, Buffer.concat([bytes, Buffer.from([8 * 15 + 2, 1, 0])]));
    await expect(evaluateRun({ folder })).rejects.toThrow(
      /the model file .*digits\.onnx is not as it was when the run/,
    );
    rmSync(file);
    await expect(evaluateRun({ folder })).rejects.toThrow(/digits\.onnx is not there .*; bring it back/);
    writeFileSync(file, bytes);
    expect((await evaluateRun({ folder })).accuracy).toBe(accuracy);
  });

  test('is refused for other images and other classes, by what the file takes', async () => {
    const run = (changes: object) => runFlow({ folder: join(parent, 'none'), settings: { ...settings, ...changes } });
    const other = join(here, 'mobile.onnx');
    await expect(run({ model: other })).rejects.toThrow(
      /mobile\.onnx: its input image takes \[N, channels, height, width\] = \[any, 3, 16, 16\], not images of 8×8×1/,
    );
    await expect(run({ train: { epochs: 0 }, model: 'resnet8' })).rejects.toThrow(
      /train\.epochs is 0, but resnet8 has no weights yet/,
    );
    await expect(run({ train: { checkpoint: file }, model: 'resnet8' })).rejects.toThrow(/give it as --model/);
  });
});
