// What the windows of a Swin transformer are made of, against what they are for: places in the image.

import { expect, test } from 'vitest';
import { Graph } from '../../src/engine/graph/graph.ts';
import { Layers, multiplyFloat } from '../../src/nn/layers.ts';
import { distances, shiftMask, swin } from '../../src/nn/models/swin.ts';

test('two pairs of tokens have the same row of the table if and only if they have the same distance', () => {
  const size = 3;
  const rows = distances(size);
  const placeOf = (token: number) => [Math.floor(token / size), token % size] as const;
  const byRow = new Map<number, string>();
  for (let a = 0; a < size ** 2; a++)
    for (let b = 0; b < size ** 2; b++) {
      const [[ya, xa], [yb, xb]] = [placeOf(a), placeOf(b)];
      const distance = `${ya - yb} ${xa - xb}`;
      const row = rows[a * size ** 2 + b]!;
      expect(byRow.get(row) ?? distance).toBe(distance);
      byRow.set(row, distance);
    }
  expect(byRow.size).toBe((2 * size - 1) ** 2);
  expect(new Set(byRow.values()).size).toBe(byRow.size);
});

test('tokens of a shifted window see each other where they are neighbours in the image', () => {
  const [size, shift, down, across] = [4, 2, 2, 3];
  const mask = shiftMask({ size, shift, down, across });
  const tokens = size * size;
  /** Where a token of a window stood before the shift. */
  const placeOf = (window: number, token: number) => {
    const y = Math.floor(window / across) * size + Math.floor(token / size) + shift;
    const x = (window % across) * size + (token % size) + shift;
    return [y % (down * size), x % (across * size)] as const;
  };
  for (let window = 0; window < down * across; window++)
    for (let a = 0; a < tokens; a++)
      for (let b = 0; b < tokens; b++) {
        const [[ya, xa], [yb, xb]] = [placeOf(window, a), placeOf(window, b)];
        const near = Math.abs(ya - yb) < size && Math.abs(xa - xb) < size;
        expect(mask[(window * tokens + a) * tokens + b]).toBe(near ? 0 : -100);
      }
});

test('drop-path rises from block to block, two paths each, in training alone', () => {
  const model = swin({
    ...{ name: 'two', description: '', patch: 2, window: 2, width: 8, depths: [2, 1], heads: [1, 2], dropPath: 0.4 },
    card: { imageSize: 8, classes: 2, classifier: 'head.fc', source: 'a test' },
  });
  const ratesOf = (random: boolean) => {
    const graph = new Graph();
    const layers = new Layers(graph, { training: random, random, multiply: multiplyFloat });
    model.build(layers, graph.input('image', [3, 8, 8, 3]), 2);
    return graph.nodes.flatMap(({ op, attributes }) =>
      op === 'dropout' ? [(attributes as { rate: number }).rate] : [],
    );
  };
  expect(ratesOf(true)).toEqual([0.2, 0.2, 0.4, 0.4]);
  expect(ratesOf(false)).toEqual([]);
});
