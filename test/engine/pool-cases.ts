// Cases of pooling beyond the plain window: means of the pixels alone, windows that reach beyond the padded image.

import { type PerAxis, squareWindow } from '../../src/engine/graph/window.ts';
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

/** Averages of the pixels alone, windows that reach beyond the padded image, and both; also where nothing differs. */
export const poolCases: readonly Case[] = (
  [
    ['3×3 with padding', [2, 7, 6, 6], 3, 2, 1],
    ['3×2 with stride 2×3 and padding 1×0', [2, 8, 9, 8], [3, 2], [2, 3], [1, 0]],
    ['2×2', [2, 5, 7, 4], 2, 2, 0],
    ['5×4 with padding 2×1', [1, 6, 5, 7], [5, 4], [3, 3], [2, 1]],
    ['2×2 that fills the image', [1, 4, 4, 5], 2, 2, 0],
    ['2×2 whose last window would begin in the padding', [2, 3, 5, 3], 2, 2, 1],
  ] as [string, Shape, PerAxis, PerAxis, PerAxis][]
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
