// A library in units that are not the program's own, worked out by hand: picofarads, half volts, milliwatts,
// nanoseconds by default, a table with the load first, energies by rail, leakage by state and rail, a pin without a
// capacitance.

import { expect, test } from 'vitest';
import { readLiberty } from './liberty/read.ts';
import { readMapped } from './mapped.ts';
import { analysePower } from './power.ts';
import { CellVariants, sizeGates } from './sizing.ts';
import { Timing } from './timing.ts';

const delay = (name: string) => `${name} (t) { values ("1, 2", "3, 5"); }`;
const slew = (name: string) => `${name} (t) { values ("0, 0", "0, 0"); }`;
const power = (
  rail: string,
  rise: number,
  fall: number,
) => `internal_power () { related_pin : "A"; related_pg_pin : "${rail}";
    rise_power (scalar) { values ("${rise}"); } fall_power (scalar) { values ("${fall}"); } }`;
const leakage = (when: string, value: number) => `leakage_power () { when : "${when}"; value : ${value}; }`;
const buffer = (name: string, area: number, most: number) => `cell (${name}) { area : ${area}; cell_leakage_power : 11;
    ${leakage('A', 3)} ${leakage('A', 4)}
    pin (A) { direction : input; }
    pin (Y) { direction : output; function : "A"; max_capacitance : ${most};
      timing () { related_pin : "A"; timing_sense : positive_unate; ${delay('cell_rise')} ${slew('rise_transition')} ${delay('cell_fall')} ${slew('fall_transition')} }
      ${power('VDD', 2, 6)} ${power('VSS', 1, 1)} } }`;
const library = readLiberty({
  name: 'units.lib',
  text: `library (units) {
  delay_model : table_lookup; voltage_unit : "500mV"; leakage_power_unit : "1mW"; capacitive_load_unit (1, pf); nom_voltage : 4.0;
  default_input_pin_cap : 0.002;
  lu_table_template (t) { variable_1 : total_output_net_capacitance; variable_2 : input_net_transition;
    index_1 ("0, 0.002"); index_2 ("0, 0.1"); }
  ${buffer('BUF_X1', 1, 0.0005)} ${buffer('BUF_X2', 2, 0.01)}
  power_lut_template (q) { variable_1 : input_transition_time; index_1 ("0, 0.1"); }
  cell (STEEP) { area : 3; pin (A) { direction : input; capacitance : 0.001; }
    pin (Y) { direction : output; function : "A";
      timing () { related_pin : "A"; timing_sense : positive_unate; ${delay('cell_rise')} ${delay('cell_fall')}
        ${slew('rise_transition')} fall_transition (t) { values ("0.1, 0.1", "0.1, 0.1"); } } } }
  cell (INPUT) { area : 3; pin (A) { direction : input; capacitance : 0.001;
      internal_power () { power (q) { values ("2, 6"); } } }
    pin (Y) { direction : output; function : "A"; timing () { related_pin : "A"; timing_sense : positive_unate;
      ${delay('cell_rise')} ${delay('cell_fall')} ${slew('rise_transition')} ${slew('fall_transition')} } } }
  cell (AND2) { area : 3; pin (A) { direction : input; } pin (B) { direction : input; }
    pin (Y) { direction : output; function : "A & B"; ${power('VDD', 2, 2)} ${power('VDD', 10, 10).replace('"A"', '"B"')}
      timing () { related_pin : "A B"; timing_sense : positive_unate;
        ${delay('cell_rise')} ${delay('cell_fall')} ${slew('rise_transition')} ${slew('fall_transition')} } } }
  cell (HALVES) { area : 3; pin (A) { direction : input; capacitance : 0.001; }
    pin (Y) { direction : output; function : "A";
      timing () { related_pin : "A"; timing_sense : positive_unate; ${delay('cell_rise')} ${slew('rise_transition')} }
      timing () { related_pin : "A"; timing_sense : negative_unate; ${delay('cell_fall')} ${slew('fall_transition')} } } }
}`,
});

function timingOf(type: string, options: { inputSlewPs: number; outputLoadFf: number }): Timing {
  const ports = { a: { direction: 'input', bits: [2] }, y: { direction: 'output', bits: [3] } };
  const module = { ports, cells: { u: { type, connections: { A: [2], Y: [3] } } }, netnames: {} };
  return new Timing(readMapped(JSON.stringify({ modules: { test: module } }), library), options);
}

test.each([
  // load 0: 1 ns at no slew, 2 ns at 100 ps; load 2 fF: 3 and 5 ns.
  [0, 0, 1000],
  [100, 0, 2000],
  [0, 2, 3000],
  [50, 1, 2750],
  // Beyond the table it goes on as it ends.
  [200, 1, 5000],
  [0, 4, 5000],
])('a slew of %d ps and a load of %d fF take %d ps', (inputSlewPs, outputLoadFf, expected) => {
  expect(timingOf('BUF_X2', { inputSlewPs, outputLoadFf }).delay).toBeCloseTo(expected, 9);
});

test('power adds up what every rail and every state takes', () => {
  const timing = timingOf('BUF_X2', { inputSlewPs: 0, outputLoadFf: 1 });
  const power = analysePower(library, timing, { clockMHz: 100, inputActivity: 1 });
  // Pin A has the default 2 fF, the output 1 fF; 2 V; both move in every cycle: 6 fJ.
  expect(power.switching).toBeCloseTo((6 * 100) / 1e6, 9);
  // pF · (½ V)² = 250 fJ: a rise 2 + 1, a fall 6 + 1 of them, in turn.
  expect(power.internal / ((250 * 5 * 100) / 1e6)).toBeCloseTo(1, 3);
  // Half of the time A is 1: 3 + 4 mW, else the cell's 11.
  expect(power.leakage).toBeCloseTo((7 + 11) / 2, 9);
});

/** fJ per cycle inside the cells, in the library's unit of 250 fJ, while the input moves in every cycle. */
function internalOf(cells: object): number {
  const ports = { a: { direction: 'input', bits: [2] }, y: { direction: 'output', bits: [4] } };
  const module = { ports, cells, netnames: {} };
  const netlist = readMapped(JSON.stringify({ modules: { test: module } }), library);
  const { internal } = analysePower(library, new Timing(netlist, { inputSlewPs: 0 }), {
    clockMHz: 100,
    inputActivity: 1,
  });
  return (internal * 1e6) / 100 / 250;
}

test('an input’s energy is that of the slew of its edge', () => {
  // Rises come at no slew: 2; falls at 100 ps: 6.
  const cells = {
    u0: { type: 'STEEP', connections: { A: [2], Y: [3] } },
    u1: { type: 'INPUT', connections: { A: [3], Y: [4] } },
  };
  expect(internalOf(cells)).toBeCloseTo(4, 2);
});

test('of the energies of one rail that counts whose input has moved', () => {
  expect(internalOf({ u0: { type: 'AND2', connections: { A: [2], B: ['1'], Y: [4] } } })).toBeCloseTo(2, 9);
  expect(internalOf({ u0: { type: 'AND2', connections: { A: ['1'], B: [2], Y: [4] } } })).toBeCloseTo(10, 9);
});

test('halves of an arc with different senses may be caused by either edge', () => {
  const [arc, ...others] = library.cells.get('HALVES')!.outputs[0]!.timing;
  expect(others).toEqual([]);
  expect(arc!.sense).toBe('none');
});

test('a cell is not made smaller than its load allows', () => {
  const variants = new CellVariants(library.cells.values());
  for (const [load, expected] of [
    [1, 'BUF_X2'],
    [0.4, 'BUF_X1'],
  ] as const) {
    const timing = timingOf('BUF_X2', { inputSlewPs: 0, outputLoadFf: load });
    sizeGates(timing, variants, Number.POSITIVE_INFINITY);
    expect(timing.netlist.instances[0]!.cell.name).toBe(expected);
  }
});
