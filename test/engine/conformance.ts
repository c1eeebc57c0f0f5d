// The conformance suite itself, free of any test runner: what a backend must give for a case, and what is wrong with
// what it gave. Run by conformance.test.ts for every device that is present, and by conformance.mjs on a GPU host
// without one.

import type { Backend } from '../../src/engine/backend.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { isInteger, type ProductError } from '../../src/multiplier/error.ts';
import type { TensorData } from '../../src/tensor/tensor.ts';
import type { Case } from './cases.ts';
import { type Results, relativeError, runCase } from './run-case.ts';

const reference = referenceBackend({ poison: true });
const known = new Map<string, Promise<Results>>();

/** What the reference gives; computed once. */
export function expectedOf(item: Case): Promise<Results> {
  const results = known.get(item.name) ?? runCase(reference, item);
  known.set(item.name, results);
  return results;
}

/** Results computed elsewhere, taken as the reference's. */
export function expect(name: string, results: Results): void {
  known.set(name, Promise.resolve(results));
}

/**
 * Outputs that hold integers scaled once are exact whatever the precision of float products. The gradient of a scale is
 * a difference of two sums that may be much larger than it. A mean of 128 is rounded to 2⁻¹⁷, and what deviates from it
 * by less than one goes by the mean as it is stored.
 */
function toleranceOf({ op, name: title, attributes }: Case, name: string, ofFloats: number): number {
  if (title.endsWith('of a large mean')) return Math.max(ofFloats, 1e-5);
  if (op !== 'axmConv2d') return ofFloats;
  const { error } = attributes as { readonly error: ProductError };
  if (isInteger(error) && name === 'y0') return Math.min(ofFloats, 1e-7);
  return name === 'd2' || name === 'd4' ? 10 * ofFloats : ofFloats;
}

/**
 * ‖found − expected‖ / ‖expected‖. The scalar Σ r·y with random r of both signs may come out near zero by chance: its
 * error is taken relative to the size that such a sum has, ‖y‖ times the root mean square of r.
 */
function errorOf(name: string, found: TensorData, expected: Results): number {
  const error = relativeError(found, expected[name]!);
  if (name !== 'scalar' || error === 0) return error;
  const outputs = Object.entries(expected).filter(([output, y]) => output.startsWith('y') && y instanceof Float32Array);
  const squares = outputs.flatMap(([, y]) => Array.from(y as Float32Array, (value) => value * value));
  const usual = Math.sqrt(squares.reduce((sum, square) => sum + square, 0) / 12);
  const size = Math.abs(expected.scalar![0]!);
  return error * (size / Math.max(size, usual));
}

/**
 * What is wrong with a backend's results: a line per output, with the first elements that differ. `tolerance`: of f32
 * outputs.
 */
export function problemsOf(item: Case, found: Results, expected: Results, tolerance: number): string[] {
  return Object.entries(expected).flatMap(([name, data]) => {
    const have = found[name];
    if (have === undefined) return [`${name} is missing`];
    const error = errorOf(name, have, expected);
    const most = data instanceof Float32Array ? (item.exact ? 0 : toleranceOf(item, name, tolerance)) : 0;
    if (error <= most) return [];
    const wrong: string[] = [];
    for (let at = 0; at < data.length && wrong.length < 4; at++) {
      const close = Math.abs(have[at]! - data[at]!) <= most * Math.max(1e-3, Math.abs(data[at]!));
      if (!close) wrong.push(`[${at}] ${have[at]} for ${data[at]}`);
    }
    return [`${name}[${data.length}] error ${error.toExponential(2)}: ${wrong.join(', ')}`];
  });
}

/** Outputs that are not the same bits. */
export function differences(one: Results, two: Results): string[] {
  return Object.keys(one).filter((name) => Buffer.compare(bytes(one[name]!), bytes(two[name]!)) !== 0);
}

const bytes = (data: TensorData): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

export interface Device {
  readonly name: string;
  readonly open: () => Backend;
  /** Relative error of f32 outputs. */
  readonly tolerance: number;
}

/** Runs a case on a device; the problems that it has, none where all is well. */
export async function check(device: Device, item: Case): Promise<string[]> {
  const backend = device.open();
  const expected = await expectedOf(item);
  const found = await runCase(backend, item);
  const problems = problemsOf(item, found, expected, device.tolerance);
  const moved = differences(found, await runCase(backend, item));
  if (moved.length > 0) problems.push(`${moved.join(', ')} differ between two runs`);
  const { error } = item.attributes as { error?: ProductError };
  if (error?.kind === 'table' && error.emulation === 'lowrank') {
    const attributes = { ...item.attributes, error: { kind: 'table', emulation: 'table' } };
    const looked = { ...item, attributes } as Case;
    if (differences(found, await runCase(backend, looked)).length > 0) problems.push('low-rank and table differ');
  }
  return problems;
}
