import { expect, test } from 'vitest';
import { cleanUp } from './cleanup.ts';
import { arrayMultiplier } from './generators/array.ts';
import { Network, type Signal, ZERO } from './network.ts';
import { describeStructure, unitGateCost } from './structure.ts';

test('describes the exact multiplier with the cost of its 46 full, 18 half adders and 64 AND gates', () => {
  const raw = arrayMultiplier(8, 8);
  expect(unitGateCost(raw)).toBe(64 + 46 * 7 + 18 * 3);
  const structure = describeStructure(raw);
  expect(structure).toMatchObject({ name: 'mult_8x8', weightBits: 8, activationBits: 8 });
  expect(structure.partialProducts).toHaveLength(64);
  expect(structure.adders).toHaveLength(64);
  expect(structure.gates).toEqual({ not: 0, and: 82, or: 0, xor: 18, xor3: 46, maj: 46 });
  expect(describeStructure(cleanUp(raw)).normalizedCost).toBe(1);
});

test('tells which adders and outputs are left after a substitution', () => {
  const raw = arrayMultiplier(3, 3);
  const first = raw.adders.find((adder) => adder.column === 1)!;
  const structure = describeStructure(cleanUp(raw, new Map([[first.carry!, ZERO]])));
  expect(structure.adders.find((adder) => adder.id === first.id)).toMatchObject({
    kind: 'half',
    sum: true,
    carry: false,
  });
  expect(structure.normalizedCost).toBeLessThan(1);
});

test('a carry in gates of two inputs shares a ^ b with its sum, unless something else reads its a | b', () => {
  const adder = (isRead: boolean) => {
    const network = new Network('adder');
    const [a, b, c] = ['a', 'b', 'c'].map((name) => network.addInput(name)) as [Signal, Signal, Signal];
    const either = network.addGate('or', a, b);
    const rest = network.addGate('and', either, c);
    network.addOutput('carry', network.addGate('or', rest, network.addGate('and', b, a)));
    network.addOutput('sum', network.addGate('xor', c, network.addGate('xor', b, a)));
    if (isRead) network.addOutput('either', either);
    return unitGateCost(network);
  };
  expect([adder(false), adder(true)]).toEqual([7, 8]);
});
