// The power of a network of two layers with a structure each, worked out by hand: as the loss's term, as what a run
// reports, on every way from the configuration to the number.

import { expect, test } from 'vitest';
import { Graph } from '../../src/engine/graph/graph.ts';
import { square } from '../../src/engine/graph/window.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { mappedGateCost } from '../../src/flow/multipliers/mapped.ts';
import { powerTerm } from '../../src/flow/multipliers/multipliers.ts';
import type { MultiplierRecord } from '../../src/flow/run/manifest.ts';
import { parseConfiguration } from '../../src/flow/settings/config.ts';
import type { RunLayer } from '../../src/flow/settings/layers.ts';
import { columnCosts } from '../../src/multiplier/power.ts';
import { f32 } from '../../src/tensor/tensor.ts';
import { readStructures } from '../../src/train/step.ts';

const geometry = square();
const layer = (name: string, macs: number): RunLayer => ({
  ...{ name, kind: 'convolution', geometry, weightShape: [1, 1, 1, 1], macs, usual: true },
});
const layers = [layer('first', 300), layer('second', 100), layer('exact', 5000)];
const configuration = (structure: 'shared' | 'per-layer') =>
  parseConfiguration(
    {
      bits: { weights: 2, activations: 2 },
      exactLayers: ['exact'],
      explore: { grain: 'column', structure, columns: 2, initiallyRemoved: 0, lambda: 0.7 },
    },
    'test',
  );

// 2×2: ANDs 1, 2, 1; a half adder of 1.822 in the columns 1 and 2.
const costs = [1, 3.822, 2.822];
const total = 7.644;

test('the columns of a 2×2 multiplier cost what its gates cost', () => {
  expect(Array.from(columnCosts(2, 2), (cost) => Number(cost.toFixed(9)))).toEqual(costs);
});

async function powerOf(structure: 'shared' | 'per-layer', thetas: Readonly<Record<string, readonly number[]>>) {
  const session = await referenceBackend().openSession();
  for (const [name, theta] of Object.entries(thetas)) session.write(name, f32([theta.length], theta));
  // A session needs a program to hold variables on some devices; an empty graph is one.
  await session.compile(new Graph());
  const term = powerTerm(configuration(structure), layers);
  expect(term.lambda).toBe(0.7);
  return (await readStructures(session, term)).power;
}

test('per layer: each structure counts by its layers’ share of the approximate multiplications', async () => {
  const first = 1 - (1 * costs[0]! + 0.5 * costs[1]!) / total;
  const second = 1 - (0.25 * costs[0]!) / total;
  const power = await powerOf('per-layer', { 'first.theta': [1, 0.5], 'second.theta': [0.25, 0] });
  expect(power).toBeCloseTo(0.75 * first + 0.25 * second, 6);
});

test('shared: all layers have the one structure’s power', async () => {
  expect(await powerOf('shared', { theta: [1, 0.5] })).toBeCloseTo(1 - (costs[0]! + 0.5 * costs[1]!) / total, 6);
});

test('θ outside [0, 1] counts as the nearest end', async () => {
  expect(await powerOf('shared', { theta: [1.5, -2] })).toBeCloseTo(1 - costs[0]! / total, 6);
});

test('the gate cost of a network is the mean of its multipliers’ over the approximate multiplications', () => {
  const record = (layer: string, gateCost: number | null) =>
    ({ layers: [layer], gateCost }) as unknown as MultiplierRecord;
  const context = { configuration: configuration('per-layer'), layers };
  const cost = (first: number | null, second: number) =>
    mappedGateCost(context, [record('first', first), record('second', second)]).gateCost;
  expect(cost(0.4, 0.8)).toBeCloseTo(0.75 * 0.4 + 0.25 * 0.8, 12);
  // Where one has no netlist, none is known.
  expect(cost(null, 0.8)).toBeUndefined();
});
