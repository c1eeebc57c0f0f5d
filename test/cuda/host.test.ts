// The kernels of depthwise convolutions and of formulas run on this processor (host-device.ts) and agree with the
// reference, with threads and blocks in either order. The cases here are few, because each needs compilations of its
// own; TRAM_HOST_KERNELS=FILTER takes all whose name contains it.

import { afterAll, describe, expect, test } from 'vitest';
import { expectedOf, problemsOf } from '../engine/conformance.ts';
import { depthwiseCases } from '../engine/depthwise-cases.ts';
import { cudaTargets } from '../engine/devices.ts';
import { formulaCases } from '../engine/formula-cases.ts';
import { graphOf } from '../engine/run-case.ts';
import { findHostCompiler, HostDevice } from './host-device.ts';

const filter = process.env.TRAM_HOST_KERNELS;
const few = [
  ...['conv2d: depthwise, stride 2 of 12 channels', 'axmConv2d: structure, w4a5, two outputs per channel'],
  ...['mean: 256', 'mean: 3×8', 'divergence: 6×10 at 20, logits up to 8'],
];
const chosen = [...depthwiseCases, ...formulaCases].filter(({ name }) =>
  filter === undefined ? few.includes(name) : new RegExp(filter).test(name),
);
const present = findHostCompiler() !== undefined;

describe(present ? 'on the host' : 'on the host (skipped: there is no g++)', () => {
  const device = present ? new HostDevice() : undefined;
  afterAll(() => device?.dispose());
  test.runIf(present).each(chosen.map((item) => [item.name, item] as const))(
    '%s',
    async (_, item) => {
      const inputs = new Map(item.inputs.map((input, at) => [`x${at}`, input]));
      for (const name of filter === undefined ? ['fp32'] : ['fp32', 'fp32, 2 multiprocessors']) {
        const target = cudaTargets[name]!;
        const found = device!.run(graphOf(item), inputs, target);
        expect(problemsOf(item, found, await expectedOf(item), 1e-5)).toEqual([]);
        expect(device!.run(graphOf(item), inputs, target, true)).toEqual(found);
      }
    },
    120_000,
  );
});
