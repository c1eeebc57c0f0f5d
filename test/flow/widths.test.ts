// Exploration at every width between those of half a code and a whole one, in batches as large as the published ones:
// the loss of its first step, on the default device, is the one that the reference gives for the same weights and
// images.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { trainingBatches } from '../../src/data/batches.ts';
import { openDataset } from '../../src/data/registry.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { runFlow } from '../../src/flow/flow.ts';
import { structuredArithmetic, writeInitialTheta } from '../../src/flow/multipliers/multipliers.ts';
import { loadModel } from '../../src/flow/run/checkpoint.ts';
import type { RunEvent } from '../../src/flow/run/events.ts';
import { files } from '../../src/flow/run/folder.ts';
import { openTask } from '../../src/flow/run/inputs.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { publishedTraining } from '../../src/flow/settings/training.ts';
import { sweep } from '../../src/flow/sweep/sweep.ts';
import { columnCosts } from '../../src/multiplier/power.ts';
import { readBytes } from '../../src/tensor/files.ts';
import { feedOf, writeBatch } from '../../src/train/feed.ts';
import { buildNetwork } from '../../src/train/task.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-widths-'));
afterAll(() => rmSync(parent, { recursive: true }));

const BATCH = 256;

/** As many digits as give one batch of training images. */
async function fewDigits(): Promise<string> {
  const { images, labels } = (await openDataset('digits')).train;
  const lines = Array.from({ length: 320 }, (_, at) => [...images!.subarray(64 * at, 64 * at + 64), labels[at]].join());
  const path = join(parent, 'digits.csv');
  writeFileSync(path, `${lines.join('\n')}\n`);
  return `csv:${path}`;
}

const data = await fewDigits();

/** Cross-entropy of the run's first exploring step by the reference, from the quantised model. */
async function expectedLoss(folder: string): Promise<number> {
  const { configuration } = readManifest(folder);
  const { dataset, task, layers } = await openTask(configuration);
  const session = await referenceBackend().openSession();
  loadModel(readBytes(join(folder, files.quantized)), files.quantized, session, layers);
  writeInitialTheta(session, { configuration, layers });
  const arithmetic = structuredArithmetic({ configuration, layers });
  const feed = feedOf(session, task, dataset.train);
  const { graph, loss } = buildNetwork(task, arithmetic, 'train', dataset.train.count, feed);
  graph.output('loss', loss);
  const program = await session.compile(graph);
  const epoch = configuration.train.epochs + configuration.quantize.epochs;
  const { count } = dataset.train;
  const batches = trainingBatches(dataset, { seed: configuration.seed, epoch, batchSize: count });
  writeBatch(program, await feed.read(batches.next().value!, count));
  await program.run();
  return (await program.read('loss'))[0]!;
}

const sum = (costs: ArrayLike<number>) => Array.from(costs).reduce((all, cost) => all + cost);

test.each([7, 6, 5])('%i bits', async (bits) => {
  const folder = join(parent, `${bits}`);
  const events: RunEvent[] = [];
  await runFlow({
    folder,
    phases: ['train', 'quantize', 'explore'],
    settings: {
      ...{ data, image: '8x8x1', maximum: 16, bits: { weights: bits, activations: bits } },
      train: { epochs: 2, batchSize: 32 },
      explore: { ...publishedTraining.explore, epochs: 1, batchSize: BATCH, lambda: 0 },
    },
    listener: (event) => events.push(event),
  });
  const notes = events.flatMap((event) => (event.kind === 'note' ? [event.text] : []));
  expect(notes.join('\n')).toMatch(/training step of \d+ images checked: loss, outputs of \d+ layers/);
  const lines = readFileSync(join(folder, files.metrics), 'utf8').trim().split('\n');
  const record = lines.map((line) => JSON.parse(line)).find(({ phase }) => phase === 'explore');
  const expected = await expectedLoss(folder);
  // A code on the edge between two may fall on either side.
  expect(Math.abs(record.crossEntropy - expected) / expected).toBeLessThan(1e-2);

  // Power is told against the exact multiplier of 8×8.
  const { phases } = readManifest(folder);
  const exact = sum(columnCosts(bits, bits)) / sum(columnCosts(8, 8));
  const left = (theta: readonly number[]) =>
    exact *
    (1 -
      theta.reduce((saved, value, c) => saved + value * columnCosts(bits, bits)[c]!, 0) / sum(columnCosts(bits, bits)));
  const [quantized] = phases.quantize!.stages;
  const [approximated, explored] = phases.explore!.stages;
  expect(quantized!.power).toBeCloseTo(exact, 9);
  const removed = Math.floor(bits / 2);
  expect(approximated!.power).toBeCloseTo(left(new Array(removed).fill(1)), 6);
  expect(explored!.power).toBeCloseTo(left(record.theta.theta), 6);
  expect(record.power).toBeCloseTo(left(record.theta.theta), 6);
});

test('the widths that exact:4x5 brought stay those of the run when the multiplier is taken back', async () => {
  const folder = join(parent, 'taken back');
  const settings = { data, map: { multiplier: 'exact:4x5' }, train: { epochs: 1 }, quantize: { images: 64 } };
  await runFlow({ folder, settings, phases: ['train', 'quantize'] });
  await runFlow({ folder, settings: { map: { multiplier: undefined } }, phases: ['quantize'] });
  expect(readManifest(folder).configuration.bits).toEqual({ weights: 4, activations: 5 });
});

test('a point of exact multipliers has widths by layer where layers have other widths than the run', async () => {
  const training = { train: { epochs: 1 }, recover: { epochs: 1 }, quantize: { images: 64 } };
  const settings = { data, map: { multiplier: 'exact:4x5' }, ...training };
  const trials = [
    { name: 'alike', settings: {} },
    { name: 'mixed', settings: { quantize: { layerBits: ['layer1.0.conv1=6'] } } },
  ];
  const { points } = await sweep({ folder: join(parent, 'sweep'), plan: { settings, trials }, synthesis: null });
  const told = points.map(({ name, isByLayer }) => [name, isByLayer]);
  expect(Object.fromEntries(told)).toEqual({ alike: false, mixed: true });
});
