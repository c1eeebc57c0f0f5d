// A graph that has travelled is the same graph: every case of the conformance suite, gradients included, is laid out as
// it was and has the same nodes, and computes the same bits. EVERY_CASE=1 runs all of them, else a sample.

import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import { input } from '../../src/engine/graph/expression.ts';
import type { Formula } from '../../src/engine/graph/formula.ts';
import { Graph, type Node } from '../../src/engine/graph/graph.ts';
import { plan } from '../../src/engine/graph/plan.ts';
import { packGraph, unpackGraph } from '../../src/engine/replicas/portable.ts';
import { ways } from '../../src/engine/wasm/lower/lowerings.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { type Case, cases as plain } from './cases.ts';
import { collectiveCases } from './collective-cases.ts';
import { differences } from './conformance.ts';
import { dropoutCases } from './dropout-cases.ts';
import { formulaCases } from './formula-cases.ts';
import { matrixCases } from './matrix-cases.ts';
import { repeatCases } from './repeat-cases.ts';
import { graphOf, runGraph } from './run-case.ts';
import { updateCases } from './update-cases.ts';

const travelled = (graph: Graph) => {
  const { text, constants } = packGraph(graph);
  return unpackGraph({ text: JSON.parse(JSON.stringify(text)), constants });
};

/** All of a graph but the values of its constants. */
function structureOf(graph: Graph) {
  const ids = (values: Iterable<readonly [string, { readonly id: number }]>) =>
    [...values].map(([name, { id }]) => [name, id]);
  return {
    nodes: graph.nodes.map(({ op, attributes, inputs, outputs, label }) => ({
      ...{ op, attributes, label },
      inputs: inputs.map(({ id }) => id),
      outputs: outputs.map(({ id, dtype, shape }) => ({ id, dtype, shape })),
    })),
    variables: ids(graph.variables),
    inputs: ids(graph.inputs),
    constants: graph.constants.map(({ id, dtype, shape, source }) => ({ id, dtype, shape, kind: source.kind })),
    outputs: ids(graph.outputs),
    assignments: ids(graph.assignments),
    replicas: graph.replicas,
  };
}

const layoutOf = (graph: Graph) => {
  const { steps, snapshots, copies, arenaBytes, ownBytes } = plan(graph, { join: true });
  const copied = [...snapshots, ...copies].map(({ from, to }) => [from, to]);
  const laid = steps.map(({ node, inputs, outputs }) => [node.op, inputs, outputs]);
  return JSON.stringify({ arenaBytes, ownBytes, copied, laid });
};

/** Families that take little to make; between them they have every operation. */
const { cases }: { readonly cases: readonly Case[] } = process.env.EVERY_CASE
  ? await import('./all-cases.ts')
  : {
      cases: [
        ...plain,
        ...formulaCases,
        ...collectiveCases,
        ...updateCases,
        ...dropoutCases,
        ...matrixCases,
        ...repeatCases,
      ],
    };

/** The graphs that are the first with some operation, and a sample of the others. */
const met = new Set<string>();
const chosen = cases.flatMap((item, at) => {
  const graph = graphOf(item);
  const before = met.size;
  for (const { op } of graph.nodes) met.add(op);
  return met.size > before || at % 7 === 0 || process.env.EVERY_CASE ? [{ item, graph }] : [];
});

test('every operation is in one of the graphs', () => {
  expect(Object.keys(ways).filter((op) => !met.has(op))).toEqual([]);
});

test(`the graphs of ${chosen.length} cases`, () => {
  for (const { item, graph } of chosen) {
    const again = travelled(graph);
    expect(isDeepStrictEqual(structureOf(again), structureOf(graph)), item.name).toBe(true);
    expect(layoutOf(again), item.name).toBe(layoutOf(graph));
    graph.nodes.forEach((node, at) => {
      if (node.op !== 'formula') return;
      const [one, other] = [node, again.nodes[at]!].map(({ attributes }) => attributes as Formula) as [
        Formula,
        Formula,
      ];
      // Equal expressions are one object.
      one.outputs.forEach(({ of }, output) => {
        expect(other.outputs[output]!.of).toBe(of);
      });
    });
  }
});

test('what travelled computes the same bits', async () => {
  const sample = process.env.EVERY_CASE ? chosen : chosen.filter((_, at) => at % 4 === 0);
  const backend = wasmBackend({ threads: 1, poison: true });
  for (const { item, graph } of sample) {
    const expected = await runGraph(backend, graph, item.inputs);
    expect(differences(expected, await runGraph(backend, travelled(graph), item.inputs)), item.name).toEqual([]);
  }
});

test('numbers that JSON cannot say, labels, names and the number of replicas', () => {
  const graph = new Graph({ replicas: 4 });
  const x = graph.input('x', [3]);
  const of = input(0).times(-0).plus(Number.POSITIVE_INFINITY).minus(Number.NEGATIVE_INFINITY).over(Number.NaN);
  const attributes: Formula = { name: 'odd', shape: [3], outputs: [{ of, per: 'element' }], gradient: [undefined] };
  const y = graph.labelled('a layer', () => graph.apply1('formula', [x], attributes));
  const [z] = graph.reduced('max', [y]);
  graph.assign(graph.variable('v', [3]), z!);
  const again = travelled(graph);
  const [node] = again.nodes as readonly Node[];
  expect((node!.attributes as Formula).outputs[0]!.of).toBe(of);
  expect((node!.attributes as Formula).gradient).toEqual([undefined]);
  expect(node!.label).toBe('a layer');
  expect(structureOf(again)).toEqual(structureOf(graph));
  expect(again.replicas).toBe(4);
  const closure = { ...attributes, name: (() => 'odd') as unknown as string };
  const bad = new Graph();
  bad.apply('formula', [bad.input('x', [3])], closure);
  expect(() => packGraph(bad)).toThrow('an attribute of a graph is no plain data');
});
