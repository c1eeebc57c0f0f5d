// What the GPU benches and checks train: networks on random images with the three kinds of arithmetic, and the state that calibration would
// have left. `TRAM_BUILD` names the compiled program; default dist/.
export const root = process.env.TRAM_BUILD ?? '../dist';
const { initialTensor } = await import(`${root}/nn/parameters.js`);
const { findModel } = await import(`${root}/nn/models.js`);
const { clipLogit, stateName } = await import(`${root}/quant/quantized.js`);
const { Random } = await import(`${root}/tensor/random.js`);
const { f32, sizeOf } = await import(`${root}/tensor/tensor.js`);
const { buildNetwork } = await import(`${root}/train/task.js`);

/** Random images of `size`×`size` pixels with random labels. */
export function randomDataset(count, testCount, size) {
  const random = new Random(1);
  const split = (images) => ({
    count: images,
    images: Uint8Array.from({ length: images * size * size * 3 }, () => random.integer(256)),
    labels: Uint8Array.from({ length: images }, () => random.integer(10)),
  });
  return {
    ...{ name: 'random', classes: 10, height: size, width: size, channels: 3, scale: 255, sha256: '' },
    ...{ mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25], augment: { pad: 4, flip: true } },
    train: split(count),
    test: split(testCount),
  };
}

export const taskOf = (model, dataset) => ({ model: findModel(model), images: dataset });

const COLUMNS = 8;
const index = Array.from({ length: 64 }, (_, at) => ((at >> 3) + (at & 7) < COLUMNS ? (at >> 3) + (at & 7) : -1));
const removed = Float32Array.from({ length: 64 }, (_, at) => ((at >> 3) + (at & 7) < 5 ? 1 : 0));
const quantized = (multiplierOf) => ({
  ...{ kind: 'quantized', weightBits: 8, activationBits: 8, channelwise: true },
  multiplierOf,
});
const power = { lambda: 0.3, structures: [{ theta: 'theta', shares: Array.from({ length: COLUMNS }, () => 0.02) }] };

/** Float training, phase 1 (a trained structure of eight columns) and phase 3 (a truncation of five columns). */
export const stages = [
  { name: 'float', arithmetic: { kind: 'float' } },
  {
    name: 'phase 1',
    arithmetic: quantized(() => ({ kind: 'structure', theta: 'theta', columns: COLUMNS, index })),
    structure: { power, learningRate: 5e-4, weightDecay: 5e-4 },
  },
  { name: 'phase 3', arithmetic: quantized(() => ({ kind: 'removal', removed })) },
];

/** Writes initial weights, quantiser state and θ = 1, 1, 1, 1, 0, 0, 0, 0. */
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
      session.write(stateName(name, operand, 'clip_upper'), fill(clipLogit(0.98)));
      session.write(stateName(name, operand, 'clip_lower'), fill(clipLogit(0.98)));
      if (operand === 'input') session.write(stateName(name, operand, 'max'), fill(1));
    }
  }
  session.write(
    'theta',
    f32(
      [COLUMNS],
      Float32Array.from({ length: COLUMNS }, (_, c) => (c < 4 ? 1 : 0)),
    ),
  );
}
