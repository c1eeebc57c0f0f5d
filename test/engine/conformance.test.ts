// Every backend computes what the reference computes, operation by operation, forward and backward. A backend that is not there on this
// machine is skipped with its reason.

import { describe, expect, test } from 'vitest';
import type { Backend } from '../../src/engine/backend.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { wasmBackend } from '../../src/engine/wasm/backend.ts';
import { cases } from './cases.ts';
import { relativeError, runCase } from './run-case.ts';

const reference = referenceBackend();
const backends: readonly Backend[] = [wasmBackend({ threads: 1 }), wasmBackend({ threads: 2 })];

for (const backend of backends) {
  describe(`${backend.name} (${backend.description})`, () => {
    for (const item of cases) {
      test(item.name, async () => {
        const expected = await runCase(reference, item);
        const found = await runCase(backend, item);
        expect(Object.keys(found)).toEqual(Object.keys(expected));
        for (const [name, data] of Object.entries(expected)) {
          if (data instanceof Float32Array) expect(relativeError(found[name]!, data), name).toBeLessThan(2e-6);
          else expect(found[name], name).toEqual(data);
        }
      });
    }
  });
}

describe('thread counts', () => {
  test('give the same bits', async () => {
    for (const item of cases) {
      const one = await runCase(backends[0]!, item);
      const two = await runCase(backends[1]!, item);
      expect(two, item.name).toEqual(one);
    }
  });
});
