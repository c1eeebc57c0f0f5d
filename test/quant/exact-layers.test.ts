// What is not approximated multiplies exactly: a multiplier that is wrong everywhere changes nothing in the layers that
// keep the exact one, and the products of attention are counted among the rest.

import { expect, test } from 'vitest';
import { firstExamples } from '../../src/data/batches.ts';
import { openDataset } from '../../src/data/registry.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { quantizedArithmetic } from '../../src/flow/multipliers/multipliers.ts';
import { calibrate } from '../../src/flow/phases/calibrate.ts';
import { runLayers } from '../../src/flow/run/inputs.ts';
import { parseConfiguration } from '../../src/flow/settings/config.ts';
import { concreteMultiplier, exactMultiplier } from '../../src/multiplier/multiplier.ts';
import { exactTable } from '../../src/multiplier/table.ts';
import { Layers, multiplyFloat } from '../../src/nn/layers.ts';
import { findModel } from '../../src/nn/models/registry.ts';
import { initialTensor } from '../../src/nn/parameters.ts';
import { matrixProducts } from '../../src/nn/products.ts';
import { writeBatch } from '../../src/train/feed.ts';
import { imageTask } from '../../src/train/images.ts';
import { buildNetwork } from '../../src/train/task.ts';

test('a layer that keeps the exact multiplier computes the same beside a multiplier that is always wrong', async () => {
  const settings = {
    ...{ bits: { weights: 4, activations: 5 }, approximate: ['layer2.0.conv2', 'fc', 'first'], exactLayers: ['fc'] },
    quantize: { images: 32, layerBits: ['first=8'] },
  };
  const configuration = parseConfiguration(settings, 'test');
  const dataset = await openDataset('digits');
  const model = findModel('resnet8');
  const task = imageTask(model, dataset);
  const { layers } = runLayers(model, task);
  const session = await (await wasmBackend({ threads: 1 })).openSession();
  const { parameters } = buildNetwork(task, { kind: 'float' }, 'evaluate', 1).layers;
  for (const [at, one] of parameters.entries()) session.write(one.name, initialTensor(one, 1, at));
  const network = { configuration, layers };
  await calibrate({ ...network, dataset, task }, session, quantizedArithmetic(network, exactMultiplier));
  const table = exactTable(4, 5);
  const wrong = concreteMultiplier({ ...table, data: table.data.map((product, pair) => 450 - product + (pair % 7)) });
  const outputsWith = async (multiplierOf: () => ReturnType<typeof exactMultiplier>) => {
    const { graph } = buildNetwork(task, quantizedArithmetic(network, multiplierOf), 'evaluate', 2);
    const products = graph.nodes.filter(({ op }) => op === 'axmConv2d');
    for (const { label, outputs } of products) graph.output(`out.${label}`, outputs[0]!);
    const program = await session.compile(graph);
    writeBatch(program, await dataset.test.read(firstExamples(2), 2));
    await program.run();
    const found = new Map<string, readonly number[]>();
    for (const { label } of products) found.set(label, [...(await program.read(`out.${label}`))]);
    return found;
  };
  const [exact, approximate] = [await outputsWith(exactMultiplier), await outputsWith(() => wrong)];
  const names = [...exact.keys()];
  const changed = names.filter((name) => exact.get(name)!.some((value, at) => value !== approximate.get(name)![at]));
  // Those behind it read other values; all before it, and beside it, are the same to the last bit.
  const before = names.slice(0, names.indexOf('layer2.0.conv2'));
  expect(before).toContain('conv1');
  expect(changed).toContain('layer2.0.conv2');
  expect(changed.filter((name) => before.includes(name))).toEqual([]);
  expect(changed).not.toContain('layer2.0.downsample.0');
});

test('QKᵀ and PV of Swin have their windows of 49 tokens, those of DeiT all its tokens', () => {
  const macsOf = (name: string, size: number) => {
    const graph = new Graph();
    findModel(name).build(
      new Layers(graph, { training: false, multiply: multiplyFloat }),
      graph.input('x', [1, size, size, 3]),
      10,
    );
    return matrixProducts(graph, 1).reduce((sum, { macs }) => sum + macs, 0);
  };
  const stages = [
    { blocks: 2, tokens: 56 ** 2, width: 96 },
    { blocks: 2, tokens: 28 ** 2, width: 192 },
    { blocks: 6, tokens: 14 ** 2, width: 384 },
    { blocks: 2, tokens: 7 ** 2, width: 768 },
  ];
  const swin = stages.reduce((sum, { blocks, tokens, width }) => sum + blocks * 2 * tokens * 49 * width, 0);
  expect(macsOf('swin_tiny_patch4_window7_224', 224)).toBe(swin);
  expect(macsOf('deit_tiny_patch4_32', 32)).toBe(12 * 2 * 65 * 65 * 192);
});
