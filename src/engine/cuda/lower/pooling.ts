// Pooling over windows of an image; see kernels/pooling.cu.

import { type Shape, sizeOf } from '../../../tensor/tensor.ts';
import type { AverageGeometry } from '../../graph/ops.ts';
import { type Path, pathOf } from '../../graph/paths.ts';
import { commonArea } from '../../graph/window.ts';
import { ceilDivide, dividerArgument } from './geometry.ts';
import type { Address } from './launch.ts';
import { addresses, integers, type KernelLaunch, launch, struct } from './launch.ts';
import type { Lowerings, WaysOf } from './lowering.ts';

type Pooling = 'maxPool' | 'maxPoolGradient' | 'averagePool' | 'averagePoolGradient';

const widths = { four: 'four channels at a time', one: 'one channel at a time' } as const;
const AREAS = ['alike', 'of each window'] as const;
const ways = { [widths.four]: {}, [widths.one]: {} } as const;
const averages = { [widths.four]: { areas: AREAS }, [widths.one]: { areas: AREAS } } as const;
export const poolingWays: WaysOf<Pooling> = {
  maxPool: ways,
  maxPoolGradient: ways,
  averagePool: averages,
  averagePoolGradient: averages,
};

interface Pool {
  readonly path: Path;
  readonly pathOfAverage: Path;
  /** A launch over the pixels of the image `over`, four channels at a time where possible. */
  readonly launch: (name: string, over: Shape, tensors: Readonly<Record<string, Address>>) => KernelLaunch;
}

function poolOf(x: Shape, y: Shape, geometry: AverageGeometry): Pool {
  const [kh, kw] = geometry.size;
  const [strideY, strideX] = geometry.stride;
  const [paddingY, paddingX] = geometry.padding;
  const [n, h, w, c] = x as [number, number, number, number];
  const [, oh, ow] = y as [number, number, number];
  const width = c % 4 === 0 ? 4 : 1;
  const source = { file: 'pooling.cu', defines: { WIDTH: width } };
  const way = width === 4 ? widths.four : widths.one;
  const area = commonArea(x, geometry);
  const countPadding = (geometry.countPadding ?? true) ? 1 : 0;
  return {
    path: pathOf(ways, way, {}),
    pathOfAverage: pathOf(averages, way, { areas: AREAS[area > 0 ? 0 : 1] }),
    launch: (name, over, tensors) => {
      const count = sizeOf(over) / width;
      const p = struct({
        ...integers({ n, h, w, c, oh, ow, kh, kw, strideY, strideX, paddingY, paddingX, area, countPadding }),
        byChannels: dividerArgument(c / width),
        byColumns: dividerArgument(over[2]!),
        byRows: dividerArgument(over[1]!),
      });
      const args = { ...addresses(tensors), p, ...integers({ count }) };
      return launch(source, name, { grid: ceilDivide(count, 256), block: 256 }, args);
    },
  };
}

export const pooling: Lowerings<Pooling> = {
  maxPool: ({ inputs: [x], outputs: [y], attributes }) => {
    const pool = poolOf(x!.shape, y!.shape, attributes);
    return {
      path: pool.path,
      launches: ({ inputs: [x], outputs: [to] }) => [pool.launch('max_pool', y!.shape, { x: x!, y: to! })],
    };
  },

  maxPoolGradient: ({ inputs: [g, x], attributes }) => {
    const pool = poolOf(x!.shape, g!.shape, attributes);
    return {
      path: pool.path,
      workspaceBytes: 2 * sizeOf(g!.shape),
      launches: ({ inputs: [gradient, image], outputs: [dx], workspace: taps }) => [
        pool.launch('max_pool_taps', g!.shape, { x: image!, to: taps }),
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
