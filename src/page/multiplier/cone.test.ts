import { expect, test } from 'vitest';
import type { DrawnNetlist } from '../../serve/api.ts';
import { coneOf, functionOf, namesInShort } from './cone.ts';

const netlist: DrawnNetlist = {
  nodes: [
    { kind: 'constant', fanins: [], name: 'zero' },
    { kind: 'constant', fanins: [], name: 'one' },
    { kind: 'input', fanins: [], name: 'a' },
    { kind: 'input', fanins: [], name: 'b' },
    { kind: 'input', fanins: [], name: 'c' },
    { kind: 'and', fanins: [2, 3], name: 'n5' },
    { kind: 'maj', fanins: [5, 2, 1], name: 'n6' },
    { kind: 'not', fanins: [4], name: 'n7' },
  ],
  outputs: [{ name: 'p', node: 6 }],
};

test('a cone is everything before a gate, and nothing beside it', () => {
  expect([...coneOf(netlist, 6).members].sort()).toEqual([1, 2, 3, 5, 6]);
  expect(coneOf(netlist, 6)).toMatchObject({ gates: 2, inputs: ['a', 'b'] });
  expect(coneOf(netlist, 4)).toMatchObject({ gates: 0, inputs: ['c'] });
});

test('functions are told by the names of the nets', () => {
  expect([5, 6, 7, 2].map((gate) => functionOf(netlist, gate))).toEqual(['a ∧ b', 'majority of n5, a, one', '¬c', 'a']);
});

test('names in a row are told by the first and the last', () => {
  expect(namesInShort(['a[0]', 'a[1]', 'a[2]', 'b[3]', 'b[4]', 'c'])).toBe('a[0] … a[2], b[3], b[4], c');
});
