// Pooling: ../kernels/pooling.ts.

import type { Shape } from '../../../tensor/tensor.ts';
import type { AverageGeometry } from '../../graph/ops.ts';
import { FILLING, filling, pathOf } from '../../graph/paths.ts';
import { commonArea } from '../../graph/window.ts';
import { launch } from './launch.ts';
import type { Lowered, Lowerings, WaysOf } from './lowering.ts';
import type { Pooling as PoolingRecord } from './records.ts';
import type { Address } from './words.ts';

type Extents = readonly [batch: number, height: number, width: number, channels: number];

const AREAS = ['alike', 'of each window'] as const;
const windows = { windows: { channels: FILLING } } as const;
const averages = { windows: { channels: FILLING, areas: AREAS } } as const;

/** One launch of a kernel with the Pooling record; `operands` names the inputs. */
function pool(
  kernel: Pooling,
  image: Shape,
  result: Shape,
  geometry: AverageGeometry,
  parts: number,
  operands: (inputs: readonly Address[]) => Pick<PoolingRecord, 'x' | 'g'>,
): Lowered {
  const [batch, height, width, channels] = image as Extents;
  const [, outHeight, outWidth] = result as Extents;
  const [sizeY, sizeX] = geometry.size;
  const [strideY, strideX] = geometry.stride;
  const [paddingY, paddingX] = geometry.padding;
  const area = commonArea(image, geometry);
  const countPadding = (geometry.countPadding ?? true) ? 1 : 0;
  const window = { sizeY, sizeX, strideY, strideX, paddingY, paddingX, area, countPadding };
  const vectors = filling(channels, 4);
  const isAverage = kernel === 'averagePool' || kernel === 'averagePoolGradient';
  const extents = { batch, height, width, channels, outHeight, outWidth };
  return {
    path: isAverage
      ? pathOf(averages, 'windows', { channels: vectors, areas: AREAS[area > 0 ? 0 : 1] })
      : pathOf(windows, 'windows', { channels: vectors }),
    launches: ({ inputs, outputs: [out] }) => [
      launch(kernel, parts, { ...operands(inputs), out: out!, ...extents, ...window }),
    ],
  };
}

/** Rows of all images together. */
const rows = (shape: Shape): number => shape[0]! * shape[1]!;

type Pooling = 'maxPool' | 'maxPoolGradient' | 'averagePool' | 'averagePoolGradient';

export const poolingWays: WaysOf<Pooling> = {
  maxPool: windows,
  averagePool: averages,
  maxPoolGradient: windows,
  averagePoolGradient: averages,
};

export const pooling: Lowerings<Pooling> = {
  maxPool: ({ inputs: [x], outputs: [y], attributes }) =>
    pool('maxPool', x!.shape, y!.shape, attributes, rows(y!.shape), ([x]) => ({ x: x!, g: 0 })),
  averagePool: ({ inputs: [x], outputs: [y], attributes }) =>
    pool('averagePool', x!.shape, y!.shape, attributes, rows(y!.shape), ([x]) => ({ x: x!, g: 0 })),
  maxPoolGradient: ({ inputs: [g, x], attributes }) =>
    pool('maxPoolGradient', x!.shape, g!.shape, attributes, x!.shape[0]!, ([g, x]) => ({ x: x!, g: g! })),
  averagePoolGradient: ({ inputs: [g], attributes }) => {
    const image = attributes.inputShape;
    return pool('averagePoolGradient', image, g!.shape, attributes, rows(image), ([g]) => ({ x: 0, g: g! }));
  },
};
