import { expect, test } from 'vitest';
import type { ProductError } from '../../../multiplier/error.ts';
import { f32 } from '../../../tensor/tensor.ts';
import { Graph, type Value } from '../../graph/graph.ts';
import type { AxmConvAttributes } from '../../graph/ops.ts';
import { square } from '../../graph/window.ts';
import { bytesOfFunctions, factoredForm, planeDefines, planesOf, slicesOf } from './approximate-plane-form.ts';

const attributes = (error: ProductError): AxmConvAttributes => ({
  ...square({ padding: 1 }),
  ...{ weightBits: 8, activationBits: 8 },
  error,
});
const shares: ProductError = { kind: 'removal', integer: false };
const whole: ProductError = { kind: 'removal', integer: true };
const index = (columns: number) =>
  Array.from({ length: 64 }, (_, at) => ((at >> 3) + (at & 7) < columns ? (at >> 3) + (at & 7) : -1));
const structure = (columns: number): Value => {
  const graph = new Graph();
  const theta = graph.variable('theta', [columns]);
  return graph.apply1('structureMatrix', [theta], { weightBits: 8, activationBits: 8, index: index(columns) });
};
const removal = (columns: number): Value =>
  new Graph().constant(
    f32(
      [8, 8],
      Float32Array.from(index(columns), (column) => (column < 0 ? 0 : 1)),
    ),
  );

test('an exact product is one plane with all bits', () => {
  expect(planesOf(attributes({ kind: 'none' }))).toEqual([{ mask: 255, bit: undefined, fraction: false }]);
});

test('a trained structure of eight columns has eight planes with fractions', () => {
  const planes = planesOf(attributes(shares), structure(8));
  expect(planes.map(({ mask }) => mask)).toEqual([1, 2, 4, 8, 16, 32, 64, 128]);
  expect(planes.every(({ fraction }) => fraction)).toBe(true);
  expect([slicesOf(planes, 1), slicesOf(planes, 2)]).toEqual([16, 24]);
});

test('the bits above the last column lose nothing: one plane of whole weights', () => {
  const planes = planesOf(attributes(shares), structure(5));
  expect(planes.map(({ mask }) => mask)).toEqual([1, 2, 4, 8, 16, 0b11100000]);
  expect(planes.at(-1)).toEqual({ mask: 0b11100000, bit: undefined, fraction: false });
});

test('a constant truncation of six columns has seven integer planes, and renames do not hide it', () => {
  const m = removal(6);
  const renamed = m.graph.apply1('stopGradient', [m], {});
  const planes = planesOf(attributes(whole), renamed);
  expect(planes).toHaveLength(7);
  expect(planes.some(({ fraction }) => fraction)).toBe(false);
});

test('a matrix that is only known on the device gets a plane for every bit', () => {
  const m = new Graph().input('m', [8, 8]);
  expect(planesOf(attributes(whole), m)).toHaveLength(8);
});

test('equal columns share a plane whatever they are', () => {
  const m = new Graph().constant(
    f32(
      [8, 8],
      Float32Array.from({ length: 64 }, (_, at) => (at < 8 ? 1 : 0)),
    ),
  );
  expect(planesOf(attributes(whole), m)).toEqual([{ mask: 255, bit: 0, fraction: false }]);
});

test('the macros list the bits, the fraction and the column of each plane', () => {
  const planes = planesOf(attributes(shares), structure(2));
  expect(planeDefines({ planes, functions: [] }, 1)).toEqual({
    PLANES: 3,
    SLICES: 5,
    SOURCES: 1,
    FDIGITS: 1,
    MASKS: '(1)(2)(252)',
    PLACES: '(-1)(-1)(-1)',
    READS: '(0)(0)(0)',
    SIGNS: '(0)(0)(0)',
    ALL_SIGNS: 0,
    FRACTIONS: '(1)(1)(0)',
    BITS: '(0)(1)(-1)',
  });
});

test('a multiplier that always gives the same keeps one plane, of zeros', () => {
  const form = factoredForm({ functions: [], planes: [], constant: Int32Array.of(7, 7) });
  expect(planeDefines(form, 1)).toMatchObject({ PLANES: 1, SLICES: 1, MASKS: '(1)' });
  expect(form.factored).toEqual({ digits: Uint8Array.of(0, 0), constant: Int32Array.of(7, 7) });
});

test('the planes of a factored table say what they read, where it goes and what has a sign', () => {
  const all = (value: number) => new Int32Array(4).fill(value);
  const form = factoredForm({
    functions: [Int32Array.of(0, -3, 5, 7)],
    planes: [
      { source: 0, mask: 3, at: undefined, weights: all(255) },
      { source: 0, mask: 3, at: 5, weights: all(-1) },
      { source: 1, mask: 3, at: 0, weights: all(9) },
    ],
    constant: all(0),
  });
  expect(planeDefines(form, 1)).toMatchObject({
    PLANES: 3,
    SLICES: 3,
    SOURCES: 2,
    MASKS: '(3)(3)(3)',
    PLACES: '(-1)(5)(0)',
    READS: '(0)(0)(1)',
    SIGNS: '(0)(2)(1)',
    ALL_SIGNS: 3,
  });
  expect(form.factored?.digits).toEqual(Uint8Array.of(255, 255, 255, 255, 255, 255, 255, 255, 9, 9, 9, 9));
  expect(form.factored?.constant).toBeUndefined();
  expect([...bytesOfFunctions(form.functions).subarray(0, 5)]).toEqual([0, 253, 5, 7, 0]);
});
