// The two small transformers against their reference files on the processor and in plain loops. The large ones run on a
// GPU (`npm run test:gpu`).

import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { describeWithReference, referenceFolder } from '../shared.ts';
import { excesses, measure, readReference, structureDifferences, tolerancesOnProcessor } from './reference.ts';
import { smallTransformers } from './transformers.ts';

describeWithReference('small transformers', () => {
  describe.each(smallTransformers.map((model) => [model.name, model] as const))('%s', (name, model) => {
    const reference = readReference(join(referenceFolder, 'models'), `timm-${name}`);

    test('has the structure', () => {
      expect(structureDifferences(model, reference)).toEqual([]);
    });

    test('computes the same on the processor', async () => {
      const errors = await measure(model, reference, wasmBackend({ threads: 2 }));
      expect(excesses(reference, errors, tolerancesOnProcessor(reference.name))).toEqual([]);
      // No kink lies between the weights and the loss: every gradient is met.
      expect(errors.worstGradient).toBeLessThan(1e-5);
    });

    test('computes the same in plain loops', async () => {
      const errors = await measure(model, reference, referenceBackend(), ['evaluate']);
      expect(excesses(reference, errors, tolerancesOnProcessor(reference.name))).toEqual([]);
    });
  });
});
