import { expect, test } from 'vitest';
import type { ConfigurationInput } from '../flow/settings/config.ts';
import { defaultFolder, redoneFolder } from './folder-name.ts';

const short: ConfigurationInput = { train: { epochs: 1 }, recover: { epochs: 2 } };
const dense: ConfigurationInput = { ...short, explore: { lambda: 1 } };

test('--redo without a folder is about the run that lacks the fewest of the settings', () => {
  const redone = (there: readonly string[]) => redoneFolder(dense, false, (folder) => there.includes(folder));
  const [plain, near, exact] = [{}, short, dense].map((given) => defaultFolder(given)) as [string, string, string];
  expect([plain, near, exact]).toEqual([
    'runs/digits-resnet8-seed1',
    'runs/digits-resnet8-seed1-train-epochs1-recover-epochs2',
    'runs/digits-resnet8-seed1-train-epochs1-lambda1-recover-epochs2',
  ]);
  expect(redone([plain, near, exact])).toBe(exact);
  expect(redone([plain, near])).toBe(near);
  expect(redone([plain])).toBe(plain);
  expect(redone([])).toBe(exact);
  const [one, other] = ['train-epochs1-lambda1', 'train-epochs1-recover-epochs2'].map((name) => `${plain}-${name}`);
  expect(() => redone([plain, one!, other!])).toThrow(
    /--redo could mean .*lambda1 or .*epochs2; name the run with --out/,
  );
});

test('a name that would grow without end is shortened to a hash of itself, the same for the same settings', () => {
  const given: ConfigurationInput = {
    ...dense,
    train: { epochs: 1, batchSize: 32, learningRate: 0.01, momentum: 0.8, weightDecay: 0.001, schedule: 'constant' },
    quantize: { epochs: 3, batchSize: 32, learningRate: 0.01 },
  };
  expect(defaultFolder(given)).toMatch(/^runs\/digits-resnet8-seed1-[0-9a-f]{12}$/);
  expect(defaultFolder({ ...given, seed: 1 })).toBe(defaultFolder(given));
  expect(defaultFolder({ ...given, map: { signed: true } })).not.toBe(defaultFolder(given));
});

test('whatever else than data, model and seed is given makes a run of its own, a recipe by its name', () => {
  const folder = (given: ConfigurationInput) => defaultFolder(given).replace(/^runs\/digits-resnet8-seed1/, '');
  expect(folder({ sample: 500, classesOf: '0,1' })).toBe('-classes-of0-1-sample500');
  expect(folder({ train: { checkpoint: 'a/b.pth', checkpointKey: 'ema' } })).toBe('-checkpoint-b-checkpoint-key-ema');
  expect(folder({ recipe: 'paper-w4a4' })).toBe('-paper-w4a4');
  // The default of a run without the recipe, which the recipe has not.
  expect(folder({ recipe: 'paper-w4a4', train: { batchSize: 64 } })).toBe('-paper-w4a4-train-batch-size64');
  expect(folder({ recipe: 'paper-w4a4', train: { batchSize: 256 } })).toBe('-paper-w4a4');
  expect(defaultFolder({ data: 'procedural:32x32x3,classes=5' })).toBe(
    'runs/procedural-32x32x3-classes-5-resnet8-seed1',
  );
});

test('a model from a file has the name of the file, and the epochs that its weights need none of are not told', () => {
  expect(defaultFolder({ model: './nets/mine.mjs' })).toBe('runs/digits-mine-seed1');
  expect(defaultFolder({ model: './nets/net.onnx' })).toBe('runs/digits-net-seed1');
  expect(defaultFolder({ model: 'net.onnx', train: { epochs: 5 } })).toBe('runs/digits-net-seed1-train-epochs5');
});
