// Neighbouring formulas as one: fewer steps, the same bits. An intermediate value that is an output of the graph keeps
// its step.

import { expect, test } from 'vitest';
import { gradients } from '../../src/engine/graph/gradients.ts';
import { Graph, type Value } from '../../src/engine/graph/graph.ts';
import { plan } from '../../src/engine/graph/plan.ts';
import { gelu, silu } from '../../src/engine/operations/activations.ts';
import { layerNorm, softmax } from '../../src/engine/operations/normalizations.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { floats } from './cases.ts';

const shape = [37, 45];
const inputs = { x: floats(shape, -3, 3), weight: floats([45], 0.5, 1.5), bias: floats([45]) };

/**
 * silu → layer norm → gelu → softmax and the gradients of its elements' weighted sum; `apart`: every value between is
 * an output too.
 */
function chain(apart: boolean): Graph {
  const graph = new Graph();
  const [x, weight, bias] = Object.entries(inputs).map(([name, of]) => graph.input(name, of.shape)) as [
    Value,
    Value,
    Value,
  ];
  const first = silu(x);
  const second = layerNorm(first, weight, bias, 1e-5);
  const third = gelu(second);
  const y = softmax(third);
  graph.output('y', y);
  const scalar = graph.apply1('dot', [y, x], {});
  for (const [at, gradient] of gradients(scalar, [x, weight, bias]).entries()) graph.output(`d${at}`, gradient!);
  if (apart) {
    const between = graph.nodes.filter(({ op }) => op === 'formula').flatMap(({ outputs }) => outputs);
    for (const [at, value] of between.filter((value) => value !== y).entries()) graph.output(`between ${at}`, value);
  }
  return graph;
}

async function run(graph: Graph) {
  const session = await wasmBackend({ threads: 2, poison: true }).openSession();
  const program = await session.compile(graph);
  for (const [name, { data }] of Object.entries(inputs)) program.write(name, data);
  await program.run();
  const names = ['y', 'd0', 'd1', 'd2'];
  const results = await Promise.all(names.map((name) => program.read(name)));
  await session.dispose();
  return Object.fromEntries(names.map((name, at) => [name, results[at]]));
}

const formulasOf = (graph: Graph) => plan(graph, { join: true }).steps.filter(({ node }) => node.op === 'formula');

test('a chain is one step where nothing else reads what lies between', () => {
  const graph = new Graph();
  const x = graph.input('x', shape);
  graph.output('y', softmax(gelu(silu(x))));
  expect(formulasOf(graph).map(({ node }) => (node.attributes as { name: string }).name)).toEqual([
    'silu, gelu, softmax',
  ]);
  expect(plan(graph).steps).toHaveLength(3);
});

test('a value that two read, or of another shape, keeps its step', () => {
  const graph = new Graph();
  const x = graph.input('x', shape);
  const y = gelu(x);
  graph.output('a', silu(y));
  graph.output('b', softmax(y));
  const flat = graph.apply1('reshape', [silu(graph.input('z', shape))], { shape: [37 * 45] });
  graph.output('c', softmax(flat));
  expect(formulasOf(graph)).toHaveLength(5);
});

test('the bits are those of separate steps', async () => {
  expect(formulasOf(chain(false)).length).toBeLessThan(formulasOf(chain(true)).length);
  expect(await run(chain(false))).toEqual(await run(chain(true)));
});
