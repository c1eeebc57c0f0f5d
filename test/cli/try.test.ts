// `tram try` from the command line: its table, JSON and CSV say the same, progress goes where it is not in the way, and
// the exit code tells whether all of them were measured.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { styleFor } from '../../src/cli/style.ts';
import { tryText } from '../../src/cli/try-table.ts';
import { runFlow } from '../../src/flow/flow.ts';
import type { TryReport } from '../../src/flow/try/report.ts';
import { tram } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-cli-try-'));
afterAll(() => rmSync(folder, { recursive: true }));
const run = join(folder, 'run');
const common = ['--exact', '4,3x4', '--threads', '1'];

beforeAll(async () => {
  const settings = { train: { epochs: 3 }, quantize: { images: 60 } };
  await runFlow({ folder: run, settings, phases: ['train', 'quantize'], device: { threads: 1 } });
  writeFileSync(join(folder, 'bad.v'), 'module bad (');
});

test('the table has a row for each, exact ones of fewer bits among them, and names what it could not read', async () => {
  const names = ['truncated:8x8:columns=5', 'broken-array:8x8:rows=2,columns=3', join(folder, '*.v')];
  const { code, out, err } = await tram('try', run, ...names, ...common);
  expect({ code, err }).toEqual({ code: 2, err: '' });
  expect(out).toMatch(/^1\/6 exact 8×8: as it is [\d.]+ %; folded [\d.]+ %; re-estimated [\d.]+ %$/m);
  // One form of numbers in all tables: a true minus sign.
  expect(out).toMatch(/^truncated:8x8:columns=5 .* −[\d.]+ /m);
  expect(out).toMatch(/^Matched by an exact multiplier .*: \d of the 2 tried\.( Not matched: .+\.)?$/m);
  expect(out).toMatch(/differences below about [\d.]+ points say little/);
  expect(out).toMatch(/^truncated:8x8:columns=5 +0\.\d{3} /m);
  expect(out).toMatch(/^broken-array:8x8:rows=2,columns=3 +weight /m);
  expect(out).toMatch(/^broken-array:8x8:rows=2,columns=3 +activation /m);
  expect(out.match(/(weight|activation) ✓/g)).toHaveLength(1);
  expect(out).toMatch(/^exact 4×4 +0\.\d{3} /m);
  expect(out).toMatch(/^exact 3×4 +0\.\d{3} /m);
  expect(out).toMatch(/not tried:\n {2}.*bad\.v: bad\.v:1:/);
  expect(out).toContain('try.png');
});

test('JSON and CSV are the whole output and say the same', async () => {
  const json = await tram('try', run, 'truncated:8x8:columns=5', ...common, '--format', 'json');
  expect(json.code).toBe(0);
  expect(json.err).toContain('truncated:8x8:columns=5: measured before');
  const { multipliers } = JSON.parse(json.out) as TryReport;
  const csv = await tram('try', run, 'truncated:8x8:columns=5', ...common, '--format', 'csv', '--quiet');
  expect(csv.err).toBe('');
  const [heads, ...rows] = csv.out
    .trim()
    .split('\n')
    .map((line) => line.split(','));
  expect(rows).toHaveLength(multipliers.length);
  for (const [at, row] of rows.entries()) {
    const cell = (name: string) => row[heads!.indexOf(name)];
    const one = multipliers[at]!;
    expect(cell('name')).toBe(one.name);
    expect(Number(cell('gate_cost'))).toBe(one.gateCost);
    expect(Number(cell('er'))).toBe(one.uniform.errorRate);
    expect(Number(cell('folded_accuracy'))).toBe(one.results.folded.accuracy);
    expect(cell('recovered_accuracy')).toBe('');
    expect(cell('measured_med')).toBe(one.measured ? String(one.measured.meanErrorDistance) : '');
  }
  expect(readFileSync(join(folder, 'run-try', 'try.csv'), 'utf8')).toBe(csv.out);
});

test.each([
  [
    ['--exact', '9x9'],
    "--exact: expected widths from 2 to 8 separated by commas, such as 7,6x6,4x5; or none, got '9x9'",
  ],
  [['--operand-order', 'weight'], '--operand-order: expected one of weight-activation, activation-weight, both'],
  [['--recover', '-1'], "--recover: expected a whole number from 0 to 10000, got '-1'"],
])('%j is refused', async (more, message) => {
  const { code, err } = await tram('try', run, 'dadda:8x8', ...more);
  expect(code).toBe(2);
  expect(err).toContain(message);
});

test('a try among the folders to compare is left out with a note, but one alone is no run', async () => {
  const folders = [run, join(folder, 'run-try')];
  expect(await tram('compare', ...folders)).toMatchObject({
    code: 0,
    err: `${folders[1]} holds what tram try found, not a run: left out\n`,
  });
  expect(await tram('compare', folders[1]!)).toMatchObject({
    code: 2,
    err: expect.stringContaining('not a run folder'),
  });
});

test('in a narrow terminal nothing is wider than it: columns that matter less go', () => {
  const report = JSON.parse(readFileSync(join(folder, 'run-try', 'try.json'), 'utf8')) as TryReport;
  const short = { ...report, run: { ...report.run, folder: 'runs/a' }, failed: [] };
  const text = (width?: number) => tryText(short, styleFor({ write: () => {} }, false), width);
  const lines = text(79).split('\n');
  expect(lines.filter((line) => line.length > 79)).toEqual([]);
  expect(lines).toContainEqual(expect.stringMatching(/^multiplier +gates .*here .*as it is +folded +re-estimated$/));
  expect(text()).toMatch(/^multiplier +gates +ER +MED +here +mean /m);
});
