// Whole training steps on a GPU: ResNet8 on the digits follows the pinned losses (curves.json) in each kind of
// arithmetic, and ResNet18 at batch 256, where work overlaps on the device, gives the same bits each time.
//   npm run test:gpu
// `pin` computes the losses anew with the reference backend and writes them.
process.env.TRAM_BUILD ??= '../build/gpu/src';
const { readFileSync, writeFileSync } = await import('node:fs');
const { curvesOf, curvesPath, distances, randomDataset, stages, taskOf, train } = await import(
  '../../bench/cuda-setup.mjs'
);
const { cudaBackend } = await import('../../build/gpu/src/engine/cuda/runtime/backend.js');
const { findCuda } = await import('../../build/gpu/src/engine/cuda/runtime/device.js');
const { referenceBackend } = await import('../../build/gpu/src/engine/reference/backend.js');

if (process.argv[2] === 'pin') {
  writeFileSync(curvesPath, `${JSON.stringify(await curvesOf(referenceBackend()), null, 1)}\n`);
  process.exit(0);
}
const finding = findCuda();
if (!finding.available) {
  console.log(`skipped: ${finding.reason}; ${finding.hint}`);
  process.exit(0);
}

let failures = 0;
function report(passed, text) {
  if (!passed) failures++;
  console.log(`${passed ? 'pass' : 'FAIL'} ${text}`);
}

/**
 * Of the first step and of all twenty: see `distances`. Training amplifies rounding: the reference itself, with the
 * operands of its convolutions rounded to tf32's 11 bits, is 4e-5 away in the first step and 8e-3 within twenty.
 */
const tolerances = {
  float: { fp32: [1e-5, 1e-5], tf32: [2e-4, 2e-2] },
  quantized: { fp32: [2e-4, 2e-2], tf32: [5e-4, 2e-2] },
};
const pinned = JSON.parse(readFileSync(curvesPath, 'utf8'));
for (const precision of ['fp32', 'tf32']) {
  const found = distances(await curvesOf(cudaBackend({ precision })), pinned);
  for (const { name, arithmetic } of stages) {
    const { first, largest } = found[name];
    const [firstMost, most] = tolerances[arithmetic.kind][precision];
    report(
      first < firstMost && largest < most,
      `${name}, ${precision}: the first loss within ${first.toExponential(1)} of the pinned one, all ${pinned[name].length} within ${largest.toExponential(1)}`,
    );
  }
}

const large = randomDataset(1024, 256, 32);
for (const stage of stages) {
  const task = taskOf('resnet18', large);
  const runs = [];
  for (let n = 0; n < 3; n++) runs.push(await train(cudaBackend(), stage, task, large, 256));
  const moved = Object.keys(runs[0].variables).filter((name) =>
    runs.some(({ variables }) => Buffer.compare(bytes(variables[name]), bytes(runs[0].variables[name])) !== 0),
  );
  report(
    moved.length === 0,
    `${stage.name}: ${Object.keys(runs[0].variables).length} variables bit-equal in three runs${moved.length > 0 ? `, but not ${moved.slice(0, 4).join(', ')}` : ''}`,
  );
}
process.exit(failures > 0 ? 1 : 0);

function bytes(data) {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}
