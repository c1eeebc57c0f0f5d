// Neighbouring formulas as one: fewer steps, the same bits. An intermediate value that is an output of the graph keeps
// its step.

import { describe, expect, test } from 'vitest';
import { input, rowSum } from '../../src/engine/graph/expression.ts';
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

describe('sums', () => {
  const plus = { alpha: 1, beta: 1 };
  /** Σ of `terms` inputs of a shape in order, the first of them a quotient of two. */
  function sums(terms: number, extents: readonly number[], apart = false): Graph {
    const graph = new Graph();
    const values = Array.from({ length: terms }, (_, at) => graph.input(`x${at}`, extents));
    const first = graph.apply1('divide', [values[0]!, graph.input('by', extents)], {});
    const partial = [first];
    for (const value of values.slice(1)) partial.push(graph.apply1('add', [partial.at(-1)!, value], plus));
    graph.output('y', partial.at(-1)!);
    if (apart) for (const [at, sum] of partial.slice(0, -1).entries()) graph.output(`between ${at}`, sum);
    return graph;
  }
  const opsOf = (graph: Graph) => plan(graph, { join: true }).steps.map(({ node }) => node.op);

  test('of few elements are one step with their quotients, up to 16 terms', () => {
    expect(opsOf(sums(15, [8, 8]))).toEqual(['formula']);
    expect(opsOf(sums(21, [8, 8]))).toEqual(['formula', 'formula']);
    expect(plan(sums(21, [8, 8])).steps).toHaveLength(21);
  });

  test('stay apart where what lies between is wanted, weighted, or of many elements', () => {
    expect(opsOf(sums(3, [8, 8], true))).toEqual(['divide', 'add', 'add']);
    expect(opsOf(sums(3, [4097]))).toEqual(['divide', 'add', 'add']);
    const graph = new Graph();
    const x = graph.input('x', [8]);
    const average = graph.apply1('add', [x, graph.input('y', [8])], { alpha: 0.9, beta: 0.1 });
    graph.output('z', graph.apply1('add', [average, x], plus));
    expect(opsOf(graph)).toEqual(['add', 'add']);
  });

  /** A quotient, held back by a formula, less another value: as the gradient of a scale is. */
  function quotient(extents: readonly number[], apart = false): Graph {
    const graph = new Graph();
    const [a, b, c] = ['x0', 'by', 'x1'].map((name) => graph.input(name, extents)) as [Value, Value, Value];
    const first = graph.apply1('divide', [a, b], {});
    const outputs = [{ of: input(0).times(0.3), per: 'element' }] as const;
    const second = graph.apply1('formula', [first], { name: 'held', shape: extents, outputs });
    graph.output('y', graph.apply1('add', [second, c], { alpha: 1, beta: -1 }));
    if (apart) for (const [at, value] of [first, second].entries()) graph.output(`between ${at}`, value);
    return graph;
  }

  test('and differences join with quotients and formulas, of few elements', () => {
    expect(opsOf(quotient([8, 8]))).toEqual(['formula']);
    expect(opsOf(quotient([8, 8], true))).toEqual(['divide', 'formula', 'add']);
    expect(opsOf(quotient([4097]))).toEqual(['divide', 'formula', 'add']);
    const rows = new Graph();
    const [a, b] = ['a', 'b'].map((name) => rows.input(name, [100, 100])) as [Value, Value];
    const total = { name: 'total', shape: [100, 100], outputs: [{ of: rowSum(input(0)), per: 'row' }] } as const;
    rows.output('y', rows.apply1('formula', [rows.apply1('add', [a, b], plus)], total));
    expect(opsOf(rows)).toEqual(['add', 'formula']);
  });

  test.each([
    ['sums', (apart: boolean) => sums(21, [8, 8], apart)],
    ['differences', (apart: boolean) => quotient([8, 8], apart)],
  ] as const)('%s have the bits of separate steps', async (_, graphOf) => {
    const given = new Map(
      [...graphOf(false).inputs.keys()].map((name, at) => [name, floats([8, 8], 1 / (at + 1), 3)] as const),
    );
    const results = await Promise.all(
      [false, true].map(async (apart) => {
        const session = await wasmBackend({ threads: 1, poison: true }).openSession();
        const program = await session.compile(graphOf(apart));
        for (const [name, { data }] of given) program.write(name, data);
        await program.run();
        const y = await program.read('y');
        await session.dispose();
        return y;
      }),
    );
    expect(results[0]).toEqual(results[1]);
  });

  /** The gradient of a relu of a sum, read twice or once; `large`: what happens between. */
  function slope(readers: number, between = 0): Graph {
    const graph = new Graph();
    const [a, b, y] = ['a', 'b', 'y'].map((name) => graph.input(name, [64, 100])) as [Value, Value, Value];
    const sum = graph.apply1('add', [a, b], plus);
    for (let at = 0; at < between; at++) graph.output(`z${at}`, graph.apply1('affine', [y], { scale: at, offset: 0 }));
    const dx = graph.apply1('reluGradient', [sum, y], {});
    for (let at = 0; at < readers; at++) graph.output(`d${at}`, graph.apply1('dot', [dx, at === 0 ? a : b], {}));
    return graph;
  }

  test('are formed by the gradient of a relu that several read, where nothing large comes before it', () => {
    expect(opsOf(slope(2))).toEqual(['formula', 'dot', 'dot']);
    expect(opsOf(slope(1))).toEqual(['add', 'reluGradient', 'dot']);
    expect(opsOf(slope(2, 1))).toEqual(['add', 'affine', 'reluGradient', 'dot', 'dot']);
  });
});

test('the bits are those of separate steps', async () => {
  expect(formulasOf(chain(false)).length).toBeLessThan(formulasOf(chain(true)).length);
  expect(await run(chain(false))).toEqual(await run(chain(true)));
});

test('a formula that gives its first input is a rename: no step, whatever its gradient is, and nothing joins it', () => {
  const graph = new Graph();
  const x = graph.input('x', [8]);
  const outputs = [{ of: input(0), per: 'element' }] as const;
  const same = (value: Value, shape = value.shape) =>
    graph.apply1('formula', [value], { name: 'same', shape, outputs, gradient: [input(2).times(0.5)] });
  const halved = graph.apply1('divide', [x, graph.input('by', [8])], {});
  graph.output('y', graph.apply1('add', [same(halved), x], { alpha: 1, beta: 1 }));
  graph.output('wide', same(graph.input('one', []), [8]));
  graph.output('slope', gradients(graph.apply1('dot', [same(x), x], {}), [x])[0]!);
  const { steps } = plan(graph, { join: true });
  expect(steps.map(({ node }) => node.op)).toEqual(['divide', 'add', 'formula', 'formula']);
  expect(steps[1]!.inputs[0]).toEqual(steps[0]!.outputs[0]);
});
