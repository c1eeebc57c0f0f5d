// Batch norm's running statistics after one batch, worked out by hand as PyTorch defines them: running = 0.9 · running
// + 0.1 · batch, with the unbiased variance; and that evaluation uses what was stored.

import { expect, test } from 'vitest';
import type { Backend } from '../../src/engine/backend.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { Layers, multiplyFloat } from '../../src/nn/layers.ts';
import { f32 } from '../../src/tensor/tensor.ts';

const backends: [string, Backend][] = [
  ['reference', referenceBackend()],
  ['wasm', wasmBackend({ threads: 1 })],
];

// Channel 0: 1, 2, 3, 6: mean 3, squares 4 + 1 + 0 + 9 = 14. Channel 1: 4, 4, 4, 8: mean 5, squares 1 + 1 + 1 + 9 = 12.
const values = [1, 4, 2, 4, 3, 4, 6, 8];

async function layerOn(backend: Backend, training: boolean) {
  const session = await backend.openSession();
  session.write('bn.weight', f32([2], [2, 1]));
  session.write('bn.bias', f32([2], [0, 10]));
  session.write('bn.running_mean', f32([2], [1, -1]));
  session.write('bn.running_var', f32([2], [2, 4]));
  const graph = new Graph();
  const layers = new Layers(graph, { training, multiply: multiplyFloat });
  graph.output('y', layers.batchNorm('bn', graph.input('x', [2, 1, 2, 2])));
  const program = await session.compile(graph);
  program.write('x', Float32Array.from(values));
  await program.run();
  const read = async (name: string) => Array.from((await session.read(name)).data);
  const result = {
    y: Array.from(await program.read('y')),
    mean: await read('bn.running_mean'),
    variance: await read('bn.running_var'),
  };
  await session.dispose();
  return result;
}

const close = (found: readonly number[], wanted: readonly number[]) => {
  expect(found).toHaveLength(wanted.length);
  for (const [at, value] of wanted.entries()) expect(found[at]).toBeCloseTo(value, 5);
};

test.each(backends)('%s: training normalises by the batch and moves the running statistics', async (_, backend) => {
  const { y, mean, variance } = await layerOn(backend, true);
  close(mean, [0.9 * 1 + 0.1 * 3, 0.9 * -1 + 0.1 * 5]);
  close(variance, [0.9 * 2 + 0.1 * (14 / 3), 0.9 * 4 + 0.1 * (12 / 3)]);
  // The batch's own variance is biased: 14/4 and 12/4.
  close(
    y,
    values.map((x, at) => (at % 2 === 0 ? (2 * (x - 3)) / Math.sqrt(3.5 + 1e-5) : (x - 5) / Math.sqrt(3 + 1e-5) + 10)),
  );
});

test.each(backends)('%s: evaluation uses the stored statistics and leaves them', async (_, backend) => {
  const { y, mean, variance } = await layerOn(backend, false);
  close(mean, [1, -1]);
  close(variance, [2, 4]);
  close(
    y,
    values.map((x, at) => (at % 2 === 0 ? (2 * (x - 1)) / Math.sqrt(2 + 1e-5) : (x + 1) / Math.sqrt(4 + 1e-5) + 10)),
  );
});
