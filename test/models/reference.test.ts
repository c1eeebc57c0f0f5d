// Every convolutional network of the CIFAR size against its reference file, on the processor. The large ones run on a
// GPU (`npm run test:gpu`).

import { join } from 'node:path';
import { expect, test } from 'vitest';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { models } from '../../src/nn/models/registry.ts';
import { describeWithReference, referenceFolder } from '../shared.ts';
import { excesses, measure, readReference, referenceNames, structureDifferences } from './reference.ts';

const folder = join(referenceFolder, 'models');
const backend = wasmBackend({ threads: 2 });

describeWithReference('reference models', () => {
  for (const name of referenceNames(folder)) {
    if (!name.startsWith('cifar-')) continue;
    const model = models.find((one) => one.name === name.slice('cifar-'.length));
    if (!model) continue;
    test(name, async () => {
      const reference = readReference(folder, name);
      expect(structureDifferences(model, reference)).toEqual([]);
      const errors = await measure(model, reference, backend);
      expect(excesses(reference, errors)).toEqual([]);
    });
  }
});
