// Training that diverges: from a network that was well it begins anew at half the rate, once, and is then the training
// that this rate would have been; where that is too much as well, the error says what happened, from what, and what to
// do. What is merely worse than a guess has not diverged.

import { cpSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import type { Listener } from '../../src/flow/run/events.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import type { ConfigurationInput } from '../../src/flow/settings/settings.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-diverged-'));
afterAll(() => rmSync(parent, { recursive: true }));
const device = { name: 'wasm', threads: 1 } as const;
const base = join(parent, 'base');
const settings: ConfigurationInput = {
  ...{ model: join(import.meta.dirname, 'small-network.mjs'), sample: 150, bits: { weights: 4, activations: 4 } },
  ...{
    train: { epochs: 4, batchSize: 16, learningRate: 0.05 },
    quantize: { images: 50 },
    map: { multiplier: 'exact' },
  },
};

beforeAll(() => runFlow({ folder: base, settings, device, phases: ['train', 'quantize', 'map'] }));

/** Recovery at a rate, for an epoch of five steps: what it told, and how it ended. */
async function recovered(learningRate: number, from = base) {
  const folder = join(parent, `${from === base ? 'rate' : 'well'}${learningRate}`);
  cpSync(from, folder, { recursive: true });
  const notes: string[] = [];
  const listener: Listener = (event) => void (event.kind === 'note' && notes.push(event.text));
  const recover = { epochs: 1, batchSize: 30, learningRate, optimizer: 'sgd', teacher: 'none', schedule: 'constant' };
  const error = await runFlow({
    ...{ folder, device, listener, settings: { recover } as ConfigurationInput, phases: ['recover'] },
  }).then(
    () => undefined,
    (failure: Error) => failure.message,
  );
  const record = readManifest(folder).phases.recover;
  const bytes = record && readFileSync(join(folder, 'checkpoints/recovered.safetensors'));
  return { record, error, bytes, notes: notes.filter((text) => text.includes('diverged')) };
}

test('begins anew with half the rate, and is then as training at that rate', async () => {
  const [halved, plain] = [await recovered(60), await recovered(30)];
  expect(plain.notes).toEqual([]);
  expect(plain.record).not.toHaveProperty('halvedRate');
  expect(halved.error).toBeUndefined();
  expect(halved.notes).toHaveLength(1);
  expect(halved.notes[0]).toMatch(/^recover diverged: the mean loss of epoch 1 is .* begins anew with half of it, 30$/);
  expect(halved.record!.halvedRate).toBe(30);
  expect(halved.record!.stages).toEqual(plain.record!.stages);
  expect(halved.bytes!.equals(plain.bytes!)).toBe(true);
  expect(readManifest(join(parent, 'rate60')).configuration.recover.learningRate).toBe(60);
  // Far from well, and yet no more than a bad training.
  expect(plain.record!.stages.at(-1)!.accuracy).toBeLessThan(0.3);
});

test('ends with what happened and what to do where half is too much, too', async () => {
  const { record, error, notes } = await recovered(1000);
  expect(record).toBeUndefined();
  expect(notes).toHaveLength(1);
  expect(error).toMatch(
    /^recover diverged at the learning rate 1000 and at half of it: .*lower the learning rate \(500\)/,
  );
  expect(error).toMatch(/--recover-learning-rate; where the network is broken before training.* more bits help more$/);
});

test('a network that was well and then tells nothing apart begins anew, though a guess has no smaller loss', async () => {
  const well = join(parent, 'well');
  const train = { ...settings.train, epochs: 15 };
  await runFlow({
    folder: well,
    settings: { ...settings, sample: 600, train },
    device,
    phases: ['train', 'quantize', 'map'],
  });
  const [halved, plain] = [await recovered(2, well), await recovered(1, well)];
  expect(plain.notes).toEqual([]);
  expect(halved.notes).toHaveLength(1);
  const [, loss, began] = /mean loss of epoch 1 is (\S+), where training began with (\S+) and/.exec(halved.notes[0]!)!;
  expect(Number(loss)).toBeLessThan(3 * Math.log(10));
  expect(Number(began)).toBeLessThan(Math.log(10) / 2);
  expect(halved.bytes!.equals(plain.bytes!)).toBe(true);
});
