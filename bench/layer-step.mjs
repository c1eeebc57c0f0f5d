// The phase-1 step of one layer: forward with a trained multiplier, its weight, structure and data gradients, against
// the published formulation (1 + P(P+1)/2 float convolutions of bit planes forward, the ordinary backward pass of the
// exact product, and the inner products for θ), both on this engine's kernels, in one process, alternating. Validates
// first, then prints medians.
// Usage: node bench/layer-step.mjs [--threads 2] [--batch 32] [--size 32] [--channels 64] [--columns 8] [--repeats 9]

import { cpus } from 'node:os';
import { Graph } from '../dist/engine/graph/graph.js';
import { referenceBackend } from '../dist/engine/reference/backend.js';
import { wasmBackend } from '../dist/engine/wasm/runtime/backend.js';
import { optionsOf } from './options.mjs';

const options = Object.fromEntries(
  Object.entries(
    optionsOf(import.meta.url, {
      options: {
        threads: { type: 'string', default: '2' },
        batch: { type: 'string', default: '32' },
        size: { type: 'string', default: '32' },
        channels: { type: 'string', default: '64' },
        columns: { type: 'string', default: '8' },
        repeats: { type: 'string', default: '9' },
      },
    }).values,
  ).map(([name, value]) => [name, Number(value)]),
);

const BITS = 8;
const geometry = { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };
const widths = { weightBits: BITS, activationBits: BITS };

/** Pseudo-random numbers in [0, 1): the mulberry32 generator. */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Operands of one layer step: codes, scales, zero points, θ and the output's gradient. */
function operands({ batch, size, channels, columns }) {
  const random = generator(1);
  const fill = (count, value) => Float32Array.from({ length: count }, value);
  const xShape = [batch, size, size, channels];
  const wShape = [3, 3, channels, channels];
  const count = (shape) => shape.reduce((a, b) => a * b, 1);
  return {
    xShape,
    wShape,
    columns,
    x: Uint8Array.from({ length: count(xShape) }, () => random() * 256),
    w: Uint8Array.from({ length: count(wShape) }, () => random() * 256),
    xScale: 0.02,
    xZero: 0,
    wScale: fill(channels, () => 0.001 + 0.001 * random()),
    wZero: fill(channels, () => Math.round(110 + 30 * random())),
    theta: fill(columns, random),
    g: fill(count(xShape), () => random() - 0.5),
  };
}

const f32 = (shape, data) => ({ dtype: 'f32', shape, data });

/** The operands as constants of a graph, the codes also dequantised. */
function inputs(graph, data) {
  const { xShape, wShape } = data;
  const channels = wShape[3];
  const place = (shape, values) => graph.constant(f32(shape, values));
  const common = {
    xScale: graph.scalar(data.xScale),
    xZero: graph.scalar(data.xZero),
    wScale: place([channels], data.wScale),
    wZero: place([channels], data.wZero),
    theta: place([data.columns], data.theta),
    g: place(xShape, data.g),
    x: graph.constant({ dtype: 'u8', shape: xShape, data: data.x }),
    w: graph.constant({ dtype: 'u8', shape: wShape, data: data.w }),
  };
  return {
    ...common,
    dequantizedX: () => graph.apply1('dequantize', [common.x, common.xScale, common.xZero], { granularity: 'tensor' }),
    dequantizedW: () => graph.apply1('dequantize', [common.w, common.wScale, common.wZero], { granularity: 'channel' }),
  };
}

/**
 * This program's step; `parts` chooses among forward, planes (weight and structure gradients) and data (input
 * gradient).
 */
function ours(data, parts) {
  const graph = new Graph();
  const at = inputs(graph, data);
  const index = Array.from({ length: BITS * BITS }, (_, k) => {
    const column = Math.floor(k / BITS) + (k % BITS);
    return column < data.columns ? column : -1;
  });
  if (parts.includes('forward')) {
    const matrix = graph.apply1('structureMatrix', [at.theta], { ...widths, index });
    const all = [at.x, at.w, at.xScale, at.xZero, at.wScale, at.wZero, matrix];
    graph.output(
      'y',
      graph.apply1('axmConv2d', all, { ...geometry, ...widths, error: { kind: 'removal', integer: false } }),
    );
  }
  if (parts.includes('planes')) {
    const all = [at.g, at.x, at.w, at.xScale, at.xZero, at.wScale];
    const [dw, dm] = graph.apply('axmConv2dGradients', all, { ...geometry, ...widths });
    graph.output('dw', dw);
    graph.output('dtheta', graph.apply1('structureMatrixGradient', [dm], { ...widths, index, count: data.columns }));
  }
  if (parts.includes('data')) {
    const attributes = { ...geometry, inputShape: data.xShape };
    graph.output('dx', graph.apply1('conv2dInputGradient', [at.g, at.dequantizedW()], attributes));
  }
  return graph;
}

/** The published formulation. The bit planes are given, ready as floats, so their extraction costs it nothing. */
function published(data, parts) {
  const graph = new Graph();
  const at = inputs(graph, data);
  const channels = data.wShape[3];
  const plane = (shape, codes, bit, scale) =>
    graph.constant(
      f32(
        shape,
        Float32Array.from(codes, (code, k) => ((code >> bit) & 1) * scale(k)),
      ),
    );
  const add = (a, b, beta) => graph.apply1('add', [a, b], { alpha: 1, beta });
  const conv = (x, w) => graph.apply1('conv2d', [x, w], geometry);
  const backward = parts.includes('backward');
  const x = at.dequantizedX();
  const w = at.dequantizedW();
  if (parts.includes('forward')) {
    const xPlanes = Array.from({ length: data.columns }, (_, j) => plane(data.xShape, data.x, j, () => data.xScale));
    const wPlanes = Array.from({ length: data.columns }, (_, i) =>
      plane(data.wShape, data.w, i, (k) => data.wScale[k % channels]),
    );
    let y = conv(x, w);
    for (let column = 0; column < data.columns; column++) {
      let sum;
      for (let i = 0; i <= column; i++) {
        const product = conv(xPlanes[column - i], wPlanes[i]);
        sum = sum ? add(sum, product, 1) : product;
      }
      const theta = graph.scalar(data.theta[column]);
      y = add(y, graph.apply1('scaleBy', [sum, theta], {}), -(2 ** column));
      if (backward) {
        const inner = graph.apply1('dot', [at.g, sum], {});
        graph.output(`dtheta${column}`, graph.apply1('affine', [inner], { scale: -(2 ** column), offset: 0 }));
      }
    }
    graph.output('y', y);
  }
  if (backward) {
    graph.output('dx', graph.apply1('conv2dInputGradient', [at.g, w], { ...geometry, inputShape: data.xShape }));
    graph.output('dw', graph.apply1('conv2dWeightGradient', [x, at.g], { ...geometry, weightShape: data.wShape }));
  }
  return graph;
}

async function open(backend, graph) {
  const session = await backend.openSession();
  return { session, program: await session.compile(graph), names: [...graph.outputs.keys()] };
}

async function results(backend, graph) {
  const { session, program, names } = await open(backend, graph);
  await program.run();
  const found = {};
  for (const name of names) found[name] = await program.read(name);
  await session.dispose();
  const columns = names.filter((name) => /^dtheta\d/.test(name));
  if (columns.length > 0) found.dtheta = Float32Array.from(columns, (name) => found[name][0]);
  return found;
}

function relativeError(found, expected) {
  let difference = 0;
  let norm = 0;
  for (let k = 0; k < expected.length; k++) {
    difference += (found[k] - expected[k]) ** 2;
    norm += expected[k] ** 2;
  }
  return Math.sqrt(difference / norm);
}

function validate(what, found, expected, limit) {
  for (const name of ['y', 'dw', 'dx', 'dtheta']) {
    const error = relativeError(found[name], expected[name]);
    if (!(error < limit)) throw new Error(`${what}: ${name} differs by ${error.toExponential(1)}`);
    console.log(`  ${what}: ${name} agrees to ${error.toExponential(1)}`);
  }
}

const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];

const backend = wasmBackend({ threads: options.threads });
const whole = ['forward', 'planes', 'data'];
const { batch, size, channels, columns, threads, repeats } = options;
const macs = batch * size * size * channels * channels * 9;
console.log(`${cpus()[0].model.trim()}, ${cpus().length} cores, Node ${process.version}, ${threads} threads`);
console.log(
  `x [${batch}, ${size}, ${size}, ${channels}], w [3, 3, ${channels}, ${channels}], P = ${columns}: ${(macs / 1e9).toFixed(2)} GMAC`,
);

console.log('validation');
const small = operands({ batch: 2, size: 9, channels: 20, columns });
const naive = await results(referenceBackend(), ours(small, whole));
validate('ours, naive loops', await results(backend, ours(small, whole)), naive, 2e-6);
validate('published, naive loops', await results(backend, published(small, ['forward', 'backward'])), naive, 2e-5);
const data = operands(options);
const expected = await results(backend, published(data, ['forward', 'backward']));
validate('ours, published at full size', await results(backend, ours(data, whole)), expected, 2e-5);

const rows = [
  ['forward', ours(data, ['forward'])],
  ['weight and structure gradients', ours(data, ['planes'])],
  ['data gradient', ours(data, ['data'])],
  ['layer step', ours(data, whole)],
  ['published formulation: forward', published(data, ['forward'])],
  ['published formulation: layer step', published(data, ['forward', 'backward'])],
];
const runs = [];
for (const [name, graph] of rows) runs.push({ name, times: [], work: [], ...(await open(backend, graph)) });
for (let repeat = -1; repeat < repeats; repeat++) {
  for (const run of runs) {
    const start = performance.now();
    const before = process.cpuUsage();
    await run.program.run();
    const { user, system } = process.cpuUsage(before);
    if (repeat < 0) continue;
    run.times.push(performance.now() - start);
    run.work.push((user + system) / 1000);
  }
}
console.log(`medians of ${repeats} alternating runs: elapsed, best elapsed, CPU time of all threads`);
for (const { name, times, work } of runs) {
  const time = median(times);
  const columns = [time, Math.min(...times), median(work)].map((value) => `${value.toFixed(0).padStart(7)} ms`);
  console.log(`  ${name.padEnd(36)}${columns.join('')}${(macs / time / 1e6).toFixed(1).padStart(7)} G products/s`);
}
const [step, other] = ['layer step', 'published formulation: layer step'].map((name) =>
  median(runs.find((run) => run.name === name).times),
);
console.log(`  the published formulation takes ${(other / step).toFixed(1)} times as long`);
for (const { session } of runs) await session.dispose();
