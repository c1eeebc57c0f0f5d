import { expect, test } from 'vitest';
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
