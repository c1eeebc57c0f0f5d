// A run whose training computes activations again gives the files of one that keeps them, to the byte, and says what it saves.

import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/run/run.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-recompute-'));
afterAll(() => rmSync(parent, { recursive: true }));

test('the same files with and without', async () => {
  const training = { epochs: 1, batchSize: 512 };
  const run = async (name: string, recompute: boolean) => {
    const notes: string[] = [];
    await runFlow({
      folder: join(parent, name),
      settings: { train: training, explore: training },
      phases: ['train', 'quantize', 'explore'],
      device: { threads: 2, recompute },
      listener: (event) => {
        if (event.kind === 'note') notes.push(event.text);
      },
    });
    const files = ['checkpoints/float.safetensors', 'checkpoints/explored.safetensors', 'theta.json'];
    return { notes, bytes: files.map((file) => readFileSync(join(parent, name, file)).toString('base64')) };
  };
  const [kept, again] = [await run('kept', false), await run('again', true)];
  expect(again.bytes).toEqual(kept.bytes);
  const told =
    /^activations of 3 blocks are computed again: [\d.]+ instead of [\d.]+ MiB of intermediate values for 512 images$/;
  expect(again.notes.filter((text) => told.test(text))).toHaveLength(2);
  expect(kept.notes.some((text) => text.includes('again'))).toBe(false);
}, 120_000);
