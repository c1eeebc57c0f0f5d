// What goes into a run, as the manifest keeps it: the data set with everything that inference elsewhere needs of it, the layers that
// multiply, and the files that were given, each with its hash.

import { resolve } from 'node:path';
import type { Dataset, Split } from '../data/dataset.ts';
import type { MultiplyingLayer } from '../nn/layers.ts';
import { readBytes, sha256 } from '../tensor/files.ts';
import type { Configuration } from './config.ts';
import type { RunInputs } from './manifest.ts';

/** Reads the files among them for their hashes; a UserError names one that cannot be read. */
export function inputsOf({ train }: Configuration, dataset: Dataset, layers: readonly MultiplyingLayer[]): RunInputs {
  return {
    data: dataInputs(dataset),
    layers: layers.map(({ name, macs }) => ({ name, macs })),
    ...(train.checkpoint === undefined
      ? {}
      : { checkpoint: { path: resolve(train.checkpoint), sha256: sha256(readBytes(train.checkpoint)) } }),
  };
}

function dataInputs(dataset: Dataset): RunInputs['data'] {
  const { name, height, width, channels, classes, train, test, mean, std, scale } = dataset;
  return {
    name,
    sha256: dataset.sha256,
    directory: process.cwd(),
    trainImages: train.count,
    testImages: test.count,
    classes,
    image: { height, width, channels },
    mean: [...mean],
    deviation: [...std],
    scale,
    classCounts: countClasses(classes, train, test),
    split: 'as the data set gives it',
  };
}

function countClasses(classes: number, ...splits: readonly Split[]): number[] {
  const counts = new Array<number>(classes).fill(0);
  for (const { labels } of splits) for (const label of labels) counts[label]!++;
  return counts;
}
