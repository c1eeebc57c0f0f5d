// Convolutions in seven loops: x NHWC, w [kh, kw, I/groups, O], zero padding. The one loop nest below visits every valid pair of
// input element and weight element; a padded tap is never visited, so it contributes nothing to any sum.

import type { Shape } from '../../tensor/tensor.ts';
import type { ConvGeometry } from '../graph/ops.ts';
import type { Kernels } from './kernel.ts';

/** Calls `visit(xIndex, wIndex, outIndex)` for every multiplication of the convolution. */
export function forEachProduct(
  xShape: Shape,
  wShape: Shape,
  outShape: Shape,
  { stride, padding, groups }: ConvGeometry,
  visit: (xIndex: number, wIndex: number, outIndex: number) => void,
): void {
  const [n, h, w, inputs] = xShape as [number, number, number, number];
  const [kh, kw, perGroup, outputs] = wShape as [number, number, number, number];
  const [, oh, ow] = outShape as [number, number, number];
  const outputsPerGroup = outputs / groups;
  for (let image = 0; image < n; image++)
    for (let oy = 0; oy < oh; oy++)
      for (let ox = 0; ox < ow; ox++)
        for (let ky = 0; ky < kh; ky++) {
          const y = oy * stride + ky - padding;
          if (y < 0 || y >= h) continue;
          for (let kx = 0; kx < kw; kx++) {
            const x = ox * stride + kx - padding;
            if (x < 0 || x >= w) continue;
            const pixel = ((image * h + y) * w + x) * inputs;
            const tap = (ky * kw + kx) * perGroup;
            const out = ((image * oh + oy) * ow + ox) * outputs;
            for (let i = 0; i < perGroup; i++)
              for (let o = 0; o < outputs; o++) {
                const group = Math.floor(o / outputsPerGroup);
                visit(pixel + group * perGroup + i, (tap + i) * outputs + o, out + o);
              }
          }
        }
}

export const convolution: Kernels<'conv2d' | 'conv2dInputGradient' | 'conv2dWeightGradient'> = {
  conv2d: ([x, w], [y], geometry) => {
    const sums = new Float64Array(y!.data.length);
    forEachProduct(x!.shape, w!.shape, y!.shape, geometry, (xi, wi, oi) => {
      sums[oi]! += x!.data[xi]! * w!.data[wi]!;
    });
    y!.data.set(sums);
  },
  conv2dInputGradient: ([g, w], [dx], geometry) => {
    const sums = new Float64Array(dx!.data.length);
    forEachProduct(dx!.shape, w!.shape, g!.shape, geometry, (xi, wi, oi) => {
      sums[xi]! += g!.data[oi]! * w!.data[wi]!;
    });
    dx!.data.set(sums);
  },
  conv2dWeightGradient: ([x, g], [dw], geometry) => {
    const sums = new Float64Array(dw!.data.length);
    forEachProduct(x!.shape, dw!.shape, g!.shape, geometry, (xi, wi, oi) => {
      sums[wi]! += x!.data[xi]! * g!.data[oi]!;
    });
    dw!.data.set(sums);
  },
};
