// What the GPU benches and checks train: networks on random images with the three kinds of arithmetic, and the state
// that calibration would have left. `TRAM_BUILD` names the compiled program; default dist/.
import { fileURLToPath } from 'node:url';

export const root = process.env.TRAM_BUILD ?? '../dist';
const { memorySplit } = await import(`${root}/data/image-split.js`);
const { openDataset } = await import(`${root}/data/registry.js`);
const { initialTensor } = await import(`${root}/nn/parameters.js`);
const { exactCost } = await import(`${root}/multiplier/power.js`);
const { columnStructure } = await import(`${root}/multiplier/structure.js`);
const { findModel } = await import(`${root}/nn/models/registry.js`);
const { clipLogit, stateName } = await import(`${root}/quant/quantized.js`);
const { Random } = await import(`${root}/tensor/random.js`);
const { f32, sizeOf } = await import(`${root}/tensor/tensor.js`);
const { imageTask } = await import(`${root}/train/images.js`);
const { atStart, trainEpochs } = await import(`${root}/train/loop.js`);
const { buildNetwork } = await import(`${root}/train/task.js`);

/** Random images of `size`×`size` pixels with random labels. */
export function randomDataset(count, testCount, size) {
  const random = new Random(1);
  const shape = { height: size, width: size, channels: 3 };
  const split = (images) => {
    const pixels = Uint8Array.from({ length: images * size * size * 3 }, () => random.integer(256));
    const labels = Int32Array.from({ length: images }, () => random.integer(10));
    return memorySplit({ count: images, images: pixels, labels }, shape);
  };
  return {
    ...{ name: 'random', classes: 10, ...shape, scale: 255, sha256: '' },
    ...{ mean: [0.5, 0.5, 0.5], deviation: [0.25, 0.25, 0.25], augment: { pad: 4, flip: true } },
    train: split(count),
    test: split(testCount),
  };
}

export const taskOf = (model, dataset) => imageTask(findModel(model), dataset);

const COLUMNS = 8;
// Every column has the same share of the power, as in the pinned losses.
const costs = Array.from({ length: COLUMNS }, () => 0.02 * exactCost(8, 8));
const structure = { ...columnStructure({ weightBits: 8, activationBits: 8 }, COLUMNS), costs };
const removed = Float32Array.from({ length: 64 }, (_, at) => ((at >> 3) + (at & 7) < 5 ? 1 : 0));
const quantized = (multiplierOf) => ({
  ...{ kind: 'quantized', weightBits: 8, activationBits: 8, channelwise: true },
  multiplierOf,
});
const power = { lambda: 0.3, structures: [{ theta: 'theta', structure, share: 1 }] };

/** Steps learn, with an exact multiplier. */
const steps = { ...quantized(() => ({ kind: 'exact' })), quantizer: 'steps' };

/**
 * Float training, phase 1 (a trained structure of eight columns), learned steps, and phase 3 (a truncation of five
 * columns).
 */
export const stages = [
  { name: 'float', arithmetic: { kind: 'float' } },
  {
    name: 'phase 1',
    arithmetic: quantized(() => ({ kind: 'structure', theta: 'theta', structure })),
    structure: { power, learningRate: 5e-4, weightDecay: 5e-4 },
  },
  { name: 'steps', arithmetic: steps },
  { name: 'phase 3', arithmetic: quantized(() => ({ kind: 'removal', removed })) },
];

/** Writes initial weights, quantiser state and θ = 1 where column 0 to 3 reads it, else 0. */
export function initialize(session, task, arithmetic) {
  const { layers } = buildNetwork(task, arithmetic, 'train', 2);
  layers.parameters.forEach((parameter, at) => {
    session.write(parameter.value.source.name, initialTensor(parameter, 1, at));
  });
  if (arithmetic.kind === 'float') return;
  for (const { name, weightShape } of layers.multiplying) {
    for (const operand of ['weight', 'input']) {
      const shape = operand === 'weight' ? [weightShape[3]] : [];
      const fill = (value) => f32(shape, new Float32Array(sizeOf(shape)).fill(value));
      if (arithmetic.quantizer === 'steps') {
        const isImage = operand === 'input' && name === layers.multiplying[0].name;
        session.write(stateName(name, operand, 'scale'), fill(operand === 'weight' ? 0.005 : 0.01));
        session.write(stateName(name, operand, 'zero_point'), fill(operand === 'weight' ? 128 : isImage ? 100 : 0));
        continue;
      }
      session.write(stateName(name, operand, 'clip_upper'), fill(clipLogit(0.98)));
      session.write(stateName(name, operand, 'clip_lower'), fill(clipLogit(0.98)));
      if (operand === 'input') session.write(stateName(name, operand, 'max'), fill(1));
    }
  }
  const { structure: read = structure } = arithmetic.multiplierOf('');
  const low = columnStructure({ weightBits: 8, activationBits: 8 }, 4).index;
  const theta = new Float32Array(read.count);
  read.index.forEach((at, product) => {
    if (at >= 0 && low[product] >= 0) theta[at] = 1;
  });
  session.write('theta', f32([read.count], theta));
}

/** The losses of every step of an epoch, and the variables afterwards. */
export async function train(backend, stage, task, dataset, batchSize) {
  const session = await backend.openSession();
  initialize(session, task, stage.arithmetic);
  const losses = [];
  await trainEpochs({
    ...{ session, task, dataset, arithmetic: stage.arithmetic, epochs: 1, batchSize, seed: 1, firstEpoch: 0 },
    ...{ momentum: 0.9, schedule: 'constant', learningRate: 5e-3, weightDecay: 5e-4, start: atStart },
    ...(stage.structure ? { structure: stage.structure } : {}),
    onStep: ({ objective }) => losses.push(objective),
    onEpoch: async () => {},
  });
  const variables = {};
  for (const name of session.variableNames()) variables[name] = (await session.read(name)).data;
  await session.dispose();
  return { losses, variables };
}

/** Losses of the reference backend that every other one must follow; `node test/cuda/training.mjs pin` writes them. */
export const curvesPath = new URL('../test/cuda/curves.json', import.meta.url);
const CURVE_STEPS = 20;
const digitsPath = fileURLToPath(new URL('../data/digits.csv.gz', import.meta.url));

/** The losses of ResNet8 on some of the digits, by stage. */
export async function curvesOf(backend, wanted = stages) {
  const digits = await openDataset(digitsPath, { image: { height: 8, width: 8, channels: 1 }, maximum: 16 });
  const part = ({ images, labels }, count) =>
    memorySplit({ count, images: images.subarray(0, 64 * count), labels: labels.subarray(0, count) }, digits);
  const dataset = { ...digits, train: part(digits.train, 16 * CURVE_STEPS), test: part(digits.test, 16) };
  const curves = {};
  for (const stage of wanted) {
    curves[stage.name] = (await train(backend, stage, taskOf('resnet8', dataset), dataset, 16)).losses;
  }
  return curves;
}

/**
 * How far each stage's losses are from the pinned ones, relative: that of the first step, and the largest. In quantised
 * networks a code that lies on a rounding boundary may fall either way, and the steps behind it carry that on: the
 * first is the sharp one there.
 */
export function distances(found, pinned) {
  return Object.fromEntries(
    Object.entries(pinned).map(([name, losses]) => {
      const each = losses.map((loss, step) => Math.abs(found[name][step] - loss) / loss);
      return [name, { first: each[0], largest: Math.max(...each) }];
    }),
  );
}
