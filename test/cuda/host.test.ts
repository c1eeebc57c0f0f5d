// Kernels run on this processor (host-device.ts) and agree with the reference, with threads and blocks in either order:
// a few cases of each kind, because each needs compilations of its own; of those with matrix units the warpgroups' own,
// convolutions on f16 and counts of bits.
// TRAM_HOST_KERNELS=FILTER takes all whose name matches it, TRAM_HOST_TARGET=tf32 lowers them for that device in place
// of fp32; those of other kernels then fail, and say so.

import { afterAll, describe, expect, test } from 'vitest';
import { cases, processorCases } from '../engine/all-cases.ts';
import { expectedOf, problemsOf } from '../engine/conformance.ts';
import { cudaTargets } from '../engine/devices.ts';
import { graphOf } from '../engine/run-case.ts';
import { findHostCompiler, HostDevice } from './host-device.ts';

const filter = process.env.TRAM_HOST_KERNELS;
const targetName = process.env.TRAM_HOST_TARGET ?? 'fp32';
const few = [
  ...['conv2d: depthwise, stride 2 of 12 channels', 'axmConv2d: structure, w4a5, two outputs per channel'],
  ...['mean: 256', 'mean: 3×8', 'divergence: 6×10 at 20, logits up to 40'],
  ...['softmaxCrossEntropy: 21 rows of 10 classes, smoothed by 0.1', 'batchNorm: [600, 2]'],
  ...['sgd: Nesterov, 33 elements', 'adam: decoupled decay, 33 elements', 'movingAverage: 33 elements'],
  ...['mixImages: boxes of partners and of nothing, over every edge', 'dropout: elements: 5×7, rate 0.75'],
  ...['quantize: 3 bits per tensor', 'quantize: per channel', 'clipScale', 'channelSum', 'dot'],
];
/** On Hopper's matrix units, lowered for tf32. */
const onWarpgroups = [
  ...['conv2d: 64 channels, 23 columns', 'conv2d: 192 to 64 channels of small images'],
  ...['conv2d: 64 channels with stride 2, pointwise', 'conv2d: 64 channels to 15 columns, stride 2'],
  'conv2d: 192 to 64 channels of small images, stride 2',
  ...['axmConv2d: structure, w4a5, bits: one unit, half of it empty'],
  ...['axmConv2d: truncation, w4a5, bits: three units, strided'],
];
const withOtherMatrixUnits = 'axmConv2d: exact, 3×3 with padding';
const chosen = (filter === undefined ? processorCases : cases).filter(({ name }) =>
  filter === undefined ? few.includes(name) : new RegExp(filter).test(name),
);
const present = findHostCompiler() !== undefined;

describe(present ? 'on the host' : 'on the host (skipped: there is no g++)', () => {
  const device = present ? new HostDevice() : undefined;
  afterAll(() => device?.dispose());
  test.runIf(present).each(chosen.map((item) => [item.name, item] as const))('%s', async (_, item) => {
    const inputs = new Map(item.inputs.map((input, at) => [`x${at}`, input]));
    for (const name of filter === undefined ? ['fp32'] : [targetName, `${targetName}, 2 multiprocessors`]) {
      const target = cudaTargets[name]!;
      const found = device!.run(graphOf(item), inputs, target);
      expect(problemsOf(item, found, await expectedOf(item), targetName === 'fp32' ? 1e-5 : 2e-3)).toEqual([]);
      expect(device!.run(graphOf(item), inputs, target, true)).toEqual(found);
    }
  });

  test.runIf(present && filter === undefined).each(onWarpgroups)('%s, by warpgroups', async (name) => {
    const item = cases.find((one) => one.name === name)!;
    const inputs = new Map(item.inputs.map((input, at) => [`x${at}`, input]));
    const found = device!.run(graphOf(item), inputs, cudaTargets.tf32!);
    expect(problemsOf(item, found, await expectedOf(item), 2e-3)).toEqual([]);
    expect(device!.run(graphOf(item), inputs, cudaTargets.tf32!, true)).toEqual(found);
  });

  test.runIf(present)('kernels with other matrix units end with an error', () => {
    const item = processorCases.find(({ name }) => name === withOtherMatrixUnits)!;
    const inputs = new Map(item.inputs.map((input, at) => [`x${at}`, input]));
    expect(() => device!.run(graphOf(item), inputs, cudaTargets.fp32!)).toThrow(/an instruction that a host has not/);
  });

  test('each of the few is a case', () => {
    const names = cases.map(({ name }) => name);
    expect([...few, ...onWarpgroups].filter((name) => !names.includes(name))).toEqual([]);
  });
});
