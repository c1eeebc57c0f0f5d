// A model from a file of the user's own: the example through the whole flow, up to the accuracy that it is worth; what
// the manifest keeps of the file; and that a run goes on with that file alone.

import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { evaluateRun } from '../../src/flow/results/evaluate.ts';
import { exportNetwork } from '../../src/flow/results/export.ts';
import type { RunEvent } from '../../src/flow/run/events.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { sha256 } from '../../src/tensor/files.ts';

const example = join(import.meta.dirname, '../../examples/own-model.mjs');
const parent = mkdtempSync(join(tmpdir(), 'tram-own-model-'));
afterAll(() => rmSync(parent, { recursive: true }));
const folder = join(parent, 'run');
const file = join(parent, 'net.mjs');

beforeAll(() => copyFileSync(example, file));

test('the example reaches its accuracy, and keeps it on an approximate multiplier', async () => {
  const settings = { model: file, train: { epochs: 16 }, explore: { epochs: 3 }, recover: { epochs: 3 } };
  const { stages } = await runFlow({ folder, settings, device: { threads: 1 } });
  const accuracy = Object.fromEntries(stages.map((stage) => [stage.stage, stage.accuracy]));
  expect(accuracy.float).toBeGreaterThan(0.94);
  expect(accuracy.recovered).toBeGreaterThan(accuracy.float! - 0.02);
  expect(stages.at(-1)!.gateCost).toBeLessThan(1);
});

test('the manifest keeps the place of the file and its hash', () => {
  const { inputs } = readManifest(folder);
  expect(inputs.model).toEqual({ path: file, sha256: sha256(readFileSync(file)) });
  expect(inputs.layers.map(({ name }) => name)).toEqual([
    ...['stem.conv', 'block1.depthwise.conv', 'block1.pointwise.conv'],
    ...['block2.depthwise.conv', 'block2.pointwise.conv', 'head'],
  ]);
});

test('the network that is exported is the checkpoint of a new run of the file, with its classifier or without', async () => {
  const checkpoint = join(parent, 'mine.pth');
  exportNetwork({ folder, path: checkpoint, stage: 'float' });
  const { accuracy } = readManifest(folder).phases.train!.stages[0]!;
  const settings = { model: file, train: { checkpoint } };
  const taken = await runFlow({ folder: join(parent, 'taken'), settings, phases: ['train'], device: { threads: 1 } });
  expect(taken.stages[0]!.accuracy).toBe(accuracy);
  const anew = { model: file, train: { checkpoint, newClassifier: true, epochs: 1 } };
  const notes: string[] = [];
  const listener = (event: RunEvent) => event.kind === 'note' && notes.push(event.text);
  await runFlow({ folder: join(parent, 'begun'), settings: anew, phases: ['train'], listener, device: { threads: 1 } });
  expect(notes.join()).toMatch(/the classifier begins anew, drawn from the seed: head\.weight/);
});

test('a changed file is refused by name, and one that is not there too', async () => {
  const text = readFileSync(file, 'utf8');
  writeFileSync(file, text.replace('x, 64, 2', 'x, 48, 2'));
  const again = { folder, settings: { recover: { epochs: 4 } }, redo: true };
  await expect(runFlow(again)).rejects.toThrow(/the model file .*net\.mjs is not as it was when the run was made/);
  await expect(evaluateRun({ folder })).rejects.toThrow(/net\.mjs is not as it was/);
  rmSync(file);
  await expect(runFlow(again)).rejects.toThrow(/net\.mjs is not there .*; bring it back/);
  writeFileSync(file, text);
  const { accuracy } = await evaluateRun({ folder });
  expect(accuracy).toBe(readManifest(folder).phases.recover!.stages.at(-1)!.accuracy);
});
