import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { unitGateLiberty } from '../../src/hardware/technology/unit-gate.ts';
import { tram } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-synth-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string) => join(folder, name);

describe('synth', () => {
  test('--json tells area, delay and power; --out writes the mapped netlist and the same report', async () => {
    const { code, out, err } = await tram(
      ...['synth', 'dadda:3x3', '--effort', 'quick', '--json', '--out', file('made')],
    );
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const report = JSON.parse(out);
    expect(report).toMatchObject({ name: 'dadda-3x3', verified: { patterns: 64, exhaustive: true } });
    expect(report.units).toEqual({ area: 'AND2 gates', delay: 'FO4 delays', power: 'AND2 gates at 100 MHz' });
    expect(Object.keys(report).filter((key) => /um2|ps$|mw/i.test(key))).toEqual([]);
    for (const key of ['area', 'delay']) expect(report[key], key).toBeGreaterThan(0);
    const { internal, switching, leakage, total } = report.power;
    expect(total).toBeCloseTo(internal + switching + leakage, 12);
    expect(readdirSync(file('made')).sort()).toEqual(
      ['mapped.blif', 'mapped.v', 'synth.json', 'synth.log'].map((end) => `dadda-3x3.${end}`),
    );
    expect(JSON.parse(readFileSync(file('made/dadda-3x3.synth.json'), 'utf8'))).toEqual(report);
  });

  test('operands that never change cost no switching power; a faster clock costs more', async () => {
    writeFileSync(file('still.csv'), 'w,3,1\nx,5,1\n');
    const power = async (...options: string[]) =>
      JSON.parse((await tram('synth', 'dadda:3x3', '--effort', 'quick', '--json', ...options)).out).power;
    const still = await power('--histograms', file('still.csv'));
    expect(still).toMatchObject({ internal: 0, switching: 0 });
    expect(still.leakage).toBeGreaterThan(0);
    const [slow, fast] = [await power('--clock', '100'), await power('--clock', '200')];
    expect(fast.switching).toBeCloseTo(2 * slow.switching, 12);
  });

  test('without a library the text has relative figures, says so, and when no netlist meets the delay', async () => {
    const { out } = await tram('synth', 'dadda:3x3', '--effort', 'quick', '--delay', '1');
    expect(out).not.toMatch(/\d (µm²|ps|mW)/);
    expect(out).toMatch(/^dadda-3x3 in .*\n\n {2}area {3}[\d.]+ AND2 gates\n/);
    expect(out).toMatch(/ {2}delay {2}[\d.]+ FO4 delays {2}\(no netlist meets the delay asked for\)\n/);
    expect(out).toMatch(/ {2}power {2}[\d.]+ AND2 gates at 100 MHz {2}\(internal /);
    expect(out).toContain('relative units');
    expect(out).toContain('checked against the circuit for all 64 input patterns');
  });

  test('with a library figures have its units, and what was passed over is told', async () => {
    writeFileSync(file('same.lib'), unitGateLiberty.text);
    writeFileSync(file('seq.lib'), 'library (seq) { nom_voltage : 0.7; cell (DFF) { ff (Q) { } } }');
    const library = ['--liberty', file('same.lib'), file('seq.lib')];
    const { out, err } = await tram('synth', 'dadda:3x3', '--effort', 'quick', ...library);
    expect(err).toBe('seq.lib: passed over, it has no combinational cells\n');
    expect(out).toMatch(/ {2}area {3}[\d.]+ µm²\n {2}delay {2}[\d.]+ ps\n {2}power {2}[\d.]+ mW /);
    expect(out).not.toContain('relative units');
  });

  test.each([
    [['dadda:3x3', '--clock', '0'], /^tram: --clock: expected a number of MHz above 0, got '0'\n$/],
    [
      ['dadda:3x3', '--yosys', 'systen'],
      /--yosys: expected one of bundled, system, got 'systen'; did you mean 'system'\?/,
    ],
    [
      ['dadda:3x3', '--liberty', 'none.lib'],
      /cannot read none\.lib: no such file or folder; check the path \(ENOENT\)/,
    ],
    [['none.v'], /cannot read none\.v: no such file/],
    [['none.npy'], /cannot read none\.npy: no such file/],
  ])('%j is one line on the error stream and code 2', async (args, message) => {
    const { code, out, err } = await tram('synth', ...args);
    expect(err).toMatch(message);
    expect(err.split('\n')).toHaveLength(2);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });
});
