// Pooling over windows of an NHWC image. Padding never wins a maximum and counts as zeros in an average.

import type { Shape } from '../../tensor/tensor.ts';
import type { PoolGeometry } from '../graph/ops.ts';
import type { Kernels, Operand } from './kernel.ts';

/** Calls `visit(outIndex, inputIndices)` for every output element with the elements of its window that lie inside the image. */
function forEachWindow(
  xShape: Shape,
  { size, stride, padding }: PoolGeometry,
  outShape: Shape,
  visit: (out: number, inside: readonly number[]) => void,
): void {
  const [n, h, w, c] = xShape as [number, number, number, number];
  const [, oh, ow] = outShape as [number, number, number];
  for (let image = 0; image < n; image++)
    for (let oy = 0; oy < oh; oy++)
      for (let ox = 0; ox < ow; ox++)
        for (let channel = 0; channel < c; channel++) {
          const inside: number[] = [];
          for (let ky = 0; ky < size[0]; ky++)
            for (let kx = 0; kx < size[1]; kx++) {
              const y = oy * stride + ky - padding;
              const x = ox * stride + kx - padding;
              if (y >= 0 && y < h && x >= 0 && x < w) inside.push(((image * h + y) * w + x) * c + channel);
            }
          visit(((image * oh + oy) * ow + ox) * c + channel, inside);
        }
}

function firstMaximum(x: Operand, inside: readonly number[]): number {
  return inside.reduce((best, index) => (x.data[index]! > x.data[best]! ? index : best), inside[0]!);
}

export const pooling: Kernels<'maxPool' | 'maxPoolGradient' | 'averagePool' | 'averagePoolGradient'> = {
  maxPool: ([x], [y], geometry) => {
    forEachWindow(x!.shape, geometry, y!.shape, (out, inside) => {
      y!.data[out] = x!.data[firstMaximum(x!, inside)]!;
    });
  },
  maxPoolGradient: ([g, x], [dx], geometry) => {
    dx!.data.fill(0);
    forEachWindow(x!.shape, geometry, g!.shape, (out, inside) => {
      dx!.data[firstMaximum(x!, inside)]! += g!.data[out]!;
    });
  },
  averagePool: ([x], [y], geometry) => {
    const area = geometry.size[0] * geometry.size[1];
    forEachWindow(x!.shape, geometry, y!.shape, (out, inside) => {
      y!.data[out] = inside.reduce((total, index) => total + x!.data[index]!, 0) / area;
    });
  },
  averagePoolGradient: ([g], [dx], geometry) => {
    const area = geometry.size[0] * geometry.size[1];
    dx!.data.fill(0);
    forEachWindow(dx!.shape, geometry, g!.shape, (out, inside) => {
      for (const index of inside) dx!.data[index]! += g!.data[out]! / area;
    });
  },
};
