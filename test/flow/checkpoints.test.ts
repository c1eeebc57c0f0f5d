// Published checkpoints as the start of a run: a quantised one gives the published accuracy and logits, is neither
// trained nor calibrated, and phase 1 goes on from it. Needs the reference files beside the repository.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Dataset } from '../../src/data/dataset.ts';
import type { ImageSplit } from '../../src/data/image-split.ts';
import { datasetOf } from '../../src/data/memory.ts';
import type { Backend } from '../../src/engine/backend.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { runFlow } from '../../src/flow/flow.ts';
import { loadModel } from '../../src/flow/run/checkpoint.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { exactMultiplier } from '../../src/multiplier/multiplier.ts';
import { Layers } from '../../src/nn/layers.ts';
import { findModel } from '../../src/nn/models/registry.ts';
import { multiplyQuantized } from '../../src/quant/quantized.ts';
import { readSafetensors } from '../../src/tensor/safetensors.ts';

const shared = fileURLToPath(new URL('../../../shared/', import.meta.url));
const reference = join(shared, 'reference/pytorch/');
const parent = mkdtempSync(join(tmpdir(), 'tram-checkpoints-'));
afterAll(() => rmSync(parent, { recursive: true }));

/** Rows 0 … 1436 to train and 1437 … 1796 to test, pixels / 16 and not normalised, as the reference files were made. */
function digits(): Dataset {
  const text = gunzipSync(readFileSync(join(shared, 'data/digits.csv.gz'))).toString();
  const rows = text
    .trim()
    .split('\n')
    .map((line) => line.split(',').map(Number));
  const part = (from: number, to: number) => ({
    images: Uint8Array.from(rows.slice(from, to).flatMap((row) => row.slice(0, 64))),
    labels: rows.slice(from, to).map((row) => row[64]!),
  });
  const size = { height: 8, width: 8, channels: 1, maximum: 16 };
  const dataset = datasetOf({ name: 'rows', ...size, train: part(0, 1437), test: part(1437, 1797) });
  return { ...dataset, mean: [0], deviation: [1] };
}

const [height, width] = [8, 8];

describe.skipIf(!existsSync(reference))('the published quantised checkpoint', () => {
  const file = join(reference, 'resnet8-digits_w8a8_ptq.pth');
  const facts = () => JSON.parse(readFileSync(join(reference, 'facts.json'), 'utf8'));
  const folder = join(parent, 'published');
  const settings = { train: { checkpoint: file }, explore: { epochs: 1, batchSize: 128 } };

  beforeAll(async () => {
    await runFlow({ folder, dataset: digits(), settings, phases: ['train', 'quantize', 'explore'] });
  }, 120_000);

  test('is neither trained nor calibrated: the manifest says so, and phase 1 goes on from it', () => {
    const { phases } = readManifest(folder);
    expect([phases.train!.from, phases.quantize!.from, phases.explore!.from]).toEqual([
      'checkpoint',
      'checkpoint',
      undefined,
    ]);
    expect(phases.train!.metrics).toBeUndefined();
    expect(phases.quantize!.metrics).toBeUndefined();
    expect(phases.train!.stages[0]!.accuracy).toBeCloseTo(facts().float_accuracy_rows_1437_to_1796, 6);
    expect(phases.quantize!.stages[0]!.accuracy).toBeCloseTo(facts().ptq_accuracy, 6);
    expect(phases.explore!.stages.length).toBeGreaterThan(0);
    const { tensors } = readSafetensors(join(folder, 'checkpoints/quantized.safetensors'));
    // ln(f / (1 − f + 1e-5)) of the clip factor 1, as its search found it for the first layer.
    expect(tensors.get('conv1.weight_clip_upper')!.data[0]).toBeCloseTo(Math.log(1e5), 3);
    expect(tensors.get('fc.input_clip_lower')!.data[0]).toBeCloseTo(3.8913, 3);
  });

  test.each<[string, () => Backend]>([
    ['wasm', () => wasmBackend({ threads: 1 })],
    ['reference', referenceBackend],
  ])('gives the published logits of the first test images: %s', async (_, open) => {
    const session = await open().openSession();
    const graph = new Graph();
    const layers = new Layers(graph, {
      training: false,
      multiply: multiplyQuantized({
        ...{ mode: 'evaluate', channelwise: true, multiplierOf: () => exactMultiplier() },
        widthsOf: () => ({ weightBits: 8, activationBits: 8 }),
      }),
    });
    const image = graph.input('image', [4, height, width, 1]);
    graph.output('logits', findModel('resnet8').build(layers, image, 10));
    const path = join(folder, 'checkpoints/quantized.safetensors');
    loadModel(readFileSync(path), path, session, layers.multiplying);
    const program = await session.compile(graph);
    const { images } = digits().test as ImageSplit;
    program.write(
      'image',
      Float32Array.from(images!.subarray(0, 256), (raw) => raw / 16),
    );
    await program.run();
    const expected = facts().ptq_logits_first4.flat() as number[];
    const logits = await program.read('logits');
    for (const [at, value] of expected.entries()) {
      expect(Math.abs(logits[at]! - value)).toBeLessThan(2e-5 * Math.max(1, Math.abs(value)));
    }
    await session.dispose();
  });

  test('of other widths than the run’s is refused with the option that helps', async () => {
    const other = { folder: join(parent, 'w4'), dataset: digits(), phases: ['train'] as const };
    await expect(runFlow({ ...other, settings: { ...settings, bits: { weights: 4 } } })).rejects.toThrow(
      /weights of conv1 are quantised to 8 bits, the run's are 4; give --weight-bits 8/,
    );
    expect(existsSync(other.folder)).toBe(false);
  });

  test('calibrates anew where the run goes on with other widths', async () => {
    const notes: string[] = [];
    await runFlow({
      ...{
        folder,
        dataset: digits(),
        phases: ['quantize'],
        settings: { bits: { activations: 6 }, quantize: { images: 64 } },
        redo: true,
      },
      listener: (event) => void (event.kind === 'note' && notes.push(event.text)),
    });
    expect(notes.join()).toContain('the quantisers of the checkpoint are for other operand widths');
    expect(readManifest(folder).phases.quantize!.from).toBeUndefined();
  });
});

describe.skipIf(!existsSync(reference))('float checkpoints of PyTorch', () => {
  test.each([
    ['resnet8-digits-fp32.pth', 1e-6],
    ['resnet8-digits-fp16.pth', 0.003],
  ])('%s', async (name, tolerance) => {
    const folder = join(parent, name);
    const settings = { train: { checkpoint: join(reference, name) } };
    await runFlow({ folder, dataset: digits(), settings, phases: ['train'] });
    const { train } = readManifest(folder).phases;
    const { float_accuracy_rows_1437_to_1796: accuracy } = JSON.parse(
      readFileSync(join(reference, 'facts.json'), 'utf8'),
    );
    expect(Math.abs(train!.stages[0]!.accuracy - accuracy)).toBeLessThanOrEqual(tolerance);
    expect(train!.from).toBeUndefined();
  });

  test('a whole module is refused before anything is written', async () => {
    const options = { folder: join(parent, 'module'), dataset: digits() };
    const settings = { train: { checkpoint: join(reference, 'whole-module.pth') } };
    await expect(runFlow({ ...options, settings })).rejects.toThrow(/'__main__\.Small', whose code/);
    expect(existsSync(options.folder)).toBe(false);
  });
});
