import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { generators } from '../../src/netlist/generators/registry.ts';
import { tram } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-generate-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string) => join(folder, name);

describe('generate', () => {
  test('--list names every kind with its parameters, as text and as JSON', async () => {
    const { out, code } = await tram('generate', '--list');
    expect(code).toBe(0);
    for (const [kind, { summary }] of Object.entries(generators)) {
      expect(out).toContain(`${kind} `);
      expect(out).toContain(summary);
    }
    expect(out).toContain('columns=…  columns left out [0 to 15 at 8×8; default: 6]');
    const list = JSON.parse((await tram('generate', '--list', '--json')).out) as { kind: string }[];
    expect(list.map(({ kind }) => kind)).toEqual(Object.keys(generators));
  });

  test('--out writes netlists and tables that are equal to the generator, named by kind, widths and parameters', async () => {
    const out = file('made');
    const args = ['generate', 'truncated', '--bits', '4x3', '--param', 'columns=2', '--param', 'compensation=constant'];
    const report = JSON.parse((await tram(...args, '--out', out, '--json')).out);
    expect(report).toMatchObject({ kind: 'truncated', weightBits: 4, activationBits: 3, provedPairs: 128 });
    expect(report.parameters).toEqual({ columns: 2, compensation: 'constant' });
    const base = 'truncated_4x3_columns2_compensation_constant';
    expect(report.name).toBe(base);
    expect(readdirSync(out).sort()).toEqual(['blif', 'lut.txt', 'npy', 'v'].map((end) => `${base}.${end}`));
    for (const end of ['blif', 'lut.txt', 'npy', 'v']) {
      const verified = await tram(
        'verify',
        join(out, `${base}.${end}`),
        'truncated:4x3:columns=2,compensation=constant',
        '--json',
      );
      expect(verified.code, end).toBe(0);
      expect(JSON.parse(verified.out)).toEqual({ equal: true, pairs: 128, method: 'exhaustive' });
    }
  });

  test('--verilog and --blif write one file each; the text tells gates, errors and the proof', async () => {
    const { out } = await tram('generate', 'booth', '--bits', '4', '--verilog', file('b.v'), '--blif', file('b.blif'));
    expect(out).toContain('proved: netlist ≡ formula over 256 operand pairs');
    expect(out).toContain('ER 0.00 %');
    expect(readFileSync(file('b.v'), 'utf8')).toMatch(/^module booth_4x4 /);
    expect((await tram('verify', file('b.v'), file('b.blif'), '--signed')).out).toBe(
      'equal over all 256 operand pairs\n',
    );
  });

  test('above 24 operand bits the netlist is made, and said not to be enumerated', async () => {
    const { out } = await tram('generate', 'array', '--bits', '13');
    expect(out).toContain('not proved: more than 24 operand bits');
  });

  test.each([
    [[], /^tram: no kind is given; write tram generate dadda/],
    [['dada'], /unknown generator "dada" \(did you mean "dadda"\?\)/],
    [['dadda', '--list'], /leave one out/],
    [['dadda', '--bits', '8y8'], /^tram: --bits: expected one width or two, like 8 or 4x8, got '8y8'\n$/],
    [['dadda', '--bits', '1'], /1 weight bits: expected an integer from 2 to 26/],
    [['drum', '--param', 'bits'], /^tram: --param: expected name=value, like columns=6, got 'bits'\n$/],
    [['drum', '--param', 'bits=9'], /drum: bits is "9": expected an integer from 2 to 8/],
    [['drum', '--param', 'bits=3', '--param', 'bits=4'], /bits is given twice/],
    [['drum', '--param', 'columns=2'], /drum has no parameter "columns"/],
  ])('%j is one line on the error stream and code 2', async (args, message) => {
    const { code, out, err } = await tram('generate', ...args);
    expect(err).toMatch(message);
    expect(err.split('\n')).toHaveLength(2);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });
});

describe('verify', () => {
  test('gives the operands and both products when multipliers differ, and exit code 1', async () => {
    const differ = await tram('verify', 'dadda:4x4', 'drum:4x4:bits=2');
    expect(differ).toMatchObject({ code: 1, err: '' });
    const match = /^different at (\d+) × (\d+): dadda:4x4 gives (\d+), drum:4x4:bits=2 gives (\d+)\n$/.exec(differ.out);
    const [w, x, a, b] = match!.slice(1).map(Number);
    expect(w! * x!).toBe(a);
    expect(b).not.toBe(a);
    const json = await tram('verify', 'dadda:4x4', 'drum:4x4:bits=2', '--json');
    expect(json.code).toBe(1);
    expect(JSON.parse(json.out)).toEqual({ equal: false, counterexample: { w, x, a, b } });
  });

  test('a difference between wide multipliers is found, with operands', async () => {
    const { code, out } = await tram('verify', 'array:13x13', 'truncated:13x13:columns=2', '--json');
    expect(code).toBe(1);
    const { w, x, a, b } = JSON.parse(out).counterexample;
    expect(a).toBe(w * x);
    expect(b).toBeLessThan(a);
  });

  test('algebra proves wide multipliers equal, and finds the one pair on which they differ', async () => {
    const network = (name: string, last: string) =>
      [
        `.model ${name}`,
        `.inputs ${bus('w')} ${bus('x')}`,
        `.outputs p[0] p[1]`,
        '.names w[0] x[0] p[0]',
        '11 1',
        last,
        '.end',
        '',
      ].join('\n');
    const bus = (name: string) => Array.from({ length: 13 }, (_, bit) => `${name}[${bit}]`).join(' ');
    const all = (bit: string) => `.names ${bus('w')} ${bus('x')} p[1]\n${bit.repeat(26)} 1`;
    writeFileSync(file('one.blif'), network('one', all('1')));
    writeFileSync(file('none.blif'), network('none', '.names p[1]'));
    const differ = await tram('verify', file('one.blif'), file('none.blif'), '--json');
    expect(differ).toMatchObject({ code: 1, err: '' });
    expect(JSON.parse(differ.out).counterexample).toEqual({ w: 8191, x: 8191, a: 3, b: 1 });
    const equal = await tram('verify', file('one.blif'), file('one.blif'));
    expect(equal).toMatchObject({ code: 0, out: 'equal by algebra, for all 67 108 864 operand pairs\n' });
  });

  test('SAT proves what is beyond algebra', async () => {
    const equal = await tram('verify', 'mitchell:13x13', 'mitchell:13x13');
    expect(equal).toMatchObject({ code: 0, out: 'equal by SAT, for all 67 108 864 operand pairs\n' });
  });

  test.each([
    [['dadda:4x4'], /missing required argument 'B'/],
    [['dadda:4x4', 'dadda:4x5'], /4×4 multiplier and dadda:4x5 4×5: expected equal widths/],
    [['dadda:4x4', 'none.v'], /cannot read none\.v: no such file/],
  ])('%j is one line on the error stream and code 2', async (args, message) => {
    const { code, out, err } = await tram('verify', ...args);
    expect(err).toMatch(message);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });
});
