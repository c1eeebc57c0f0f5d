// Synthesised power from the command line, in the cells of a library: `compare`, `try` and `sweep` tell what `synth`
// tells of the same netlist, relative to the exact 8×8 array in the same cells, and gate cost, modelled and synthesised
// power are never in one column.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { TryReport } from '../../src/flow/try/report.ts';
import { invertingAdders } from '../hardware/inverting.ts';
import { tram } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-cli-synthesised-'));
afterAll(() => rmSync(folder, { recursive: true }));
const run = join(folder, 'run');
const liberty = join(folder, 'inverting.lib');
const cells = ['--effort', 'quick', '--clock', '50'];
const ofLibrary = ['--liberty', liberty, ...cells];
const digits = ['--bits', '3', '--sample', '100', '--threads', '1', '--train-epochs', '1', '--recover-epochs', '1'];
const tiny = [...digits, '--explore-epochs', '1'];

/** Area of a netlist in µm² and its power in mW, by itself. */
async function synthesised(netlist: string): Promise<{ area: number; power: number }> {
  const { code, out } = await tram('synth', netlist, ...ofLibrary, '--objective', 'power', '--json');
  expect(code).toBe(0);
  const { area, power, library } = JSON.parse(out);
  expect(library).toBe('inverting');
  return { area, power: power.total };
}

/** Of the run's multiplier relative to the exact 8×8 array. */
let power: number;
let area: number;

beforeAll(async () => {
  vi.stubEnv('XDG_CACHE_HOME', folder);
  writeFileSync(liberty, invertingAdders.text);
  expect((await tram('run', run, ...tiny)).code).toBe(0);
  const [own, exact] = [await synthesised(join(run, 'multiplier.v')), await synthesised('array:8x8')];
  [power, area] = [own.power / exact.power, own.area / exact.area];
  expect(power).toBeGreaterThan(0.01);
  expect(power).toBeLessThan(0.12);
});
afterAll(() => vi.unstubAllEnvs());

/** Three kinds of power, each its own. */
function expectApart(kinds: readonly number[]): void {
  expect(kinds).toHaveLength(3);
  expect(new Set(kinds).size).toBe(3);
}

test('compare --by synthesised: what synth tells, beside the other kinds and never in their place', async () => {
  const shown = await tram('compare', run, '--by', 'synthesised', ...ofLibrary, '--json');
  const [compared] = JSON.parse(shown.out);
  expect(compared.over).toMatchObject({ kind: 'synthesised', power: { mean: expect.closeTo(power, 12) } });
  expect(compared.synthesised).toMatchObject({ library: 'inverting', power: expect.closeTo(power, 12) });
  expectApart([compared.power.power, compared.gateCost.gateCost, compared.synthesised.power]);
  const text = (await tram('compare', run, ...ofLibrary)).out;
  const lines = text.split('\n');
  const heads = lines.findIndex((line) => /^\S.* modelled .* synthesised$/.test(line.trimEnd()));
  expect(heads, text).toBeGreaterThanOrEqual(0);
  const columns = (line: string) => line.trim().split(/ {2,}/);
  const cell = (name: string) => columns(lines[heads + 2]!)[columns(lines[heads]!).indexOf(name)]?.replace(/^● /, '');
  expect(cell('modelled')).toBe(compared.power.power.toFixed(4));
  expect(cell('gate cost')).toBe(compared.gateCost.gateCost.toFixed(4));
  expect(cell('synthesised')).toBe(power.toFixed(4));
  expect(text).toContain('synthesised: power in inverting, 1 = the exact 8×8 array');
});

test('try --by synthesised: gate cost and synthesised power of each, in columns of their own', async () => {
  const asked = ['try', run, join(run, 'multiplier.v'), '--exact', '2', '--threads', '1', '--liberty', liberty];
  const shown = await tram(...asked, '--by', 'synthesised', ...cells, '--format', 'json');
  expect(shown.code).toBe(0);
  const report = JSON.parse(shown.out) as TryReport;
  expect(report.library).toBe('inverting');
  const own = report.multipliers.find(({ group }) => group === 'tried')!;
  // Read as a network, whose gates come in another order than in the file: the netlist may be another of its size.
  expect(own.synthesised!.area).toBeCloseTo(area, 3);
  expect(Math.abs(own.synthesised!.power / power - 1)).toBeLessThan(0.02);
  for (const { synthesised, gateCost } of report.multipliers) expect(synthesised!.power).not.toBeCloseTo(gateCost!, 4);
  const csv = readFileSync(join(folder, 'run-try', 'try.csv'), 'utf8').split('\n');
  const at = (name: string) => csv[0]!.split(',').indexOf(name);
  const row = csv.find((line) => line.includes('multiplier'))!.split(',');
  expect(Number(row[at('synthesised_power')])).toBe(own.synthesised!.power);
  expect(Number(row[at('gate_cost')])).toBe(own.gateCost);
  // A library alone may be that of a netlist's cells: it asks for no synthesis.
  const gates = JSON.parse((await tram(...asked, '--format', 'json')).out) as TryReport;
  expect(gates.multipliers.every((one) => !('synthesised' in one))).toBe(true);
});

test('sweep --library: a front over synthesised power, with the others beside it', async () => {
  const sweep = join(folder, 'sweep');
  const plan = ['--over', 'multiplier=exact:3x3,trained', ...tiny];
  expect((await tram('sweep', sweep, ...plan, '--library', liberty, ...cells)).code).toBe(0);
  const { kind, library, points } = JSON.parse(readFileSync(join(sweep, 'front.json'), 'utf8'));
  expect({ kind, library }).toEqual({ kind: 'synthesised', library: 'inverting' });
  const trained = points.find(({ name }: { name: string }) => name === 'trained');
  const netlist = await synthesised(join(sweep, 'trials', 'trained', 'multiplier.v'));
  const exact = await synthesised('array:8x8');
  expect(trained.power.synthesised.mean).toBeCloseTo(netlist.power / exact.power, 12);
  expectApart([trained.power.modelled.mean, trained.power.gates.mean, trained.power.synthesised.mean]);
  const [heads, row] = readFileSync(join(sweep, 'front.csv'), 'utf8')
    .split('\n')
    .map((line) => line.split(','));
  for (const name of ['modelled', 'gates', 'synthesised'])
    expect(Number(row![heads!.indexOf(`${name}_power`)])).toBe(trained.power[name].mean);
  const gates = await tram('sweep', sweep, '--report', '--no-synthesis', '--json');
  expect(JSON.parse(gates.out)).toMatchObject({ kind: 'gates', library: null });
});
