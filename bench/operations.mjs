// Operations made from one definition (src/engine/operations) beside kernels written by hand for the same work and the
// same memory traffic: on the processor those of the engine where it has one, else AssemblyScript with SIMD (the text
// below), on one thread; on a GPU operations.cu. Each is first checked against double precision, then timed (best of
// the repeats on the processor, device events on a GPU), in bytes that must be moved per second.
//   npm run build && node bench/operations.mjs [--device cuda] [--repeats 15] [--only NAME]

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { optionsOf } from './options.mjs';

const root = process.env.TRAM_BUILD ?? '../dist';
const { Graph } = await import(`${root}/engine/graph/graph.js`);
const { errorFunction, maximum } = await import(`${root}/engine/graph/expression.js`);
const { formula } = await import(`${root}/engine/operations/formula.js`);
const { gelu } = await import(`${root}/engine/operations/activations.js`);
const { concat, permute, roll } = await import(`${root}/engine/operations/movements.js`);
const { layerNorm, softmax } = await import(`${root}/engine/operations/normalizations.js`);

const { device, repeats, only } = optionsOf(import.meta.url, {
  options: {
    device: { type: 'string', default: 'wasm' },
    repeats: { type: 'string', default: '15' },
    only: { type: 'string', default: '' },
  },
}).values;
const onGpu = device === 'cuda';
const rows = onGpu ? 65536 : 2048;
const images = onGpu ? 64 : 4;
const sizeOf = (shape) => shape.reduce((product, extent) => product * extent, 1);

const row = (data, at, length) => Float64Array.from(data.subarray(at - (at % length), at - (at % length) + length));
const exact = {
  gelu: ([x], at) => 0.5 * x[at] * (1 + errorFunction(x[at] * Math.SQRT1_2)),
  softmax: ([x], at, length) => {
    const own = row(x, at, length);
    const most = own.reduce((a, b) => Math.max(a, b));
    return Math.exp(x[at] - most) / own.reduce((sum, value) => sum + Math.exp(value - most), 0);
  },
  layerNorm: ([x, weight, bias], at, length) => {
    const own = row(x, at, length);
    const mean = own.reduce((sum, value) => sum + value, 0) / length;
    const variance = own.reduce((sum, value) => sum + (value - mean) ** 2, 0) / length;
    return ((x[at] - mean) / Math.sqrt(variance + 1e-6)) * weight[at % length] + bias[at % length];
  },
};

/** Where an element of a permuted tensor comes from. */
function permuted(shape, order) {
  const strides = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  return ([x], at) => {
    let [rest, from] = [at, 0];
    for (const axis of [...order].reverse()) {
      from += (rest % shape[axis]) * strides[axis];
      rest = Math.floor(rest / shape[axis]);
    }
    return x[from];
  };
}

const wide = [rows, 768];
const planes = [images, 1024, 768];
const heads = [images, 196, 12, 64];
const windows = [images, 56, 56, 96];
const half = [rows, 384];
/** Inputs, the operation, the right value of an element, the kernel by hand. */
const works = [
  {
    name: 'relu',
    shapes: [wide],
    build: formula('relu', (x) => maximum(x, 0)),
    value: ([x], at) => Math.max(0, x[at]),
  },
  {
    name: 'add',
    shapes: [wide, wide],
    build: formula('add', (a, b) => a.plus(b)),
    value: ([a, b], at) => Math.fround(a[at] + b[at]),
    engine: (graph, inputs) => graph.apply1('add', inputs, { alpha: 1, beta: 1 }),
  },
  { name: 'gelu', shapes: [wide], build: gelu, value: exact.gelu },
  { name: 'softmax', shapes: [wide], build: softmax, value: exact.softmax },
  {
    name: 'layerNorm',
    shapes: [wide, [768], [768]],
    build: (x, w, b) => layerNorm(x, w, b, 1e-6),
    value: exact.layerNorm,
  },
  { name: 'transpose', shapes: [planes], build: (x) => permute(x, [0, 2, 1]), value: permuted(planes, [0, 2, 1]) },
  {
    name: 'heads',
    shapes: [heads],
    build: (x) => permute(x, [0, 2, 1, 3]),
    value: permuted(heads, [0, 2, 1, 3]),
  },
  {
    name: 'concat',
    shapes: [half, half],
    build: (a, b) => concat([a, b], 1),
    value: ([a, b], at) => (at % 768 < 384 ? a : b)[Math.floor(at / 768) * 384 + (at % 384)],
    by: onGpu ? 'copy' : undefined,
  },
  {
    name: 'roll',
    shapes: [windows],
    build: (x) => roll(x, [-3, -3], [1, 2]),
    value: ([x], at) => {
      const [c, px, py, n] = [
        at % 96,
        Math.floor(at / 96) % 56,
        Math.floor(at / 96 / 56) % 56,
        Math.floor(at / 96 / 56 / 56),
      ];
      return x[((n * 56 + ((py + 3) % 56)) * 56 + ((px + 3) % 56)) * 96 + c];
    },
    by: onGpu ? 'copy' : undefined,
  },
].filter(({ name }) => name.includes(only));

let state = 1;
const uniform = () => {
  state = (Math.imul(state, 1664525) + 1013904223) | 0;
  return (state >>> 8) / 2 ** 24;
};

function check({ name, shapes, value }, data, y, who) {
  const length = shapes[0].at(-1);
  for (let sample = 0; sample < 300; sample++) {
    const at = sample < 4 ? sample : Math.floor(uniform() * y.length);
    const expected = value(data, at, length);
    const error = Math.abs(y[at] - expected);
    if (!(error <= 4e-6 * Math.max(0.1, Math.abs(expected)))) {
      throw new Error(`${name}, ${who}: element ${at} is ${y[at]} and should be ${expected}`);
    }
  }
}

const best = (times) => Math.min(...times);

/** Both on the processor, one thread each, alternating. */
async function onProcessor(work, data, graph) {
  const { wasmBackend } = await import(`${root}/engine/wasm/runtime/backend.js`);
  const session = await wasmBackend({ threads: 1 }).openSession();
  const program = await session.compile(graph);
  for (const [at, values] of data.entries()) program.write(`x${at}`, values);
  await program.run();
  check(work, data, await program.read('y'), 'generated');
  const hand = work.engine ? await ofEngine(session, work, data) : handWritten(work, data);
  await hand.run();
  check(work, data, await hand.result(), 'by hand');
  const [own, other] = [[], []];
  for (let n = 0; n < Number(repeats); n++) {
    let start = performance.now();
    await program.run();
    own.push(performance.now() - start);
    start = performance.now();
    await hand.run();
    other.push(performance.now() - start);
  }
  await session.dispose();
  return [best(own), best(other)];
}

/** The engine's own kernel of the same operation. */
async function ofEngine(session, { engine, shapes }, data) {
  const graph = new Graph();
  graph.output(
    'y',
    engine(
      graph,
      shapes.map((shape, at) => graph.input(`x${at}`, shape)),
    ),
  );
  const program = await session.compile(graph);
  for (const [at, values] of data.entries()) program.write(`x${at}`, values);
  return { run: () => program.run(), result: () => program.read('y') };
}

let instance;
function handWritten({ name, shapes }, data) {
  instance ??= compileByHand();
  const { exports, memory } = instance;
  let top = 65536;
  const place = (bytes) => {
    const at = top;
    top += Math.ceil(bytes / 64) * 64 + 64;
    const missing = Math.ceil(top / 65536) - memory.buffer.byteLength / 65536;
    if (missing > 0) memory.grow(missing);
    return at;
  };
  const inputs = data.map((values) => place(values.byteLength));
  const count = data.reduce((sum, { length }) => sum + (length > 768 ? length : 0), 0);
  const out = place(4 * count);
  for (const [at, values] of data.entries()) new Float32Array(memory.buffer, inputs[at], values.length).set(values);
  const [first] = shapes;
  const length = first.at(-1);
  const calls = {
    layerNorm: () => exports.layerNorm(...inputs, out, count / length, length),
    softmax: () => exports.softmax(inputs[0], out, count / length, length),
    transpose: () => exports.transpose(inputs[0], out, ...first),
    heads: () => exports.heads(inputs[0], out, ...first),
    concat: () => exports.concat(...inputs, out, ...first),
    roll: () => exports.roll(inputs[0], out, first[0], first[1], length),
  };
  return {
    run: calls[name] ?? (() => exports[name](...inputs, out, count)),
    result: () => new Float32Array(memory.buffer, out, count),
  };
}

function compileByHand() {
  const folder = mkdtempSync(join(tmpdir(), 'tram-bench-'));
  const [source, binary] = [join(folder, 'hand.ts'), join(folder, 'hand.wasm')];
  writeFileSync(source, BY_HAND);
  const memory = new WebAssembly.Memory({ initial: 2, maximum: 16384, shared: true });
  const shared = ['--importMemory', '--sharedMemory', '--initialMemory', '2', '--maximumMemory', '16384'];
  const features = ['--enable', 'simd', '--enable', 'threads', '--runtime', 'stub', '--noAssert'];
  execFileSync('node_modules/.bin/asc', [source, '-o', binary, '-O3', ...features, ...shared]);
  const module = new WebAssembly.Module(readFileSync(binary));
  rmSync(folder, { recursive: true });
  const { exports } = new WebAssembly.Instance(module, { env: { abort: () => undefined, memory } });
  return { exports, memory };
}

const BY_HAND = `
export function relu(x: usize, y: usize, count: i32): void {
  for (let at: usize = 0; at < <usize>count * 4; at += 16) v128.store(y + at, f32x4.max(v128.load(x + at), f32x4.splat(0)));
}
@inline function step(p: v128, x: v128, c: f32): v128 { return f32x4.add(f32x4.mul(p, x), f32x4.splat(c)); }
@inline function erf(x: v128): v128 {
  const size = f32x4.abs(x), u = f32x4.mul(x, x);
  let p = f32x4.splat(-0.000563142177);
  p = step(p, u, 0.00491755131); p = step(p, u, -0.0267113112); p = step(p, u, 0.112801801); p = step(p, u, -0.376123262); p = step(p, u, 0.128379122);
  const near = f32x4.add(x, f32x4.mul(x, p));
  const s = f32x4.sub(f32x4.min(size, f32x4.splat(4.1)), f32x4.splat(2.4375));
  let q = f32x4.splat(-0.000157092522);
  q = step(q, s, 0.000247542291); q = step(q, s, 0.0027607135); q = step(q, s, -0.00737188758); q = step(q, s, -0.0106431132);
  q = step(q, s, 0.0957637642); q = step(q, s, -0.201901801); q = step(q, s, 0.154281109);
  q = f32x4.mul(q, q);
  const far = f32x4.sub(f32x4.splat(1), f32x4.mul(q, q));
  const signed = v128.or(far, v128.and(x, i32x4.splat(0x80000000)));
  return v128.bitselect(near, signed, f32x4.lt(size, f32x4.splat(1)));
}
export function gelu(x: usize, y: usize, count: i32): void {
  for (let at: usize = 0; at < <usize>count * 4; at += 16) {
    const v = v128.load(x + at);
    const e = erf(f32x4.mul(v, f32x4.splat(0.70710678)));
    v128.store(y + at, f32x4.mul(f32x4.mul(v, f32x4.splat(0.5)), f32x4.add(e, f32x4.splat(1))));
  }
}
@inline function exp(x: v128): v128 {
  const n = f32x4.nearest(f32x4.mul(x, f32x4.splat(1.44269504)));
  const r = f32x4.sub(f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375))), f32x4.mul(n, f32x4.splat(-2.1219444e-4)));
  let p = f32x4.splat(0.00138146102);
  p = step(p, r, 0.00836871116); p = step(p, r, 0.0416683875); p = step(p, r, 0.166665207); p = step(p, r, 0.499999935);
  p = f32x4.add(f32x4.add(f32x4.mul(p, f32x4.mul(r, r)), r), f32x4.splat(1));
  const scale = i32x4.shl(i32x4.add(i32x4.trunc_sat_f32x4_s(n), i32x4.splat(127)), 23);
  return v128.andnot(f32x4.mul(p, scale), f32x4.lt(x, f32x4.splat(-86.5)));
}
@inline function lanes(v: v128): f32 {
  return f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 1) + (f32x4.extract_lane(v, 2) + f32x4.extract_lane(v, 3));
}
export function softmax(x: usize, y: usize, rows: i32, length: i32): void {
  const bytes = <usize>length * 4;
  for (let row = 0; row < rows; ++row, x += bytes, y += bytes) {
    let m0 = v128.load(x), m1 = m0, s0 = f32x4.splat(0), s1 = s0;
    for (let at: usize = 0; at < bytes; at += 32) { m0 = f32x4.max(m0, v128.load(x + at)); m1 = f32x4.max(m1, v128.load(x + at, 16)); }
    m0 = f32x4.max(m0, m1);
    const most = f32x4.splat(max(max(f32x4.extract_lane(m0, 0), f32x4.extract_lane(m0, 1)), max(f32x4.extract_lane(m0, 2), f32x4.extract_lane(m0, 3))));
    for (let at: usize = 0; at < bytes; at += 32) {
      const a = exp(f32x4.sub(v128.load(x + at), most)), b = exp(f32x4.sub(v128.load(x + at, 16), most));
      v128.store(y + at, a); v128.store(y + at, b, 16);
      s0 = f32x4.add(s0, a); s1 = f32x4.add(s1, b);
    }
    const factor = f32x4.splat(1 / lanes(f32x4.add(s0, s1)));
    for (let at: usize = 0; at < bytes; at += 16) v128.store(y + at, f32x4.mul(v128.load(y + at), factor));
  }
}
export function layerNorm(x: usize, w: usize, b: usize, y: usize, rows: i32, length: i32): void {
  const bytes = <usize>length * 4;
  for (let row = 0; row < rows; ++row, x += bytes, y += bytes) {
    let s0 = f32x4.splat(0), s1 = s0, q0 = s0, q1 = s0;
    for (let at: usize = 0; at < bytes; at += 32) { s0 = f32x4.add(s0, v128.load(x + at)); s1 = f32x4.add(s1, v128.load(x + at, 16)); }
    const mean = f32x4.splat(lanes(f32x4.add(s0, s1)) / <f32>length);
    for (let at: usize = 0; at < bytes; at += 32) {
      const c = f32x4.sub(v128.load(x + at), mean), d = f32x4.sub(v128.load(x + at, 16), mean);
      q0 = f32x4.add(q0, f32x4.mul(c, c)); q1 = f32x4.add(q1, f32x4.mul(d, d));
    }
    const inverse = f32x4.splat(1 / sqrt<f32>(lanes(f32x4.add(q0, q1)) / <f32>length + 1e-6));
    for (let at: usize = 0; at < bytes; at += 16) {
      const n = f32x4.mul(f32x4.sub(v128.load(x + at), mean), inverse);
      v128.store(y + at, f32x4.add(f32x4.mul(n, v128.load(w + at)), v128.load(b + at)));
    }
  }
}
/** [n, rows, columns] to [n, columns, rows] in blocks of 16 by 16. */
export function transpose(x: usize, y: usize, n: i32, rows: i32, columns: i32): void {
  for (let image = 0; image < n; ++image, x += <usize>(rows * columns * 4), y += <usize>(rows * columns * 4)) {
    for (let c = 0; c < columns; c += 16) for (let r = 0; r < rows; r += 16) {
      for (let i = 0; i < 16; ++i) for (let j = 0; j < 16; ++j) {
        store<f32>(y + <usize>((c + i) * rows + r + j) * 4, load<f32>(x + <usize>((r + j) * columns + c + i) * 4));
      }
    }
  }
}
/** [n, t, h, d] to [n, h, t, d]. */
export function heads(x: usize, y: usize, n: i32, t: i32, h: i32, d: i32): void {
  for (let a = 0; a < n; ++a) for (let b = 0; b < h; ++b) for (let c = 0; c < t; ++c, y += <usize>d * 4) {
    const from = x + <usize>(((a * t + c) * h + b) * d) * 4;
    for (let at: usize = 0; at < <usize>d * 4; at += 16) v128.store(y + at, v128.load(from + at));
  }
}
/** [rows, c] twice, side by side. */
export function concat(a: usize, b: usize, y: usize, rows: i32, c: i32): void {
  const bytes = <usize>c * 4;
  for (let row = 0; row < rows; ++row, a += bytes, b += bytes, y += 2 * bytes) {
    for (let at: usize = 0; at < bytes; at += 16) { v128.store(y + at, v128.load(a + at)); v128.store(y + bytes + at, v128.load(b + at)); }
  }
}
/** [n, s, s, c], both axes of length s by 3 to the front. */
export function roll(x: usize, y: usize, n: i32, s: i32, c: i32): void {
  const pixel = <usize>c * 4;
  for (let a = 0; a < n; ++a) for (let b = 0; b < s; ++b) for (let d = 0; d < s; ++d, y += pixel) {
    const from = x + <usize>((a * s + (b + 3) % s) * s + (d + 3) % s) * pixel;
    for (let at: usize = 0; at < pixel; at += 16) v128.store(y + at, v128.load(from + at));
  }
}
`;

/** Both on the GPU: device events around launches in a row. */
async function onDevice(work, data, graph) {
  const { cudaBackend } = await import(`${root}/engine/cuda/runtime/backend.js`);
  const session = await cudaBackend().openSession();
  const program = await session.compile(graph);
  for (const [at, values] of data.entries()) program.write(`x${at}`, values);
  await program.run();
  check(work, data, await program.read('y'), 'generated');
  const times = await program.timeKernels(Number(repeats));
  await session.dispose();
  const own = times.filter(({ name }) => name !== 'copy').reduce((sum, { milliseconds }) => sum + milliseconds, 0);
  return [own, await byHandOnDevice(work, data)];
}

async function byHandOnDevice({ name, shapes, value, by }, data) {
  const { openCuda } = await import(`${root}/engine/cuda/runtime/device.js`);
  const { Context } = await import(`${root}/engine/cuda/runtime/driver.js`);
  const { KernelLibrary } = await import(`${root}/engine/cuda/runtime/kernel-library.js`);
  const { addresses, integers, packArguments } = await import(`${root}/engine/cuda/lower/launch.js`);
  const { driver, compiler, devices } = openCuda();
  const [{ capability, name: gpu }] = devices;
  const library = new KernelLibrary(() => compiler, { capability, device: gpu, driverVersion: driver.version });
  const text = readFileSync(new URL('operations.cu', import.meta.url), 'utf8');
  const context = new Context(driver, devices[0]);
  context.use();
  const module = context.loadModule(await library.image({ file: 'operations.cu', text, defines: {} }));
  const bytes = (values) => new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const inputs = data.map((values) => {
    const at = context.allocate(values.byteLength);
    context.toDevice(at, bytes(values), values.byteLength);
    return at;
  });
  const y = new Float32Array(by ? data.reduce((sum, values) => sum + values.length, 0) : data[0].length);
  const out = context.allocate(y.byteLength);
  const [first] = shapes;
  const tokens = sizeOf(first) / first.at(-1);
  const vectors = integers({ count: data[0].length / 4 });
  const forms = {
    softmax: { grid: tokens / 8, more: integers({ rows: tokens }) },
    layerNorm: { grid: tokens / 8, more: integers({ rows: tokens }) },
    transpose: { grid: (images * 1024 * 768) / 1024, more: integers({ rows: 1024, columns: 768 }) },
    heads: { grid: data[0].length / 4 / 256, more: integers({ tokens: 196, heads: 12, vectors: 16 }) },
  };
  const { grid, more } = forms[name] ?? { grid: Math.ceil(data[0].length / 4 / 512), more: vectors };
  const kernel = context.kernel(module, by ?? name);
  // What stands for a concatenation is one copy per input.
  const launches = (by ? inputs : [inputs]).map((from, at) => {
    const to = by ? out + BigInt(4 * at * data[0].length) : out;
    const named = Object.fromEntries([from].flat().map((address, index) => [`x${index}`, address]));
    const args = packArguments({ ...addresses({ ...named, y: to }), ...more });
    return { kernel, grid: [grid, 1, 1], block: [256, 1, 1], shared: 0, args };
  });
  const run = () => {
    for (const launch of launches) driver.launch(launch, context.stream);
  };
  run();
  context.toHost(bytes(y), out, y.byteLength);
  context.synchronize();
  const copied = ([x, z], at) => (at < x.length ? x[at] : z[at - x.length]);
  check({ name, shapes, value: by ? copied : value }, data, y, 'by hand');
  const [start, end] = [context.createEvent(true), context.createEvent(true)];
  context.record(start);
  for (let n = 0; n < Number(repeats); n++) run();
  context.record(end);
  context.synchronize();
  const milliseconds = context.elapsed(start, end) / Number(repeats);
  for (const address of [...inputs, out]) context.free(address);
  context.unloadModule(module);
  context.dispose();
  return milliseconds;
}

console.log('operation       bytes      generated   by hand      generated / by hand');
for (const work of works) {
  const data = work.shapes.map((shape) => Float32Array.from({ length: sizeOf(shape) }, () => 6 * uniform() - 3));
  const graph = new Graph();
  const values = work.shapes.map((shape, at) => graph.input(`x${at}`, shape));
  const y = work.build(...values);
  graph.output('y', y);
  const moved = 4 * (data.reduce((sum, { length }) => sum + length, 0) + sizeOf(y.shape));
  const [own, hand] = await (onGpu ? onDevice : onProcessor)(work, data, graph);
  const rate = (milliseconds) => `${(moved / milliseconds / 1e6).toFixed(onGpu ? 0 : 2).padStart(6)} GB/s`;
  console.log(
    `${work.name.padEnd(12)} ${(moved / 1e6).toFixed(1).padStart(6)} MB  ${rate(own)}  ${rate(hand)}  ${(hand / own).toFixed(2).padStart(8)}${work.by ? ` (${work.by})` : ''}`,
  );
}
