import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, it } from 'vitest';
import { fuzzReaders } from '../../../test/fuzz.ts';
import { asap7Files, describeWithAsap7 } from '../../../test/shared.ts';
import { UserError } from '../../tensor/errors.ts';
import { unitGateLiberty } from '../technology/unit-gate.ts';
import { evaluateExpression, parseExpression, truthTable } from './expression.ts';
import { readLibertyFile } from './file.ts';
import { readLiberties, readLiberty } from './read.ts';
import { LookupTable } from './table.ts';
import { writeTimingLiberty } from './write.ts';

const small = `library (small) {
  /* units on purpose not ps and fF */
  time_unit : "1ns"; capacitive_load_unit (0.5, pf); voltage_unit : "1V"; leakage_power_unit : "1uW";
  nom_voltage : 1.1
  lu_table_template (by_load_then_slew) {
    variable_1 : total_output_net_capacitance; variable_2 : input_net_transition;
    index_1 ("1, 2, 4"); index_2 ("0.1, 0.2");
  }
  cell (NAND) {
    area : 2.5;
    leakage_power () { when : "A * B"; value : 3; }
    leakage_power () { value : 1; }
    pin (A) { direction : input; capacitance : 0.002;
      internal_power () { when : "!B"; rise_power (scalar) { values ("0.25"); } }
    }
    pin (B) { direction : input; capacitance : 0.002; }
    pin (Y) {
      direction : output; function : "(A B)'"; max_capacitance : 8;
      timing () {
        related_pin : "A B"; timing_sense : negative_unate;
        cell_rise (by_load_then_slew) { values ("1, 2", \\
          "3, 4", "5, 6"); }
        cell_fall (by_load_then_slew) { values ("1, 2", "3, 4", "5, 6"); }
        rise_transition (scalar) { values ("0.5"); }
        fall_transition (scalar) { values ("0.5"); }
      }
    }
  }
  cell (DFF) { area : 9; ff (Q, QN) { clocked_on : "C"; next_state : "D"; } pin (C) { direction : input; } }
}
`;

const read = (text: string) => readLiberty({ name: 'test.lib', text });

describe('expressions', () => {
  it.each([
    ['!A + B * C', ['A', 'B', 'C'], 0b11010101],
    ["A' B ^ C", ['A', 'B', 'C'], 0b00010100],
    ['(A | 0) & 1', ['A'], 0b10],
    ["!(A B)'", ['A', 'B'], 0b1000],
  ])('%s has its truth table', (text, pins, table) => {
    const parsed = parseExpression(text);
    if ('error' in parsed) throw new Error(parsed.error);
    expect(truthTable(parsed, pins)).toBe(table);
  });

  it('rejects what is no expression with the reason', () => {
    for (const text of ['', 'A +', '(A', 'A ) B', '+', 'A $ B', `${'('.repeat(200)}A${')'.repeat(200)}`]) {
      expect(parseExpression(text)).toHaveProperty('error');
    }
  });

  it('evaluates 32 vectors at a time and leaves its operands alone', () => {
    const parsed = parseExpression('!A');
    if ('error' in parsed) throw new Error(parsed.error);
    const a = Int32Array.of(5, -1);
    expect([...evaluateExpression(parsed, 2, () => a)]).toEqual([~5, 0]);
    expect([...a]).toEqual([5, -1]);
  });
});

describe('look-up tables', () => {
  it('are bilinear between and beyond their points', () => {
    const table = new LookupTable([0, 10], [0, 2], [1, 3, 11, 13]);
    expect(table.at(5, 1)).toBeCloseTo(7, 12);
    expect(table.at(20, 4)).toBeCloseTo(25, 12);
    expect(new LookupTable([0], [0], [4]).at(100, 100)).toBe(4);
  });
});

describe('the Liberty reader', () => {
  it('converts units, transposes tables and leaves storage out', () => {
    const library = read(small);
    expect(library.voltage).toBe(1.1);
    expect(library.skipped).toEqual(['DFF']);
    const nand = library.cells.get('NAND')!;
    expect(nand.area).toBe(2.5);
    expect(nand.inputs[0]!.capacitance).toBeCloseTo(1, 9); // 0.002 · 0.5 pF
    expect(nand.leakage).toMatchObject([{ nW: 3000 }]);
    expect(nand.defaultLeakage).toBe(1000);
    const [a, b] = nand.outputs[0]!.timing;
    expect([a!.relatedPin, b!.relatedPin, a!.sense]).toEqual(['A', 'B', 'negative']);
    expect(a!.delay.rise.at(100, 500)).toBeCloseTo(1000, 6); // first load, first slew: 1 ns
    expect(a!.delay.rise.at(200, 1000)).toBeCloseTo(4000, 6);
    expect(a!.transition.fall.at(7, 7)).toBeCloseTo(500, 6);
    expect(nand.inputs[0]!.power[0]!.energy.rise!.at(0, 0)).toBeCloseTo(125, 9); // 0.25 · 500 fF · 1 V²
  });

  it.each([
    [
      'library (x) { cell (A) { area : abc; pin (Y) { direction : output; function : "0"; } } }',
      /test\.lib:1:26: area "abc"/,
    ],
    ['library (x) {\n  cell (A) {\n', /test\.lib:3:1: the end of the file/],
    ['library (x) { time_unit : "3 bananas"; }', /time_unit "3 bananas".*ps, ns, fs/],
    [
      small.replace('"(A B)\'"', '"A + Q"'),
      /without combinational cells \(.*NAND \(the function of the unknown pin "Q" in line 18\)/,
    ],
    [small.replace('"5, 6"); }\n        cell_fall', '"5"); }\n        cell_fall'), /5 values for 2 slews × 3 loads/],
    [
      small.replace('"A B"; timing', '"Z"; timing'),
      /without combinational cells \(.*NAND \(timing from the unknown pin "Z" in line 19\)/,
    ],
    ['cell (A) { }', /the group "cell": expected library/],
    ['', /is empty/],
    ['library (x) { comment : "never ends }', /a string without an end/],
    ['library (x) { /* }', /a comment without an end/],
    [`library (x) ${'{ a () '.repeat(100)}`, /nests deeper/],
  ])('reports %# with its place', (text, message) => {
    expect(() => read(text)).toThrow(UserError);
    expect(() => read(text)).toThrow(message);
  });

  it('refuses a second definition of a cell and files of different corners', () => {
    const text = { name: 'a.lib', text: small };
    expect(() => readLiberties([text, { name: 'b.lib', text: small }])).toThrow(
      /cell "NAND" of b\.lib is in an earlier file/,
    );
    const other = { name: 'b.lib', text: small.replaceAll('NAND', 'OTHER').replace('1.1', '0.9') };
    expect(() => readLiberties([text, other])).toThrow(/one corner/);
  });

  it.each([
    ['cell (L) { latch (IQ) { enable : (G); } pin (G) { direction : input; } }', 'DFF, L (storage)'],
    ['cell (M) { bus (A) { pin (A[0]) { direction : input; } } }', 'M (pins in buses)'],
    ['cell (B) { bundle (A) { members (A0, A1); } }', 'B (pins in buses)'],
    [
      'cell (T) { pin (Y) { direction : output; function : "1"; timing () { } } }',
      'T (timing without a related_pin in line 30)',
    ],
    [
      'cell (U) { pin (Y) { direction : output; function : "A & B"; } }',
      'U (the function of the unknown pin "A" in line 30)',
    ],
    [
      'cell (S) { pin (Y) { direction : output; function : "A &"; } }',
      'S (the function with the end of the expression in line 30)',
    ],
    [
      'cell (W) { leakage_power () { when : "Q"; value : 1; } pin (Y) { direction : output; function : "1"; } }',
      'W (the when of',
    ],
    ['cell (Z) { pin (Y) { direction : output; three_state : "E"; function : "1"; } }', 'Z (three-state output)'],
    ['cell (NAND) { area : 1; }', 'NAND (defined before)'],
  ])('leaves an odd cell out with a note: %s', (odd, note) => {
    const library = read(`${small.slice(0, small.lastIndexOf('}'))}${odd}\n}`);
    expect([...library.cells.keys()]).toEqual(['NAND']);
    expect(library.notes).toContainEqual(expect.stringContaining(`test.lib: left out: ${note}`));
  });

  it('counts what it leaves out for one reason', () => {
    const flops = Array.from({ length: 9 }, (_, n) => `cell (F${n}) { ff (Q) { } }`);
    const { notes } = read(
      `library (x) { nom_voltage : 1; ${flops.join(' ')} cell (O) { pin (Y) { direction : output; function : 0; } } }`,
    );
    expect(notes).toEqual(['test.lib: left out: F0, F1, F2 and 6 more (storage)']);
  });

  it('passes over files without combinational cells beside others, and refuses them alone', () => {
    const flops = { name: 'seq.lib', text: 'library (seq) { nom_voltage : 0.7; cell (D) { ff (Q) { } } }' };
    const library = readLiberties([flops, { name: 'a.lib', text: small }]);
    expect([library.name, library.voltage, [...library.cells.keys()]]).toEqual(['small', 1.1, ['NAND']]);
    expect(library.notes.at(-1)).toBe('seq.lib: passed over, it has no combinational cells');
    expect(() => readLiberties([flops])).toThrow(/seq\.lib: a library without combinational cells .*D \(storage\)/);
  });

  it('knows no voltage where the library gives none, and says so', () => {
    const library = read(small.replace('nom_voltage : 1.1', ''));
    expect(library.voltage).toBeNull();
    expect(library.notes.at(-1)).toMatch(/no supply voltage/);
    expect(() => read(small.replace('nom_voltage : 1.1', 'nom_voltage : 0'))).toThrow(/a supply voltage of 0 V/);
  });

  it.each([
    ['(A * B)', 0b1000],
    ['!(A * B)', 0b0111],
    ["(A B)'", 0b0111],
    ['A+B', 0b1110],
  ])('reads the function %s without quotes', (text, table) => {
    const { cells } = read(small.replace(`"(A B)'"`, text));
    expect(truthTable(cells.get('NAND')!.outputs[0]!.function, ['A', 'B'])).toBe(table);
  });

  it('takes time in proportion to the text', () => {
    const attributes = Array.from({ length: 60_000 }, (_, n) => `a${n} : 1;`).join(' ');
    const cells = Array.from(
      { length: 30_000 },
      (_, n) =>
        `cell (C${n}) { pin (A) { direction : input; } pin (Y) { direction : output; function : "A"; timing () { } } }`,
    );
    const good = 'cell (G) { pin (A) { direction : input; } pin (Y) { direction : output; function : "A"; } }';
    const start = process.cpuUsage();
    const library = read(`library (x) { nom_voltage : 1; ${attributes} ${cells.join('\n')} ${good} }`);
    expect([library.cells.size, library.skipped.length]).toEqual([1, 30_000]);
    expect(library.notes.length).toBeLessThan(10);
    expect(process.cpuUsage(start).user).toBeLessThan(6e6);
  });

  it('reads back what it writes for ABC', () => {
    const library = readLiberty(unitGateLiberty);
    const again = read(writeTimingLiberty(library.cells.values()));
    const [before, after] = [library, again].map((one) => one.cells.get('XOR2_X1')!);
    expect(after!.area).toBe(before!.area);
    expect(after!.outputs[0]!.timing[1]!.delay.rise.at(30, 3)).toBeCloseTo(
      before!.outputs[0]!.timing[1]!.delay.rise.at(30, 3),
      4,
    );
    expect(again.cells.has('FA_X1')).toBe(false);
  });
});

describe('arcs', () => {
  const values = (text: string) => `(scalar) { values ("${text}"); }`;
  const [rise, fall] = [`cell_rise ${values('1')}`, `cell_fall ${values('2')}`];
  const [riseSlew, fallSlew] = [`rise_transition ${values('3')}`, `fall_transition ${values('4')}`];
  const group = (tables: string, sense = 'negative_unate', pin = 'A') =>
    `timing () { related_pin : "${pin}"; timing_sense : ${sense}; ${tables} }`;
  const cell = (timing: string, text = '!A') =>
    read(`library (x) { time_unit : "1ps"; nom_voltage : 1; cell (C) {
      pin (A) { direction : input; } pin (B) { direction : input; }
      pin (Y) { direction : output; function : "${text}"; ${timing} } } }`).cells.get('C')!;
  const whole = `${rise} ${fall} ${riseSlew} ${fallSlew}`;

  it.each([
    ['one group', group(whole)],
    ['a group for each edge', group(`${rise} ${riseSlew}`) + group(`${fall} ${fallSlew}`)],
    ['delays and slews apart', group(`${rise} ${fall}`) + group(`${fallSlew} ${riseSlew}`)],
    ['a group for each table', [rise, fall, riseSlew, fallSlew].map((one) => group(one)).join('')],
  ])('%s of one related pin are one arc', (_, timing) => {
    const { timed, outputs } = cell(timing);
    const [arc, ...others] = outputs[0]!.timing;
    expect([timed, others.length, arc!.sense]).toEqual([true, 0, 'negative']);
    const { delay, transition } = arc!;
    expect([delay.rise, delay.fall, transition.rise, transition.fall].map((table) => table.at(0, 0))).toEqual([
      1, 2, 3, 4,
    ]);
  });

  it('edges with different senses are one arc that either edge of the input causes', () => {
    const timing = group(`${rise} ${riseSlew}`, 'positive_unate') + group(`${fall} ${fallSlew}`);
    expect(cell(timing).outputs[0]!.timing.map(({ sense }) => sense)).toEqual(['none']);
  });

  it('what is left over beside a whole arc still counts', () => {
    const slow = group(`cell_rise ${values('9')}`);
    const { timed, outputs } = cell(group(whole) + slow);
    expect([timed, outputs[0]!.timing.map(({ delay }) => [delay.rise.at(0, 0), delay.fall.at(0, 0)])]).toEqual([
      true,
      [
        [1, 2],
        [9, 2],
      ],
    ]);
  });

  it.each([
    ['no timing', '', '!A'],
    ['a linear model', group('intrinsic_rise : 1; intrinsic_fall : 1; rise_resistance : 1;'), '!A'],
    ['one edge', group(`${rise} ${riseSlew}`), '!A'],
    ['delays without slews', group(`${rise} ${fall}`), '!A'],
    ['one of two inputs', group(whole), '!(A * B)'],
    ['timing of another kind', group(`${whole} timing_type : setup_rising;`), '!A'],
  ])('%s leaves the cell without delay', (_, timing, text) => {
    expect(cell(timing, text).timed).toBe(false);
  });

  it('an input that the function does not depend on needs no arc, nor does a constant', () => {
    expect(cell(group(whole), '!A * (B + !B)').timed).toBe(true);
    expect(cell('', '1').timed).toBe(true);
    expect(cell(group(whole) + group(whole, 'negative_unate', 'B'), '!(A * B)').timed).toBe(true);
  });
});

describe('files', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tram-liberty-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const path = (name: string, content: string | Uint8Array) => {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
  };

  it('are read packed and plain, up to a limit that is told', async () => {
    expect((await readLibertyFile(path('a.lib', small))).text).toBe(small);
    expect((await readLibertyFile(path('a.lib.gz', gzipSync(small)))).text).toBe(small);
    const large = path('large.lib', '');
    truncateSync(large, 2 ** 28 + 1);
    await expect(readLibertyFile(large)).rejects.toThrow(
      /cannot read .*large\.lib: it has more than 256 MiB, at most 256 MiB are read/,
    );
    const bomb = path('bomb.lib.gz', gzipSync(Buffer.alloc(2 ** 28 + 1)));
    await expect(readLibertyFile(bomb)).rejects.toThrow(/bomb\.lib\.gz.*unpacks to more than 256 MiB/);
    await expect(readLibertyFile(path('bad.lib.gz', gzipSync(small).subarray(0, 50)))).rejects.toThrow(
      /bad\.lib\.gz.*cut off/,
    );
  });
});

const words =
  'values ("|index_1 (|"1, 2"|pin (|bus (|cell (|timing () {|when : "|function : "|related_pin : "|!|^|+|;\n|-1|scalar'.split(
    '|',
  );

fuzzReaders(
  [
    {
      name: 'Liberty file',
      valid: [small, unitGateLiberty.text],
      read: (text) => {
        const { cells } = read(text);
        read(writeTimingLiberty(cells.values()));
        for (const { inputs, outputs } of cells.values()) {
          const pins = inputs.map(({ name }) => name);
          for (const output of outputs) if (pins.length <= 5) truthTable(output.function, pins);
        }
      },
    },
    {
      name: 'Liberty expression',
      valid: ['!A + B * C', "(A' B ^ C) | 0 & !(D E)'"],
      read: (text) => {
        const parsed = parseExpression(text);
        if ('error' in parsed) throw new UserError(parsed.error);
        if (parsed.pins.length <= 5) truthTable(parsed, parsed.pins);
      },
    },
  ],
  words,
);

describeWithAsap7('the ASAP7 libraries', () => {
  it('are read with units, states and the adders timed through their carry', async () => {
    const library = readLiberties(await Promise.all(asap7Files.map(readLibertyFile)));
    expect(library.voltage).toBe(0.7);
    expect([library.cells.size, library.skipped.length]).toEqual([93, 0]);
    const half = library.cells.get('HAxp5_ASAP7_75t_R')!;
    expect(half.area).toBeCloseTo(0.13122, 9);
    expect(half.leakage.map(({ nW }) => nW)).toEqual([0.122742, 0.150756, 0.1487, 0.125705]);
    expect(half.outputs[0]!.timing[0]!.delay.rise.at(5, 0.36)).toBeCloseTo(10.7607, 9);
    expect(half.outputs[0]!.power[0]!.energy.rise!.at(5, 0.36)).toBeCloseTo(0.150385, 9);
    const full = library.cells.get('FAx1_ASAP7_75t_R')!;
    expect(full.outputs.map((pin) => pin.name)).toEqual(['CON', 'SN']);
    expect(full.outputs[1]!.timing.some((arc) => arc.relatedPin === 'CON')).toBe(true);
  });
});
