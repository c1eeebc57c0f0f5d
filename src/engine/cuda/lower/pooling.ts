// Pooling over windows of an image, and max pools with the taps of their maxima for their gradients (fuse.ts); see
// kernels/pooling.cu.

import { type Shape, sizeOf } from '../../../tensor/tensor.ts';
import type { AverageGeometry, PoolGeometry } from '../../graph/ops.ts';
import { type Path, pathOf } from '../../graph/paths.ts';
import { commonArea } from '../../graph/window.ts';
import type { FusedNode } from './fuse.ts';
import { ceilDivide, dividerArgument } from './geometry.ts';
import type { Address } from './launch.ts';
import { type Argument, addresses, integers, type KernelLaunch, launch, struct } from './launch.ts';
import type { Lowering, Lowerings, WaysOf } from './lowering.ts';

type Pooling = 'maxPool' | 'maxPoolGradient' | 'averagePool' | 'averagePoolGradient';
type Fused = 'maxPoolWithTaps' | 'maxPoolGradientOfTaps';

const widths = { four: 'four channels at a time', one: 'one channel at a time' } as const;
const AREAS = ['alike', 'of each window'] as const;
export const TAPS = ['a byte', 'two bytes'] as const;
const ways = { [widths.four]: {}, [widths.one]: {} } as const;
const ofTaps = { [widths.four]: { taps: TAPS }, [widths.one]: { taps: TAPS } } as const;
const averages = { [widths.four]: { areas: AREAS }, [widths.one]: { areas: AREAS } } as const;
export const poolingWays: WaysOf<Pooling> = {
  maxPool: ways,
  maxPoolGradient: ofTaps,
  averagePool: averages,
  averagePoolGradient: averages,
};
export const fusedPoolingWays: WaysOf<Fused> = { maxPoolWithTaps: ofTaps, maxPoolGradientOfTaps: ofTaps };

/** Bytes of the number of a tap (`Tap` of kernels/pooling.cuh). */
export const tapBytes = ({ size: [kh, kw] }: PoolGeometry): 1 | 2 => (kh * kw <= 256 ? 1 : 2);

/** Whether at most four windows overlap at a pixel (`FEW` of kernels/pooling.cuh). */
export const overlapsLittle = ({ size, stride }: PoolGeometry): boolean =>
  Math.ceil(size[0] / stride[0]) * Math.ceil(size[1] / stride[1]) <= 4;

/** How many bytes a tap takes, as an aspect of a path. */
export const tapAspect = (geometry: PoolGeometry) => ({ taps: TAPS[tapBytes(geometry) - 1]! });

/** What the kernels over windows take: macros, and their `Pool`, for threads that run over the pixels of `over`. */
export function windowsOver(x: Shape, y: Shape, geometry: AverageGeometry) {
  const [kh, kw] = geometry.size;
  const [strideY, strideX] = geometry.stride;
  const [paddingY, paddingX] = geometry.padding;
  const [, h, w, c] = x as [number, number, number, number];
  const [, oh, ow] = y as [number, number, number];
  const width = c % 4 === 0 ? 4 : 1;
  const window = {
    ...{ KH: kh, KW: kw, STRIDE_Y: strideY, STRIDE_X: strideX },
    ...{ PADDING_Y: paddingY, PADDING_X: paddingX },
  };
  const area = commonArea(x, geometry);
  const countPadding = (geometry.countPadding ?? true) ? 1 : 0;
  return {
    width,
    area,
    defines: { WIDTH: width, ...window },
    argument: (over: Shape): Argument =>
      struct({
        ...integers({ h, w, oh, ow, area, countPadding }),
        byVectors: dividerArgument(c / width),
        byColumns: dividerArgument(over[2]!),
        byRows: dividerArgument(over[1]!),
      }),
  };
}

interface Pool {
  readonly path: Path;
  readonly pathOfTaps: Path;
  readonly pathOfAverage: Path;
  /** A launch over the pixels of the image `over`, four channels at a time where possible. */
  readonly launch: (name: string, over: Shape, tensors: Readonly<Record<string, Address>>) => KernelLaunch;
}

function poolOf(x: Shape, y: Shape, geometry: AverageGeometry): Pool {
  const { width, area, defines, argument } = windowsOver(x, y, geometry);
  const source = { file: 'pooling.cu', defines };
  const way = width === 4 ? widths.four : widths.one;
  return {
    path: pathOf(ways, way, {}),
    pathOfTaps: pathOf(ofTaps, way, tapAspect(geometry)),
    pathOfAverage: pathOf(averages, way, { areas: AREAS[area > 0 ? 0 : 1] }),
    launch: (name, over, tensors) => {
      const count = sizeOf(over) / width;
      const args = { ...addresses(tensors), p: argument(over), ...integers({ count }) };
      return launch(source, name, { grid: ceilDivide(count, 256), block: 256 }, args);
    },
  };
}

export const pooling: Lowerings<Pooling> = {
  maxPool: ({ inputs: [x], outputs: [y], attributes }) => {
    const pool = poolOf(x!.shape, y!.shape, attributes);
    return {
      path: pool.path,
      launches: ({ inputs: [x], outputs: [to] }) => [pool.launch('max_pool', y!.shape, { x: x!, y: to!, taps: 0n })],
    };
  },

  maxPoolGradient: ({ inputs: [g, x], attributes }) => {
    const pool = poolOf(x!.shape, g!.shape, attributes);
    return {
      path: pool.pathOfTaps,
      workspaceBytes: tapBytes(attributes) * sizeOf(g!.shape),
      launches: ({ inputs: [gradient, image], outputs: [dx], workspace: taps }) => [
        pool.launch('max_pool', g!.shape, { x: image!, y: 0n, taps }),
        pool.launch('max_pool_gradient', x!.shape, { g: gradient!, taps, dx: dx! }),
      ],
    };
  },

  averagePool: ({ inputs: [x], outputs: [y], attributes }) => {
    const pool = poolOf(x!.shape, y!.shape, attributes);
    return {
      path: pool.pathOfAverage,
      launches: ({ inputs: [x], outputs: [to] }) => [pool.launch('average_pool', y!.shape, { x: x!, y: to! })],
    };
  },

  averagePoolGradient: ({ inputs: [g], outputs: [dx], attributes }) => {
    const pool = poolOf(dx!.shape, g!.shape, attributes);
    return {
      path: pool.pathOfAverage,
      launches: ({ inputs: [g], outputs: [to] }) => [
        pool.launch('average_pool_gradient', dx!.shape, { g: g!, dx: to! }),
      ],
    };
  },
};

export const fusedPooling: { readonly [Op in Fused]: Lowering<never, FusedNode<Op>> } = {
  maxPoolWithTaps: ({ inputs: [x], outputs: [y], attributes }) => {
    const pool = poolOf(x!.shape, y!.shape, attributes);
    return {
      path: pool.pathOfTaps,
      launches: ({ inputs: [x], outputs: [to, taps] }) => [
        pool.launch('max_pool', y!.shape, { x: x!, y: to!, taps: taps! }),
      ],
    };
  },

  maxPoolGradientOfTaps: ({ inputs: [g], outputs: [dx], attributes }) => {
    const pool = poolOf(dx!.shape, g!.shape, attributes);
    return {
      path: pool.pathOfTaps,
      launches: ({ inputs: [gradient, taps], outputs: [to] }) => [
        pool.launch('max_pool_gradient', dx!.shape, { g: gradient!, taps: taps!, dx: to! }),
      ],
    };
  },
};
