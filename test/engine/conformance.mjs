// The conformance suite on a host that has a GPU and neither npm nor network: the same cases and GPU devices as
// conformance.test.ts, compiled.
// Prints a line per case that fails.
//   node test/engine/conformance.mjs [filter] [K/N]  runs; a filter is part of the text "DEVICE: CASE"; K/N: of the
//   cases that match every Nth, from the Kth: N processes share them
//   node test/engine/conformance.mjs paths prints each path of the lowerings, of every backend, with the case that
//   covers it
import { cases, processorCases } from '../../build/gpu/test/engine/all-cases.js';
import { check, expectedOf } from '../../build/gpu/test/engine/conformance.js';
import { cudaCoverage, tableOf, wasmCoverage } from '../../build/gpu/test/engine/coverage.js';
import { cudaDevices, cudaTargets } from '../../build/gpu/test/engine/devices.js';

const [filter = '', share = '1/1'] = process.argv.slice(2);
const [first, shares] = share.split('/').map(Number);
/** What would check nothing must not look as if all had passed. */
const refuse = (reason) => {
  console.error(reason);
  process.exit(2);
};
if (!(Number.isInteger(first) && Number.isInteger(shares) && first >= 1 && first <= shares))
  refuse(`the share '${share}': expected K/N with whole numbers, K from 1 to N`);

if (filter === 'paths') {
  const coverages = { wasm: wasmCoverage(processorCases), cuda: cudaCoverage(cases, Object.values(cudaTargets)) };
  for (const [device, coverage] of Object.entries(coverages)) {
    const covered = coverage.filter(({ cases: [first] }) => first !== undefined).length;
    console.log(`${device}: ${covered} of ${coverage.length} paths have a case\n${tableOf(coverage)}\n`);
  }
  process.exit(0);
}

const { devices, reason } = cudaDevices();
if (reason !== undefined) {
  console.log(`skipped: ${reason}`);
  process.exit(0);
}
const matching = (device) => cases.filter(({ name }) => `${device.name}: ${name}`.includes(filter));
if (!devices.some((device) => matching(device).length > 0)) refuse(`no "DEVICE: CASE" has '${filter}' in it`);
/** Kernels compile in other threads: cases wait for theirs side by side. */
const SIDE_BY_SIDE = 12;

let failures = 0;
for (const device of devices) {
  const chosen = matching(device).filter((_, at) => at % shares === first - 1);
  if (chosen.length === 0) continue;
  console.log(`${device.name}: ${device.open().device.description}`);
  for (const item of chosen) await expectedOf(item);
  const queue = [...chosen];
  let passed = 0;
  const worker = async () => {
    for (let item = queue.shift(); item; item = queue.shift()) {
      const problems = await check(device, item).catch((error) => [String(error.stack ?? error).slice(0, 1500)]);
      if (problems.length === 0) passed++;
      else console.log(`FAIL ${device.name}: ${item.name}\n     ${problems.join('\n     ')}`);
    }
  };
  const start = performance.now();
  await Promise.all(Array.from({ length: SIDE_BY_SIDE }, worker));
  failures += chosen.length - passed;
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${device.name}: ${passed} of ${chosen.length} cases passed in ${seconds} s`);
}
process.exit(failures > 0 ? 1 : 0);
