// How a run's images are normalised: as measured, as the user says, or, with a checkpoint, as the model's card says of
// its published weights; and as it began, whatever it is told when it goes on.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type KnownInputs, openTask } from '../../src/flow/run/inputs.ts';
import { type ConfigurationInput, parseConfiguration } from '../../src/flow/settings/config.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-normalization-'));
afterAll(() => rmSync(parent, { recursive: true }));

const sets = {
  files: `images:${join(parent, 'colour')}`,
  grey: `images:${join(parent, 'grey')}`,
  formula: 'procedural:32x32x3,classes=2,images=8',
};
const published = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };
const resnet: ConfigurationInput = { model: 'imagenet/resnet18' };
// Only that there is one counts here: it is read by the phase.
const checkpoint: ConfigurationInput = { train: { checkpoint: 'weights.pth' } };

beforeAll(async () => {
  for (const [name, space] of [
    ['colour', 'srgb'],
    ['grey', 'b-w'],
  ] as const) {
    for (let k = 0; k < 10; k++) {
      const folder = join(parent, name, k % 2 === 0 ? 'ant' : 'bee');
      mkdirSync(folder, { recursive: true });
      const pixels = { width: 32, height: 32, channels: 3 as const, background: { r: 20 * k, g: 250 - k, b: 90 } };
      await sharp({ create: pixels })
        .toColourspace(space)
        .png()
        .toFile(join(folder, `${k}.png`));
    }
  }
});

async function opened(settings: ConfigurationInput, known?: KnownInputs['data']) {
  const configuration = parseConfiguration(settings, 'settings');
  const knownInputs = known && { data: known, model: undefined };
  const { dataset, directory } = await openTask(configuration, knownInputs as KnownInputs | undefined);
  const { height, width, channels } = dataset;
  // What a manifest keeps.
  const kept = { ...dataset, image: { height, width, channels }, directory } as unknown as KnownInputs['data'];
  return { ...dataset, kept, isPublished: dataset.notes.join().includes("the model's published weights") };
}

describe.each(['files', 'formula'] as const)('of images from %s', (kind) => {
  const data = sets[kind];

  test('the normalisation of published weights is taken with a checkpoint alone, and said', async () => {
    const measured = await opened({ ...resnet, data });
    expect(measured.isPublished).toBe(false);
    expect(measured.mean).not.toEqual(published.mean);
    const taken = await opened({ ...resnet, ...checkpoint, data });
    expect(taken).toMatchObject({ ...published, isPublished: true });
    expect(taken.sha256).not.toBe(measured.sha256);
    // A model for small images has no such weights.
    expect(await opened({ model: 'resnet8', ...checkpoint, data })).toMatchObject({
      ...{ mean: measured.mean, deviation: measured.deviation, sha256: measured.sha256, isPublished: false },
    });
  });

  test('the user’s goes before it, and what the user leaves out is measured', async () => {
    const measured = await opened({ ...resnet, data });
    const half = await opened({ ...resnet, ...checkpoint, data, mean: [0.5] });
    expect(half).toMatchObject({ mean: [0.5, 0.5, 0.5], deviation: measured.deviation, isPublished: false });
    const whole = await opened({ ...resnet, ...checkpoint, data, mean: [0.5], deviation: [0.1, 0.2, 0.3] });
    expect(whole).toMatchObject({ mean: [0.5, 0.5, 0.5], deviation: [0.1, 0.2, 0.3], isPublished: false });
  });

  test('a run that goes on keeps the one that it began with', async () => {
    const measured = await opened({ ...resnet, data });
    const later = await opened({ ...resnet, ...checkpoint, data }, measured.kept);
    expect(later).toMatchObject({ mean: measured.mean, sha256: measured.sha256, isPublished: false });
    const taken = await opened({ ...resnet, ...checkpoint, data });
    expect(await opened({ ...resnet, ...checkpoint, data }, taken.kept)).toMatchObject({
      ...published,
      sha256: taken.sha256,
    });
    await expect(opened({ ...resnet, ...checkpoint, data, mean: [0.5] }, taken.kept)).rejects.toThrow(
      /is not the one that the run was made with/,
    );
  });
});

test('grey images are no images of the published weights’ kind: theirs is measured', async () => {
  const measured = await opened({ ...resnet, data: sets.grey });
  const { channels, mean, deviation, sha256, isPublished } = await opened({
    ...{ ...resnet, ...checkpoint, data: sets.grey },
  });
  expect([channels, mean.length, deviation.length, isPublished]).toEqual([1, 1, 1, false]);
  expect([mean, deviation, sha256]).toEqual([measured.mean, measured.deviation, measured.sha256]);
});
