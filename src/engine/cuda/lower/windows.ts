// Pooling and the softmax cross-entropy; see kernels/windows.cu.

import { type Shape, sizeOf } from '../../../tensor/tensor.ts';
import type { Node } from '../../graph/graph.ts';
import type { PoolGeometry } from '../../graph/ops.ts';
import { pathOf } from '../../graph/paths.ts';
import type { KernelSource } from '../runtime/compiler.ts';
import type { Address } from '../runtime/driver.ts';
import { ceilDivide, dividerArgument, sameOnBothAxes } from './geometry.ts';
import { address, i32, launch, struct } from './launch.ts';
import { alwaysTheSame, type Lowerings, type Operands } from './lowering.ts';

const poolWays = { 'four channels at a time': {}, 'one channel at a time': {} } as const;
const widthOf = (shape: Shape): 1 | 4 => (shape[3]! % 4 === 0 ? 4 : 1);
const byChannels = {
  ways: poolWays,
  path: ({ outputs: [y] }: Pick<Node, 'outputs'>) =>
    pathOf(poolWays, widthOf(y!.shape) === 4 ? 'four channels at a time' : 'one channel at a time', {}),
};

/** A launch over the pixels of the image `over`, four channels at a time where possible. */
function pooling(
  name: string,
  { inputs, outputs }: Omit<Operands, 'scratch'>,
  x: Shape,
  y: Shape,
  over: Shape,
  geometryOfPool: PoolGeometry,
) {
  const [n, h, w, c] = x as [number, number, number, number];
  const [, oh, ow] = y as [number, number, number];
  const { size } = geometryOfPool;
  const { stride, padding } = sameOnBothAxes(geometryOfPool);
  const width = widthOf(x);
  const dividers = [c / width, over[2]!, over[1]!].map(dividerArgument);
  const geometry = struct(...[n, h, w, c, oh, ow, size[0], size[1], stride, padding].map(i32), ...dividers);
  const count = sizeOf(over) / width;
  const args = [...[...inputs, ...outputs].map(address), geometry, i32(count)];
  return [launch({ file: 'windows.cu', defines: { WIDTH: width } }, name, ceilDivide(count, 256), 256, args)];
}

const LOSS: KernelSource = { file: 'windows.cu', defines: { WIDTH: 1 } };

export const windowLowerings: Lowerings<
  | 'maxPool'
  | 'maxPoolGradient'
  | 'averagePool'
  | 'averagePoolGradient'
  | 'softmaxCrossEntropy'
  | 'softmaxCrossEntropyGradient'
> = {
  maxPool: {
    ...byChannels,
    launches: ({ inputs: [x], outputs: [y], attributes }, operands) =>
      pooling('max_pool', operands, x!.shape, y!.shape, y!.shape, attributes),
  },
  maxPoolGradient: {
    ...byChannels,
    scratchBytes: ({ inputs: [g] }) => 2 * sizeOf(g!.shape),
    launches: ({ inputs: [g, x], attributes }, { inputs, outputs, scratch }) => {
      const [gradient, image] = inputs as [Address, Address];
      const shapes = [x!.shape, g!.shape] as const;
      return [
        ...pooling('max_pool_taps', { inputs: [image], outputs: [scratch] }, ...shapes, g!.shape, attributes),
        ...pooling('max_pool_gradient', { inputs: [gradient, scratch], outputs }, ...shapes, x!.shape, attributes),
      ];
    },
  },
  averagePool: {
    ...byChannels,
    launches: ({ inputs: [x], outputs: [y], attributes }, operands) =>
      pooling('average_pool', operands, x!.shape, y!.shape, y!.shape, attributes),
  },
  averagePoolGradient: {
    ...byChannels,
    launches: ({ inputs: [g], outputs: [dx], attributes }, operands) =>
      pooling('average_pool_gradient', operands, dx!.shape, g!.shape, dx!.shape, attributes),
  },
  softmaxCrossEntropy: {
    ...alwaysTheSame,
    launches: ({ inputs: [logits] }, { inputs, outputs }) => {
      const shape = logits!.shape.map(i32);
      return [launch(LOSS, 'softmax_cross_entropy', 1, 1024, [...[...inputs, ...outputs].map(address), ...shape])];
    },
  },
  softmaxCrossEntropyGradient: {
    ...alwaysTheSame,
    launches: ({ outputs: [dlogits] }, { inputs, outputs }) => {
      const shape = dlogits!.shape.map(i32);
      const args = [...[...inputs, ...outputs].map(address), ...shape];
      return [launch(LOSS, 'softmax_cross_entropy_gradient', 1, 1024, args)];
    },
  },
};
