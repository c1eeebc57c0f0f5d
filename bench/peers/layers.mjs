// The approximate convolutions of ResNet18 (batch 256, 3×3, 64 to 512 channels) by themselves, on a truncation of
// four columns: this program's forward kernel as planes and by look-ups, and its gradients of input and weights,
// beside ApproxTorch's and the published program's products of matrices that are unfolded already. The codes are
// random. First, on a small layer whose multiplier is not symmetric in its operands, all outputs must be the same
// integers and the gradients those of the exact product; the full layers are compared again before they are timed.

import { join } from 'node:path';
import { root } from '../cuda-setup.mjs';
import { median, truncation } from '../training-steps.mjs';

/** `root` counts from the folder above. */
const built = new URL(`${root}/`, new URL('../', import.meta.url)).href;
const { Graph } = await import(`${built}engine/graph/graph.js`);
const { errorByCodes } = await import(`${built}multiplier/error.js`);
const { productTable } = await import(`${built}multiplier/table.js`);
const { Random } = await import(`${built}tensor/random.js`);
const { writeSafetensors } = await import(`${built}tensor/safetensors.js`);
const { f32, tensor } = await import(`${built}tensor/tensor.js`);

const geometry = { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };
const widths = { weightBits: 8, activationBits: 8 };
/** Images, height and width, channels in and out. */
const layers = [
  [256, 16, 64],
  [256, 8, 128],
  [256, 4, 256],
  [256, 2, 512],
];
/** Two products that no exchange of the operands leaves as they are, and a whole column. */
const lopsided = Float32Array.from({ length: 64 }, (_, at) => Number([1, 10, 24, 41, 63].includes(at)));

/** All products (w, x) of a removal. */
function productsOf(removed) {
  return Int32Array.from({ length: 65536 }, (_, at) => {
    let product = (at >> 8) * (at & 255);
    for (let k = 0; k < 64; k++)
      if (removed[k] && (at >> (8 + (k >> 3))) & 1 && (at >> (k & 7)) & 1) product -= 2 ** ((k >> 3) + (k & 7));
    return product;
  });
}

function operands(random, [batch, size, channels]) {
  const codes = (shape) =>
    tensor(
      'u8',
      shape,
      Uint8Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.integer(256)),
    );
  const shape = [batch, size, size, channels];
  const g = f32(
    shape,
    Float32Array.from({ length: batch * size * size * channels }, () => random.uniform() - 0.5),
  );
  return { x: codes(shape), w: codes([3, 3, channels, channels]), g };
}

/** Forward, as planes of the removal or by look-ups in the table of errors, or both gradients of the exact product. */
function graphOf({ x, w, g }, part, removed) {
  const graph = new Graph();
  const channels = w.shape[3];
  const values = { x: graph.input('x', x.shape, 'u8'), w: graph.input('w', w.shape, 'u8') };
  const scales = f32([channels], new Float32Array(channels).fill(1));
  const zeros = f32([channels], new Float32Array(channels));
  const [one, none] = [graph.scalar(1), graph.scalar(0)];
  if (part === 'gradients') {
    const of = graph.input('g', g.shape);
    const dx = graph.apply1('dequantize', [values.x, one, none], { granularity: 'tensor' });
    const per = [graph.constant(scales), graph.constant(zeros)];
    const dw = graph.apply1('dequantize', [values.w, ...per], { granularity: 'channel' });
    graph.output('dx', graph.apply1('conv2dInputGradient', [of, dw], { ...geometry, inputShape: x.shape }));
    graph.output('dw', graph.apply1('conv2dWeightGradient', [dx, of], { ...geometry, weightShape: w.shape }));
    return graph;
  }
  const all = [values.x, values.w, one, none, graph.constant(scales), graph.constant(zeros)];
  const isTable = part === 'look-ups';
  const error = isTable
    ? tensor('i32', [256, 256], errorByCodes(productTable(8, 8, false, productsOf(removed))))
    : f32([8, 8], removed);
  const kind = isTable ? { kind: 'table', emulation: 'table' } : { kind: 'removal', integer: true };
  graph.output(
    'y',
    graph.apply1('axmConv2d', [...all, graph.constant(error)], { ...geometry, ...widths, error: kind }),
  );
  return graph;
}

/** The outputs of a part, and its milliseconds: those of its kernels where the device has a clock. */
async function measure(backend, data, part, removed, repeats) {
  const graph = graphOf(data, part, removed);
  const session = await backend.openSession();
  const program = await session.compile(graph);
  for (const name of graph.inputs.keys()) program.write(name, data[name].data);
  await program.run();
  const found = {};
  for (const name of graph.outputs.keys()) found[name] = await program.read(name);
  const times = [];
  for (let n = 0; n < repeats; n++) {
    const begun = performance.now();
    if (program.timeRuns) times.push(await program.timeRuns(5));
    else {
      await program.run();
      times.push(performance.now() - begun);
    }
  }
  await session.dispose();
  return { found, ms: times.length ? median(times) : undefined };
}

/**
 * A row per layer: products of its forward pass, and by program what was measured. `call` runs layers.py with these
 * words.
 */
export async function layersOfResNet18(backend, { folder, tiny, repeats, call, say }) {
  const random = new Random(5);
  const shapes = [[2, 5, 16], ...(tiny ? [[2, 4, 32]] : layers)];
  const rows = [];
  const tensors = new Map();
  for (const [at, shape] of shapes.entries()) {
    const data = operands(random, shape);
    const removed = at === 0 ? lopsided : truncation(8, 8, 4);
    const planes = await measure(backend, data, 'planes', removed, at && repeats);
    const table = await measure(backend, data, 'look-ups', removed, at && repeats);
    if (planes.found.y.some((value, k) => value !== table.found.y[k]))
      throw new Error(`validation failed: planes and look-ups differ (${shape})`);
    const gradients = await measure(backend, data, 'gradients', removed, at && repeats);
    const products = tensor('i32', [256, 256], productsOf(removed));
    const results = {
      y: f32(data.g.shape, planes.found.y),
      dx: f32(data.x.shape, gradients.found.dx),
      dw: f32(data.w.shape, gradients.found.dw),
    };
    for (const [name, value] of Object.entries({ ...data, products, ...results })) tensors.set(`${at}.${name}`, value);
    if (at === 0) continue;
    const [batch, size, channels] = shape;
    const own = { planes: planes.ms, lookUps: table.ms, gradients: gradients.ms };
    rows.push({
      shape: `${batch * size * size}×${9 * channels}×${channels}`,
      products: batch * size * size * 9 * channels ** 2,
      TRAM: own,
    });
    say(
      `layer ${rows.at(-1).shape}: planes ${planes.ms.toFixed(3)} ms, look-ups ${table.ms.toFixed(3)} ms, gradients ${gradients.ms.toFixed(3)} ms`,
    );
  }
  const file = join(folder, 'layers.safetensors');
  writeSafetensors(file, tensors);
  for (const line of await call(['--file', file])) {
    if (line.layer === undefined) continue;
    rows[line.layer - 1][line.program] = { forward: line.forward, gradients: line.gradients };
    say(
      `layer ${rows[line.layer - 1].shape}: ${line.program} forward ${line.forward.toFixed(3)} ms, gradients ${line.gradients.toFixed(3)} ms`,
    );
  }
  return rows;
}
