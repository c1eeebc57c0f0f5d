import { expect, test } from 'vitest';
import { Graph } from '../engine/graph/graph.ts';
import { columnStructure } from '../multiplier/structure.ts';
import { UserError } from '../tensor/errors.ts';
import { nodeError } from './products.ts';

test('a structure of other widths is refused, also where it has as many partial products', () => {
  const multiplier = {
    kind: 'structure',
    theta: 'theta',
    structure: columnStructure({ weightBits: 4, activationBits: 8 }, 3),
  } as const;
  expect(() => nodeError(new Graph(), multiplier, { weightBits: 8, activationBits: 4 }, true)).toThrow(
    'a structure of 4×8 bits for operands of 8×4',
  );
  const made = nodeError(new Graph(), multiplier, { weightBits: 4, activationBits: 8 }, true);
  expect(made.inputs[0]!.shape).toEqual([4, 8]);
  expect(made.error).toEqual({ kind: 'removal', integer: false });
  const hard = nodeError(new Graph(), { ...multiplier, isHard: true }, { weightBits: 4, activationBits: 8 }, true);
  expect(hard.error).toEqual({ kind: 'removal', integer: true });
});

test('structures of different length under one θ are refused, with both of them', () => {
  const widths = { weightBits: 4, activationBits: 8 };
  const graph = new Graph();
  const add = (layer: string, count: number) =>
    graph.labelled(layer, () =>
      nodeError(graph, { kind: 'structure', theta: 'theta', structure: columnStructure(widths, count) }, widths, true),
    );
  add('conv1', 3);
  add('conv2', 3);
  expect(() => add('fc', 5)).toThrow(UserError);
  expect(() => add('fc', 5)).toThrow(
    /^two structures of different length share the θ 'theta': 3 values for 4×8 bits \(column 0 … column 2\), and 5 values for 4×8 bits \(column 0 … column 4\); give each/,
  );
});
