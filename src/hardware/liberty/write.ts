// The timing half of a library as Liberty text, for ABC: one-output cells with area, pins, functions and delay tables,
// in ps and fF.
// Only what this program has understood reaches ABC, and a text a fifth as long as the original is read that much
// faster.
// Invariant: names are plain identifiers (abc-cells.ts sees to it); other cells are left out. Power and leakage are not
// written.

import { type Cell, hasPlainNames, type TimingArc, type Unateness } from './library.ts';
import type { LookupTable } from './table.ts';

const SENSES: Readonly<Record<Unateness, string>> = {
  positive: 'positive_unate',
  negative: 'negative_unate',
  none: 'non_unate',
};

export function writeTimingLiberty(cells: Iterable<Cell>): string {
  const used = [...cells].filter((cell) => cell.outputs.length === 1 && hasPlainNames(cell));
  const templates = new Map<string, LookupTable>();
  for (const cell of used) {
    for (const { delay, transition } of cell.outputs[0]!.timing) {
      for (const table of [delay.rise, delay.fall, transition.rise, transition.fall])
        templates.set(template(table), table);
    }
  }
  return `library (cells) {
  delay_model : table_lookup;
  time_unit : "1ps";
  capacitive_load_unit (1, ff);
  voltage_unit : "1V";
  current_unit : "1mA";
  leakage_power_unit : "1nW";
  pulling_resistance_unit : "1kohm";
  nom_voltage : 1;
${[...templates.values()].map(writeTemplate).join('')}${used.map(writeCell).join('')}}
`;
}

/** ABC takes the size of a table from its template, so there is one for each size. */
function template({ slews, loads }: LookupTable): string {
  return `delay_${Math.max(2, slews.length)}x${Math.max(2, loads.length)}`;
}

function writeTemplate(table: LookupTable): string {
  return `  lu_table_template (${template(table)}) {
    variable_1 : input_net_transition;
    variable_2 : total_output_net_capacitance;
    index_1 ("${axis(table.slews)}");
    index_2 ("${axis(table.loads)}");
  }
`;
}

function writeCell({ name, area, inputs, outputs }: Cell): string {
  const [output] = outputs;
  const pins = inputs.map(
    (pin) => `    pin (${pin.name}) { direction : input; capacitance : ${number(pin.capacitance)}; }\n`,
  );
  const limit = Number.isFinite(output!.maxCapacitance) ? ` max_capacitance : ${number(output!.maxCapacitance)};` : '';
  return `  cell (${name}) {
    area : ${number(area)};
${pins.join('')}    pin (${output!.name}) { direction : output; function : "${output!.function.text}";${limit}
${output!.timing.map(writeArc).join('')}    }
  }
`;
}

function writeArc({ relatedPin, sense, delay, transition }: TimingArc): string {
  return `      timing () { related_pin : "${relatedPin}"; timing_sense : ${SENSES[sense]};
        cell_rise ${writeTable(delay.rise)}
        cell_fall ${writeTable(delay.fall)}
        rise_transition ${writeTable(transition.rise)}
        fall_transition ${writeTable(transition.fall)}
      }
`;
}

/** Tables of fewer than two points on an axis get a second, equal one: ABC wants two. */
function writeTable(table: LookupTable): string {
  const { slews, loads, values } = table;
  const columns = loads.length;
  const rows = Array.from({ length: slews.length }, (_, i) => values.subarray(i * columns, (i + 1) * columns));
  const wide = rows.map((row) => (columns === 1 ? [row[0]!, row[0]!] : [...row]));
  const all = wide.length === 1 ? [wide[0]!, wide[0]!] : wide;
  const lines = all.map((row) => `"${row.map(number).join(', ')}"`);
  return `(${template(table)}) { index_1 ("${axis(slews)}"); index_2 ("${axis(loads)}"); values (${lines.join(', ')}); }`;
}

function axis(points: Float64Array): string {
  return (points.length === 1 ? [points[0]!, points[0]! + 1] : [...points]).map(number).join(', ');
}

function number(value: number): string {
  return String(Number(value.toPrecision(6)));
}
