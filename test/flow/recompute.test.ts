// A run whose training computes activations again gives the files of one that keeps them, to the byte, and says what it
// saves.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-recompute-'));
afterAll(() => rmSync(parent, { recursive: true }));

test('the same files with and without', async () => {
  const training = { epochs: 1, batchSize: 512 };
  const run = async (name: string, recompute: boolean) => {
    const notes: string[] = [];
    await runFlow({
      folder: join(parent, name),
      settings: { train: training, explore: training },
      phases: ['train', 'quantize', 'explore', 'map', 'report'],
      device: { threads: 2, recompute },
      listener: (event) => {
        if (event.kind === 'note') notes.push(event.text);
      },
    });
    const files = ['checkpoints/float.safetensors', 'checkpoints/explored.safetensors', 'theta.json'];
    const { phases } = readManifest(join(parent, name));
    const details = Object.fromEntries(Object.entries(phases).map(([phase, { device }]) => [phase, device.detail]));
    return { notes, details, bytes: files.map((file) => readFileSync(join(parent, name, file)).toString('base64')) };
  };
  const [kept, again] = [await run('kept', false), await run('again', true)];
  expect(again.bytes).toEqual(kept.bytes);
  const told =
    /^activations of 3 blocks are computed again: [\d.]+ instead of [\d.]+ MiB of intermediate values for 512 images$/;
  expect(again.notes.filter((text) => told.test(text))).toHaveLength(2);
  expect(kept.notes.some((text) => text.includes('again'))).toBe(false);
  // Said of the phases that train, and of no others.
  const computed = 'WebAssembly SIMD, 2 threads; emulation auto';
  const trained = `${computed}; activations computed again`;
  const report = 'nothing was computed';
  expect(kept.details).toEqual({ train: computed, quantize: computed, explore: computed, map: computed, report });
  expect(again.details).toEqual({ train: trained, quantize: trained, explore: trained, map: computed, report });
});
