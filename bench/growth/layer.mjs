// One 3×3 approximate layer by itself, for bench/growth.mjs: forward, and the gradients of weights and structure.
// What it gives is compared with plain sums over products, a few outputs and a few weights' gradients, before it is
// timed.

import { root } from '../cuda-setup.mjs';

const built = new URL(`${root}/`, new URL('../', import.meta.url)).href;
const { Graph } = await import(`${built}engine/graph/graph.js`);
const { Random } = await import(`${built}tensor/random.js`);
const { f32, tensor } = await import(`${built}tensor/tensor.js`);

const geometry = { stride: [1, 1], padding: [1, 1], dilation: [1, 1], groups: 1 };

/**
 * A layer of `channels` to `channels` on `batch` images of size×size, operands of `bits` bits. `learned`: a structure
 * of `columns` columns with θ between 0 and 1; else the truncation of those columns.
 */
export function layerOf({ batch, size, channels, bits, columns, learned }) {
  const random = new Random(7);
  const codes = (shape) =>
    tensor(
      'u8',
      shape,
      Uint8Array.from({ length: shape.reduce((a, b) => a * b) }, () => random.integer(2 ** bits)),
    );
  const matrix = Float32Array.from({ length: bits * bits }, (_, at) => {
    if (Math.floor(at / bits) + (at % bits) >= columns) return 0;
    return learned ? Math.round(64 * random.uniform()) / 64 : 1;
  });
  const shape = [batch, size, size, channels];
  const g = Float32Array.from({ length: batch * size * size * channels }, () => random.uniform() - 0.5);
  const own = {
    x: codes(shape),
    w: codes([3, 3, channels, channels]),
    matrix: f32([bits, bits], matrix),
    g: f32(shape, g),
  };
  return { ...own, bits, learned };
}

/** `part`: forward or gradients. */
export async function compileLayer(backend, layer, part) {
  const { x, w, matrix, g, bits, learned } = layer;
  const graph = new Graph();
  const channels = w.shape[3];
  const per = (value) => graph.constant(f32([channels], new Float32Array(channels).fill(value)));
  const inputs = [graph.input('x', x.shape, 'u8'), graph.input('w', w.shape, 'u8')];
  const widths = { weightBits: bits, activationBits: bits };
  if (part === 'forward') {
    const all = [...inputs, graph.scalar(1), graph.scalar(0), per(1), per(0), graph.input('matrix', matrix.shape)];
    const error = { kind: 'removal', integer: !learned };
    graph.output('y', graph.apply1('axmConv2d', all, { ...geometry, ...widths, error }));
  } else {
    const all = [graph.input('g', g.shape), ...inputs, graph.scalar(1), graph.scalar(0), per(1)];
    const [dw, dm] = graph.apply('axmConv2dGradients', all, { ...geometry, ...widths });
    graph.output('y', dw);
    graph.output('dm', dm);
  }
  const session = await backend.openSession();
  const program = await session.compile(graph);
  for (const name of graph.inputs.keys()) program.write(name, layer[name].data);
  await program.run();
  const found = await program.read('y');
  check(layer, part, found);
  return { session, step: program };
}

/** Sampled elements against sums in double precision; throws where one is off by more than float32 and tf32 explain. */
function check({ x, w, matrix, g, bits }, part, found) {
  const [batch, size, , channels] = x.shape;
  const random = new Random(8);
  const product = (a, b) => {
    let sum = a * b;
    for (let k = 0; k < bits * bits; k++)
      if ((a >> Math.floor(k / bits)) & 1 && (b >> (k % bits)) & 1)
        sum -= matrix.data[k] * 2 ** (Math.floor(k / bits) + (k % bits));
    return sum;
  };
  const xAt = (n, y, z, c) =>
    y < 0 || y >= size || z < 0 || z >= size ? undefined : x.data[((n * size + y) * size + z) * channels + c];
  for (let sample = 0; sample < 8; sample++) {
    const [o, c, ky, kx, n, oy, ox] = [channels, channels, 3, 3, batch, size, size].map((extent) =>
      random.integer(extent),
    );
    let [sum, magnitude] = [0, 0];
    const add = (term) => {
      sum += term;
      magnitude += Math.abs(term);
    };
    let at;
    if (part === 'forward') {
      at = ((n * size + oy) * size + ox) * channels + o;
      for (let tap = 0; tap < 9; tap++)
        for (let from = 0; from < channels; from++) {
          const code = xAt(n, oy + Math.floor(tap / 3) - 1, ox + (tap % 3) - 1, from);
          if (code !== undefined) add(product(w.data[(tap * channels + from) * channels + o], code));
        }
    } else {
      at = ((ky * 3 + kx) * channels + c) * channels + o;
      for (let image = 0; image < batch; image++)
        for (let y = 0; y < size; y++)
          for (let z = 0; z < size; z++) {
            const code = xAt(image, y + ky - 1, z + kx - 1, c);
            if (code !== undefined) add(g.data[((image * size + y) * size + z) * channels + o] * code);
          }
    }
    if (!(Math.abs(found[at] - sum) <= 1e-3 * magnitude))
      throw new Error(`validation failed: ${part} gives ${found[at]}, expected ${sum}`);
  }
}
