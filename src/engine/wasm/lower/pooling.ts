// Pooling: assembly/pooling.ts.

import type { Shape } from '../../../tensor/tensor.ts';
import type { PoolGeometry } from '../../graph/ops.ts';
import { FILLING, filling, pathOf } from '../../graph/paths.ts';
import type { Lowered, Lowerings, WaysOf } from './lowering.ts';

type Extents = readonly [batch: number, height: number, width: number, channels: number];

const windows = { windows: { channels: FILLING } } as const;

/** One launch of the Pooling record; `x` or `g` name the inputs in order. */
function pool(
  kernel: string,
  image: Shape,
  result: Shape,
  { size, stride, padding }: PoolGeometry,
  parts: number,
  order: (inputs: readonly number[]) => readonly [x: number, g: number],
): Lowered {
  const extents = image as Extents;
  const [, outHeight, outWidth] = result as Extents;
  return {
    path: pathOf(windows, 'windows', { channels: filling(extents[3], 4) }),
    launches: ({ inputs, outputs: [out] }) => [
      { kernel, parts, record: [...order(inputs), out!, ...extents, outHeight, outWidth, ...size, stride, padding] },
    ],
  };
}

/** Rows of all images together. */
const rows = (shape: Shape): number => shape[0]! * shape[1]!;

type Pooling = 'maxPool' | 'maxPoolGradient' | 'averagePool' | 'averagePoolGradient';

export const poolingWays: WaysOf<Pooling> = {
  maxPool: windows,
  averagePool: windows,
  maxPoolGradient: windows,
  averagePoolGradient: windows,
};

export const pooling: Lowerings<Pooling> = {
  maxPool: ({ inputs: [x], outputs: [y], attributes }) =>
    pool('maxPool', x!.shape, y!.shape, attributes, rows(y!.shape), ([image]) => [image!, 0]),
  averagePool: ({ inputs: [x], outputs: [y], attributes }) =>
    pool('averagePool', x!.shape, y!.shape, attributes, rows(y!.shape), ([image]) => [image!, 0]),
  maxPoolGradient: ({ inputs: [g, x], attributes }) =>
    pool('maxPoolGradient', x!.shape, g!.shape, attributes, x!.shape[0]!, ([cotangent, image]) => [image!, cotangent!]),
  averagePoolGradient: ({ inputs: [g], attributes }) => {
    const image = attributes.inputShape;
    return pool('averagePoolGradient', image, g!.shape, attributes, rows(image), ([cotangent]) => [0, cotangent!]);
  },
};
