import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { openDataset } from '../../data/registry.ts';
import { encodeImagePng } from '../../report/png.ts';
import type { Manifest } from '../run/manifest.ts';
import { parseConfiguration } from '../settings/config.ts';
import { acceptTrials } from './accept.ts';
import { parseAxis, trialsOf } from './grid.ts';

vi.mock('../../data/registry.ts', async (load) => {
  const original = await load<typeof import('../../data/registry.ts')>();
  return { ...original, openDataset: vi.fn(original.openDataset) };
});

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

test.each([
  [{ data: 'digit' }, /^the trial \S+: unknown data set 'digit'; did you mean 'digits'\? valid: digits, cifar10:DIR, /],
  [{ data: 'cifra10:data/cifar' }, /unknown data set 'cifra10'; did you mean 'cifar10'\?/],
  [{ data: 'mnist' }, /unknown data set 'mnist'; valid: digits, .* or a path to such data \(.* \.\/NAME\)$/],
  [{ data: 'procedrual:8x8x3,classes=3' }, /unknown data set 'procedrual'; did you mean 'procedural'\?/],
  [{ data: 'cifra10', model: './no-such-model.mjs' }, /unknown data set 'cifra10'/],
  [{ map: { multiplier: 'exakt' } }, /unknown multiplier 'exakt'; did you mean 'exact'\? valid: exact, .*NAME\)$/],
  [{ map: { multiplier: 'mul8u' } }, /unknown multiplier 'mul8u'; valid: exact, trained, a generator such as /],
])('%j is no name, and could be no path', async (settings, reason) => {
  const refused = acceptTrials(trialsOf({ settings, over: [parseAxis('seed=1,2')] }), undefined);
  await expect(refused).rejects.toThrow(reason);
});

test.each([
  ...['/data/cifra10', './mnist', 'data/cifra10', 'C:\\data\\digit', 'cifar10:cifar', 'images:mnist', 'cifra.npz'].map(
    (data) => ({ data }),
  ),
  ...['./exakt', '/multipliers/mul8u', 'mul8u.v'].map((multiplier) => ({ map: { multiplier } })),
])('%j may be where the trials will be', async (settings) => {
  await acceptTrials(trialsOf({ settings, over: [parseAxis('seed=1,2')] }), undefined);
});

test('a bare name is a path where it leads somewhere, and what the run has that trials branch from', async () => {
  const [before, folder] = [process.cwd(), mkdtempSync(join(tmpdir(), 'tram-accept-'))];
  const trials = trialsOf({ settings: { data: 'mnist', map: { multiplier: 'mul8u' } }, over: [parseAxis('seed=1')] });
  const [{ settings }] = trials as [(typeof trials)[number]];
  const source = { configuration: parseConfiguration(settings, 'test'), phases: {} } as unknown as Manifest;
  await acceptTrials(trials, source);
  try {
    process.chdir(folder);
    mkdirSync('mnist');
    await expect(acceptTrials(trials, undefined)).rejects.toThrow(/unknown multiplier 'mul8u'/);
    writeFileSync('mul8u', '');
    await expect(acceptTrials(trials, undefined)).rejects.toThrow(/mnist holds no data that are known/);
  } finally {
    process.chdir(before);
    rmSync(folder, { recursive: true });
  }
});

test('of a phase that trials take from a run nothing is asked', async () => {
  const configuration = parseConfiguration({ explore }, 'test');
  const source = (...done: string[]) =>
    ({ configuration, phases: Object.fromEntries(done.map((phase) => [phase, {}])) }) as unknown as Manifest;
  await expect(acceptTrials(planned('digits'), source('train', 'quantize'))).rejects.toThrow(tooSlow);
  await acceptTrials(planned('digits'), source('train', 'quantize', 'explore'));
});

test('data are opened once for all networks, images once for each size that networks choose for them', async () => {
  const opened = vi.mocked(openDataset);
  const asked = async (settings: object, ...axes: string[]) => {
    opened.mockClear();
    await acceptTrials(trialsOf({ settings, over: axes.map(parseAxis) }), undefined);
    return opened.mock.calls.map(([spec]) => spec);
  };
  const sizes = ['procedural:32x32x3,classes=4', 'procedural:32x32x3,classes=6'];
  const networks = 'model=resnet8,resnet20,imagenet/resnet18;seed=1,2'.split(';');
  expect(await asked({}, `data=${sizes.join(';')}`, ...networks)).toEqual(sizes);
  expect(await asked({ data: sizes[0] }, 'sample=40,80', ...networks)).toEqual([sizes[0], sizes[0]]);
  const folder = mkdtempSync(join(tmpdir(), 'tram-accept-'));
  try {
    for (const name of ['a', 'b']) {
      mkdirSync(join(folder, name));
      for (let k = 0; k < 10; k++) {
        const size = 33 + k;
        writeFileSync(join(folder, name, `${k}.png`), encodeImagePng(size, size, new Uint8Array(3 * size ** 2)));
      }
    }
    const data = `images:${folder}`;
    expect(await asked({ data }, 'model=resnet18,mobilenet_v2,imagenet/mobilenetv2,torchvision/vgg11_bn')).toEqual([
      data,
      data,
    ]);
  } finally {
    rmSync(folder, { recursive: true });
  }
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
