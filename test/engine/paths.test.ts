// Every path that a lowering can choose is taken by a case of the conformance suite.
//   PATHS=1 npx vitest run test/engine/paths.test.ts    prints the table of paths and cases

import { describe, expect, test } from 'vitest';
import { cases } from './all-cases.ts';
import { tableOf, wasmCoverage } from './coverage.ts';

const coverages = { wasm: wasmCoverage(cases) };

describe.each(Object.entries(coverages))('%s', (device, coverage) => {
  if (process.env.PATHS) console.log(`# ${device}\n${tableOf(coverage)}`);
  test(`every path of the lowerings has a case`, () => {
    expect(coverage.filter((one) => one.cases.length === 0).map(({ op, path }) => `${op}: ${path}`)).toEqual([]);
  });
});
