// A whole run as integers: digits, quantised and mapped, by the command and by the library, all predictions beside
// those of the float-scaled network; and what cannot be integers says what to do.

import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { evaluateRun } from '../../src/flow/results/evaluate.ts';
import { evaluateIntegers } from '../../src/flow/results/evaluate-integers.ts';
import { exportRun } from '../../src/flow/results/export-forms.ts';
import { readIntegerNetwork } from '../../src/integer/files.ts';
import { classOf, interpreter, logitsOf } from '../../src/integer/interpret.ts';
import { tram } from '../cli/program.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-integers-'));
afterAll(() => rmSync(parent, { recursive: true }));
const folder = join(parent, 'digits');
const device = { threads: 1 } as const;

beforeAll(async () => {
  const map = {
    multiplier: 'broken-array:8x8:rows=3,columns=4',
    operandOrder: 'activation-weight',
    weightCodes: 'best',
  };
  await runFlow({
    folder,
    settings: { train: { epochs: 3 }, quantize: { images: 100 }, map } as never,
    phases: ['train', 'quantize', 'map'],
    device,
  });
});

test('predictions of the integers are those of the float-scaled network', async () => {
  for (const stage of ['quantized', 'mapped'] as const) {
    const figures = await evaluateIntegers({ folder, stage, device });
    const float = await evaluateRun({ folder, stage, device });
    expect(figures.images).toBe(float.images);
    expect(figures.floatAccuracy).toBeCloseTo(float.accuracy, 10);
    expect(figures.agreement).toBeGreaterThanOrEqual(0.999);
    expect(figures.islands).toEqual([]);
    for (const { seen, terms, accumulatorBits, codesThatDiffer } of figures.layers) {
      expect(seen[0]).toBeGreaterThanOrEqual(terms[0]);
      expect(seen[1]).toBeLessThanOrEqual(terms[1]);
      expect(accumulatorBits).toBeLessThanOrEqual(32);
      expect(codesThatDiffer).toBeLessThan(0.01);
    }
  }
});

test('tram export --to integer writes a folder whose network can be run by itself', async () => {
  const out = join(parent, 'out');
  const { code, out: told, err } = await tram('export', folder, '--to', 'integer', '--images', '5', '--out', out);
  expect([code, err]).toEqual([0, '']);
  expect(told).toContain('| same class named | 100.00 % |');
  const network = readIntegerNetwork((path) => readFileSync(join(out, 'integer', path)));
  expect(network.tensors[0]!.shape).toEqual([8, 8, 1]);
  const logits = logitsOf(network, interpreter(network)(new Uint8Array(64), { checked: true }));
  expect(classOf(logits)).toBeLessThan(10);
  const { files } = JSON.parse(readFileSync(join(out, 'integer', 'export.json'), 'utf8'));
  expect(Object.keys(files).every((file) => existsSync(join(out, 'integer', file)))).toBe(true);
});

test.each([
  [['export', folder, '--to', 'integer', '--stage', 'float'], /float has no integers; with --to give one of quantized/],
  [['evaluate', folder, '--integer', '--stage', 'explored'], /explored has no integers; give one of quantized, mapped/],
  [['evaluate', folder, '--images', '5'], /--images has no effect without --integer/],
  [['export', folder, '--images', '5'], /--images is about the forms of --to/],
  [['export', folder, '--to', 'onnx', '--array', '4x4'], /--array is about the form rtl or testbench; give --to rtl/],
  [['export', folder, '--to', 'integer,c', '--effort', 'quick'], /--effort is about the form rtl/],
  [['export', folder, '--to', 'rtl', '--check'], /--check is about the form testbench/],
  [['export', folder, '--tensorboard', '--effort', 'quick'], /--effort is about a network/],
  [['export', folder, '--to', 'integr'], /did you mean 'integer'|integer/],
  [['export', folder, '--to', 'integer', '--quantizers'], /--quantizers is about a file of parameters/],
  [['export', folder, '--stage', 'mapped'], /mapped has no parameters of its own/],
  [['evaluate', folder, '--integer', '--stage', 'recovered'], /recover/],
])('%j is refused in one line', async (words, message) => {
  const { code, err } = await tram(...words);
  expect(code).toBeGreaterThan(0);
  expect(err).toMatch(message);
  expect(
    err
      .trim()
      .split('\n')
      .filter((line) => line.includes(' at ')).length,
  ).toBe(0);
});

test('a form that a network cannot have refuses the export, or is left out where that was asked', async () => {
  const path = join(parent, 'where it fits');
  const asked = { folder, path, forms: ['onnx', 'testbench'], images: 1, layers: ['nosuch'] } as const;
  await expect(exportRun(asked)).rejects.toThrow(/nosuch/);
  expect(existsSync(path)).toBe(false);
  const { forms, leftOut } = await exportRun({ ...asked, whereFits: true });
  expect(forms.map(({ form }) => form)).toEqual(['onnx']);
  expect(leftOut).toEqual([{ form: 'testbench', reason: expect.stringContaining('nosuch') }]);
  await expect(exportRun({ ...asked, forms: ['testbench'], whereFits: true })).rejects.toThrow(/nosuch/);
});

test.each([
  ['--to', ''],
  ['--to', 'integer,'],
  ['--to', 'none'],
  ['--check', 'icarus,'],
])('%s %j names nothing, and is refused', async (option, value) => {
  const { code, err } = await tram(
    'export',
    folder,
    ...(option === '--to' ? [] : ['--to', 'testbench']),
    option,
    value,
  );
  expect([code, err]).toEqual([2, expect.stringContaining(`${option}: expected`)]);
});
