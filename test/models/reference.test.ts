// Every reference file's structure, and what the networks of the CIFAR size compute, on the processor. The large ones
// compute on a GPU (`npm run test:gpu`).

import { join } from 'node:path';
import { expect, test } from 'vitest';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { findModel } from '../../src/nn/models/registry.ts';
import { describeWithReference, referenceFolder } from '../shared.ts';
import {
  excesses,
  measure,
  nameOfReference,
  readReference,
  referenceNames,
  structureDifferences,
  tolerancesOnProcessor,
} from './reference.ts';

const folder = join(referenceFolder, 'models');
const backend = wasmBackend({ threads: 2 });

/** Of transformers that no run would choose: ./transformers.test.ts. */
const isSmall = (name: string) => name.endsWith('-test');

describeWithReference('reference models', () => {
  const names = referenceNames(folder).filter((name) => !isSmall(name));

  test('are all there', () => {
    expect(names.length).toBeGreaterThanOrEqual(29);
  });

  test.each(names)('%s has the structure', (name) => {
    expect(structureDifferences(findModel(nameOfReference(name)), readReference(folder, name))).toEqual([]);
  });

  test.each(names.filter((name) => name.startsWith('cifar-')))('%s computes the same', async (name) => {
    const reference = readReference(folder, name);
    const errors = await measure(findModel(nameOfReference(name)), reference, backend);
    expect(excesses(reference, errors, tolerancesOnProcessor(name))).toEqual([]);
  });
});
