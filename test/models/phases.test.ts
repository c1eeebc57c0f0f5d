// A step of phases 0, 1 and 3 of networks of the families (phases.ts), on the processor.
// TRAM_ALL_MODELS=1: a network of every family, a minute and a half of processor time; without it the smallest alone.
// Every network of the registry, on a GPU: node test/models/phases.mjs.

import { expect, test } from 'vitest';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { findModel } from '../../src/nn/models/registry.ts';
import { faultsOf, takePhases } from './phases.ts';

/** Of each kind of operation that a family brings, the smallest network: gates, depthwise and grouped, branches. */
const quick = ['resnet8', 'mobilenet_v2', 'imagenet/regnety_200m', 'googlenet'];
/** One of each family, and of each way that a family is built. */
const families = [
  ...['resnet50', 'imagenet/resnext50_32x4d', 'vgg11_bn', 'densenet121', 'inception_v3'],
  ...['imagenet/mobilenetv2', 'imagenet/mnasnet', 'imagenet/regnetx_200m'],
];
const names = process.env.TRAM_ALL_MODELS === undefined ? quick : [...quick, ...families];

const backend = wasmBackend({ threads: 2 });

test.each(names)('%s takes a step of phases 0, 1 and 3, its approximation active in each layer', async (name) => {
  expect(faultsOf(await takePhases(findModel(name), backend))).toEqual([]);
});

test('what is wrong with a step is told', () => {
  const proof = { active: ['a', 'b'], layers: 3, gradients: 2 };
  const right = { layers: 3, approximate: ['a', 'b'], losses: [2, 1] as const, proofs: [proof, proof] };
  expect(faultsOf(right)).toEqual([]);
  expect(faultsOf({ ...right, losses: [1, Number.NaN] })).toHaveLength(1);
  expect(faultsOf({ ...right, approximate: [], proofs: [] })).toHaveLength(2);
  const blind = { active: ['a', 'c', 'd'], layers: 2, gradients: 0 };
  expect(faultsOf({ ...right, proofs: [proof, blind] })).toEqual([
    'phase 3: no approximation in b',
    'phase 3: approximation in more layers than asked',
    'phase 3: 2 of 3 layers were checked',
    'phase 3: no gradient was checked',
  ]);
});
