// A step of phases 0, 1 and 3 of every network of the registry on a GPU (phases.ts), on a host that has one and neither
// npm nor network, compiled. Prints a line per network.
//   node test/models/phases.mjs [FILTER]    FILTER: a part of the network's name
import { cudaBackend } from '../../build/gpu/src/engine/cuda/runtime/backend.js';
import { findCuda } from '../../build/gpu/src/engine/cuda/runtime/device.js';
import { models } from '../../build/gpu/src/nn/models/registry.js';
import { faultsOf, takePhases } from '../../build/gpu/test/models/phases.js';

const [filter = ''] = process.argv.slice(2);
const finding = findCuda();
if (!finding.available) {
  console.log(`skipped: ${finding.reason}; ${finding.hint}`);
  process.exit(0);
}

let failures = 0;
const chosen = models.filter(({ name }) => name.includes(filter));
for (const model of chosen) {
  const start = performance.now();
  const faults = await takePhases(model, cudaBackend({ precision: 'fp32' })).then(faultsOf, (error) => [
    String(error.stack ?? error).slice(0, 800),
  ]);
  if (faults.length > 0) failures++;
  const seconds = ((performance.now() - start) / 1000).toFixed(1);
  console.log(`${faults.length > 0 ? 'FAIL' : 'pass'} ${model.name}, ${seconds} s`);
  for (const fault of faults) console.log(`     ${fault}`);
}
console.log(`${chosen.length - failures} of ${chosen.length} networks took a step of each phase`);
process.exit(failures > 0 ? 1 : 0);
