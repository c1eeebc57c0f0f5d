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

  test('without a library figures are relative and say so, with one they are in its units', async () => {
    const synth = (...options: string[]) => tram('synth', 'dadda:3x3', '--effort', 'quick', ...options);
    const { out } = await synth();
    expect(out).not.toMatch(/\d (µm²|ps|mW)/);
    expect(out).toMatch(
      /area {3}[\d.]+ AND2 gates\n {2}delay {2}[\d.]+ FO4 delays\n {2}power {2}[\d.]+ AND2 gates at 100 MHz/,
    );
    expect(out).toContain('relative units');
    expect(out).toContain('checked against the circuit for all 64 input patterns');
    const seq = 'library (seq) { nom_voltage : 0.7; cell (DFF) { ff (Q) { } } }';
    writeFileSync(file('same.lib'), unitGateLiberty.text);
    writeFileSync(file('seq.lib'), seq);
    const gates = JSON.parse((await synth('--json')).out);
    const mapped = await synth('--json', '--liberty', file('same.lib'), file('seq.lib'));
    const absolute = JSON.parse(mapped.out);
    expect(mapped.err).toBe('seq.lib: passed over, it has no combinational cells\n');
    expect(gates.units).toEqual({ area: 'AND2 gates', delay: 'FO4 delays', power: 'AND2 gates at 100 MHz' });
    expect(absolute.units).toEqual({ area: 'µm²', delay: 'ps', power: 'mW' });
    expect(Object.keys(gates).filter((key) => /um2|ps$|mw/i.test(key))).toEqual([]);
    // The same netlist: an AND gate has 0.1 µm², an inverter before four takes 3 + 7·2.4 + 0.2·(2.4 + 12.6·2.4) ps, and an AND gate with
    // random operands 3/8 · (0.2 + 0.55 · 0.49 / 2) fJ and 0.08 nW.
    expect(gates.cells).toEqual(absolute.cells);
    expect(gates.area).toBeCloseTo(absolute.area / 0.1, 9);
    expect(gates.delay).toBeCloseTo(absolute.delay / 26.328, 9);
    expect(gates.power.total).toBeCloseTo((absolute.power.total * 1e6) / (37.5 * (0.2 + (0.55 * 0.49) / 2) + 0.08), 6);
    const { out: late } = await synth('--delay', String(gates.delay / 2));
    expect(late).toMatch(/delay {2}\d+\.\d\d FO4 delays {2}\(no netlist meets the delay asked for\)\n/);
  });

  test.each([
    [['dadda:3x3', '--clock', '0'], /^tram: --clock: expected a number of MHz above 0, got '0'\n$/],
    [
      ['dadda:3x3', '--yosys', 'systen'],
      /--yosys: expected one of bundled, system, got 'systen'; did you mean 'system'\?/,
    ],
    [['dadda:3x3', '--liberty', 'none.lib'], /none\.lib: cannot be read \(ENOENT\): expected a Liberty file/],
    [['none.v'], /none\.v: cannot be read/],
    [['none.npy'], /none\.npy: cannot be read/],
  ])('%j is one line on the error stream and code 2', async (args, message) => {
    const { code, out, err } = await tram('synth', ...args);
    expect(err).toMatch(message);
    expect(err.split('\n')).toHaveLength(2);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });
});
