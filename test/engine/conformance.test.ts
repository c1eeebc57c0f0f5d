// Every backend computes what the reference computes, operation by operation, forward and backward, on poisoned memory
// and on every path that its lowering can choose (paths.test.ts). A device that is not there on this machine is skipped
// with its reason; on a GPU host without npm conformance.mjs runs the same.

import { describe, expect, test } from 'vitest';
import { cases, processorCases } from './all-cases.ts';
import type { Case } from './cases.ts';
import { check, differences, expectedOf, problemsOf } from './conformance.ts';
import { cudaDevices, wasmDevices } from './devices.ts';
import { runCase } from './run-case.ts';

const named = (list: readonly Case[]) => list.map((item) => [item.name, item] as const);

test('no two cases have the same name', () => {
  expect(new Set(cases.map(({ name }) => name)).size).toBe(cases.length);
});

describe(wasmDevices.map(({ name }) => name).join('; '), () => {
  test.each(named(processorCases))('%s', async (_, item) => {
    const expected = await expectedOf(item);
    const [one, ...others] = await Promise.all(wasmDevices.map(({ open }) => runCase(open(), item)));
    expect(problemsOf(item, one!, expected, wasmDevices[0]!.tolerance)).toEqual([]);
    for (const other of others) expect(differences(one!, other), 'bits of other thread counts').toEqual([]);
  });
});

const { devices, reason } = cudaDevices();

describe.each(devices)(reason === undefined ? '$name' : `$name (skipped: ${reason})`, (device) => {
  if (reason !== undefined) return test.skip(`${cases.length} cases`, () => {});
  test.each(named(cases))('%s', async (_, item) => {
    expect(await check(device, item)).toEqual([]);
  });
});
