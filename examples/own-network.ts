// A network and images of your own, from arrays in memory to a certified multiplier.
// Here the images are drawn: bars at one of four angles in noise. Put yours in their place.

import { datasetOf, type Model, runFlow } from 'tram-axm';

const size = 12;
const classes = 4;

/** 400 images, [400, 12, 12, 1], with a bar at 0°, 45°, 90° or 135°. */
function drawBars(count: number): { images: Uint8Array; labels: number[] } {
  const images = new Uint8Array(count * size * size);
  const labels = Array.from({ length: count }, (_, n) => n % classes);
  let state = 1;
  const random = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  labels.forEach((label, n) => {
    const angle = (label * Math.PI) / classes;
    const offset = 4 * random() - 2;
    for (let y = 0; y < size; y++) {
      for (let x = 0; x < size; x++) {
        const distance = (x - size / 2) * Math.sin(angle) - (y - size / 2) * Math.cos(angle) - offset;
        images[(n * size + y) * size + x] = (Math.abs(distance) < 1.2 ? 180 : 20) + 50 * random();
      }
    }
  });
  return { images, labels };
}

const dataset = datasetOf({ name: 'bars', height: size, width: size, channels: 1, train: drawBars(400) });

/** Two convolutions and a linear layer; the names are those of the tensors in the checkpoint. */
const model: Model = {
  name: 'small-net',
  description: 'two convolutions and a linear layer',
  minimumSize: 8,
  build: (layers, image, classes) => {
    let x = layers.conv('conv1', image, { out: 8, kernel: 3, padding: 1 });
    x = layers.relu(layers.batchNorm('bn1', x));
    x = layers.conv('conv2', x, { out: 16, kernel: 3, stride: 2, padding: 1 });
    x = layers.relu(layers.batchNorm('bn2', x));
    return layers.linear('fc', layers.globalAveragePool(x), classes);
  },
};

const summary = await runFlow({
  folder: 'runs/bars',
  dataset,
  model,
  settings: {
    exactLayers: ['fc'],
    train: { epochs: 12 },
    explore: { epochs: 4, lambda: 1 },
    recover: { epochs: 4 },
  },
  listener: (event) => {
    if (event.kind === 'phase-end') console.log(event.phase, event.summary);
  },
});

for (const { stage, accuracy } of summary.stages) console.log(stage, accuracy.toFixed(4));
console.log(summary.multipliers.map(({ name, gateCost }) => `${name}: gate cost ${gateCost?.toFixed(3)}`).join('\n'));
