// A folder of runs for tests of `tram serve`, without training: one real manifest, copied under other names and
// settings, each with a log of its own.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { MetricRecord } from '../../src/flow/run/events.ts';
import { MANIFEST_VERSION, type Manifest, writeManifest } from '../../src/flow/run/manifest.ts';
import { type ConfigurationInput, parseConfiguration } from '../../src/flow/settings/config.ts';

/** Makes the folder of a run that has done its float training, and nothing else. */
export function makeRun(folder: string, given: ConfigurationInput, epochs: number, accuracy = 0.5): void {
  mkdirSync(folder, { recursive: true });
  const manifest: Manifest = {
    format: 'tram-run',
    version: MANIFEST_VERSION,
    program: { tram: '0', node: process.version },
    created: '2026-01-01T00:00:00.000Z',
    given,
    configuration: parseConfiguration(given, 'test'),
    inputs: {
      data: {
        ...{ name: 'digits', sha256: '0'.repeat(64), directory: '/', trainImages: 10, testImages: 10, classes: 10 },
        ...{ image: { height: 8, width: 8, channels: 1 }, mean: [0], deviation: [1], scale: 16 },
        ...{ classCounts: new Array(10).fill(2), split: 'none' },
      },
      layers: [{ name: 'conv1', macs: 9216, kind: 'convolution' }],
    },
    phases: {
      train: {
        ...{ settings: '{}', files: {}, seconds: 1, finished: '2026-01-01T00:01:00.000Z' },
        stages: [{ stage: 'float', accuracy, loss: 1 - accuracy }],
        device: { name: 'wasm', detail: '' },
      },
    },
  };
  writeManifest(folder, manifest);
  const log = Array.from({ length: epochs }, (_, at) => `${JSON.stringify(epoch(at + 1))}\n`);
  writeFileSync(join(folder, 'metrics.jsonl'), log.join(''));
}

export function epoch(number: number, phase: MetricRecord['phase'] = 'train'): MetricRecord {
  const loss = 2 / (number + 1);
  const base = { phase, epoch: number, loss, crossEntropy: loss, testLoss: loss, learningRate: 0.1 };
  const accuracies = { trainAccuracy: 1 - loss / 2, testAccuracy: 1 - loss / 2 };
  if (phase !== 'explore') return { ...base, ...accuracies };
  return { ...base, ...accuracies, power: 1 / number, theta: { theta: [1, 0.5, 1 / number, 0] } };
}

/** Milliseconds after which what is waited for will not come, on however busy a machine. */
export const PATIENCE = 120_000;

/** Waits until something is so, or says what was not. */
export async function until(
  what: string,
  isSo: () => boolean | Promise<boolean>,
  milliseconds = PATIENCE,
): Promise<void> {
  const end = Date.now() + milliseconds;
  while (!(await isSo())) {
    if (Date.now() > end) throw new Error(`not within ${milliseconds} ms: ${what}`);
    await new Promise((done) => setTimeout(done, 25));
  }
}
