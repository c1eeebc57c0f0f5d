// Cases of a relu with a limit, by itself and behind batch norm, with an addition and without: what a backend may join.

import type { Graph, Value } from '../../src/engine/graph/graph.ts';
import type { Shape } from '../../src/tensor/tensor.ts';
import { type Case, floatsOf, make } from './cases.ts';

const floats = floatsOf(5);
const relu6 = (graph: Graph, x: Value) => graph.apply1('relu', [x], { limit: 1.25 });
const norm = (graph: Graph, [x, gamma, beta]: readonly Value[]): Value =>
  graph.apply('batchNorm', [x!, gamma!, beta!], { epsilon: 1e-5 })[0]!;
const plus = (graph: Graph, a: Value, b: Value) => graph.apply1('add', [a, b], { alpha: 1, beta: 1 });

const shapes: readonly Shape[] = [
  [2, 3, 5, 20],
  [3000, 32],
  [40, 160],
  [2, 3, 5, 7],
  [3000, 33],
  [600, 2],
];

export const relu6Cases: readonly Case[] = [
  ...[[12], [16384 + 8], [3, 1366]].map((shape) =>
    make('relu', `with a limit: ${shape.join('×')}`, [floats(shape, -2, 3)], { limit: 1.25 }, { differentiate: [0] }),
  ),
  ...shapes.flatMap((shape) => {
    const channels = [shape.at(-1)!];
    const inputs = () => [floats(shape, -1, 3), floats(channels, 0.5, 1.5), floats(channels), floats(shape)];
    return [
      make(
        'relu',
        `with a limit behind batch norm: ${shape.join('×')}`,
        inputs(),
        {},
        {
          differentiate: [0, 1, 2],
          build: (graph, values) => [relu6(graph, norm(graph, values))],
        },
      ),
      make(
        'relu',
        `with a limit behind batch norm and an addition: ${shape.join('×')}`,
        inputs(),
        {},
        {
          differentiate: [0, 1, 2, 3],
          build: (graph, values) => [relu6(graph, plus(graph, norm(graph, values), values[3]!))],
        },
      ),
    ];
  }),
];
