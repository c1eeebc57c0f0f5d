// Convolutions in seven loops: x NHWC, w [kh, kw, I/groups, O], zero padding. The one loop nest below visits every
// valid pair of input element and weight element; a padded tap is never visited, so it contributes nothing to any sum.

import type { Shape } from '../../tensor/tensor.ts';
import type { ConvGeometry } from '../graph/ops.ts';
import { convolutionTaps } from '../graph/window.ts';
import type { Kernels } from './kernel.ts';

/** Calls `visit(xIndex, wIndex, outIndex)` for every multiplication of the convolution. */
export function forEachProduct(
  xShape: Shape,
  wShape: Shape,
  geometry: ConvGeometry,
  visit: (xIndex: number, wIndex: number, outIndex: number) => void,
): void {
  const [n, h, w, inputs] = xShape as [number, number, number, number];
  const [, kw, perGroup, outputs] = wShape as [number, number, number, number];
  const outputsPerGroup = outputs / geometry.groups;
  const { rows, columns } = convolutionTaps(xShape, wShape, geometry);
  for (let image = 0; image < n; image++)
    for (let oy = 0; oy < rows.length; oy++)
      for (let ox = 0; ox < columns.length; ox++)
        for (const { tap: ky, at: y } of rows[oy]!)
          for (const { tap: kx, at: x } of columns[ox]!) {
            const pixel = ((image * h + y) * w + x) * inputs;
            const tap = (ky * kw + kx) * perGroup;
            const out = ((image * rows.length + oy) * columns.length + ox) * outputs;
            for (let i = 0; i < perGroup; i++)
              for (let o = 0; o < outputs; o++) {
                const group = Math.floor(o / outputsPerGroup);
                visit(pixel + group * perGroup + i, (tap + i) * outputs + o, out + o);
              }
          }
}

export const convolution: Kernels<'conv2d' | 'conv2dInputGradient' | 'conv2dWeightGradient'> = {
  conv2d: ([x, w], [y], geometry) => {
    const sums = new Float64Array(y!.data.length);
    forEachProduct(x!.shape, w!.shape, geometry, (xi, wi, oi) => {
      sums[oi]! += x!.data[xi]! * w!.data[wi]!;
    });
    y!.data.set(sums);
  },
  conv2dInputGradient: ([g, w], [dx], geometry) => {
    const sums = new Float64Array(dx!.data.length);
    forEachProduct(dx!.shape, w!.shape, geometry, (xi, wi, oi) => {
      sums[xi]! += g!.data[oi]! * w!.data[wi]!;
    });
    dx!.data.set(sums);
  },
  conv2dWeightGradient: ([x, g], [dw], geometry) => {
    const sums = new Float64Array(dw!.data.length);
    forEachProduct(x!.shape, dw!.shape, geometry, (xi, wi, oi) => {
      sums[wi]! += x!.data[xi]! * g!.data[oi]!;
    });
    dw!.data.set(sums);
  },
};
