// Biases that follow θ, against sums by hand: what they add, that means of 0 add nothing, and that θ's gradient loses
// exactly the part that a batch norm would take.

import { expect, test } from 'vitest';
import { gradients } from '../engine/graph/gradients.ts';
import { Graph } from '../engine/graph/graph.ts';
import { referenceBackend } from '../engine/reference/backend.ts';
import { productStructure } from '../multiplier/structure.ts';
import { f32 } from '../tensor/tensor.ts';
import { constantsName, withConstants } from './following-biases.ts';

const structure = productStructure({ weightBits: 2, activationBits: 2 });
const multiplier = { kind: 'structure', theta: 'theta', structure } as const;
const bias = [0.5, -1, 2];
const means = [...[1, 2, 3, 4], ...[-5, 6, 0, 1], ...[0.25, 0, 8, -2]];
const theta = [0.5, 1.5, -1, 0.25];

async function biases(withMeans: readonly number[]) {
  const graph = new Graph();
  const moved = withConstants('layer', graph.variable('layer.bias', [3]), multiplier);
  const along = graph.constant(f32([3], [1, 10, 100]));
  const [dTheta] = gradients(graph.apply1('dot', [moved, along], {}), [graph.variable('theta', [4])]);
  graph.output('moved', moved);
  graph.output('slope', dTheta!);
  const session = await referenceBackend().openSession();
  session.write('theta', f32([4], theta));
  session.write('layer.bias', f32([3], bias));
  session.write(constantsName('layer'), f32([3, 4], withMeans));
  const program = await session.compile(graph);
  await program.run();
  return { moved: [...(await program.read('moved'))], slope: [...(await program.read('slope'))] };
}

test('add what the shares of θ, limited to [0, 1], take on average, and θ feels it', async () => {
  const { moved, slope } = await biases(means);
  // Shares 0.5, 1, 0, 0.25.
  expect(moved).toEqual([0.5 + 0.5 + 2 + 1, -1 - 2.5 + 6 + 0.25, 2 + 0.125 - 0.5]);
  expect(slope).toEqual([1 - 50 + 25, 2 + 60, 3 + 800, 4 + 10 - 200]);
});

test('are the biases alone, to the bit, at means of 0', async () => {
  const { moved, slope } = await biases(means.map(() => 0));
  expect(moved).toEqual(bias);
  expect(slope).toEqual([0, 0, 0, 0]);
});
