// Which edge of an input causes which edge of an output, worked out by hand on a library whose rising and falling
// delays differ.

import { expect, test } from 'vitest';
import { countTransitions } from './glitches.ts';
import { readLiberty } from './liberty/read.ts';
import { readMapped } from './mapped.ts';
import { Timing } from './timing.ts';

/**
 * A delay for every slew and load, ps; transition times of their own, 0 unless given, so that arrivals are sums of
 * delays.
 */
const arc = (pin: string, sense: string, rise: number, fall: number, [up, down] = [0, 0]) => `
  timing () { related_pin : "${pin}"; timing_sense : ${sense};
    cell_rise (t) { values ("${rise}, ${rise}", "${rise}, ${rise}"); } cell_fall (t) { values ("${fall}, ${fall}", "${fall}, ${fall}"); }
    rise_transition (t) { values ("${up}, ${up}", "${up}, ${up}"); } fall_transition (t) { values ("${down}, ${down}", "${down}, ${down}"); } }`;
const input = (name: string) => `pin (${name}) { direction : input; capacitance : 1; }`;
const library = readLiberty({
  name: 'edges.lib',
  text: `library (edges) {
  delay_model : table_lookup; time_unit : "1ps"; voltage_unit : "1V"; leakage_power_unit : "1nW";
  capacitive_load_unit (1, ff); nom_voltage : 1.0;
  lu_table_template (t) { variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
    index_1 ("0, 100"); index_2 ("0, 100"); }
  cell (INV) { area : 1; ${input('A')} pin (Y) { direction : output; function : "!A"; ${arc('A', 'negative_unate', 10, 20)} } }
  cell (FAST) { area : 1; ${input('A')} pin (Y) { direction : output; function : "!A"; ${arc('A', 'negative_unate', 1, 1)} } }
  cell (BUF) { area : 1; ${input('A')} pin (Y) { direction : output; function : "A"; ${arc('A', 'positive_unate', 10, 20)} } }
  cell (NAND2) { area : 1; ${input('A')} ${input('B')} pin (Y) { direction : output; function : "!(A & B)";
    ${arc('A', 'negative_unate', 3, 5)} ${arc('B', 'negative_unate', 4, 6)} } }
  cell (SLOW2) { area : 1; ${input('A')} ${input('B')} pin (Y) { direction : output; function : "A & B";
    ${arc('A', 'positive_unate', 3, 3, [50, 40])} ${arc('B', 'positive_unate', 9, 9, [5, 4])} } }
  cell (XOR2) { area : 1; ${input('A')} ${input('B')} pin (Y) { direction : output; function : "A ^ B";
    ${arc('A', 'non_unate', 3, 5)} ${arc('B', 'non_unate', 3, 5)} } }
}`,
});

/** A first gate over a, and a second over the first one's output and b. */
function delayOf(first: string, second: string, pin: 'A' | 'B'): number {
  const other = pin === 'A' ? 'B' : 'A';
  const module = {
    ports: {
      a: { direction: 'input', bits: [2] },
      b: { direction: 'input', bits: [3] },
      y: { direction: 'output', bits: [5] },
    },
    cells: {
      u0: { type: first, connections: { A: [2], Y: [4] } },
      u1: { type: second, connections: { [pin]: [4], [other]: [3], Y: [5] } },
    },
    netnames: {},
  };
  return new Timing(readMapped(JSON.stringify({ modules: { test: module } }), library), { inputSlewPs: 0 }).delay;
}

test.each([
  // a rises: INV falls at 20, NAND rises at 20 + 3; a falls: INV rises at 10, NAND falls at 10 + 5.
  ['INV', 'NAND2', 'A', 23],
  // by the other pin: 20 + 4 and 10 + 6
  ['INV', 'NAND2', 'B', 24],
  // a rises: BUF rises at 10, NAND falls at 10 + 5; a falls: BUF falls at 20, NAND rises at 20 + 3.
  ['BUF', 'NAND2', 'A', 23],
  // Either edge causes either edge of an XOR: 20 + 5.
  ['INV', 'XOR2', 'A', 25],
] as const)('%s → %s by pin %s takes %d ps', (first, second, pin, delay) => {
  expect(delayOf(first, second, pin)).toBe(delay);
});

test('the slew of an edge is the slowest that any input causes, also one that comes early', () => {
  const module = {
    ports: {
      a: { direction: 'input', bits: [2] },
      b: { direction: 'input', bits: [3] },
      y: { direction: 'output', bits: [4] },
    },
    cells: { u0: { type: 'SLOW2', connections: { A: [2], B: [3], Y: [4] } } },
    netnames: {},
  };
  const timing = new Timing(readMapped(JSON.stringify({ modules: { test: module } }), library), { inputSlewPs: 0 });
  const [net] = timing.netlist.ports.find(({ name }) => name === 'y')!.nets;
  expect(timing.delay).toBe(9);
  expect([timing.slew[2 * net!], timing.slew[2 * net! + 1]]).toEqual([50, 40]);
});

test.each([
  // a rises: y would rise after 9; the fast inverter takes that back at 1, the slow one at 20, when y has risen.
  ['FAST', 0],
  ['INV', 2],
] as const)('a pulse that is shorter than a gate’s delay does not pass it: %s', (inverter, expected) => {
  const module = {
    ports: { a: { direction: 'input', bits: [2] }, y: { direction: 'output', bits: [4] } },
    cells: {
      u0: { type: inverter, connections: { A: [2], Y: [3] } },
      u1: { type: 'SLOW2', connections: { A: [3], B: [2], Y: [4] } },
    },
    netnames: {},
  };
  const timing = new Timing(readMapped(JSON.stringify({ modules: { test: module } }), library), { inputSlewPs: 0 });
  const net = (name: string) => timing.netlist.ports.find((port) => port.name === name)!.nets[0]!;
  // Low, then high.
  const transitions = countTransitions(timing, new Map([[net('a'), Int32Array.of(0b10)]]), 2);
  expect([transitions[net('a')], transitions[net('y')]]).toEqual([1, expected]);
});
