// The approximate convolution on a GPU: ResNet18's four layer shapes (batch 256), or the two linear layers of DeiT-S's
// blocks (64 images of 197 tokens, 384 → 1536 and back), as bit planes (a truncation of six
// columns: seven planes), as trained structure of eight columns, or with a θ per product (eight planes of two digits),
// as low-rank planes of multipliers that are no truncation, and as a full-rank table by look-ups, of 16 bits where it
// is a constant, of 32 where it is not.
// Each is first checked against integer arithmetic on sampled outputs; then the kernel alone is timed (device events,
// mean of 20), in T products per second, beside the share of the device's int8 rate (4096 multiply-accumulates per
// multiprocessor and clock on Hopper) that the planes' products are. The low-rank ones must have the same bits as
// their look-ups, whose time is printed too.
//   npm run build && node bench/cuda-gemm.mjs [kinds [deit-s]]
import { mistake, optionsOf } from './options.mjs';

const { positionals } = optionsOf(import.meta.url, { allowPositionals: true });
const root = process.env.TRAM_BUILD ?? '../dist';
const { cudaBackend } = await import(`${root}/engine/cuda/runtime/backend.js`);
const { openCuda } = await import(`${root}/engine/cuda/runtime/device.js`);
const { factorize } = await import(`${root}/multiplier/factorization.js`);
const { errorByCodes } = await import(`${root}/multiplier/error.js`);
const { generateFromSpec } = await import(`${root}/netlist/generators/registry.js`);
const { mapStructure } = await import(`${root}/netlist/mapping/map.js`);
const { simulate } = await import(`${root}/netlist/simulate.js`);
const { Graph } = await import(`${root}/engine/graph/graph.js`);
const { Random } = await import(`${root}/tensor/random.js`);
const { f32, tensor } = await import(`${root}/tensor/tensor.js`);

/** Images, height and width of images and kernel, channels in and out. */
const shapesOf = {
  resnet18: [
    [256, 16, 3, 64, 64],
    [256, 8, 3, 128, 128],
    [256, 4, 3, 256, 256],
    [256, 2, 3, 512, 512],
  ],
  'deit-s': [
    [64 * 197, 1, 1, 384, 1536],
    [64 * 197, 1, 1, 1536, 384],
  ],
};
const shapes = shapesOf[positionals[1] ?? 'resnet18'];
if (!shapes) throw mistake(`no shapes ${positionals[1]}; expected ${Object.keys(shapesOf).join(' or ')}`);
const random = new Random(4);
const codes = (shape) =>
  tensor(
    'u8',
    shape,
    Uint8Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.integer(256)),
  );
const removed = f32(
  [8, 8],
  Float32Array.from({ length: 64 }, (_, at) => ((at >> 3) + (at & 7) < 6 ? 1 : 0)),
);
const structure = f32(
  [8, 8],
  Float32Array.from({ length: 64 }, (_, at) => ((at >> 3) + (at & 7) < 8 ? random.uniform() : 0)),
);
/** A θ for each of eight columns, and what it makes of the partial products. */
const theta = f32(
  [8],
  Float32Array.from({ length: 8 }, () => random.uniform()),
);
const columnOf = Array.from({ length: 64 }, (_, at) => ((at >> 3) + (at & 7) < 8 ? (at >> 3) + (at & 7) : -1));
const columns = f32(
  [8, 8],
  Float32Array.from(columnOf, (column) => (column < 0 ? 0 : theta.data[column])),
);
const errorTable = (products) => tensor('i32', [256, 256], errorByCodes(products));
const mapped = (search, theta) => errorTable(mapStructure({ weightBits: 8, activationBits: 8, theta, search }).table);
const generated = (spec) => errorTable(simulate(generateFromSpec(spec).network));
const fullRank = tensor(
  'i32',
  [256, 256],
  Int32Array.from({ length: 65536 }, (_, at) => random.integer(65536) - (at >> 8) * (at & 255)),
);
const tables = {
  table: fullRank,
  'variable table': fullRank,
  'mapped, small': mapped('descent', [0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]),
  'mapped, large': mapped('descent', [0.83, 0.74, 0.34, 0.79, 0.19, 0.58]),
  'DRUM of 6 bits': generated('drum:8x8:bits=6'),
  'lower-part OR': generated('lower-part-or:8x8:columns=5'),
};
/** Matrix products that a table's planes are made of; none for look-ups. */
const planesOf = (kind) =>
  tables[kind] === fullRank ? undefined : factorize(tables[kind].data, { weightBits: 8, activationBits: 8 }, 32);
const kinds = positionals[0]?.split(';') ?? ['planes', 'columns', 'structure', ...Object.keys(tables)];

function errorOf(kind) {
  if (tables[kind]) return (w, x) => tables[kind].data[(w << 8) | x];
  const m = { planes: removed, columns, structure }[kind];
  const errors = Float64Array.from({ length: 65536 }, (_, at) => {
    let sum = 0;
    for (let i = 0; i < 8; i++)
      for (let j = 0; j < 8; j++) if ((at >> (8 + i)) & 1 && (at >> j) & 1) sum -= m.data[i * 8 + j] * 2 ** (i + j);
    return sum;
  });
  return (w, x) => errors[(w << 8) | x];
}

/** Largest relative difference of sampled outputs from a plain sum over the window. */
function check(kind, x, w, y, [n, size, kernel, channels, outputs]) {
  const error = errorOf(kind);
  let worst = 0;
  for (let sample = 0; sample < 200; sample++) {
    const [image, oy, ox, o] = [n, size, size, outputs].map((extent) => random.integer(extent));
    let sum = 0;
    for (let ky = 0; ky < kernel; ky++)
      for (let kx = 0; kx < kernel; kx++) {
        const [sy, sx] = [oy + ky - (kernel >> 1), ox + kx - (kernel >> 1)];
        if (sy < 0 || sy >= size || sx < 0 || sx >= size) continue;
        for (let c = 0; c < channels; c++) {
          const a = x.data[((image * size + sy) * size + sx) * channels + c];
          const b = w.data[((ky * kernel + kx) * channels + c) * outputs + o];
          sum += a * b + error(b, a);
        }
      }
    const found = y[((image * size + oy) * size + ox) * outputs + o];
    worst = Math.max(worst, Math.abs(found - Math.fround(sum)) / Math.abs(sum));
  }
  return worst;
}

const { devices } = openCuda();
const { name, multiprocessors, clockHertz } = devices[0];
const peak = multiprocessors * clockHertz * 4096;
console.log(
  `${name}: ${multiprocessors} multiprocessors at ${(clockHertz / 1e9).toFixed(2)} GHz, int8 ${(peak / 1e12).toFixed(0)} T MAC/s`,
);
console.log('kind               planes   M×K×N              kernel ms   T products/s   of int8 peak   largest error');
const backend = cudaBackend();

/** Compiles, checks and times one kind on one shape; the output is returned for comparison. */
async function measure(kind, x, w, shape, emulation) {
  const [n, size, kernel, channels, outputs] = shape;
  const graph = new Graph();
  const xs = graph.input('x', x.shape, 'u8');
  const ws = graph.input('w', w.shape, 'u8');
  const per = f32([outputs], new Float32Array(outputs).fill(1));
  const zeros = f32([outputs], new Float32Array(outputs));
  const operands = [xs, ws, graph.scalar(1), graph.scalar(0), graph.constant(per), graph.constant(zeros)];
  const variable = kind === 'variable table';
  const constant = variable ? undefined : (tables[kind] ?? (kind === 'planes' ? removed : undefined));
  const widths = { weightBits: 8, activationBits: 8 };
  const error = constant
    ? graph.constant(constant)
    : kind === 'columns'
      ? graph.apply1('structureMatrix', [graph.input('theta', [8])], { ...widths, index: columnOf })
      : variable
        ? graph.input('m', [256, 256], 'i32')
        : graph.input('m', [8, 8]);
  const attributes = {
    ...{ stride: [1, 1], padding: [kernel >> 1, kernel >> 1], dilation: [1, 1], groups: 1, ...widths },
    error: tables[kind]
      ? { kind: 'table', ...(emulation ? { emulation } : {}) }
      : { kind: 'removal', integer: kind === 'planes' },
  };
  graph.output('y', graph.apply1('axmConv2d', [...operands, error], attributes));
  const session = await backend.openSession();
  const program = await session.compile(graph);
  program.write('x', x.data);
  program.write('w', w.data);
  if (kind === 'columns') program.write('theta', theta.data);
  if (variable) program.write('m', fullRank.data);
  if (kind === 'structure') program.write('m', structure.data);
  await program.run();
  const y = await program.read('y');
  const worst = check(kind, x, w, y, shape);
  const times = await program.timeKernels(20);
  await session.dispose();
  const main = times.find(({ name }) => name === 'look_up' || name === 'multiply');
  const products = (n * size * size * kernel * kernel * channels * outputs) / (main.milliseconds / 1e3);
  return { y, worst, times, milliseconds: main.milliseconds, products };
}

for (const kind of kinds) {
  const factors = tables[kind] ? planesOf(kind) : undefined;
  // Seven planes of a truncation, or eight of two digits.
  const planes = tables[kind] ? factors?.planes.length : kind === 'planes' ? 7 : 16;
  for (const shape of shapes) {
    const [n, size, kernel, channels, outputs] = shape;
    const x = codes([n, size, size, channels]);
    const w = codes([kernel, kernel, channels, outputs]);
    const found = await measure(kind, x, w, shape, factors ? 'lowrank' : undefined);
    const { worst, times, milliseconds, products } = found;
    const share = planes === undefined ? '—' : `${((products * planes * 100) / peak).toFixed(1)} %`;
    const size3 = `${n * size * size}×${kernel * kernel * channels}×${outputs}`;
    const count =
      planes === undefined ? '—' : `${planes}${factors?.functions.length ? `+${factors.functions.length}` : ''}`;
    const all = times.map((time) => `${time.name} ${(time.milliseconds * 1e3).toFixed(1)}`).join(', ');
    console.log(
      `${kind.padEnd(18)} ${count.padStart(6)}   ${size3.padEnd(18)} ${milliseconds.toFixed(4).padStart(9)} ${(products / 1e12).toFixed(2).padStart(14)} ${share.padStart(14)} ${worst.toExponential(1).padStart(15)}   all: ${all} µs`,
    );
    if (!factors) continue;
    const looked = await measure(kind, x, w, shape, 'table');
    const same = Buffer.compare(Buffer.from(found.y.buffer), Buffer.from(looked.y.buffer)) === 0;
    console.log(
      `${' '.repeat(48)}${(looked.products / 1e12).toFixed(2).padStart(14)} by look-ups, ${same ? 'equal to the bit' : 'DIFFERENT'}`,
    );
    if (!same) process.exitCode = 1;
  }
}
