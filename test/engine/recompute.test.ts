// Recomputation in the backward pass: the same bits, less memory.

import { expect, test } from 'vitest';
import { evaluationBatches } from '../../src/data/batches.ts';
import { openDataset } from '../../src/data/registry.ts';
import { gradients } from '../../src/engine/graph/gradients.ts';
import { Graph, type Node } from '../../src/engine/graph/graph.ts';
import { plan } from '../../src/engine/graph/plan.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { columnStructure } from '../../src/multiplier/structure.ts';
import { findModel } from '../../src/nn/models/registry.ts';
import { initialTensor } from '../../src/nn/parameters.ts';
import { f32, sizeOf } from '../../src/tensor/tensor.ts';
import { feedOf, writeBatch } from '../../src/train/feed.ts';
import { imageTask } from '../../src/train/images.ts';
import { RATE, type Recompute, trainingStep } from '../../src/train/step.ts';
import { type Arithmetic, buildNetwork } from '../../src/train/task.ts';

const structure = columnStructure({ weightBits: 8, activationBits: 8 }, 8);
const arithmetics: readonly Arithmetic[] = [
  { kind: 'float' },
  {
    ...{ kind: 'quantized', weightBits: 8, activationBits: 8, channelwise: true },
    multiplierOf: () => ({ kind: 'structure', theta: 'theta', structure }),
  },
];
const digits = await openDataset('digits');

const isForward = ({ op, attributes }: Node): boolean =>
  op === 'relu' || (op === 'affine' && (attributes as { offset: number }).offset === 1);

/** Blocks of two affine operations and a relu each, of 1 MiB per value, and what learns. */
function chain(recompute: readonly string[]) {
  const graph = new Graph();
  const w = graph.variable('w', []);
  let x = graph.input('x', [2 ** 18]);
  for (const name of ['a', 'a.inner', 'ab', 'b']) {
    x = graph.labelled(name, () => {
      const scaled = graph.apply1('relu', [graph.apply1('scaleBy', [x, w], {})], {});
      return graph.apply1('scaleBy', [graph.apply1('affine', [scaled], { scale: 2, offset: 1 }), w], {});
    });
  }
  const forward = graph.nodes.length;
  const loss = graph.apply1('dot', [x, x], {});
  graph.output('loss', loss);
  const [slope] = gradients(loss, [w], { recompute });
  graph.output('slope', slope!);
  return { graph, again: graph.nodes.slice(forward).filter(isForward) };
}

test('a block is the nodes with its label and beneath it; each is appended once more, before its gradients', () => {
  const { graph, again } = chain(['a', 'b']);
  expect(again.map(({ op, label }) => [op, label])).toEqual([
    ['relu', 'b'],
    ['affine', 'b'],
    ['relu', 'a'],
    ['affine', 'a'],
    ['relu', 'a.inner'],
    ['affine', 'a.inner'],
  ]);
  expect(chain([]).again).toEqual([]);
  for (const node of again) {
    const gradient = graph.nodes.findIndex(({ op, label }) => op === 'reluGradient' && label === node.label);
    expect(graph.nodes.indexOf(node)).toBeLessThan(gradient);
  }
});

test('less is kept, and what comes out is the same', async () => {
  const results = [];
  for (const recompute of [[], ['a', 'ab', 'b']]) {
    const { graph } = chain(recompute);
    const session = await referenceBackend({ poison: true }).openSession();
    session.write('w', f32([], [0.75]));
    const program = await session.compile(graph);
    program.write(
      'x',
      Float32Array.from({ length: 2 ** 18 }, (_, at) => Math.sin(at)),
    );
    await program.run();
    results.push({ arena: program.arenaBytes, values: [await program.read('loss'), await program.read('slope')] });
    await session.dispose();
  }
  const [kept, recomputed] = results;
  expect(recomputed!.values).toEqual(kept!.values);
  expect(recomputed!.arena).toBeLessThan(0.8 * kept!.arena);
});

test.each(arithmetics)('three steps on the digits give the same weights to the bit: $kind', async (arithmetic) => {
  const task = imageTask(findModel('resnet8'), digits);
  const trained = async (recompute: Recompute) => {
    const session = await wasmBackend({ threads: 2, poison: true }).openSession();
    const { parameters } = buildNetwork(task, arithmetic, 'train', 1).layers;
    parameters.forEach((parameter, at) => {
      session.write(parameter.name, initialTensor(parameter, 1, at));
    });
    const feed = feedOf(session, task, digits.train);
    const { graph } = trainingStep({ task, arithmetic, momentum: 0.9, weightDecay: 1e-4, recompute }, feed, 200);
    for (const [name, { shape }] of graph.variables) {
      const start = { theta: 0.4, _min: -1, _max: 2, _upper: 4, _lower: 4 };
      const value = Object.entries(start).find(([end]) => name.endsWith(end))?.[1];
      if (value !== undefined) session.write(name, f32(shape, new Float32Array(sizeOf(shape)).fill(value)));
    }
    const program = await session.compile(graph);
    program.write(RATE, Float32Array.of(0.05));
    const selections = evaluationBatches(digits.train, 200);
    for (let step = 0; step < 3; step++) {
      writeBatch(program, await feed.read(selections.next().value!, 200));
      await program.run();
    }
    const variables = new Map<string, number[]>();
    for (const name of session.variableNames()) variables.set(name, Array.from((await session.read(name)).data));
    const objective = await program.read('objective');
    await session.dispose();
    return { variables, objective, arenaBytes: program.arenaBytes };
  };
  const [kept, light, recomputed] = [await trained(false), await trained('light'), await trained(true)];
  expect(Number.isFinite(kept.objective[0])).toBe(true);
  for (const less of [light, recomputed]) {
    expect(less.objective).toEqual(kept.objective);
    expect(less.variables).toEqual(kept.variables);
  }
  expect(light.arenaBytes).toBeLessThan(kept.arenaBytes);
  expect(recomputed.arenaBytes).toBeLessThan(light.arenaBytes);
});

test('a step of ResNet18 at 224×224 needs two thirds, one of ResNet50 less than half', () => {
  const format = {
    height: 224,
    width: 224,
    channels: 3,
    classes: 1000,
    scale: 255,
    mean: [0, 0, 0],
    deviation: [1, 1, 1],
  };
  for (const [name, batch, share] of [
    ['resnet18', 64, 0.68],
    ['resnet50', 32, 0.41],
  ] as const) {
    const task = imageTask(findModel(name), format);
    const [kept, recomputed] = [false, true].map((recompute) => {
      const fit = { task, arithmetic: arithmetics[1]!, momentum: 0.9, weightDecay: 1e-4, recompute };
      return plan(trainingStep(fit, task as never, batch).graph).arenaBytes;
    });
    expect(recomputed! / kept!, name).toBeLessThan(share);
  }
});

test('light recomputation forms no product of a layer again', () => {
  const task = imageTask(findModel('deit_tiny_patch4_32'), {
    ...{ height: 32, width: 32, channels: 3, classes: 10, scale: 255 },
    ...{ mean: [0, 0, 0], deviation: [1, 1, 1] },
  });
  const products = (recompute: Recompute) => {
    const fit = { task, arithmetic: arithmetics[1]!, momentum: 0.9, weightDecay: 1e-4, recompute };
    const planned = plan(trainingStep(fit, task as never, 8).graph);
    const count = (op: string) => planned.steps.filter(({ node }) => node.op === op).length;
    return { products: count('axmConv2d'), bytes: planned.arenaBytes };
  };
  const [kept, light, all] = [products(false), products('light'), products(true)];
  expect(light.products).toBe(kept.products);
  expect(all.products).toBeGreaterThan(kept.products);
  expect(light.bytes).toBeLessThan(0.6 * kept.bytes);
  expect(all.bytes).toBeLessThan(0.7 * light.bytes);
});
