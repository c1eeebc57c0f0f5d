import { afterAll, expect, test } from 'vitest';
import { BundledYosys } from '../hardware/yosys/bundled.ts';
import { generate } from '../netlist/generators/registry.ts';
import { relabelled } from '../netlist/network.ts';
import { synthesisedPower, Technology } from './synthesised-power.ts';

// Twice the same settings, so that the second answers from what the first has kept.
const settings = { effort: 'quick', vectors: 1024 } as const;
const technology = new Technology(settings);
afterAll(() => technology.close());

const exact = (kind: string, weightBits: number, activationBits: number) =>
  generate(kind, { weightBits, activationBits }).network;

test('the axis is the exact 8×8 multiplier, whatever the widths: fewer bits stand well below 1', async () => {
  const whole = await synthesisedPower(exact('array', 8, 8), technology);
  expect(whole.relative).toEqual({ area: 1, delay: 1, power: 1 });
  const narrow = await synthesisedPower(exact('dadda', 4, 4), technology);
  expect(narrow.relative.power).toBeGreaterThan(0.15);
  expect(narrow.relative.power).toBeLessThan(0.21);
  expect(narrow.relative.power).toBeCloseTo(narrow.power / whole.power, 12);
  expect(narrow.units.power).toMatch(/^AND2 gates/);
});

test('a netlist is known by its gates, not by its name', async () => {
  const network = exact('dadda', 4, 4);
  const idle = new BundledYosys();
  idle.run = () => Promise.reject(new Error('synthesised again'));
  const other = new Technology({ ...settings, yosys: idle });
  const again = await synthesisedPower(relabelled(network, 'another_name'), other);
  expect(again).toEqual(await synthesisedPower(network, technology));
});
