// Whole training steps on a GPU: ResNet8 follows the reference's losses in each kind of arithmetic, and ResNet18 at batch 256, where work
// overlaps on the device, gives the same bits each time.
//   npx tsc -p test/cuda/tsconfig.json && TRAM_BUILD=../build/gpu/src node test/cuda/training.mjs
process.env.TRAM_BUILD ??= '../build/gpu/src';
const { initialize, randomDataset, stages, taskOf } = await import('../../bench/cuda-setup.mjs');
const { cudaBackend } = await import('../../build/gpu/src/engine/cuda/backend.js');
const { findCuda } = await import('../../build/gpu/src/engine/cuda/device.js');
const { referenceBackend } = await import('../../build/gpu/src/engine/reference/backend.js');
const { atStart, trainEpochs } = await import('../../build/gpu/src/train/loop.js');

const finding = findCuda();
if (!finding.available) {
  console.log(`skipped: ${finding.reason}; ${finding.hint}`);
  process.exit(0);
}

/** The losses of every step and the variables afterwards. */
async function train(backend, stage, task, dataset, batchSize) {
  const session = await backend.openSession();
  initialize(session, task, stage.arithmetic);
  const losses = [];
  await trainEpochs({
    ...{ session, task, dataset, arithmetic: stage.arithmetic, epochs: 1, batchSize, seed: 1, firstEpoch: 0 },
    ...{ momentum: 0.9, schedule: 'constant', learningRate: 5e-3, weightDecay: 5e-4, start: atStart },
    ...(stage.structure ? { structure: stage.structure } : {}),
    onStep: ({ loss }) => losses.push(loss),
    onEpoch: async () => {},
  });
  const variables = {};
  for (const name of session.variableNames()) variables[name] = (await session.read(name)).data;
  await session.dispose();
  return { losses, variables };
}

let failures = 0;
function report(passed, text) {
  if (!passed) failures++;
  console.log(`${passed ? 'pass' : 'FAIL'} ${text}`);
}

const small = randomDataset(32, 8, 16);
/** In quantised networks a code that lies on a rounding boundary may fall either way, so losses part by more than the arithmetic's error. */
const tolerances = { float: { fp32: 1e-5, tf32: 1e-3 }, quantized: { fp32: 2e-3, tf32: 2e-3 } };
for (const stage of stages) {
  const task = taskOf('resnet8', small);
  const expected = await train(referenceBackend(), stage, task, small, 8);
  for (const [precision, tolerance] of Object.entries(tolerances[stage.arithmetic.kind])) {
    const found = await train(cudaBackend({ precision }), stage, task, small, 8);
    const worst = Math.max(...expected.losses.map((loss, at) => Math.abs(found.losses[at] - loss) / loss));
    const shown = found.losses.map((loss) => loss.toFixed(5)).join(' ');
    report(
      worst < tolerance,
      `${stage.name}, ${precision}: losses ${shown} within ${worst.toExponential(1)} of the reference`,
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
