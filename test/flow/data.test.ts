// What a run says and keeps of its data: every option about data reaches the data set, what was read is told in one
// line, and the manifest holds the facts that inference needs. One class, or an option that the data contradict, is
// refused before there is a run.

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, describe, expect, test } from 'vitest';
import { describeData } from '../../src/data/dataset.ts';
import { runFlow } from '../../src/flow/flow.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import type { ConfigurationInput } from '../../src/flow/settings/config.ts';

const home = process.cwd();
const parent = mkdtempSync(join(tmpdir(), 'tram-run-data-'));
afterAll(() => rmSync(parent, { recursive: true }));
afterEach(() => process.chdir(home));

/** 4×4 images of two classes, the label first, in values 0 and 100 + 4k. */
function csv(count: number, labels: readonly string[]): string {
  const line = (k: number) => [
    labels[k % 2],
    ...Array.from({ length: 16 }, (_, i) => (i % 2 === k % 2 ? 100 + 4 * k : 0)),
  ];
  return Array.from({ length: count }, (_, k) => line(k).join()).join('\n');
}

const trainPath = join(parent, 'train.csv');
writeFileSync(trainPath, csv(10, ['1', '2']));
writeFileSync(join(parent, 'test.csv'), csv(4, ['2', '1']));
const onePath = join(parent, 'one.csv');
writeFileSync(onePath, csv(10, ['7', '7']));
const model: ConfigurationInput = { train: { epochs: 1, batchSize: 4 } };

async function train(name: string, settings: ConfigurationInput) {
  const notes: string[] = [];
  const folder = join(parent, name);
  const listener = (event: { kind: string; text?: string }) => {
    if (event.kind === 'note' && event.text?.startsWith('data:')) notes.push(event.text);
  };
  await runFlow({ folder, settings: { ...model, ...settings }, phases: ['train'], listener });
  return { notes, folder, ...readManifest(folder).inputs };
}

describe('a run', () => {
  test('tells what it read and keeps the facts', async () => {
    const { data, notes } = await train('one', { data: trainPath, label: 'first' });
    expect(notes).toEqual([
      'data: 10 images 4×4×1, 2 classes (5 each); 8 train, 2 test (a fifth of each class held back)',
      'data: the labels begin with 1: class = label − 1 (--classes 3 keeps them as they are)',
    ]);
    expect(data).toMatchObject({
      image: { height: 4, width: 4, channels: 1 },
      scale: 255,
      classCounts: [5, 5],
      split: 'a fifth of each class held back',
      labels: 'column 1, class = label − 1',
    });
    expect(`data: ${describeData(data)}`).toBe(notes[0]);
  });

  test('takes a test file and the number of classes; mean and deviation are those of the training file', async () => {
    const { data, notes } = await train('two', {
      data: `csv:${trainPath}`,
      testData: join(parent, 'test.csv'),
      label: '1',
      classes: 3,
    });
    expect(notes).toEqual([
      'data: 14 images 4×4×1, 3 classes (0 to 7 each); 10 train, 4 test (the images of test.csv)',
      'data: no training image of class 0',
    ]);
    const raw = Array.from({ length: 10 }, (_, k) => [0, 100 + 4 * k]).flat();
    const mean = raw.reduce((sum, value) => sum + value / 255, 0) / raw.length;
    const variance = raw.reduce((sum, value) => sum + (value / 255 - mean) ** 2, 0) / raw.length;
    expect(data.mean[0]).toBeCloseTo(mean, 12);
    expect(data.deviation[0]).toBeCloseTo(Math.sqrt(variance), 12);
    expect(data.classCounts).toEqual([0, 7, 7]);
  });

  test('finds both files again from another working directory', async () => {
    process.chdir(parent);
    const { folder } = await train('moved', { data: 'csv:train.csv', testData: 'test.csv', label: 'first' });
    mkdirSync(join(parent, 'elsewhere'));
    process.chdir(join(parent, 'elsewhere'));
    await runFlow({ folder, settings: { train: { epochs: 2 } }, phases: ['train'], redo: true });
    expect(readManifest(folder).phases.train!.settings).toContain('"epochs":2');
  });

  test.each<[string, ConfigurationInput, string]>([
    ['one class', { data: onePath, label: 'first' }, 'has one class: all 8 training images are of class 7'],
    ['a guess that makes no sense', { data: trainPath }, 'say --label first'],
    ['a size that the data contradict', { data: 'digits', image: '28x28x1' }, 'the images of digits are 8x8x1'],
    ['a label of data that have their own', { data: 'digits', label: 'first' }, 'digits data have their own'],
  ])('is not begun with %s', async (name, settings, message) => {
    await expect(train(name, settings)).rejects.toThrow(message);
    expect(existsSync(join(parent, name, 'manifest.json'))).toBe(false);
  });
});
