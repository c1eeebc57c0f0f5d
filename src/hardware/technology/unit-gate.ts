// The technology that is built in: simple gates and half and full adders with unit-gate areas AND : HA : FA = 1 : 1.822
// : 4.470 (the cost ratios of the TRAM paper), so that synthesis, timing and power work with no file. All other numbers
// are our own: plausible for a small modern process, linear (delay = intrinsic + resistance · load + a share of the
// slew), and belonging to no real one.
// Figures of it are told in its own gates (unitGateUnits), never in µm², ps and mW.
// Invariant: the library is written as Liberty text and read like any other; only the units of the result know that it
// is built in.

import { invariant } from '../../tensor/errors.ts';
import { parseExpression, truthTable } from '../liberty/expression.ts';
import type { LibertyText } from '../liberty/read.ts';
import type { Units } from '../units.ts';

/** Area of a two-input AND gate, µm²; the areas below are multiples of it. */
const UNIT_AREA = 0.1;
const VOLTAGE = 0.7;
const SLEWS = [5, 20, 80, 320];
const LOADS = [0.5, 2, 8, 32];
/** The part of the input slew that adds to a delay. */
const SLEW_SHARE = 0.2;
/** Output slew = intrinsic · 0.8 + resistance · load · 1.8 */
const SLEW_INTRINSIC = 0.8;
const SLEW_RESISTANCE = 1.8;

interface Gate {
  readonly name: string;
  /** Output pin → function. */
  readonly outputs: Readonly<Record<string, string>>;
  /** In AND gates. */
  readonly area: number;
  /** Per input pin, fF. */
  readonly capacitance: number;
  /** Intrinsic delay, ps. */
  readonly delay: number;
  /** ps per fF. */
  readonly resistance: number;
  /** Internal energy of an output transition, fJ. */
  readonly energy: number;
  /** nW */
  readonly leakage: number;
}

const X1: readonly Gate[] = [
  gate('INV', { Y: '!A' }, 0.5, 0.6, 3, 7, 0.06, 0.04),
  gate('BUF', { Y: 'A' }, 0.75, 0.5, 9, 6, 0.14, 0.07),
  gate('NAND2', { Y: '!(A * B)' }, 0.75, 0.6, 5, 8, 0.1, 0.05),
  gate('NOR2', { Y: '!(A + B)' }, 0.75, 0.6, 6, 9, 0.1, 0.05),
  gate('NAND3', { Y: '!(A * B * C)' }, 1, 0.65, 8, 9, 0.14, 0.06),
  gate('NOR3', { Y: '!(A + B + C)' }, 1, 0.65, 10, 11, 0.14, 0.06),
  gate('AND2', { Y: 'A * B' }, 1, 0.55, 11, 6, 0.2, 0.08),
  gate('OR2', { Y: 'A + B' }, 1, 0.55, 12, 6, 0.2, 0.08),
  gate('AOI21', { Y: '!((A * B) + C)' }, 1.1, 0.65, 8, 10, 0.15, 0.07),
  gate('OAI21', { Y: '!((A + B) * C)' }, 1.1, 0.65, 8, 10, 0.15, 0.07),
  gate('XOR2', { Y: 'A ^ B' }, 1.6, 0.95, 14, 9, 0.3, 0.1),
  gate('XNOR2', { Y: '!(A ^ B)' }, 1.6, 0.95, 14, 9, 0.3, 0.1),
  gate('MUX2', { Y: '(A * !S) + (B * S)' }, 1.7, 0.8, 15, 8, 0.3, 0.11),
  gate('MAJ', { Y: '(A * B) + (C * (A + B))' }, 1.9, 0.8, 17, 8, 0.34, 0.12),
  gate('HA', { S: 'A ^ B', C: 'A * B' }, 1.822, 1.1, 16, 9, 0.25, 0.14),
  gate('FA', { S: 'A ^ B ^ C', C: '(A * B) + (C * (A + B))' }, 4.47, 1.4, 24, 9, 0.45, 0.28),
];

/** The clock at which a gate's power is the unit, MHz. */
const UNIT_CLOCK = 100;

/**
 * What is told of the built-in technology: in gates, and for delays in those of an inverter that drives four of its
 * kind.
 */
export const unitGateUnits: Units = {
  area: 'AND2 gates',
  delay: 'FO4 delays',
  power: `AND2 gates at ${UNIT_CLOCK} MHz`,
  scale: { um2: UNIT_AREA, ps: fanoutOfFour(), mW: gatePower() },
};

/** ps; in a chain of such inverters, so that the input slew is the output slew. */
function fanoutOfFour(): number {
  const { delay, resistance, capacitance } = gateNamed('INV');
  const load = 4 * capacitance;
  const slew = SLEW_INTRINSIC * delay + SLEW_RESISTANCE * resistance * load;
  return delay + resistance * load + SLEW_SHARE * slew;
}

/** mW of an AND gate with random operands that drives another: it changes in 2 · ¼ · ¾ of the cycles. */
function gatePower(): number {
  const { energy, capacitance, leakage } = gateNamed('AND2');
  const fJ = (3 / 8) * (energy + (capacitance * VOLTAGE * VOLTAGE) / 2);
  return (fJ * UNIT_CLOCK + leakage) / 1e6;
}

function gateNamed(name: string): Gate {
  const found = X1.find((one) => one.name === name);
  invariant(found, `a built-in gate ${name}`);
  return found;
}

function gate(
  name: string,
  outputs: Record<string, string>,
  area: number,
  capacitance: number,
  delay: number,
  resistance: number,
  energy: number,
  leakage: number,
): Gate {
  // A full adder's carry output must not be called like its carry input.
  const pins = name === 'HA' || name === 'FA' ? { SUM: outputs.S!, CARRY: outputs.C! } : outputs;
  return { name, outputs: pins, area, capacitance, delay, resistance, energy, leakage };
}

/** Twice the drive: half the resistance for a third more area and 1.7 times the input capacitance. */
function doubled(one: Gate): Gate {
  return {
    ...one,
    area: one.area * 1.35,
    capacitance: one.capacitance * 1.7,
    resistance: one.resistance / 2,
    energy: one.energy * 1.5,
    leakage: one.leakage * 1.8,
  };
}

/** The built-in technology as Liberty text; the same object every time. */
export const unitGateLiberty: LibertyText = { name: 'unit-gate (built in)', text: write() };

function write(): string {
  const cells = X1.flatMap((one) => {
    const x1 = cell(`${one.name}_X1`, one);
    return one.name === 'HA' || one.name === 'FA' ? [x1] : [x1, cell(`${one.name}_X2`, doubled(one))];
  });
  return `library (unit_gate) {
  delay_model : table_lookup;
  time_unit : "1ps";
  capacitive_load_unit (1, ff);
  voltage_unit : "1V";
  current_unit : "1mA";
  leakage_power_unit : "1nW";
  nom_voltage : ${VOLTAGE};
  default_max_transition : 320;
  lu_table_template (delay) {
    variable_1 : input_net_transition;
    variable_2 : total_output_net_capacitance;
    index_1 ("${SLEWS.join(', ')}");
    index_2 ("${LOADS.join(', ')}");
  }
${cells.join('')}}
`;
}

function cell(name: string, one: Gate): string {
  const pins = [...new Set(Object.values(one.outputs).flatMap((text) => expression(text).pins))].sort();
  const inputs = pins.map(
    (pin) => `    pin (${pin}) { direction : input; capacitance : ${fixed(one.capacitance)}; }\n`,
  );
  const outputs = Object.entries(one.outputs).map(([pin, text]) => output(pin, text, pins, one));
  return `  cell (${name}) {
    area : ${fixed(one.area * UNIT_AREA)};
    cell_leakage_power : ${fixed(one.leakage)};
${inputs.join('')}${outputs.join('')}  }
`;
}

function output(pin: string, text: string, pins: readonly string[], one: Gate): string {
  const delays = table((slew, load) => one.delay + one.resistance * load + SLEW_SHARE * slew);
  const slews = table((_, load) => SLEW_INTRINSIC * one.delay + SLEW_RESISTANCE * one.resistance * load);
  const arcs = pins.map(
    (related) => `      timing () {
        related_pin : "${related}";
        timing_sense : ${unateness(text, pins, related)};
        cell_rise (delay) { ${delays} }
        cell_fall (delay) { ${delays} }
        rise_transition (delay) { ${slews} }
        fall_transition (delay) { ${slews} }
      }
`,
  );
  return `    pin (${pin}) {
      direction : output;
      function : "${text}";
      max_capacitance : ${LOADS.at(-1)};
      internal_power () {
        related_pin : "${pins.join(' ')}";
        rise_power (scalar) { values ("${fixed(one.energy)}"); }
        fall_power (scalar) { values ("${fixed(one.energy)}"); }
      }
${arcs.join('')}    }
`;
}

function table(value: (slew: number, load: number) => number): string {
  const rows = SLEWS.map((slew) => `"${LOADS.map((load) => fixed(value(slew, load))).join(', ')}"`);
  return `values (${rows.join(', ')});`;
}

function unateness(text: string, pins: readonly string[], pin: string): string {
  const bits = truthTable(expression(text), pins);
  const k = pins.indexOf(pin);
  let rises = false;
  let falls = false;
  for (let p = 0; p < 2 ** pins.length; p++) {
    if ((p >> k) & 1) continue;
    const [low, high] = [(bits >> p) & 1, (bits >> (p | (1 << k))) & 1];
    rises ||= low < high;
    falls ||= low > high;
  }
  return rises && falls ? 'non_unate' : falls ? 'negative_unate' : 'positive_unate';
}

function expression(text: string) {
  const parsed = parseExpression(text);
  invariant(!('error' in parsed), `the function "${text}" of a built-in gate`);
  return parsed;
}

function fixed(number: number): string {
  return String(Number(number.toFixed(5)));
}
