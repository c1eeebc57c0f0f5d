import { expect, test } from 'vitest';
import { f32 } from '../../tensor/tensor.ts';
import { Graph, type Value } from '../graph.ts';
import type { AxmConvAttributes } from '../ops.ts';
import { planeDefines, planesOf, slicesOf } from './planes.ts';

const attributes = (error: 'exact' | 'planes', integer: boolean): AxmConvAttributes => ({
  ...{ stride: 1, padding: 1, groups: 1, weightBits: 8, activationBits: 8 },
  error,
  integer,
});
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
  expect(planesOf(attributes('exact', true))).toEqual([{ mask: 255, bit: undefined, fraction: false }]);
});

test('a trained structure of eight columns has eight planes with fractions', () => {
  const planes = planesOf(attributes('planes', false), structure(8));
  expect(planes.map(({ mask }) => mask)).toEqual([1, 2, 4, 8, 16, 32, 64, 128]);
  expect(planes.every(({ fraction }) => fraction)).toBe(true);
  expect([slicesOf(planes, 1), slicesOf(planes, 2)]).toEqual([16, 24]);
});

test('the bits above the last column lose nothing: one plane of whole weights', () => {
  const planes = planesOf(attributes('planes', false), structure(5));
  expect(planes.map(({ mask }) => mask)).toEqual([1, 2, 4, 8, 16, 0b11100000]);
  expect(planes.at(-1)).toEqual({ mask: 0b11100000, bit: undefined, fraction: false });
});

test('a constant truncation of six columns has seven integer planes, and renames do not hide it', () => {
  const m = removal(6);
  const renamed = m.graph.apply1('stopGradient', [m], {});
  const planes = planesOf(attributes('planes', true), renamed);
  expect(planes).toHaveLength(7);
  expect(planes.some(({ fraction }) => fraction)).toBe(false);
});

test('a matrix that is only known on the device gets a plane for every bit', () => {
  const m = new Graph().input('m', [8, 8]);
  expect(planesOf(attributes('planes', true), m)).toHaveLength(8);
});

test('equal columns share a plane whatever they are', () => {
  const m = new Graph().constant(
    f32(
      [8, 8],
      Float32Array.from({ length: 64 }, (_, at) => (at < 8 ? 1 : 0)),
    ),
  );
  expect(planesOf(attributes('planes', true), m)).toEqual([{ mask: 255, bit: 0, fraction: false }]);
});

test('the macros carry a byte, a flag and a column per plane', () => {
  const planes = planesOf(attributes('planes', false), structure(2));
  expect(planeDefines(planes, 1)).toEqual({
    PLANES: 3,
    SLICES: 5,
    FDIGITS: 1,
    MASKS: '0xfc0201ull',
    FRACTIONS: '0x3ull',
    BITS: '0xf10ull',
  });
});
