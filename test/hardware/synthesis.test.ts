// Synthesis and proofs of equivalence through the bundled Yosys, on one warm worker.

import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { proveEquivalent } from '../../src/hardware/equivalence.ts';
import { readLibertyFile } from '../../src/hardware/liberty/file.ts';
import { readLiberty } from '../../src/hardware/liberty/read.ts';
import { readMapped } from '../../src/hardware/mapped.ts';
import { synthesize } from '../../src/hardware/synthesize.ts';
import { unitGateLiberty } from '../../src/hardware/technology/unit-gate.ts';
import { Timing } from '../../src/hardware/timing.ts';
import { BundledYosys } from '../../src/hardware/yosys/bundled.ts';
import { SystemYosys } from '../../src/hardware/yosys/system.ts';
import { arrayMultiplier } from '../../src/netlist/generators/array.ts';
import { generate } from '../../src/netlist/generators/registry.ts';
import { UserError } from '../../src/tensor/errors.ts';
import { asap7Files, describeWithAsap7 } from '../shared.ts';
import { invertingAdders } from './inverting.ts';

const yosys = new BundledYosys();
afterAll(() => yosys.close());

const product = (bits: number, value = 'a * b') => ({
  verilog: `module m(input [${bits - 1}:0] a, input [${bits - 1}:0] b, output [${2 * bits - 1}:0] y); assign y = ${value}; endmodule`,
});
const shiftAdd = (bits: number) =>
  product(bits, Array.from({ length: bits }, (_, k) => `(({${bits}{b[${k}]}} & a) << ${k})`).join(' + '));
const array = (bits: number) => ({ network: arrayMultiplier(bits, bits) });

/** Good inverter, buffer and NAND gate; `timing` of the NAND gate and more cells as given. */
function tiny({ nand = '', pins = ['A', 'B'], buffer = true, more = '', voltage = 'nom_voltage : 1;' } = {}): string {
  const tables = (names: readonly string[]) =>
    names.map((name) => `${name} (t) { values ("0.02, 0.06", "0.03, 0.07"); }`).join(' ');
  const all = tables(['cell_rise', 'cell_fall', 'rise_transition', 'fall_transition']);
  const arc = (pin: string, sense: string) =>
    `timing () { related_pin : "${pin}"; timing_sense : ${sense}_unate; ${all} }`;
  const input = (pin: string) => `pin (${pin}) { direction : input; capacitance : 0.001; }`;
  const output = (text: string, timing: string) => `pin (Y) { direction : output; function : "${text}"; ${timing} }`;
  const [a, b] = pins;
  const split = [a, b].map(
    (pin) =>
      `timing () { related_pin : "${pin}"; timing_sense : negative_unate; ${tables(['cell_rise', 'rise_transition'])} }
       timing () { related_pin : "${pin}"; timing_sense : negative_unate; ${tables(['cell_fall', 'fall_transition'])} }`,
  );
  const nandTiming = nand === 'split' ? split.join(' ') : nand || `${arc(a!, 'negative')} ${arc(b!, 'negative')}`;
  return `library (tiny) { time_unit : "1ns"; capacitive_load_unit (1, pf); ${voltage}
    lu_table_template (t) { variable_1 : input_net_transition; variable_2 : total_output_net_capacitance;
      index_1 ("0.01, 0.1"); index_2 ("0.001, 0.01"); }
    cell (INV) { area : 1; ${input('A')} ${output('!A', arc('A', 'negative'))} }
    ${buffer ? `cell (BUF) { area : 1.5; ${input('A')} ${output('A', arc('A', 'positive'))} }` : ''}
    cell (NAND2) { area : 2; ${pins.map(input).join(' ')} ${output(`!(${a} & ${b})`, nandTiming)} }
    ${more} }`;
}

describe('synthesize', () => {
  it('maps a multiplier into the built-in technology and gives back a netlist equal to it', async () => {
    const result = await synthesize({ circuit: array(4), yosys });
    expect(result.verified).toEqual({ patterns: 256, exhaustive: true });
    expect(result.meetsTarget).toBe(true);
    expect(result.delay).toBeLessThanOrEqual(19);
    expect(result.criticalPath.at(-1)!.arrival).toBe(result.delay);
    expect(result.candidates.filter(({ problem }) => problem !== null)).toEqual([]);
    expect(Math.min(...result.candidates.map(({ area }) => area!))).toBeCloseTo(result.area, 9);
    const { internal, switching, leakage, total } = result.power!;
    expect(total).toBeCloseTo(internal + switching + leakage, 12);
    expect(Math.min(internal, switching, leakage)).toBeGreaterThan(0);
    expect(result.yosysVersion).toMatch(/^Yosys 0\.55 /);
    expect(Object.values(result.cells).reduce((sum, count) => sum + count, 0)).toBe(
      result.mappedBlif.match(/^\.gate/gm)!.length,
    );
  });

  it('tells the built-in technology in its gates, and the same technology as a library in µm², ps and mW', async () => {
    const gates = await synthesize({ circuit: array(3), yosys, effort: 'quick' });
    const absolute = await synthesize({ circuit: array(3), yosys, effort: 'quick', liberty: [unitGateLiberty] });
    expect(absolute.units).toEqual({ area: 'µm²', delay: 'ps', power: 'mW' });
    expect(gates.cells).toEqual(absolute.cells);
    // An AND gate has 0.1 µm²; an inverter before four takes 3 + 7 · 2.4 + 0.2 · (2.4 + 12.6 · 2.4) ps; an AND gate
    // with random operands 3/8 · (0.2 + 0.55 · 0.49 / 2) fJ and 0.08 nW.
    expect(gates.area).toBeCloseTo(absolute.area / 0.1, 9);
    expect(gates.delay).toBeCloseTo(absolute.delay / 26.328, 9);
    const gate = 37.5 * (0.2 + (0.55 * 0.49) / 2) + 0.08;
    expect(gates.power!.total).toBeCloseTo((absolute.power!.total * 1e6) / gate, 6);
    expect(gates.criticalPath.at(-1)!.arrival).toBe(gates.delay);
    for (const [delayTarget, meetsTarget] of [
      [gates.delay / 2, false],
      [gates.delay * 1.01, true],
    ] as const) {
      expect((await synthesize({ circuit: array(3), yosys, effort: 'quick', delayTarget })).meetsTarget).toBe(
        meetsTarget,
      );
    }
  });

  it('gives the same netlist and figures every time', async () => {
    const run = async () => ({ ...(await synthesize({ circuit: array(4), yosys, effort: 'quick' })), log: '' });
    expect(await run()).toEqual(await run());
  });

  it('keeps the netlist of least power where that is the objective, and says what every candidate takes', async () => {
    const least = await synthesize({ circuit: array(3), yosys, objective: 'power' });
    const smallest = await synthesize({ circuit: array(3), yosys });
    const powers = least.candidates.filter(({ delay }) => delay! <= 19).map(({ power }) => power!);
    expect(powers).toHaveLength(least.candidates.length);
    expect(least.power!.total).toBe(Math.min(...powers));
    expect(new Set(powers).size).toBeGreaterThan(1);
    expect(least.power!.total).toBeLessThan(smallest.power!.total);
    expect(least.area).toBeGreaterThan(smallest.area);
    expect(smallest.candidates.some((one) => 'power' in one)).toBe(false);
    expect(least.verified).toEqual({ patterns: 64, exhaustive: true });
    // Where none meets the delay: the least product of power and delay.
    const late = await synthesize({ circuit: array(2), yosys, objective: 'power', delayTarget: 2 });
    const products = late.candidates.map(({ delay, power }) => delay! * power!);
    expect(late.delay * late.power!.total).toBeCloseTo(Math.min(...products), 9);
    const silent = { name: 'tiny.lib', text: tiny({ voltage: '' }) };
    await expect(
      synthesize({ circuit: array(2), yosys, liberty: [silent], objective: 'power', effort: 'quick' }),
    ).rejects.toThrow('gives no supply voltage: expected nom_voltage, for power');
  });

  it('lets every second full adder take complements where the library’s gives them', async () => {
    const { candidates, cells, verified } = await synthesize({
      circuit: { network: generate('compact', { weightBits: 4, activationBits: 4 }).network },
      liberty: [invertingAdders],
      yosys,
      objective: 'power',
    });
    const area = (name: string) => candidates.find((one) => one.name === name)!.area!;
    // Eight full adders with an inverter behind each of their outputs are 0.8 µm² more than without.
    expect(area('adders as written, every second one dual')).toBeLessThan(area('adders as written') - 0.3);
    expect(cells.FA_X1).toBe(8);
    expect(verified).toEqual({ patterns: 256, exhaustive: true });
  });

  it('uses the adder cells of the library where they are smaller', async () => {
    const { cells, area, candidates } = await synthesize({
      circuit: array(4),
      yosys,
      delayTarget: Number.POSITIVE_INFINITY,
      dontUse: ['XOR*', 'XNOR*', 'MAJ*'],
    });
    expect((cells.FA_X1 ?? 0) + (cells.HA_X1 ?? 0)).toBeGreaterThan(0);
    expect(area).toBeLessThan(candidates.find(({ name }) => name === 'choices')!.area!);
  });

  it('reads BLIF and keeps the names of its buses', async () => {
    const blif = '.model and2\n.inputs p[0] p[1]\n.outputs q[0] q[1]\n.names p[0] p[1] q[0]\n11 1\n.names q[1]\n.end\n';
    const result = await synthesize({ circuit: { blif }, yosys, effort: 'quick' });
    expect(result.cells).toEqual({ AND2_X1: 1 });
    expect(result.mappedVerilog).toContain('module and2 (input [1:0] p, output [1:0] q);');
    expect(result.mappedVerilog).toContain("assign q[1] = 1'b0;");
  });

  it.each([
    [
      'a syntax error',
      'module m(input a, output y); assign y = ; endmodule',
      /^circuit\.v:1: syntax error.*says Yosys/,
    ],
    [
      'storage',
      'module m(input c, input d, output reg q); always @(posedge c) q <= d; endmodule',
      /no library cell implements/,
    ],
    ['an unknown module', 'module m(input a, output y); foo f(a, y); endmodule', /Yosys says: .*foo/],
    ['an undriven net', 'module m(input a, output y); wire w; assign y = a & w; endmodule', /used but has no driver/],
    ['no text', ' ', /empty circuit/],
  ])('reports %s in one line', async (_, verilog, message) => {
    const failure = synthesize({ circuit: { verilog }, yosys, effort: 'quick' });
    await expect(failure).rejects.toThrow(UserError);
    await expect(failure).rejects.toThrow(message);
  });

  it('lets no name of a module, port or file reach a script', async () => {
    const verilog = 'module \\x;write_file<<EOT (input \\a;b , output \\y"|rm ); assign \\y"|rm = ~\\a;b ; endmodule';
    const { cells, mappedVerilog } = await synthesize({ circuit: { verilog }, yosys, effort: 'quick' });
    expect(cells).toEqual({ INV_X1: 1 });
    expect(mappedVerilog).toContain('module \\x;write_file<<EOT  (');
  });

  it('names the program when a Yosys of the system is missing, and the limit when one takes too long', async () => {
    const missing = new SystemYosys('no-such-yosys');
    await expect(synthesize({ circuit: array(2), yosys: missing })).rejects.toThrow(/no program "no-such-yosys" found/);
    const own = new BundledYosys();
    await expect(own.run({ script: '', files: {}, outputs: [], timeoutMs: 1 })).rejects.toThrow(
      /took more than 0\.001 s/,
    );
    await own.close();
  });
});

describe('libraries', () => {
  const map = (...texts: string[]) => {
    const liberty = texts.map((text, n) => ({ name: `${n}.lib`, text }));
    return synthesize({ circuit: array(2), liberty, yosys, effort: 'quick' });
  };
  const flops = 'library (seq) { nom_voltage : 1; cell (DFF) { ff (Q) { } pin (D) { direction : input; } } }';
  const untimed = `cell (AND2) { area : 0.1; pin (A) { direction : input; } pin (B) { direction : input; }
    pin (Y) { direction : output; function : "A & B"; } }`;

  it.each([
    ['as it should be', [tiny()], []],
    ['with an odd cell', [tiny({ more: 'cell (RAM) { bus (A) { } }' })], ['0.lib: left out: RAM (pins in buses)']],
    ['beside flip-flops', [tiny(), flops], ['1.lib: passed over, it has no combinational cells']],
    ['with arcs in two groups', [tiny({ nand: 'split' })], []],
    ['without a buffer', [tiny({ buffer: false })], []],
    ['with pins in brackets', [tiny({ pins: ['A[0]', 'A[1]'] })], []],
    [
      'with a cell without delay',
      [tiny({ more: untimed })],
      [expect.stringMatching(/without complete delay.*: AND2$/)],
    ],
  ])('%s gives the same netlist and delay', async (_, texts, notes) => {
    const result = await map(...texts);
    expect(result.notes).toEqual(notes);
    const { area, delay, cells } = result;
    expect({ area, delay: delay.toFixed(1), cells }).toEqual({ area: 24, delay: '93.6', cells: { INV: 6, NAND2: 9 } });
  });

  it('needs no buffer for a product bit that is an operand bit', async () => {
    const verilog = 'module m(input [1:0] a, b, output [1:0] p); assign p = {a[1], ~(a[0] & b[0])}; endmodule';
    const liberty = [{ name: 'a.lib', text: tiny({ buffer: false }) }];
    expect((await synthesize({ circuit: { verilog }, liberty, yosys, effort: 'quick' })).cells).toEqual({ NAND2: 1 });
  });

  it('gives no power without a supply voltage, but area and delay', async () => {
    const { area, delay, power, notes } = await map(tiny({ voltage: '' }));
    expect([area, delay.toFixed(1), power]).toEqual([24, '93.6', null]);
    expect(notes).toEqual([expect.stringMatching(/no supply voltage \(nom_voltage\), so power is not known/)]);
  });

  it.each([
    ['no timing', ' '],
    ['a linear model', 'timing () { related_pin : "A B"; intrinsic_rise : 1; intrinsic_fall : 1; }'],
    [
      'one edge',
      'timing () { related_pin : "A B"; cell_rise (scalar) { values ("1"); } rise_transition (scalar) { values ("1"); } }',
    ],
  ])('%s of the only gate is an error that names it, never 0 ps', async (_, nand) => {
    await expect(map(tiny({ nand }))).rejects.toThrow(UserError);
    await expect(map(tiny({ nand }))).rejects.toThrow(
      /tiny has no usable AND.* gate of two inputs: cells without complete delay tables .*: NAND2; expected NLDM/,
    );
  });

  it('has no delay for a path through a cell without tables', () => {
    const library = readLiberty({ name: 'a.lib', text: tiny({ more: untimed }) });
    const module = {
      ports: { a: { direction: 'input', bits: [2] }, y: { direction: 'output', bits: [3] } },
      cells: { u: { type: 'AND2', connections: { A: [2], B: [2], Y: [3] } } },
      netnames: {},
    };
    const netlist = readMapped(JSON.stringify({ modules: { test: module } }), library);
    expect(() => new Timing(netlist)).toThrow(/cells without complete delay tables: AND2: .* has no delay/);
  });

  const cases = join(import.meta.dirname, '../../../shared/cases');
  const alike = [
    '03_unquoted_power_down',
    '04_paren_unquoted',
    '05_brace_next_line',
    '06_revision',
    '06b_revision_dots',
  ];
  const more = [
    '07_backslash',
    '08_pg_bang',
    '09_no_related_pin',
    '10_semicolon_after_group',
    '12_ccs',
    '13_bus_memory',
  ];
  const others = [
    '15_no_nom_voltage',
    '17_quoted_names',
    '20_units_unquoted',
    '23_duplicate_cell',
    '24_pin_name_bracket',
  ];
  it.runIf(existsSync(cases)).each([...alike, ...more, ...others, '26_bundle', '33_no_buffer'])(
    'l%s.lib gives the result of l00_base.lib',
    async (name) => {
      const { area, delay } = await map(readFileSync(join(cases, `l${name}.lib`), 'utf8'));
      expect({ area, delay: delay.toFixed(1) }).toEqual({ area: 24, delay: '93.6' });
    },
  );
});

describe('proveEquivalent', () => {
  it.each([
    ['all patterns', 4, 'auto'],
    ['SAT', 4, 'sat'],
    ['all patterns', 10, 'auto'],
  ] as const)('shows by %s that two structures of %i bits are equal', async (_, bits, method) => {
    const { equal, counterexample, patterns } = await proveEquivalent(product(bits), shiftAdd(bits), { yosys, method });
    expect([equal, counterexample]).toEqual([true, null]);
    expect(patterns).toBe(method === 'sat' ? 0 : 2 ** (2 * bits));
  });

  it.each(['auto', 'sat'] as const)('gives the operands where two circuits differ (%s)', async (method) => {
    const wrong = product(4, "(a == 4'd9 && b == 4'd13) ? 8'd0 : a * b");
    const { equal, counterexample } = await proveEquivalent(product(4), wrong, { yosys, method });
    expect(equal).toBe(false);
    expect(counterexample).toEqual({
      operands: [
        { port: 'a', value: 9n },
        { port: 'b', value: 13n },
      ],
      outputsOfA: [{ port: 'y', value: 117n }],
      outputsOfB: [{ port: 'y', value: 0n }],
    });
  });

  it("reads a counterexample as two's complement on request", async () => {
    const wrong = product(4, "(a == 4'd9 && b == 4'd13) ? 8'd255 : a * b");
    const { counterexample } = await proveEquivalent(product(4), wrong, { yosys, signed: true });
    expect(counterexample!.operands.map(({ value }) => value)).toEqual([-7n, -3n]);
    expect(counterexample!.outputsOfB[0]!.value).toBe(-1n);
  });

  it('decides by SAT what is too wide for all patterns', async () => {
    const text = (value: string) => ({
      verilog: `module m(input [19:0] a, input [19:0] b, output [19:0] y); assign y = ${value}; endmodule`,
    });
    const same = await proveEquivalent(text('a + b'), text("b - ~a - 20'd1"), { yosys });
    expect([same.equal, same.method]).toEqual([true, 'sat']);
    const different = await proveEquivalent(text('a + b'), text("(a == 20'd777 && b == 20'd4242) ? a : a + b"), {
      yosys,
    });
    expect(different.counterexample!.operands.map(({ value }) => value)).toEqual([777n, 4242n]);
  });

  it('refuses circuits whose ports do not match', async () => {
    await expect(proveEquivalent(product(4), product(5), { yosys })).rejects.toThrow(/same number and widths of ports/);
  });
});

const system = spawnSync('yosys', ['-V']).status === 0;
describe.skipIf(!system)(`a Yosys of the system${system ? '' : ' (skipped: no yosys on the PATH)'}`, () => {
  it('maps, proves and refutes as the bundled one does', async () => {
    const { verified, yosysVersion } = await synthesize({ circuit: array(4), yosys: 'system', effort: 'quick' });
    expect(verified).toEqual({ patterns: 256, exhaustive: true });
    expect(yosysVersion).toMatch(/^Yosys \d/);
    const wrong = product(4, "(a == 4'd9 && b == 4'd13) ? 8'd0 : a * b");
    const refuted = await proveEquivalent(product(4), wrong, { yosys: 'system', method: 'sat' });
    expect(refuted.counterexample!.operands.map(({ value }) => value)).toEqual([9n, 13n]);
    const proved = await proveEquivalent(product(4), shiftAdd(4), { yosys: 'system', method: 'sat' });
    expect(proved.equal).toBe(true);
  });
});

describeWithAsap7('ASAP7', () => {
  it('maps the exact 8-bit multiplier near the area and power of the paper, for all 65 536 operand pairs', async () => {
    const liberty = await Promise.all(asap7Files.map(readLibertyFile));
    const result = await synthesize({ circuit: array(8), liberty, yosys, effort: 'quick', inputActivity: 0.1 });
    expect(result.verified).toEqual({ patterns: 65_536, exhaustive: true });
    expect(Math.abs(result.area / 27.2 - 1)).toBeLessThan(0.12);
    expect(Math.abs(result.power!.total / 0.0031 - 1)).toBeLessThan(0.15);
  });
});
