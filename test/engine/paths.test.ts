// Every path that a lowering can choose is taken by a case of the conformance suite.
//   npm run conformance:paths    prints the table of paths and cases

import { describe, expect, test } from 'vitest';
import { cases, processorCases } from './all-cases.ts';
import { cudaCoverage, wasmCoverage } from './coverage.ts';
import { cudaTargets } from './devices.ts';

const coverages = { wasm: wasmCoverage(processorCases), cuda: cudaCoverage(cases, Object.values(cudaTargets)) };

test('no two cases have one name, by which results are known', () => {
  const names = cases.map(({ name }) => name);
  expect(names.filter((name, at) => names.indexOf(name) < at)).toEqual([]);
});

describe.each(Object.entries(coverages))('%s', (_, coverage) => {
  test(`every path of the lowerings has a case`, () => {
    expect(coverage.filter((one) => one.cases.length === 0).map(({ op, path }) => `${op}: ${path}`)).toEqual([]);
  });
});
