import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
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
    for (const key of ['areaUm2', 'delayPs']) expect(report[key], key).toBeGreaterThan(0);
    const { internal, switching, leakage, total } = report.powerMw;
    expect(total).toBeCloseTo(internal + switching + leakage, 12);
    expect(readdirSync(file('made')).sort()).toEqual(
      ['mapped.blif', 'mapped.v', 'synth.json', 'synth.log'].map((end) => `dadda-3x3.${end}`),
    );
    expect(JSON.parse(readFileSync(file('made/dadda-3x3.synth.json'), 'utf8'))).toEqual(report);
  });

  test('operands that never change cost no switching power; a faster clock costs more', async () => {
    writeFileSync(file('still.csv'), 'w,3,1\nx,5,1\n');
    const power = async (...options: string[]) =>
      JSON.parse((await tram('synth', 'dadda:3x3', '--effort', 'quick', '--json', ...options)).out).powerMw;
    const still = await power('--histograms', file('still.csv'));
    expect(still).toMatchObject({ internal: 0, switching: 0 });
    expect(still.leakage).toBeGreaterThan(0);
    const [slow, fast] = [await power('--clock', '100'), await power('--clock', '200')];
    expect(fast.switching).toBeCloseTo(2 * slow.switching, 12);
  });

  test('the text says when no netlist meets the delay', async () => {
    const { out } = await tram('synth', 'dadda:3x3', '--effort', 'quick', '--delay', '1');
    expect(out).toMatch(/^dadda-3x3 in /);
    expect(out).toMatch(/ {2}delay {2}\d+\.\d ps {2}\(no netlist meets the delay asked for\)\n/);
    expect(out).toContain('checked against the circuit for all 64 input patterns');
  });

  test.each([
    [['dadda:3x3', '--clock', '0'], /^tram: --clock: expected a number of MHz above 0, got '0'\n$/],
    [
      ['dadda:3x3', '--yosys', 'systen'],
      /--yosys: expected one of bundled, system, got 'systen'; did you mean 'system'\?/,
    ],
    [['dadda:3x3', '--liberty', 'none.lib'], /cannot read the Liberty file none\.lib/],
    [['none.v'], /none\.v: cannot be read/],
    [['none.npy'], /none\.npy: cannot be read/],
  ])('%j is one line on the error stream and code 2', async (args, message) => {
    const { code, out, err } = await tram('synth', ...args);
    expect(err).toMatch(message);
    expect(err.split('\n')).toHaveLength(2);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });
});
