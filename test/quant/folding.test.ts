// Folded batch norm in networks of every kind: depthwise and grouped convolutions, convolutions with a bias, other
// epsilons, batch norms before their convolution.

import { describe, expect, test } from 'vitest';
import { Graph } from '../../src/engine/graph/graph.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { Layers, multiplyFloat } from '../../src/nn/layers.ts';
import { findModel } from '../../src/nn/models/registry.ts';
import { initialTensor } from '../../src/nn/parameters.ts';
import { findBatchNorms, foldBatchNorms } from '../../src/quant/fold.ts';
import { Random } from '../../src/tensor/random.ts';
import { f32, type HostTensor, sizeOf } from '../../src/tensor/tensor.ts';

const backend = await wasmBackend({ threads: 1 });

function build(name: string, size: number, folded?: ReturnType<typeof findBatchNorms>['behind']) {
  const graph = new Graph();
  const layers = new Layers(graph, { training: false, multiply: multiplyFloat, ...(folded ? { folded } : {}) });
  graph.output('logits', findModel(name).build(layers, graph.input('x', [1, size, size, 3]), 10));
  return { graph, layers };
}

/** Batch norms with statistics of their own, some with a negative or a vanishing scale. */
function parametersOf(layers: Layers): Map<string, HostTensor> {
  const random = new Random(5, 0);
  const state = (shape: readonly number[], of: () => number) =>
    f32(shape, Float32Array.from({ length: sizeOf(shape) }, of));
  return new Map(
    layers.parameters.map((parameter, at) => {
      const { name, initial } = parameter;
      const start = initialTensor(parameter, 1, at);
      if (initial.kind !== 'constant') return [name, start];
      const uniform = () => random.uniform();
      if (name.endsWith('running_var')) return [name, state(start.shape, () => 2 + 2 * uniform())];
      if (name.endsWith('weight'))
        return [name, state(start.shape, () => (uniform() < 0.1 ? -0.5 : 0.5 + 0.5 * uniform()))];
      return [name, state(start.shape, () => 0.4 * (uniform() - 0.5))];
    }),
  );
}

async function logitsOf({ graph }: ReturnType<typeof build>, tensors: ReadonlyMap<string, HostTensor>, size: number) {
  const session = await backend.openSession();
  for (const [name, tensor] of tensors) session.write(name, tensor);
  const program = await session.compile(graph);
  program.write(
    'x',
    Float32Array.from({ length: 3 * size * size }, (_, k) => Math.sin(k)),
  );
  await program.run();
  const logits = (await program.read('logits')).slice();
  await session.dispose();
  return logits;
}

describe('folding leaves what is computed', () => {
  test.each<[string, number, number]>([
    ['mobilenet_v2', 32, 0],
    ['imagenet/regnety_200m', 64, 0],
    ['googlenet', 32, 0],
    ['densenet121', 32, 62],
  ])('%s', async (name, size, stay) => {
    const whole = build(name, size);
    const { behind, left } = findBatchNorms(whole.graph, new Set(whole.layers.multiplying.map((layer) => layer.name)));
    const tensors = parametersOf(whole.layers);
    const before = await logitsOf(whole, tensors, size);
    const folded = build(name, size, behind);
    const tensorsFolded = foldBatchNorms(tensors, behind);
    expect([...tensorsFolded.keys()].toSorted()).toEqual(folded.layers.parameters.map((p) => p.name).toSorted());
    const after = await logitsOf(folded, tensorsFolded, size);
    const largest = Math.max(...Array.from(before, Math.abs));
    const off = Math.max(...Array.from(before, (logit, at) => Math.abs(after[at]! - logit)));
    expect(left).toHaveLength(stay);
    expect(off).toBeLessThan(1e-5 * largest);
  });
});
