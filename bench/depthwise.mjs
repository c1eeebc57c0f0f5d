// Depthwise and grouped layers product by product: images/s, and GB/s of the bytes that must move (operands read once,
// results written once). Each result is first compared with plain sums at sampled elements, the structure's gradient
// with weights of which all but three are 0. With --before, the compiled program of another checkout runs the same
// products, checked alike, in turns.
//   npm run build && node bench/depthwise.mjs [--device cuda|wasm] [--batch N] [--only TEXT] [--before ../other/dist]
import { optionsOf } from './options.mjs';

const { device, before, only, ...given } = optionsOf(import.meta.url, {
  options: {
    device: { type: 'string', default: 'wasm' },
    batch: { type: 'string', default: '' },
    only: { type: 'string', default: '' },
    before: { type: 'string', default: '' },
    threads: { type: 'string', default: '2' },
    repeats: { type: 'string', default: '5' },
  },
}).values;
const onGpu = device === 'cuda';
const batch = Number(given.batch || (onGpu ? 64 : 2));
const repeats = Number(given.repeats);

/** Of MobileNetV2 at 224², of EfficientNet a 5×5 one, and of ResNeXt50 and RegNetX-400MF grouped ones. */
const layers = [
  { name: '112² 96 s2', size: 112, channels: 96, groups: 96, kernel: 3, stride: 2 },
  { name: '56² 144', size: 56, channels: 144, groups: 144, kernel: 3, stride: 1 },
  { name: '28² 192', size: 28, channels: 192, groups: 192, kernel: 3, stride: 1 },
  { name: '14² 576', size: 14, channels: 576, groups: 576, kernel: 3, stride: 1 },
  { name: '7² 960', size: 7, channels: 960, groups: 960, kernel: 3, stride: 1 },
  { name: '28² 240 5×5', size: 28, channels: 240, groups: 240, kernel: 5, stride: 1 },
  { name: '56² 128 in 32', size: 56, channels: 128, groups: 32, kernel: 3, stride: 1 },
  { name: '14² 160 in 10', size: 14, channels: 160, groups: 10, kernel: 3, stride: 1 },
];

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
const random = generator(7);
const below = (count) => Math.floor(random() * count);
const count = (shape) => shape.reduce((product, extent) => product * extent, 1);
const floats = (shape) => ({
  ...{ dtype: 'f32', shape, data: Float32Array.from({ length: count(shape) }, () => random() - 0.5) },
});
const codes = (shape) => ({
  ...{ dtype: 'u8', shape, data: Uint8Array.from({ length: count(shape) }, () => below(256)) },
});
const scalar = (value) => ({ dtype: 'f32', shape: [], data: Float32Array.of(value) });

const m = { dtype: 'f32', shape: [8, 8], data: Float32Array.from({ length: 64 }, random) };
const removed = {
  ...{ dtype: 'f32', shape: [8, 8] },
  data: Float32Array.from({ length: 64 }, (_, at) => ((at >> 3) + (at & 7) < 6 ? 1 : 0)),
};
const table = {
  ...{ dtype: 'i32', shape: [256, 256] },
  data: Int32Array.from({ length: 65536 }, (_, at) => -below(Math.min(300, (at >> 8) * (at & 255)) + 1)),
};
const slopes = floats([256, 256]);
const removal =
  ({ data }) =>
  (w, x) => {
    let sum = 0;
    for (let i = 0; i < 8; i++)
      for (let j = 0; j < 8; j++) sum -= data[i * 8 + j] * ((w >> i) & (x >> j) & 1) * 2 ** (i + j);
    return sum;
  };

/** The operands of a layer. */
function operandsOf({ size, channels, groups, kernel, stride }) {
  const padding = (kernel - 1) / 2;
  const out = Math.floor((size + 2 * padding - kernel) / stride) + 1;
  const [image, output] = [
    [batch, size, size, channels],
    [batch, out, out, channels],
  ];
  const weight = [kernel, kernel, channels / groups, channels];
  return {
    ...{ size, out, channels, groups, kernel, stride, padding, image, output, weight, per: channels / groups },
    geometry: { stride: [stride, stride], padding: [padding, padding], dilation: [1, 1], groups },
    ...{ x: floats(image), w: floats(weight), g: floats(output), xq: codes(image), wq: codes(weight) },
    ...{ xScale: scalar(0.02), xZero: scalar(113), wScale: floats([channels]) },
    wZero: { dtype: 'f32', shape: [channels], data: Float32Array.from({ length: channels }, () => 120 + below(16)) },
  };
}

/** Calls `visit(xi, wi, oi)` for the products of one output, of one weight, or of one input element. */
function walk(d, wanted, visit) {
  const { size, out, channels: c, kernel, stride, padding, per } = d;
  const range = (fixed, extent) => (fixed === undefined ? [0, extent] : [fixed, fixed + 1]);
  const [n0, n1] = range(wanted.n, batch);
  for (let n = n0; n < n1; n++)
    for (let ky = range(wanted.ky, kernel)[0]; ky < range(wanted.ky, kernel)[1]; ky++)
      for (let kx = range(wanted.kx, kernel)[0]; kx < range(wanted.kx, kernel)[1]; kx++) {
        const positions = (at, k, taken) => {
          if (at !== undefined) return [[at, at * stride + k - padding]];
          if (taken === undefined) return Array.from({ length: out }, (_, o) => [o, o * stride + k - padding]);
          const o = (taken + padding - k) / stride;
          return Number.isInteger(o) && o >= 0 && o < out ? [[o, taken]] : [];
        };
        for (const [oy, y] of positions(wanted.oy, ky, wanted.y))
          for (const [ox, x] of positions(wanted.ox, kx, wanted.x)) {
            if (y < 0 || x < 0 || y >= size || x >= size) continue;
            const [o0, o1] =
              wanted.o === undefined
                ? [wanted.c - (wanted.c % per), wanted.c - (wanted.c % per) + per]
                : [wanted.o, wanted.o + 1];
            for (let o = o0; o < o1; o++) {
              const [i0, i1] = range(wanted.c === undefined ? wanted.i : wanted.c % per, per);
              for (let i = i0; i < i1; i++)
                visit(
                  ((n * size + y) * size + x) * c + o - (o % per) + i,
                  ((ky * kernel + kx) * per + i) * c + o,
                  ((n * out + oy) * out + ox) * c + o,
                );
            }
          }
      }
}

const anOutput = (d) => {
  const [n, oy, ox, o] = [below(batch), below(d.out), below(d.out), below(d.channels)];
  return { wanted: { n, oy, ox, o }, at: ((n * d.out + oy) * d.out + ox) * d.channels + o };
};
const anInput = (d) => {
  const [n, y, x, c] = [below(batch), below(d.size), below(d.size), below(d.channels)];
  return { wanted: { n, y, x, c }, at: ((n * d.size + y) * d.size + x) * d.channels + c };
};
const aWeight = (d) => {
  const [ky, kx, i, o] = [below(d.kernel), below(d.kernel), below(d.per), below(d.channels)];
  return { wanted: { ky, kx, i, o }, at: ((ky * d.kernel + kx) * d.per + i) * d.channels + o };
};

const product = (name, error, inputs, errorOf) => ({
  name,
  op: 'axmConv2d',
  attributes: (d) => ({ ...d.geometry, weightBits: 8, activationBits: 8, error }),
  inputs: (d) => [d.xq, d.wq, d.xScale, d.xZero, d.wScale, d.wZero],
  constants: inputs,
  sample: anOutput,
  term: (d, xi, wi) => {
    const [x, w] = [d.xq.data[xi], d.wq.data[wi]];
    const o = wi % d.channels;
    return d.xScale.data[0] * d.wScale.data[o] * ((w - d.wZero.data[o]) * (x - d.xZero.data[0]) + errorOf(w, x));
  },
});
const codeWidths = (d) => ({ ...d.geometry, weightBits: 8, activationBits: 8 });
const slopeAt = (d, xi, wi) => slopes.data[(d.wq.data[wi] << 8) | d.xq.data[xi]];
const products = [
  {
    ...{ name: 'float', op: 'conv2d', attributes: (d) => d.geometry, inputs: (d) => [d.x, d.w], sample: anOutput },
    term: (d, xi, wi) => d.x.data[xi] * d.w.data[wi],
  },
  {
    ...{ name: 'float, input gradient', op: 'conv2dInputGradient', inputs: (d) => [d.g, d.w], sample: anInput },
    attributes: (d) => ({ ...d.geometry, inputShape: d.image }),
    term: (d, _, wi, oi) => d.g.data[oi] * d.w.data[wi],
  },
  {
    ...{ name: 'float, weight gradient', op: 'conv2dWeightGradient', inputs: (d) => [d.x, d.g], sample: aWeight },
    attributes: (d) => ({ ...d.geometry, weightShape: d.weight }),
    term: (d, xi, _, oi) => d.x.data[xi] * d.g.data[oi],
  },
  product('exact codes', { kind: 'none' }, [], () => 0),
  product('structure', { kind: 'removal', integer: false }, [m], removal(m)),
  product('truncation', { kind: 'removal', integer: true }, [removed], removal(removed)),
  product('table', { kind: 'table' }, [table], (w, x) => table.data[(w << 8) | x]),
  {
    ...{ name: 'structure, gradients', op: 'axmConv2dGradients', attributes: codeWidths, sample: aWeight },
    inputs: (d) => [d.g, d.xq, d.wq, d.xScale, d.xZero, d.wScale],
    term: (d, xi, _, oi) => d.xScale.data[0] * (d.xq.data[xi] - d.xZero.data[0]) * d.g.data[oi],
  },
  {
    ...{ name: 'slopes, weight gradient', op: 'axmErrorWeightGradient', attributes: codeWidths, sample: aWeight },
    ...{ inputs: (d) => [d.g, d.xq, d.wq, d.xScale], constants: [slopes] },
    term: (d, xi, wi, oi) => d.xScale.data[0] * d.g.data[oi] * slopeAt(d, xi, wi),
  },
  {
    ...{ name: 'slopes, input gradient', op: 'axmErrorInputGradient', attributes: codeWidths, sample: anInput },
    ...{ inputs: (d) => [d.g, d.xq, d.wq, d.wScale], constants: [slopes] },
    term: (d, xi, wi, oi) => d.g.data[oi] * d.wScale.data[wi % d.channels] * slopeAt(d, xi, wi),
  },
];

/** A backend of a compiled program, and how it runs one product. */
async function runner(root) {
  const { Graph } = await import(`${root}/engine/graph/graph.js`);
  const backend = onGpu
    ? (await import(`${root}/engine/cuda/runtime/backend.js`)).cudaBackend({ precision: 'tf32' })
    : (await import(`${root}/engine/wasm/runtime/backend.js`)).wasmBackend({ threads: Number(given.threads) });
  const open = async ({ op, attributes, inputs, constants = [] }, d) => {
    const graph = new Graph();
    const values = inputs(d).map((input, at) => graph.input(`x${at}`, input.shape, input.dtype));
    const outputs = graph.apply(op, [...values, ...constants.map((one) => graph.constant(one))], attributes(d));
    for (const [at, output] of outputs.entries()) graph.output(`y${at}`, output);
    const session = await backend.openSession();
    const program = await session.compile(graph);
    for (const [at, input] of inputs(d).entries()) program.write(`x${at}`, input.data);
    await program.run();
    return { session, program };
  };
  const time = async (program) => {
    if (onGpu) {
      const times = await program.timeKernels(20);
      return times.filter(({ name }) => name !== 'copy').reduce((sum, { milliseconds }) => sum + milliseconds, 0);
    }
    const start = performance.now();
    await program.run();
    return performance.now() - start;
  };
  return { description: backend.device.description, open, time };
}

function check(one, d, y) {
  for (let sample = 0; sample < (one.sample === aWeight ? 4 : 100); sample++) {
    const { wanted, at } = one.sample(d);
    let [sum, magnitude] = [0, 1e-9];
    walk(d, wanted, (xi, wi, oi) => {
      const term = one.term(d, xi, wi, oi);
      sum += term;
      magnitude += Math.abs(term);
    });
    const error = Math.abs(y[at] - sum) / magnitude;
    if (!(error < 2e-3)) throw new Error(`${one.name}: element ${at} is ${y[at]}, not ${sum}`);
  }
}

/** dm where all weights but three are 0: only their sums enter. */
async function checkStructure(run, one, d) {
  const wq = { ...d.wq, data: new Uint8Array(d.wq.data.length) };
  const dm = new Float64Array(64);
  for (let weight = 0; weight < 3; weight++) {
    const { wanted, at } = aWeight(d);
    if (wq.data[at] > 0) continue;
    wq.data[at] = 1 + below(255);
    const planes = new Float64Array(8);
    walk(d, wanted, (xi, _, oi) => {
      for (let j = 0; j < 8; j++) if ((d.xq.data[xi] >> j) & 1) planes[j] += d.g.data[oi];
    });
    for (let e = 0; e < 64; e++) {
      if (!((wq.data[at] >> (e >> 3)) & 1)) continue;
      dm[e] -= 2 ** ((e >> 3) + (e & 7)) * d.xScale.data[0] * d.wScale.data[at % d.channels] * planes[e & 7];
    }
  }
  const { session, program } = await run.open(one, { ...d, wq });
  const found = await program.read('y1');
  await session.dispose();
  const size = Math.hypot(...dm);
  const error = Math.hypot(...dm.map((value, e) => value - found[e])) / size;
  if (!(error < 2e-3)) throw new Error(`${one.name}: dm differs by ${error}`);
}

const bytesOf = (graphInputs, outputs) =>
  [...graphInputs, ...outputs].reduce((sum, { shape, dtype }) => sum + count(shape) * (dtype === 'u8' ? 1 : 4), 0);
const resultsOf = {
  conv2dInputGradient: (d) => [{ shape: d.image }],
  axmErrorInputGradient: (d) => [{ shape: d.image }],
  conv2dWeightGradient: (d) => [{ shape: d.weight }],
  axmErrorWeightGradient: (d) => [{ shape: d.weight }],
  axmConv2dGradients: (d) => [{ shape: d.weight }, { shape: [8, 8] }],
};

const runners = [await runner(process.env.TRAM_BUILD ?? '../dist')];
if (before) runners.push(await runner(new URL(`${before}`, `file://${process.cwd()}/`).pathname));
console.log(`${runners[0].description}, batch ${batch}${before ? '; behind the bar: before' : ''}`);
for (const layer of layers) {
  const d = operandsOf(layer);
  for (const one of products) {
    const name = `${layer.name.padEnd(14)} ${one.name.padEnd(24)}`;
    if (!name.includes(only)) continue;
    const open = [];
    for (const run of runners) {
      const opened = await run.open(one, d);
      check(one, d, await opened.program.read('y0'));
      if (one.op === 'axmConv2dGradients') await checkStructure(run, one, d);
      open.push(opened);
    }
    const best = runners.map(() => Number.POSITIVE_INFINITY);
    for (let repeat = 0; repeat < (onGpu ? 1 : repeats); repeat++)
      for (const [at, run] of runners.entries()) best[at] = Math.min(best[at], await run.time(open[at].program));
    for (const { session } of open) await session.dispose();
    const bytes = bytesOf(one.inputs(d), (resultsOf[one.op] ?? (() => [{ shape: d.output }]))(d));
    const figures = best.map(
      (ms) =>
        `${ms.toFixed(3).padStart(9)} ms ${((batch / ms) * 1e3).toFixed(0).padStart(8)} images/s ${(bytes / ms / 1e6).toFixed(onGpu ? 0 : 2).padStart(7)} GB/s`,
    );
    console.log(`${name} ${figures.join('  | ')}${before ? `  ${(best[1] / best[0]).toFixed(1)}×` : ''}`);
  }
}
for (const run of runners) await run.dispose?.();
process.exit(0);
