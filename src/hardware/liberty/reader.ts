// One Liberty text to a library. Units are converted here and nowhere else: times to ps, capacitances to fF, leakage to
// nW, internal energies (capacitance unit × voltage unit²) to fJ.
// Invariant: what is malformed (syntax, numbers, tables of another shape than their axes) refuses the file, with line
// and column; a cell that this program has no use for, or of which it does not understand a pin, a function, a
// condition or an arc, is left out with a note, never guessed at. Reading is linear in the text.
// Not read: constraints, composite current sources, noise, wire load models.

import { invariant } from '../../tensor/errors.ts';
import { clipped } from '../../tensor/names.ts';
import { type BooleanExpression, parseExpression } from './expression.ts';
import type { Cell, Edge, InputPin, LeakageState, Library, OutputPin, PowerArc, Unateness } from './library.ts';
import { type Attribute, attributeOf, attributeValue, type Group } from './syntax.ts';
import { LookupTable } from './table.ts';
import { arcsOf, isTimed, type TimingGroup, type TimingTables, tableNames } from './timing.ts';
import { failAt, lineAt } from './tokens.ts';

const MAX_TABLE = 4096;
const MAX_PINS = 5;
const SLEW_VARIABLES = new Set(['input_net_transition', 'input_transition_time']);
const LOAD_VARIABLES = new Set(['total_output_net_capacitance', 'equal_or_opposite_output_net_capacitance']);
const CELL_GROUPS_WITH_STATE = new Set(['ff', 'latch', 'ff_bank', 'latch_bank', 'statetable']);

interface Template {
  readonly variables: readonly string[];
  readonly indices: readonly (readonly number[] | null)[];
}

interface Units {
  readonly ps: number;
  readonly fF: number;
  readonly fJ: number;
  readonly nW: number;
}

/** Something in a cell that is not understood: the cell is left out. */
class OddCell extends Error {
  readonly offset: number;

  constructor(offset: number, found: string) {
    super(found);
    this.offset = offset;
  }
}

/** How many cells are named per reason, and how many odd ones with their line. */
const NAMED_CELLS = 3;
const LOCATED_CELLS = 4;

export class LibraryReader {
  readonly #text: string;
  readonly #file: string;
  readonly #root: Group;
  readonly #templates = new Map<string, Template>();
  readonly #units: Units;

  /** Throws a located UserError for units that are none. */
  constructor(text: string, file: string, root: Group) {
    this.#text = text;
    this.#file = file;
    this.#root = root;
    this.#units = this.#readUnits();
  }

  fail(at: { readonly offset: number }, found: string, expected: string): never {
    return failAt(this.#text, this.#file, at.offset, found, expected);
  }

  /** Leaves the cell out that is being read. */
  #odd(at: { readonly offset: number }, found: string): never {
    throw new OddCell(at.offset, clipped(found, 100));
  }

  /** May have no cells. Throws a located UserError. */
  library(): Library {
    const root = this.#root;
    for (const group of root.groups) {
      if (group.name !== 'lu_table_template' && group.name !== 'power_lut_template') continue;
      const indices = [1, 2].map((n) => this.#numberList(group, `index_${n}`));
      const variables = [1, 2].flatMap((n) => attributeValue(group, `variable_${n}`) ?? []);
      this.#templates.set(group.args[0] ?? '', { variables, indices });
    }
    const cells = new Map<string, Cell>();
    const skipped: string[] = [];
    const reasons = new Map<string, string[]>();
    const leaveOut = (name: string, reason: string) => {
      const others = reasons.get(reason);
      if (others) others.push(name);
      else reasons.set(reason, [name]);
    };
    for (const group of root.groups) {
      if (group.name !== 'cell') continue;
      const name = group.args[0];
      if (!name) this.fail(group, 'a cell without a name', 'cell (NAME) { … }');
      if (cells.has(name)) {
        leaveOut(name, 'defined before');
        continue;
      }
      const cell = this.#cellOrReason(name, group, reasons.size < LOCATED_CELLS);
      if (typeof cell !== 'string') cells.set(name, cell);
      else {
        skipped.push(name);
        leaveOut(name, cell);
      }
    }
    const voltage = this.#voltage();
    const notes = [...reasons].map(([reason, names]) => `${this.#file}: left out: ${listed(names)} (${reason})`);
    if (cells.size > 0 && voltage === null) {
      notes.push(`${this.#file}: no supply voltage (nom_voltage), so power is not known`);
    }
    return { name: root.args[0] ?? 'library', voltage, cells, skipped, notes };
  }

  /** The cell, or the reason why it is left out; its line is looked for only where it will be told. */
  #cellOrReason(name: string, group: Group, located: boolean): Cell | string {
    try {
      return this.#cell(name, group);
    } catch (error) {
      if (!(error instanceof OddCell)) throw error;
      return located ? `${error.message} in line ${lineAt(this.#text, error.offset)}` : 'not understood';
    }
  }

  #voltage(): number | null {
    const root = this.#root;
    const wanted = attributeValue(root, 'default_operating_conditions');
    const conditions = root.groups.find((group) => group.name === 'operating_conditions' && group.args[0] === wanted);
    const fromConditions = conditions && this.#number(conditions, 'voltage');
    const volts = (fromConditions ?? this.#number(root, 'nom_voltage') ?? Number.NaN) * this.#voltUnit();
    if (volts <= 0) this.fail(root, `a supply voltage of ${volts} V`, 'nom_voltage : … in volts');
    return Number.isNaN(volts) ? null : volts;
  }

  #voltUnit(): number {
    return this.#unit('voltage_unit', 'V', { V: 1, mV: 1e-3 }, 1);
  }

  #readUnits(): Units {
    const ps = this.#unit('time_unit', 's', { ps: 1, ns: 1e3, fs: 1e-3 }, 1e3);
    const volts = this.#voltUnit();
    const nW = this.#unit('leakage_power_unit', 'W', { pW: 1e-3, nW: 1, uW: 1e3, mW: 1e6 }, 1);
    const capacitance = attributeOf(this.#root, 'capacitive_load_unit');
    let fF = 1e3;
    if (capacitance) {
      const scale = { ff: 1, pf: 1e3 }[(capacitance.values[1] ?? '').toLowerCase()];
      fF = Number(capacitance.values[0]) * (scale ?? Number.NaN);
      if (!(fF > 0))
        this.fail(capacitance, `capacitive_load_unit (${capacitance.values})`, '(number, ff) or (number, pf)');
    }
    return { ps, fF, fJ: fF * volts * volts, nW };
  }

  #unit(name: string, symbol: string, scales: Record<string, number>, otherwise: number): number {
    const attribute = attributeOf(this.#root, name);
    if (!attribute) return otherwise;
    const match = /^([0-9.]+)\s*([a-zA-Z]+)$/.exec(attribute.values[0] ?? '');
    const key = Object.keys(scales).find((unit) => unit.toLowerCase() === match?.[2]?.toLowerCase());
    const factor = match && key ? Number(match[1]) * scales[key]! : Number.NaN;
    if (!(factor > 0)) {
      this.fail(
        attribute,
        `${name} "${attribute.values[0]}"`,
        `a multiple of ${Object.keys(scales).join(', ')} (${symbol})`,
      );
    }
    return factor;
  }

  /**
   * The reason where the cell has storage, a three-state output, no function or more inputs than a truth table here
   * holds.
   */
  #cell(name: string, group: Group): Cell | string {
    if (group.groups.some((inner) => CELL_GROUPS_WITH_STATE.has(inner.name))) return 'storage';
    if (group.groups.some((inner) => inner.name === 'bus' || inner.name === 'bundle')) return 'pins in buses';
    const inputs: InputPin[] = [];
    const outputs: OutputPin[] = [];
    const pins = group.groups.filter((inner) => inner.name === 'pin');
    const inputNames = pins
      .filter((pin) => attributeValue(pin, 'direction') === 'input')
      .map((pin) => pin.args[0] ?? '');
    const pinNames = new Set(pins.map((pin) => pin.args[0] ?? ''));
    if (pinNames.size !== pins.length) return 'two pins of one name';
    if (inputNames.length > MAX_PINS) return `more than ${MAX_PINS} inputs`;
    for (const pin of pins) {
      const direction = attributeValue(pin, 'direction');
      if (direction === 'input') inputs.push(this.#inputPin(pin, pinNames));
      else if (direction !== 'output') return `a pin of direction ${clipped(direction ?? 'unknown', 20)}`;
      else if (attributeValue(pin, 'three_state')) return 'three-state output';
      else if (!attributeValue(pin, 'function')) return 'no function';
      else outputs.push(this.#outputPin(pin, new Set(inputNames), pinNames));
    }
    if (outputs.length === 0) return 'no output';
    // An output may be timed from another output of its cell (a full adder's sum from its carry): that one stands
    // before it.
    const dependent = (pin: OutputPin) => Number(pin.timing.some((arc) => !inputNames.includes(arc.relatedPin)));
    outputs.sort((a, b) => dependent(a) - dependent(b));
    const leakage = this.#leakage(group, pinNames);
    const area = this.#number(group, 'area') ?? 0;
    if (area < 0) this.fail(group, `an area of ${area}`, 'a positive number of µm²');
    const timed = isTimed(inputNames, outputs);
    return { name, area, dontUse: attributeValue(group, 'dont_use') === 'true', timed, inputs, outputs, ...leakage };
  }

  #inputPin(pin: Group, pinNames: ReadonlySet<string>): InputPin {
    const capacitance =
      (this.#number(pin, 'capacitance') ?? this.#number(this.#root, 'default_input_pin_cap') ?? 0) * this.#units.fF;
    return { name: pin.args[0]!, capacitance, power: this.#power(pin, pinNames) };
  }

  #outputPin(pin: Group, inputs: ReadonlySet<string>, pinNames: ReadonlySet<string>): OutputPin {
    const attribute = attributeOf(pin, 'function')!;
    const expression = this.#expression(attribute, inputs);
    const maximum = this.#number(pin, 'max_capacitance');
    return {
      name: pin.args[0]!,
      function: expression,
      maxCapacitance: maximum === undefined ? Number.POSITIVE_INFINITY : maximum * this.#units.fF,
      timing: arcsOf(
        pin.groups.filter((inner) => inner.name === 'timing').flatMap((inner) => this.#timing(inner, pinNames)),
      ),
      power: this.#power(pin, pinNames),
    };
  }

  #timing(group: Group, pinNames: ReadonlySet<string>): TimingGroup[] {
    const type = attributeValue(group, 'timing_type') ?? 'combinational';
    if (!/^combinational(_rise|_fall)?$/.test(type)) return [];
    const senses: Record<string, Unateness> = {
      positive_unate: 'positive',
      negative_unate: 'negative',
      non_unate: 'none',
    };
    const senseText = attributeValue(group, 'timing_sense') ?? 'non_unate';
    const sense = Object.hasOwn(senses, senseText) ? senses[senseText] : undefined;
    if (!sense) this.#odd(group, `timing_sense "${senseText}"`);
    const tables: TimingTables = {};
    for (const name of tableNames) {
      const table = this.#table(group, name, this.#units.ps);
      if (table) tables[name] = table;
    }
    return this.#relatedPins(group, pinNames).map((relatedPin) => ({ relatedPin, sense, tables }));
  }

  #power(pin: Group, pinNames: ReadonlySet<string>): PowerArc[] {
    const arcs: PowerArc[] = [];
    for (const group of pin.groups) {
      if (group.name !== 'internal_power') continue;
      const both = this.#table(group, 'power', this.#units.fJ);
      const energy: Record<Edge, LookupTable | null> = {
        rise: this.#table(group, 'rise_power', this.#units.fJ) ?? both,
        fall: this.#table(group, 'fall_power', this.#units.fJ) ?? both,
      };
      const when = this.#when(group, pinNames);
      const rail = attributeValue(group, 'related_pg_pin') ?? '';
      const related = attributeValue(group, 'related_pin') ? this.#relatedPins(group, pinNames) : [null];
      for (const relatedPin of related) arcs.push({ relatedPin, when, rail, energy });
    }
    return arcs;
  }

  #leakage(cell: Group, pinNames: ReadonlySet<string>): { defaultLeakage: number; leakage: LeakageState[] } {
    const states = new Map<string, { when: BooleanExpression; nW: number }>();
    let defaultLeakage = (this.#number(cell, 'cell_leakage_power') ?? 0) * this.#units.nW;
    let unconditional = 0;
    for (const group of cell.groups) {
      if (group.name !== 'leakage_power') continue;
      const nW = (this.#number(group, 'value') ?? 0) * this.#units.nW;
      const when = this.#when(group, pinNames);
      if (when)
        states.set(when.text, { when, nW: nW + (states.get(when.text)?.nW ?? 0) }); // one per supply rail
      else unconditional += nW;
    }
    if (unconditional > 0) defaultLeakage = unconditional;
    return { defaultLeakage, leakage: [...states.values()] };
  }

  #when(group: Group, pinNames: ReadonlySet<string>): BooleanExpression | null {
    const attribute = attributeOf(group, 'when');
    return attribute ? this.#expression(attribute, pinNames) : null;
  }

  #expression(attribute: Attribute, pins: ReadonlySet<string>): BooleanExpression {
    const parsed = parseExpression(attribute.values[0] ?? '');
    if ('error' in parsed) this.#odd(attribute, `the ${attribute.name} with ${parsed.error}`);
    const foreign = parsed.pins.find((pin) => !pins.has(pin));
    if (foreign !== undefined) this.#odd(attribute, `the ${attribute.name} of the unknown pin "${foreign}"`);
    return parsed;
  }

  #relatedPins(group: Group, pins: ReadonlySet<string>): string[] {
    const names = (attributeValue(group, 'related_pin') ?? '').split(/\s+/).filter((name) => name !== '');
    if (names.length === 0) this.#odd(group, `${group.name} without a related_pin`);
    const foreign = names.find((name) => !pins.has(name));
    if (foreign !== undefined) this.#odd(group, `${group.name} from the unknown pin "${foreign}"`);
    return names;
  }

  #table(owner: Group, name: string, scale: number): LookupTable | null {
    const group = owner.groups.find((inner) => inner.name === name);
    if (!group) return null;
    const template = this.#templates.get(group.args[0] ?? '');
    const rows = attributeOf(group, 'values');
    if (!rows) this.fail(group, `the table "${name}" without values`, 'values ("…", …)');
    const values = this.#numbers(rows);
    const indices = [0, 1].map((n) => this.#numberList(group, `index_${n + 1}`) ?? template?.indices[n] ?? null);
    const axis = (variables: ReadonlySet<string>) => template?.variables.findIndex((one) => variables.has(one)) ?? -1;
    const [slewAxis, loadAxis] = [axis(SLEW_VARIABLES), axis(LOAD_VARIABLES)];
    const slews = (slewAxis >= 0 ? indices[slewAxis] : null) ?? [0];
    const loads = (loadAxis >= 0 ? indices[loadAxis] : null) ?? [0];
    if (values.length > MAX_TABLE || slews.length * loads.length !== values.length) {
      const shape = `${slews.length} slews × ${loads.length} loads`;
      this.fail(
        group,
        `a table "${name}" of ${values.length} values for ${shape}`,
        `one value each, at most ${MAX_TABLE}`,
      );
    }
    const slewMajor =
      slewAxis === 1 && loadAxis === 0
        ? values.map((_, n) => values[(n % loads.length) * slews.length + Math.floor(n / loads.length)]!)
        : values;
    return new LookupTable(
      slews.map((slew) => slew * this.#units.ps),
      loads.map((load) => load * this.#units.fF),
      slewMajor.map((one) => one * scale),
    );
  }

  /** An index: strictly increasing numbers. */
  #numberList(group: Group, name: string): number[] | null {
    const attribute = attributeOf(group, name);
    if (!attribute) return null;
    const list = this.#numbers(attribute);
    if (list.some((one, n) => n > 0 && one <= list[n - 1]!))
      this.fail(attribute, `${name} (${list})`, 'increasing numbers');
    return list;
  }

  #numbers(attribute: Attribute): number[] {
    const list: number[] = [];
    for (const text of attribute.values) {
      for (const part of text.split(/[\s,]+/)) {
        if (part === '') continue;
        const number = Number(part);
        if (!Number.isFinite(number)) this.fail(attribute, `"${part.slice(0, 40)}" in ${attribute.name}`, 'numbers');
        list.push(number);
      }
    }
    if (list.length === 0) this.fail(attribute, `${attribute.name} without numbers`, 'at least one number');
    invariant(list.length < 2 ** 24, 'a Liberty attribute of more than 16 million numbers');
    return list;
  }

  #number(group: Group, name: string): number | undefined {
    const attribute = attributeOf(group, name);
    if (!attribute) return undefined;
    const number = Number(attribute.values[0]);
    if (!Number.isFinite(number) || attribute.values[0]?.trim() === '') {
      this.fail(attribute, `${name} "${attribute.values[0]}"`, 'a number');
    }
    return number;
  }
}

/** A few names, and how many more. */
function listed(names: readonly string[]): string {
  const shown = names.slice(0, NAMED_CELLS).map((name) => clipped(name, 60));
  return `${shown.join(', ')}${names.length > NAMED_CELLS ? ` and ${names.length - NAMED_CELLS} more` : ''}`;
}
