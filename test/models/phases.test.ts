// A step of phases 0, 1 and 3 of networks of the families, at the least size that it takes: float training, then
// calibrated operands with θ that learns, then a fixed multiplier. The approximation is proved in each layer that has
// it, forward and in the gradients, against the multiplier's table in plain arithmetic, as a run proves it before it
// trains (flow/multipliers).
// TRAM_ALL_MODELS=1: a network of every family, a minute and a half of processor time. Without it the smallest alone.

import { describe, expect, test } from 'vitest';
import { firstExamples } from '../../src/data/batches.ts';
import { datasetOf } from '../../src/data/memory.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import {
  powerTerm,
  quantizedArithmetic,
  structuredArithmetic,
  writeInitialTheta,
} from '../../src/flow/multipliers/multipliers.ts';
import { proveActive } from '../../src/flow/multipliers/proof.ts';
import { proveTraining } from '../../src/flow/multipliers/training-proof.ts';
import { calibrate } from '../../src/flow/phases/calibrate.ts';
import { parseConfiguration } from '../../src/flow/settings/config.ts';
import { approximateLayers, usualLayers } from '../../src/flow/settings/layers.ts';
import { expandTheta } from '../../src/multiplier/structure.ts';
import { findModel } from '../../src/nn/models/registry.ts';
import { fromStored, storedShape } from '../../src/nn/parameters.ts';
import { Random } from '../../src/tensor/random.ts';
import { feedOf, writeBatch } from '../../src/train/feed.ts';
import { imageTask } from '../../src/train/images.ts';
import { RATE, trainingStep } from '../../src/train/step.ts';
import { buildNetwork, multiplyingLayers } from '../../src/train/task.ts';
import { referenceTensor } from './reference.ts';

/** Of each kind of operation that a family brings, the smallest network: gates, depthwise and grouped, branches. */
const quick = ['resnet8', 'mobilenet_v2', 'imagenet/regnety_200m', 'googlenet'];
/** One of each family, and of each way that a family is built. */
const families = [
  ...['resnet50', 'imagenet/resnext50_32x4d', 'vgg11_bn', 'densenet121', 'inception_v3'],
  ...['imagenet/mobilenetv2', 'imagenet/mnasnet', 'imagenet/regnetx_200m'],
];
const names = process.env.TRAM_ALL_MODELS === undefined ? quick : [...quick, ...families];

const backend = wasmBackend({ threads: 2 });
const BATCH = 2;
const configuration = parseConfiguration({ explore: { lambda: 1 } }, 'test');
/** Of the table of phase 3: the five lowest columns removed. */
const removed = Float32Array.from(expandTheta([1, 1, 1, 1, 1], 8, 8).removed);

/** Eight images of noise, in two classes. */
function imagesOf(size: number) {
  const random = new Random(7, 0);
  const images = Uint8Array.from({ length: 8 * size * size * 3 }, () => random.integer(256));
  const labels = Array.from({ length: 8 }, (_, at) => at % 2);
  const train = { images, labels };
  return datasetOf({ name: 'noise', height: size, width: size, channels: 3, train, test: train });
}

describe.each(names)('%s', (name) => {
  test('takes a step of phases 0, 1 and 3, its approximation active in each layer', { timeout: 300_000 }, async () => {
    const model = findModel(name);
    // Batch norm over two images of one pixel each has no more to say than a sign.
    const dataset = imagesOf(Math.max(2 * model.minimumSize, 8));
    const task = imageTask(model, dataset);
    const layers = usualLayers(multiplyingLayers(task), model.card);
    const network = { configuration, layers, dataset, task };
    const approximate = approximateLayers(configuration, layers).map((layer) => layer.name);
    expect(approximate.length).toBeGreaterThan(0);

    const session = await backend.openSession();
    const { parameters, multiplying } = buildNetwork(task, { kind: 'float' }, 'train', 1).layers;
    for (const { name: tensor, value } of parameters) {
      const stored = referenceTensor(tensor, storedShape(tensor, value.shape, multiplying));
      session.write(tensor, fromStored(tensor, stored, value.shape, multiplying));
    }

    const feed = feedOf(session, task, dataset.train);
    const options = { task, momentum: 0.9, weightDecay: 1e-4 };
    const step = trainingStep({ ...options, arithmetic: { kind: 'float' } }, feed, BATCH);
    const program = await session.compile(step.graph);
    writeBatch(program, await feed.read(firstExamples(BATCH), BATCH));
    program.write(RATE, Float32Array.of(1e-5));
    await program.run();
    const [before] = await program.read('loss');
    await program.run();
    expect((await program.read('loss'))[0]).toBeLessThan(before!);
    await program.dispose();

    const exploring = structuredArithmetic(network);
    await calibrate(network, session, exploring);
    writeInitialTheta(session, network);
    const fit = { ...options, dataset, batchSize: BATCH, seed: 1, firstEpoch: 0 };
    const structure = { power: powerTerm(configuration, layers), learningRate: 0.1, weightDecay: 0 };
    const recovering = quantizedArithmetic(network, () => ({ kind: 'removal', removed }));
    for (const [arithmetic, more] of [
      [exploring, { structure }],
      [recovering, {}],
    ] as const) {
      const active = await proveActive(session, task, arithmetic, dataset.test);
      expect(active.map(({ layer }) => layer)).toEqual(approximate);
      expect(active.filter(({ largestEffect }) => largestEffect === 0).map(({ layer }) => layer)).toEqual([]);
      const proof = await proveTraining(session, { ...fit, ...more, arithmetic });
      expect(proof.layers).toBe(multiplying.length);
      expect(proof.gradients).toBeGreaterThan(0);
    }
    await session.dispose();
  });
});
