import { expect, test } from 'vitest';
import { slice, splitHeads } from '../operations/movements.ts';
import { gradients } from './gradients.ts';
import { Graph, type Value } from './graph.ts';
import { apart, type Box } from './movement.ts';
import { plan } from './plan.ts';

/** A box of a tensor of the shape [4, 6]. */
const box = (first: number, extents: readonly number[], strides: readonly number[]): Box => ({
  ...{ input: 0, extents, from: { first: 0, strides }, to: { first, strides } },
});
const columns = (from: number, count: number): Box => box(from, [4, count], [6, 1]);

test('boxes lie apart if they share no place along some axis', () => {
  expect(apart([4, 6], [columns(0, 2), columns(2, 4)])).toBe(true);
  expect(apart([4, 6], [columns(0, 3), columns(2, 4)])).toBe(false);
  expect(apart([4, 6], [columns(0, 2), columns(2, 2), columns(1, 1)])).toBe(false);
  expect(apart([4, 6], [box(0, [2, 6], [6, 1]), box(12, [6, 2], [1, 6])])).toBe(true);
});

test('of boxes that are not cut along the axes nothing is said', () => {
  // Every second column; a run over the end of a row.
  expect(apart([4, 6], [box(0, [4, 3], [6, 2]), box(1, [4, 3], [6, 2])])).toBe(false);
  expect(apart([4, 6], [box(4, [4], [1]), box(18, [6], [1])])).toBe(false);
});

/** The operations of a backward pass that give more than a number. */
function backward(of: (x: Value) => readonly Value[]): string[] {
  const graph = new Graph();
  const x = graph.input('x', [2, 5, 24]);
  const weighted = of(x).map((part, at) => graph.apply1('dot', [part, graph.input(`by ${at}`, part.shape)], {}));
  const sum = weighted.reduce((a, b) => graph.apply1('add', [a, b], { alpha: 1, beta: 1 }));
  graph.output('dx', gradients(sum, [x])[0]!);
  const nodes = plan(graph).steps.map(({ node }) => node);
  return nodes.filter(({ op }) => op === 'move' || op === 'add').map(({ op }) => op);
}

test('gradients that go to different places are moved at once, others are added', () => {
  expect(backward((x) => splitHeads(x, 3, 2))).toEqual(['move']);
  expect(backward((x) => [slice(x, 2, 0, 13), slice(x, 2, 12, 24)])).toEqual(['move', 'move', 'add']);
});
