// From the groups of a Liberty text to a Library. Units are converted here and nowhere else: times to ps, capacitances to fF, leakage to
// nW, internal energies (capacitance unit × voltage unit²) to fJ.
// Invariant: what is wrong is reported with file, line and column; a cell that this program has no use for is skipped, never guessed at.
// Not read: constraints, composite current sources, noise, wire load models.

import { clipped } from '../../netlist/diagnostics.ts';
import { invariant, UserError } from '../../tensor/errors.ts';
import { type BooleanExpression, parseExpression } from './expression.ts';
import type {
  Cell,
  Edge,
  InputPin,
  LeakageState,
  Library,
  OutputPin,
  PowerArc,
  TimingArc,
  Unateness,
} from './library.ts';
import { type Attribute, type Group, parseGroups } from './syntax.ts';
import { LookupTable } from './table.ts';
import { failAt } from './tokens.ts';

export interface LibertyText {
  /** Names the source in messages. */
  readonly name: string;
  readonly text: string;
}

/** Reads one Liberty text. Throws a located UserError. */
export function readLiberty({ name, text }: LibertyText): Library {
  const root = parseGroups(text, name);
  const reader = new LibraryReader(text, name, root);
  if (root.name !== 'library') reader.fail(root, `the group "${root.name}"`, 'library (name) { … }');
  return reader.library();
}

const readTexts = new WeakMap<LibertyText, Library>();

/** Reads several texts as one library; a text object that was read before is not read again. Throws a UserError. */
export function readLiberties(texts: readonly LibertyText[]): Library {
  if (texts.length === 0) throw new UserError('no Liberty text given: expected at least one library of cells');
  const libraries = texts.map((text) => {
    const library = readTexts.get(text) ?? readLiberty(text);
    readTexts.set(text, library);
    return library;
  });
  const [first] = libraries;
  const cells = new Map<string, Cell>();
  libraries.forEach((library, n) => {
    if (library.voltage !== first!.voltage) {
      throw new UserError(
        `${texts[n]!.name} is characterised at ${library.voltage} V and ${texts[0]!.name} at ${first!.voltage} V: ` +
          'expected Liberty files of one corner',
      );
    }
    for (const [name, cell] of library.cells) {
      if (cells.has(name))
        throw new UserError(
          `cell "${clipped(name, 100)}" of ${texts[n]!.name} is in an earlier file already: give each file once`,
        );
      cells.set(name, cell);
    }
  });
  return {
    name: libraries.map((library) => library.name).join('+'),
    voltage: first!.voltage,
    cells,
    skipped: libraries.flatMap((library) => library.skipped),
  };
}

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

class LibraryReader {
  private readonly text: string;
  private readonly file: string;
  private readonly root: Group;
  private readonly templates = new Map<string, Template>();
  private readonly units: Units;

  constructor(text: string, file: string, root: Group) {
    this.text = text;
    this.file = file;
    this.root = root;
    this.units = this.readUnits();
  }

  fail(at: { readonly offset: number }, found: string, expected: string): never {
    return failAt(this.text, this.file, at.offset, found, expected);
  }

  library(): Library {
    const { root } = this;
    for (const group of root.groups) {
      if (group.name !== 'lu_table_template' && group.name !== 'power_lut_template') continue;
      const indices = [1, 2].map((n) => this.numberList(group, `index_${n}`));
      const variables = [1, 2].flatMap((n) => value(group, `variable_${n}`) ?? []);
      this.templates.set(group.args[0] ?? '', { variables, indices });
    }
    const cells = new Map<string, Cell>();
    const skipped: string[] = [];
    for (const group of root.groups) {
      if (group.name !== 'cell') continue;
      const name = group.args[0];
      if (!name) this.fail(group, 'a cell without a name', 'cell (NAME) { … }');
      if (cells.has(name)) this.fail(group, `a second cell "${name}"`, 'a name of its own');
      const cell = this.cell(name, group);
      if (cell) cells.set(name, cell);
      else skipped.push(name);
    }
    if (cells.size === 0) this.fail(root, 'a library without combinational cells', 'at least one cell with a function');
    const name = root.args[0] ?? 'library';
    return { name, voltage: this.voltage(), cells, skipped };
  }

  private voltage(): number {
    const { root } = this;
    const wanted = value(root, 'default_operating_conditions');
    const conditions = root.groups.find((group) => group.name === 'operating_conditions' && group.args[0] === wanted);
    const fromConditions = conditions && this.number(conditions, 'voltage');
    const volts = (fromConditions ?? this.number(root, 'nom_voltage') ?? Number.NaN) * this.voltUnit();
    if (!(volts > 0)) this.fail(root, 'a library without a supply voltage', 'nom_voltage : … in volts');
    return volts;
  }

  private voltUnit(): number {
    return this.unit('voltage_unit', 'V', { V: 1, mV: 1e-3 }, 1);
  }

  private readUnits(): Units {
    const ps = this.unit('time_unit', 's', { ps: 1, ns: 1e3, fs: 1e-3 }, 1e3);
    const volts = this.voltUnit();
    const nW = this.unit('leakage_power_unit', 'W', { pW: 1e-3, nW: 1, uW: 1e3, mW: 1e6 }, 1);
    const capacitance = this.root.attributes.find((attribute) => attribute.name === 'capacitive_load_unit');
    let fF = 1e3;
    if (capacitance) {
      const scale = { ff: 1, pf: 1e3 }[(capacitance.values[1] ?? '').toLowerCase()];
      fF = Number(capacitance.values[0]) * (scale ?? Number.NaN);
      if (!(fF > 0))
        this.fail(capacitance, `capacitive_load_unit (${capacitance.values})`, '(number, ff) or (number, pf)');
    }
    return { ps, fF, fJ: fF * volts * volts, nW };
  }

  private unit(name: string, symbol: string, scales: Record<string, number>, otherwise: number): number {
    const attribute = this.root.attributes.find((one) => one.name === name);
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

  /** null for a cell with storage, a three-state output, no function or more inputs than a truth table here holds. */
  private cell(name: string, group: Group): Cell | null {
    if (group.groups.some((inner) => CELL_GROUPS_WITH_STATE.has(inner.name))) return null;
    const inputs: InputPin[] = [];
    const outputs: OutputPin[] = [];
    const pins = group.groups.filter((inner) => inner.name === 'pin');
    const inputNames = pins.filter((pin) => value(pin, 'direction') === 'input').map((pin) => pin.args[0] ?? '');
    const pinNames = new Set(pins.map((pin) => pin.args[0] ?? ''));
    if (inputNames.length > MAX_PINS || pinNames.size !== pins.length) return null;
    for (const pin of pins) {
      const direction = value(pin, 'direction');
      if (direction === 'input') inputs.push(this.inputPin(pin, pinNames));
      else if (direction !== 'output' || !value(pin, 'function') || value(pin, 'three_state')) return null;
      else outputs.push(this.outputPin(pin, new Set(inputNames), pinNames));
    }
    if (outputs.length === 0) return null;
    // An output may be timed from another output of its cell (a full adder's sum from its carry): that one stands before it.
    const dependent = (pin: OutputPin) => Number(pin.timing.some((arc) => !inputNames.includes(arc.relatedPin)));
    outputs.sort((a, b) => dependent(a) - dependent(b));
    const leakage = this.leakage(group, pinNames);
    const area = this.number(group, 'area') ?? 0;
    if (area < 0) this.fail(group, `an area of ${area}`, 'a positive number of µm²');
    return { name, area, dontUse: value(group, 'dont_use') === 'true', inputs, outputs, ...leakage };
  }

  private inputPin(pin: Group, pinNames: ReadonlySet<string>): InputPin {
    const capacitance =
      (this.number(pin, 'capacitance') ?? this.number(this.root, 'default_input_pin_cap') ?? 0) * this.units.fF;
    return { name: pin.args[0]!, capacitance, power: this.power(pin, pinNames) };
  }

  private outputPin(pin: Group, inputs: ReadonlySet<string>, pinNames: ReadonlySet<string>): OutputPin {
    const attribute = pin.attributes.find((one) => one.name === 'function')!;
    const expression = this.expression(attribute, inputs);
    const maximum = this.number(pin, 'max_capacitance');
    return {
      name: pin.args[0]!,
      function: expression,
      maxCapacitance: maximum === undefined ? Number.POSITIVE_INFINITY : maximum * this.units.fF,
      timing: pin.groups.filter((inner) => inner.name === 'timing').flatMap((inner) => this.timing(inner, pinNames)),
      power: this.power(pin, pinNames),
    };
  }

  private timing(group: Group, pinNames: ReadonlySet<string>): TimingArc[] {
    const type = value(group, 'timing_type') ?? 'combinational';
    if (!/^combinational(_rise|_fall)?$/.test(type)) return [];
    const senses: Record<string, Unateness> = {
      positive_unate: 'positive',
      negative_unate: 'negative',
      non_unate: 'none',
    };
    const senseText = value(group, 'timing_sense') ?? 'non_unate';
    const sense = Object.hasOwn(senses, senseText) ? senses[senseText] : undefined;
    if (!sense) this.fail(group, `timing_sense "${senseText}"`, `one of ${Object.keys(senses).join(', ')}`);
    const table = (name: string) => this.table(group, name, this.units.ps);
    const [rise, fall] = [table('cell_rise'), table('cell_fall')];
    const [riseTransition, fallTransition] = [table('rise_transition'), table('fall_transition')];
    if (!rise || !fall || !riseTransition || !fallTransition) return [];
    return this.relatedPins(group, pinNames).map((relatedPin) => ({
      relatedPin,
      sense,
      delay: { rise, fall },
      transition: { rise: riseTransition, fall: fallTransition },
    }));
  }

  private power(pin: Group, pinNames: ReadonlySet<string>): PowerArc[] {
    const arcs: PowerArc[] = [];
    for (const group of pin.groups) {
      if (group.name !== 'internal_power') continue;
      const both = this.table(group, 'power', this.units.fJ);
      const energy: Record<Edge, LookupTable | null> = {
        rise: this.table(group, 'rise_power', this.units.fJ) ?? both,
        fall: this.table(group, 'fall_power', this.units.fJ) ?? both,
      };
      const when = this.when(group, pinNames);
      const rail = value(group, 'related_pg_pin') ?? '';
      const related = value(group, 'related_pin') ? this.relatedPins(group, pinNames) : [null];
      for (const relatedPin of related) arcs.push({ relatedPin, when, rail, energy });
    }
    return arcs;
  }

  private leakage(cell: Group, pinNames: ReadonlySet<string>): { defaultLeakage: number; leakage: LeakageState[] } {
    const states = new Map<string, { when: BooleanExpression; nW: number }>();
    let defaultLeakage = (this.number(cell, 'cell_leakage_power') ?? 0) * this.units.nW;
    let unconditional = 0;
    for (const group of cell.groups) {
      if (group.name !== 'leakage_power') continue;
      const nW = (this.number(group, 'value') ?? 0) * this.units.nW;
      const when = this.when(group, pinNames);
      if (when)
        states.set(when.text, { when, nW: nW + (states.get(when.text)?.nW ?? 0) }); // one per supply rail
      else unconditional += nW;
    }
    if (unconditional > 0) defaultLeakage = unconditional;
    return { defaultLeakage, leakage: [...states.values()] };
  }

  private when(group: Group, pinNames: ReadonlySet<string>): BooleanExpression | null {
    const attribute = group.attributes.find((one) => one.name === 'when');
    return attribute ? this.expression(attribute, pinNames) : null;
  }

  private expression(attribute: Attribute, pins: ReadonlySet<string>): BooleanExpression {
    const parsed = parseExpression(attribute.values[0] ?? '');
    if ('error' in parsed) {
      return this.fail(
        attribute,
        `${attribute.name} "${attribute.values[0]}": ${parsed.error}`,
        'a Boolean expression of pins',
      );
    }
    const foreign = parsed.pins.find((pin) => !pins.has(pin));
    if (foreign) this.fail(attribute, `the pin "${foreign}"`, `one of ${[...pins].join(', ') || 'none'}`);
    return parsed;
  }

  private relatedPins(group: Group, pins: ReadonlySet<string>): string[] {
    const names = (value(group, 'related_pin') ?? '').split(/\s+/).filter((name) => name !== '');
    const foreign = names.find((name) => !pins.has(name));
    if (foreign !== undefined || names.length === 0) {
      this.fail(group, `related_pin "${names.join(' ')}"`, `one or more of ${[...pins].join(', ')}`);
    }
    return names;
  }

  private table(owner: Group, name: string, scale: number): LookupTable | null {
    const group = owner.groups.find((inner) => inner.name === name);
    if (!group) return null;
    const template = this.templates.get(group.args[0] ?? '');
    const rows = group.attributes.find((attribute) => attribute.name === 'values');
    if (!rows) this.fail(group, `the table "${name}" without values`, 'values ("…", …)');
    const values = this.numbers(rows);
    const indices = [0, 1].map((n) => this.numberList(group, `index_${n + 1}`) ?? template?.indices[n] ?? null);
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
      slews.map((slew) => slew * this.units.ps),
      loads.map((load) => load * this.units.fF),
      slewMajor.map((one) => one * scale),
    );
  }

  /** An index: strictly increasing numbers. */
  private numberList(group: Group, name: string): number[] | null {
    const attribute = group.attributes.find((one) => one.name === name);
    if (!attribute) return null;
    const list = this.numbers(attribute);
    if (list.some((one, n) => n > 0 && one <= list[n - 1]!))
      this.fail(attribute, `${name} (${list})`, 'increasing numbers');
    return list;
  }

  private numbers(attribute: Attribute): number[] {
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

  private number(group: Group, name: string): number | undefined {
    const attribute = group.attributes.find((one) => one.name === name);
    if (!attribute) return undefined;
    const number = Number(attribute.values[0]);
    if (!Number.isFinite(number) || attribute.values[0]?.trim() === '') {
      this.fail(attribute, `${name} "${attribute.values[0]}"`, 'a number');
    }
    return number;
  }
}

function value(group: Group, name: string): string | undefined {
  return group.attributes.find((attribute) => attribute.name === name)?.values[0];
}
