import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encodeImagePng } from '../../report/png.ts';
import type { Manifest } from '../run/manifest.ts';
import { parseConfiguration } from '../settings/config.ts';
import { acceptTrials } from './accept.ts';
import { parseAxis, trialsOf } from './grid.ts';

const explore = { optimizer: 'adam', epochs: 2, power: 0.3, thetaLearningRate: 1e-6 } as const;
const over = [parseAxis('recover-epochs=1,2')];
const planned = (data: string) => trialsOf({ settings: { data, explore }, over });
const tooSlow = /^the trial recover-epochs1: settings: explore\.thetaLearningRate is 0\.000001: by adam θ moves by/;

test('what the data decide is refused where they are; elsewhere the trials look at them', async () => {
  for (const data of ['digits', 'procedural:16x16x3,classes=4']) {
    await expect(acceptTrials(planned(data), undefined)).rejects.toThrow(tooSlow);
  }
  for (const data of ['images:no-such-folder', 'no-such-file.csv']) await acceptTrials(planned(data), undefined);
});

test('of a phase that trials take from a run nothing is asked', async () => {
  const configuration = parseConfiguration({ explore }, 'test');
  const source = (...done: string[]) =>
    ({ configuration, phases: Object.fromEntries(done.map((phase) => [phase, {}])) }) as unknown as Manifest;
  await expect(acceptTrials(planned('digits'), source('train', 'quantize'))).rejects.toThrow(tooSlow);
  await acceptTrials(planned('digits'), source('train', 'quantize', 'explore'));
});

test('no image cache is filled for it', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tram-accept-'));
  try {
    const picture = encodeImagePng(8, 8, new Uint8Array(3 * 64));
    for (const name of ['a', 'b']) {
      mkdirSync(join(folder, 'images', name), { recursive: true });
      for (let k = 0; k < 10; k++) writeFileSync(join(folder, 'images', name, `${k}.png`), picture);
    }
    const imageCache = join(folder, 'cache');
    const settings = { data: `images:${join(folder, 'images')}`, image: '16x16x3', imageCache, explore };
    await expect(acceptTrials(trialsOf({ settings, over }), undefined)).rejects.toThrow(tooSlow);
    expect(existsSync(imageCache)).toBe(false);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
