import { expect, test } from 'vitest';
import { Graph } from '../engine/graph/graph.ts';
import { columnStructure } from '../multiplier/structure.ts';
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
