import { appendFileSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { tram } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-draw-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string) => join(folder, name);
const count = (svg: string, mark: string) => svg.split(`class="${mark}"`).length - 1;

describe('draw', () => {
  test('a generator made of adders gives its dot diagram, error map and error histogram', async () => {
    const { code, out } = await tram('draw', 'truncated:4x4:columns=3', '--out', file('t'), '--json');
    expect(code).toBe(0);
    const { files, notes } = JSON.parse(out) as { files: { title: string; path: string }[]; notes: string[] };
    expect(files.map(({ title }) => title)).toEqual(['structure', 'error map', 'error histogram']);
    expect(notes).toEqual([]);
    const dots = readFileSync(files[0]!.path, 'utf8');
    expect(count(dots, 'product kept')).toBe(10);
    expect(count(dots, 'product removed')).toBe(6);
    for (const { path } of files) expect(readFileSync(path, 'utf8')).toMatch(/^<svg.*<\/svg>\s*$/s);
  });

  test('the constant of a compensated truncation is a 1 in its columns and in the adder that takes it', async () => {
    // A quarter of 1 + 2·2 + 3·4 + 4·8 + 5·16 + 6·32 is 80.25, hence 80: a 1 in column 6, which adders add, and one in
    // column 4, which is a product bit as it is.
    const { out } = await tram('draw', 'truncated:8x8:columns=6,compensation=constant', '--out', file('c'), '--json');
    const { files, notes } = JSON.parse(out) as { files: { title: string; path: string }[]; notes: string[] };
    expect(files[0]!.title).toBe('structure');
    expect(notes).toEqual([]);
    const dots = readFileSync(files[0]!.path, 'utf8');
    expect(dots).toContain('constant 1 (2)');
    const [constants, adders] = [2, 1];
    expect(count(dots, 'one')).toBe(constants + adders);
    const half = Array.from(dots.matchAll(/<g class="adder half kept">.*?<\/g>/gs), ([group]) => group);
    expect(half.filter((group) => group.includes('class="one"'))).toHaveLength(1);
  });

  test('a file of tram map has the structure of the report beside it, until the file or the report changes', async () => {
    const [made, verilog] = [file('m'), file('m/multiplier.v')];
    await tram('map', '--bits', '4', '--theta', '1,1,1', '--out', made);
    const drawn = JSON.parse((await tram('draw', verilog, '--out', file('o'), '--json')).out);
    expect(drawn.notes).toEqual([]);
    expect(drawn.files).toHaveLength(3);
    const dots = readFileSync(file('o/multiplier-dots.svg'), 'utf8');
    expect(count(dots, 'product removed')).toBeGreaterThan(0);
    appendFileSync(verilog, '// by hand\n');
    const changed = JSON.parse((await tram('draw', verilog, '--out', file('o'), '--json')).out);
    expect(changed.files).toHaveLength(2);
    expect(changed.notes).toEqual([
      expect.stringMatching(/multiplier\.errors\.json is no report of tram map about this/),
    ]);
    for (const text of ['null', '[]', '{}', '{ "certificate": null }']) {
      writeFileSync(file('m/multiplier.errors.json'), text);
      const { out } = await tram('draw', verilog, '--out', file('o'));
      expect(out).toContain('multiplier.errors.json is no report of tram map about this');
    }
  });

  test('a mapping to Booth’s multiplier has no partial products, and is not drawn as if all were removed', async () => {
    const exactly = ['--start', 'baugh-wooley', '--search', 'exact', '--theta', '0,0'];
    await tram('map', '--bits', '8', ...exactly, '--out', file('booth'));
    const { out } = await tram('draw', file('booth/multiplier.v'), '--signed', '--out', file('b'), '--json');
    const { files, notes } = JSON.parse(out);
    expect(files).toHaveLength(2);
    expect(notes).toEqual(['no dot diagram: its adders add up other bits than partial products']);
  });

  test.each([
    ['drum:4x4', 'no dot diagram: a drum multiplier is more than partial products and adders'],
    [file('dadda_3x3.blif'), 'no dot diagram: the file holds gates or products only'],
  ])('%s has error pictures only, and says why', async (subject, why) => {
    await tram('generate', 'dadda', '--bits', '3', '--blif', file('dadda_3x3.blif'));
    const { out } = await tram('draw', subject, '--out', file('g'));
    expect(out).toContain(why);
    expect(readdirSync(file('g')).every((name) => /-error-(map|histogram)\.svg$/.test(name))).toBe(true);
  });

  test.each([
    [['dadda:11x11'], /11×11 bits are too many to draw; expected at most 20 together/],
    [['dadda:16x16'], /16×16 bits are too many to draw; expected at most 20 together/],
    [['none.blif'], /cannot read none\.blif: no such file/],
  ])('%j is one line on the error stream and code 2', async (args, message) => {
    const { code, out, err } = await tram('draw', ...args, '--out', file('nothing'));
    expect(err).toMatch(message);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(readdirSync(folder)).not.toContain('nothing');
  });
});

describe('table', () => {
  test('has one row per multiplier with gates and errors, in each layout', async () => {
    const rows = async (format: string) =>
      (await tram('table', 'dadda:4x4', 'truncated:4x4:columns=2', '--format', format)).out.split('\n');
    const markdown = await rows('markdown');
    expect(markdown[0]).toBe(
      '| multiplier | bits | gates | ER % | MED | NMED % | MSE | MaxED | MRED % | MRED≠0 % | mean |',
    );
    // Missing: w0 x0 + 2 (w1 x0 + w0 x1), mean 1.25, of 256; its square: 1/4 + 2 · 4/4 + 2 · 4/8 + 8/16.
    expect(markdown[3]).toMatch(
      /^\| truncated:4x4:columns=2 \| 4x4 \| 0\.\d{4} \| 50\.0 \| 1\.25 \| 0\.488 \| 3\.75 \| 5 \| \d+\.\d{3} \| \d+\.\d{3} \| -1\.25 \|$/,
    );
    expect((await rows('csv'))[2]).toMatch(/^truncated:4x4:columns=2,4x4,0\.\d{4},50\.0,1\.25,0\.488,3\.75,5,/);
    expect((await rows('latex'))[5]).toMatch(/^truncated:4x4:columns=2 & 4x4 & 0\.\d{4} & 50\.0 & /);
    expect((await rows('text'))[2]).toMatch(/^truncated:4x4:columns=2 {3}4x4 {2}0\.\d{4} {2}50\.0 /);
    const { multipliers } = JSON.parse((await rows('json'))[0]!);
    expect(multipliers[1]).toMatchObject({ name: 'truncated:4x4:columns=2', errorRate: 0.5, mse: 3.75, mean: -1.25 });
    const simulated = JSON.parse((await tram('simulate', 'truncated:4x4:columns=2', '--json')).out);
    for (const key of ['med', 'nmed', 'maxEd', 'mred', 'mredNonzero', 'variance', 'pairs', 'signed']) {
      expect(multipliers[1][key], key).toBe(simulated[key]);
    }
  });

  test('counts the gates of all widths in one unit, that of runs, and only those that are needed', async () => {
    const idle = [...'&|^'].map((gate, k) => `  wire idle${k} = w[0] ${gate} x[1];`).join('\n');
    await tram('generate', 'array', '--bits', '6x5', '--verilog', file('array.v'));
    const text = readFileSync(file('array.v'), 'utf8');
    writeFileSync(
      file('idle.v'),
      text.replace(/output [^;]*;/, (ports) => `${ports}\n${idle}`),
    );
    const args = ['table', 'booth:8x8', 'array:6x5', file('idle.v'), 'dadda:3x4', '--format', 'json'];
    const { multipliers } = JSON.parse((await tram(...args)).out);
    const gates = multipliers.map((one: { gates: number }) => one.gates);
    expect(gates[0]).toBe(1);
    expect(gates[1]).toBeLessThan(0.5);
    expect(gates[2]).toBe(gates[1]);
    // 56 unit gates of the 400 of the cheapest exact 8×8.
    expect(gates[3]).toBe(0.14);
  });

  test('marks what is estimated, and keeps the row of a file that is refused, with code 2', async () => {
    const args = ['table', 'truncated:13x13:columns=4', file('none.v'), 'dadda:4x4'];
    const { code, out, err } = await tram(...args);
    expect(code).toBe(2);
    const [head, , wide, failed, exact] = out.split('\n');
    expect(head).toMatch(/ problem \|$/);
    expect(wide).toMatch(/^\| truncated:13x13:columns=4 \| 13x13 \| 2\.\d{4} \| ~\d+\.\d \| ~[\d.]+ .*\| ≥ \d+ \| ~/);
    expect(failed).toMatch(/^\| none \| — \|.*cannot read .*none\.v: no such file.* \|$/);
    expect(exact).toMatch(/^\| dadda:4x4 \| 4x4 \| [\d.]+ \| 0\.0 \| 0 \|/);
    expect(err).toMatch(/truncated:13x13:columns=4: ~ estimated from 1 048 576 random operand pairs\n/);
    expect(err).toMatch(/cannot read .*none\.v: no such file/);
    const { multipliers } = JSON.parse((await tram(...args, '--format', 'json')).out);
    expect(multipliers[0].sampled).toMatchObject({ samples: 1048576, confidence: 0.95 });
    expect(multipliers[1]).toEqual({ name: 'none', problem: expect.stringContaining('none.v') });
    expect(multipliers[2]).not.toHaveProperty('sampled');
  });

  test('--synth fills area, delay and power of netlists, in gates without a library; a table of products has none', async () => {
    await tram('simulate', 'dadda:3x3', '--lut', file('dadda.npy'));
    const args = ['table', 'dadda:3x3', file('dadda.npy'), '--synth', '--effort', 'quick', '--format'];
    const [head, netlist, products] = (await tram(...args, 'csv')).out.split('\n');
    expect(head).toMatch(/^multiplier,bits,area_and2,delay_fo4,power_and2,gates,er_percent,/);
    expect(netlist).toMatch(/^dadda:3x3,3x3,\d+\.\d,\d+\.\d\d,\d+\.\d,[\d.]+,0\.0,0,0\.000,0,0,/);
    expect(products).toMatch(/^dadda,3x3,,,,,0\.0,0,/);
    const { units, multipliers } = JSON.parse((await tram(...args, 'json')).out);
    expect(units.area).toBe('AND2 gates');
    expect(multipliers.map((one: object) => 'area' in one)).toEqual([true, false]);
  });

  test.each([
    [[], /missing required argument 'FILES'/],
    [['dadda:4x4', '--clock', '100'], /^tram: --clock has no effect without --synth: it is for synthesis/],
    [['dadda:4x4', '--format', 'html'], /--format: expected one of markdown, text, csv, latex, json, got 'html'/],
  ])('%j is one line on the error stream and code 2', async (args, message) => {
    const { code, out, err } = await tram('table', ...args);
    expect(err).toMatch(message);
    expect(err.split('\n')).toHaveLength(2);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });

  test('where nothing can be read there is no table, and code 2', async () => {
    const { code, out, err } = await tram('table', file('none.v'), file('neither.npy'));
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(/cannot read .*neither\.npy: [\s\S]*^tram: cannot read .*none\.v: /m);
  });
});
