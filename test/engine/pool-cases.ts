// Cases of pooling beyond the plain window: means of the pixels alone, windows that reach beyond the padded image; max
// pools and their gradients together, where a backend may keep the taps between them, and each alone; max pools behind
// batch norm and relu, where it may leave out what lies between.

import { axesOf, outputsOf, type PerAxis, squareWindow } from '../../src/engine/graph/window.ts';
import { Random } from '../../src/tensor/random.ts';
import { f32, type HostTensor, type Shape, sizeOf } from '../../src/tensor/tensor.ts';
import { type Case, floatsOf, make } from './cases.ts';

const floats = floatsOf(1);

/** Values in a random order of which no two are so near that a difference quotient changes which is the largest. */
const apart = (shape: Shape): HostTensor =>
  f32(
    shape,
    Float32Array.from(new Random(1, ...shape).permutation(sizeOf(shape)), (place) => (place - sizeOf(shape) / 2) / 256),
  );

type Pool = readonly [note: string, x: Shape, size: PerAxis, stride: PerAxis, padding: PerAxis];

const ofTies = floatsOf(2);
/** Values of which many are equal. */
const withTies = (shape: Shape): HostTensor => f32(shape, ofTies(shape, -2, 3).data.map(Math.round));

/**
 * A max pool, its gradient, and both; the number of a tap fits a byte or does not; by fours of channels and one by one.
 */
const maxima: readonly Case[] = (
  [
    ['3×3 with padding of 8 channels', [2, 7, 6, 8], 3, 2, 1],
    ['3×3 with padding of 6 channels', [2, 6, 7, 6], 3, 2, 1],
    ['16×16 of 4 channels', [2, 19, 17, 4], 16, [3, 1], [3, 0]],
    ['17×16 of 8 channels', [2, 20, 18, 8], [17, 16], [5, 3], 4],
    ['16×17 of 3 channels', [2, 18, 20, 3], [16, 17], 3, [2, 7]],
  ] as Pool[]
).flatMap(([note, shape, size, stride, padding]) => {
  const window = squareWindow(size, stride, padding);
  const [rows, columns] = axesOf(shape, window.size, window);
  const g = ofTies([shape[0]!, outputsOf(rows), outputsOf(columns), shape[3]!]);
  const x = withTies(shape);
  return [
    make('maxPool', `${note}, alone`, [x], window, { exact: true }),
    make('maxPoolGradient', `${note}, alone`, [g, x], window, { exact: true }),
    make('maxPool', `${note}, ties`, [x], window, { differentiate: [0] }),
  ];
});

const ofNorms = floatsOf(3);
/**
 * Batch norm, a relu and a max pool, all of their gradients: how channels and sums are cut, limits, taps of two bytes,
 * a window of which many overlap, and one with pixels that no window has.
 */
const behindNorms: readonly Case[] = (
  [
    ['3×3, [2, 13, 11, 32]', [2, 13, 11, 32], 3, 2, 1],
    ['2×2, [2, 6, 5, 20]', [2, 6, 5, 20], 2, 2, 0],
    ['3×3, limited, [1, 4, 5, 160]', [1, 4, 5, 160], 3, 2, 1, 1.25],
    ['17×16, [2, 27, 25, 4]', [2, 27, 25, 4], [17, 16], [9, 8], 1],
    ['3×3, [2, 13, 11, 33]', [2, 13, 11, 33], 3, 2, 1],
    ['2×3, limited, [2, 6, 5, 2]', [2, 6, 5, 2], [2, 3], [1, 2], 0, 1.25],
    ['16×17, [2, 25, 27, 7]', [2, 25, 27, 7], [16, 17], [8, 9], 2],
    ['5×4 that overlaps much, [2, 7, 6, 8]', [2, 7, 6, 8], [5, 4], 1, 2],
    ['1×2 with stride 3, [2, 8, 7, 12]', [2, 8, 7, 12], [1, 2], 3, 0],
  ] as [...Pool, limit?: number][]
).map(([note, x, size, stride, padding, limit]) => {
  const c = [x[3]!];
  const window = squareWindow(size, stride, padding);
  const inputs = [ofNorms(x, -1, 3), ofNorms(c, 0.5, 1.5), ofNorms(c)];
  return make('maxPool', `batch norm and a relu in front, ${note}`, inputs, window, {
    differentiate: [0, 1, 2],
    build: (graph, [x, gamma, beta]) => {
      const [norm] = graph.apply('batchNorm', [x!, gamma!, beta!], { epsilon: 1e-5 });
      const relu = graph.apply1('relu', [norm!], limit === undefined ? {} : { limit });
      return [graph.apply1('maxPool', [relu], window)];
    },
  });
});

/** Averages of the pixels alone, windows that reach beyond the padded image, and both; also where nothing differs. */
const beyond: readonly Case[] = (
  [
    ['3×3 with padding', [2, 7, 6, 6], 3, 2, 1],
    ['3×2 with stride 2×3 and padding 1×0', [2, 8, 9, 8], [3, 2], [2, 3], [1, 0]],
    ['2×2', [2, 5, 7, 4], 2, 2, 0],
    ['5×4 with padding 2×1', [1, 6, 5, 7], [5, 4], [3, 3], [2, 1]],
    ['2×2 that fills the image', [1, 4, 4, 5], 2, 2, 0],
    ['2×2 whose last window would begin in the padding', [2, 3, 5, 3], 2, 2, 1],
  ] as Pool[]
).flatMap(([note, x, size, stride, padding]) => {
  const of = { differentiate: [0], smooth: [0] };
  const window = (ceil: boolean) => squareWindow(size, stride, padding, ceil);
  return [
    make('averagePool', `${note}, pixels alone`, [floats(x)], { ...window(false), countPadding: false }, of),
    make('averagePool', `${note}, rounded up`, [floats(x)], window(true), of),
    make('averagePool', `${note}, pixels alone, rounded up`, [floats(x)], { ...window(true), countPadding: false }, of),
    make('maxPool', `${note}, rounded up`, [apart(x)], window(true), of),
  ];
});

export const poolCases: readonly Case[] = [...beyond, ...maxima, ...behindNorms];
