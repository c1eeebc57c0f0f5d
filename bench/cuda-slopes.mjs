// The gradients through a multiplier's error on a GPU: ResNet18's four layer shapes (batch 256, 8×8 bits), with the
// slopes of a truncation of six columns (products of matrices) and with random ones (look-ups). Both gradients are
// first checked against plain sums on sampled elements; then their kernels are timed one by one (device events, mean of
// 20), beside those of the exact product's gradients.
//   npm run build && node bench/cuda-slopes.mjs
import { optionsOf } from './options.mjs';

optionsOf(import.meta.url);
const root = process.env.TRAM_BUILD ?? '../dist';
const { cudaBackend } = await import(`${root}/engine/cuda/runtime/backend.js`);
const { tableOfRemoval } = await import(`${root}/multiplier/removal.js`);
const { expandTheta } = await import(`${root}/multiplier/structure.js`);
const { defaultSmoothing, slopesOf } = await import(`${root}/multiplier/slopes.js`);
const { Graph } = await import(`${root}/engine/graph/graph.js`);
const { Random } = await import(`${root}/tensor/random.js`);
const { f32, sizeOf, tensor } = await import(`${root}/tensor/tensor.js`);

const shapes = [
  [256, 16, 64],
  [256, 8, 128],
  [256, 4, 256],
  [256, 2, 512],
];
const random = new Random(5);
const codes = (shape) =>
  tensor(
    'u8',
    shape,
    Uint8Array.from({ length: sizeOf(shape) }, () => random.integer(256)),
  );
const floats = (shape, size) =>
  f32(
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => size * (random.uniform() - 0.5)),
  );
const geometry = { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };
const widths = { weightBits: 8, activationBits: 8 };
const truncation = slopesOf(
  tableOfRemoval(expandTheta([1, 1, 1, 1, 1, 1], 8, 8)).map((product, pair) => product - (pair >> 8) * (pair & 255)),
  8,
  8,
  defaultSmoothing(8, 8),
);
const kinds = [
  { kind: 'truncation', ofWeight: f32([256, 256], truncation.weight), ofInput: f32([256, 256], truncation.activation) },
  { kind: 'random', ofWeight: floats([256, 256], 64), ofInput: floats([256, 256], 64) },
];

/** Largest difference of sampled elements from plain sums, relative to the sum of magnitudes. */
function check({ x, w, g, scales }, { ofWeight, ofInput }, dw, dx, [n, size, channels]) {
  let worst = 0;
  const at = (image, y, px, c) => ((image * size + y) * size + px) * channels + c;
  const inside = (y, px) => y >= 0 && y < size && px >= 0 && px < size;
  const slope = (slopes, wi, xi) => slopes.data[(w.data[wi] << 8) | x.data[xi]];
  const compare = (found, terms) => {
    const sum = terms.reduce((total, term) => total + term, 0);
    const magnitude = terms.reduce((total, term) => total + Math.abs(term), 0);
    worst = Math.max(worst, Math.abs(found - sum) / magnitude);
  };
  for (let sample = 0; sample < 50; sample++) {
    const [ky, kx, c, o] = [3, 3, channels, channels].map((extent) => random.integer(extent));
    const wi = ((ky * 3 + kx) * channels + c) * channels + o;
    const weightTerms = [];
    for (let image = 0; image < n; image++)
      for (let y = 0; y < size; y++)
        for (let px = 0; px < size; px++) {
          if (!inside(y + ky - 1, px + kx - 1)) continue;
          weightTerms.push(
            0.5 * g.data[at(image, y, px, o)] * slope(ofWeight, wi, at(image, y + ky - 1, px + kx - 1, c)),
          );
        }
    compare(dw[wi], weightTerms);
    const [image, y, px] = [n, size, size].map((extent) => random.integer(extent));
    const inputTerms = [];
    for (let tap = 0; tap < 9; tap++) {
      const [oy, ox] = [y + 1 - Math.floor(tap / 3), px + 1 - (tap % 3)];
      if (!inside(oy, ox)) continue;
      for (let k = 0; k < channels; k++) {
        const weight = (tap * channels + c) * channels + k;
        inputTerms.push(g.data[at(image, oy, ox, k)] * scales.data[k] * slope(ofInput, weight, at(image, y, px, c)));
      }
    }
    compare(dx[at(image, y, px, c)], inputTerms);
  }
  return worst;
}

const backend = cudaBackend();
console.log(backend.device.description);

/**
 * Results of the graph that `build` makes of (graph, x, w, g), and the milliseconds of its kernels but for
 * `dequantize`.
 */
async function run(data, build) {
  const graph = new Graph();
  const [x, w, g] = [data.x, data.w, data.g].map((given, k) => graph.input(`${k}`, given.shape, given.dtype));
  graph.output('result', build(graph, x, w, g));
  const session = await backend.openSession();
  const program = await session.compile(graph);
  for (const [k, given] of [data.x, data.w, data.g].entries()) program.write(`${k}`, given.data);
  await program.run();
  const result = await program.read('result');
  const times = (await program.timeKernels(20)).filter(({ name }) => name !== 'dequantize');
  await session.dispose();
  return { result, milliseconds: times.reduce((sum, time) => sum + time.milliseconds, 0), times };
}

const values = (graph, codes) =>
  graph.apply1('dequantize', [codes, graph.scalar(1), graph.scalar(0)], { granularity: 'tensor' });
console.log('M×K×N              slopes      weight ms  T products/s   input ms  T products/s   largest error');
for (const shape of shapes) {
  const [n, size, channels] = shape;
  const image = [n, size, size, channels];
  const weight = [3, 3, channels, channels];
  const data = { x: codes(image), w: codes(weight), g: floats(image, 1), scales: floats([channels], 1) };
  const print = (kind, ofWeight, ofInput, note) => {
    const columns = [ofWeight, ofInput].flatMap(({ milliseconds }) => {
      const rate = (n * size * size * 9 * channels * channels) / (milliseconds / 1e3) / 1e12;
      return [milliseconds.toFixed(4).padStart(10), rate.toFixed(2).padStart(13)];
    });
    const name = `${n * size * size}×${9 * channels}×${channels}`;
    console.log(`${name.padEnd(18)} ${kind.padEnd(10)} ${columns.join(' ')}   ${note}`);
  };
  const exactWeight = await run(data, (graph, x, _, g) =>
    graph.apply1('conv2dWeightGradient', [values(graph, x), g], { ...geometry, weightShape: weight }),
  );
  const exactInput = await run(data, (graph, _, w, g) =>
    graph.apply1('conv2dInputGradient', [g, values(graph, w)], { ...geometry, inputShape: image }),
  );
  print('exact', exactWeight, exactInput, '');
  for (const slopes of kinds) {
    const attributes = { ...geometry, ...widths };
    const ofWeight = await run(data, (graph, x, w, g) => {
      const operands = [g, x, w, graph.scalar(0.5), graph.constant(slopes.ofWeight)];
      return graph.apply1('axmErrorWeightGradient', operands, attributes);
    });
    const ofInput = await run(data, (graph, x, w, g) => {
      const operands = [g, x, w, graph.constant(data.scales), graph.constant(slopes.ofInput)];
      return graph.apply1('axmErrorInputGradient', operands, attributes);
    });
    const worst = check(data, slopes, ofWeight.result, ofInput.result, shape);
    const kernels = [...ofWeight.times, ...ofInput.times].map(
      (time) => `${time.name} ${(1e3 * time.milliseconds).toFixed(0)}`,
    );
    print(slopes.kind, ofWeight, ofInput, `${worst.toExponential(1)}   ${kernels.join(', ')} µs`);
  }
}
