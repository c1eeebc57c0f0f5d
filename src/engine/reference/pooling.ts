// Pooling over windows of an NHWC image. Padding never wins a maximum; in an average it counts as zeros or not at all.
// A NaN in a window is its maximum, so that a network which has diverged shows it behind a pool.

import type { Shape } from '../../tensor/tensor.ts';
import type { AverageGeometry, PoolGeometry } from '../graph/ops.ts';
import { axesOf, countsAlong, windowTaps } from '../graph/window.ts';
import type { Kernels, Operand } from './kernel.ts';

/**
 * Calls `visit(outIndex, inputIndices)` for every output element with the elements of its window that lie inside the
 * image.
 */
function forEachWindow(
  xShape: Shape,
  geometry: PoolGeometry,
  visit: (out: number, inside: readonly number[]) => void,
): void {
  const [n, h, w, c] = xShape as [number, number, number, number];
  const { rows, columns } = windowTaps(xShape, geometry.size, geometry);
  for (let image = 0; image < n; image++)
    for (let oy = 0; oy < rows.length; oy++)
      for (let ox = 0; ox < columns.length; ox++) {
        const pixels = rows[oy]!.flatMap(({ at: y }) => columns[ox]!.map(({ at: x }) => (image * h + y) * w + x));
        const out = (image * rows.length + oy) * columns.length + ox;
        for (let channel = 0; channel < c; channel++) {
          const inside = pixels.map((pixel) => pixel * c + channel);
          visit(out * c + channel, inside);
        }
      }
}

/** What the mean of each window is divided by, in the order of windows of one image. */
function areas(xShape: Shape, geometry: AverageGeometry): (out: number) => number {
  const { size, countPadding = true } = geometry;
  const [rows, columns] = axesOf(xShape, size, geometry).map((axis) => countsAlong(axis, countPadding));
  const all = rows!.flatMap((height) => columns!.map((width) => height * width));
  return (out) => all[Math.floor(out / xShape[3]!) % all.length]!;
}

/** The first maximum; a NaN counts as one. */
function firstMaximum(x: Operand, inside: readonly number[]): number {
  const isMore = (value: number, most: number) => value > most || (Number.isNaN(value) && !Number.isNaN(most));
  return inside.reduce((best, index) => (isMore(x.data[index]!, x.data[best]!) ? index : best), inside[0]!);
}

export const pooling: Kernels<'maxPool' | 'maxPoolGradient' | 'averagePool' | 'averagePoolGradient'> = {
  maxPool: ([x], [y], geometry) => {
    forEachWindow(x!.shape, geometry, (out, inside) => {
      y!.data[out] = x!.data[firstMaximum(x!, inside)]!;
    });
  },
  maxPoolGradient: ([g, x], [dx], geometry) => {
    dx!.data.fill(0);
    forEachWindow(x!.shape, geometry, (out, inside) => {
      dx!.data[firstMaximum(x!, inside)]! += g!.data[out]!;
    });
  },
  averagePool: ([x], [y], geometry) => {
    const area = areas(x!.shape, geometry);
    forEachWindow(x!.shape, geometry, (out, inside) => {
      y!.data[out] = inside.reduce((total, index) => total + x!.data[index]!, 0) / area(out);
    });
  },
  averagePoolGradient: ([g], [dx], geometry) => {
    const area = areas(dx!.shape, geometry);
    dx!.data.fill(0);
    forEachWindow(dx!.shape, geometry, (out, inside) => {
      for (const index of inside) dx!.data[index]! += g!.data[out]! / area(out);
    });
  },
};
