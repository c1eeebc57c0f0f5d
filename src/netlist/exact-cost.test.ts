import { expect, test } from 'vitest';
import { cheapestExact } from './exact-cost.ts';
import { generate, generators } from './generators/registry.ts';
import { describeStructure, REFERENCE_GATES, unitGateCost } from './structure.ts';

const exactKinds = Object.keys(generators).filter((kind) => generators[kind]!.exact);
const gates = (kind: string, weightBits: number, activationBits: number) =>
  unitGateCost(generate(kind, { weightBits, activationBits }).network);

test('the gate cost is relative to the cheapest exact 8×8 multiplier that can be generated', () => {
  const costs = exactKinds.map((kind) => [kind, gates(kind, 8, 8)] as const);
  expect(Math.min(...costs.map(([, cost]) => cost))).toBe(REFERENCE_GATES);
  expect(Object.fromEntries(costs)).toMatchObject({ array: 438, dadda: 424, booth: 400 });
  expect(cheapestExact(8, 8)).toEqual({ kind: 'booth', signed: true, unitGates: 400, gateCost: 1 });
});

test('no exact multiplier has a gate cost below that of the cheapest of its widths, and fewer bits cost less', () => {
  let wider = Number.POSITIVE_INFINITY;
  for (let bits = 8; bits >= 2; bits--) {
    const { gateCost } = cheapestExact(bits, bits);
    for (const kind of exactKinds) {
      const { network } = generate(kind, { weightBits: bits, activationBits: bits });
      expect(describeStructure(network).gateCost).toBeGreaterThanOrEqual(gateCost);
    }
    expect(gateCost).toBeLessThan(wider);
    wider = gateCost;
  }
  expect(cheapestExact(4, 4).gateCost).toBe(84 / 400);
});
