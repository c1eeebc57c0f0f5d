// Every backend computes what the reference computes, operation by operation, forward and backward, on poisoned memory. A device that is
// not there on this machine is skipped with its reason.

import { describe, expect, test } from 'vitest';
import { wasmBackend } from '../../src/engine/wasm/backend.ts';
import { cases } from './all-cases.ts';
import { differences, expectedOf, problemsOf } from './conformance.ts';
import { runCase } from './run-case.ts';

describe('wasm', () => {
  const backends = [1, 2, 3].map((threads) => wasmBackend({ threads, poison: true }));
  test.each(cases.map((item) => [item.name, item] as const))('%s', async (_, item) => {
    const expected = await expectedOf(item);
    const [one, ...others] = await Promise.all(backends.map((backend) => runCase(backend, item)));
    expect(problemsOf(item, one!, expected, 2e-6)).toEqual([]);
    for (const other of others) expect(differences(one!, other), 'bits of other thread counts').toEqual([]);
  });
});
