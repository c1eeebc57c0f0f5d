// Pooling and the softmax cross-entropy; see kernels/windows.cu.

import { type Shape, sizeOf } from '../../../tensor/tensor.ts';
import type { PoolGeometry } from '../../ops.ts';
import type { KernelSource } from '../compiler.ts';
import type { Address } from '../driver.ts';
import { ceilDivide } from '../geometry.ts';
import { type Argument, address, i32, launch, struct } from '../launch.ts';
import type { Lowerings, Operands } from './lowering.ts';

const SOURCE: KernelSource = { file: 'windows.cu', defines: {} };

function pool(x: Shape, y: Shape, { size, stride, padding }: PoolGeometry): Argument {
  const [n, h, w, c] = x as [number, number, number, number];
  const [, oh, ow] = y as [number, number, number];
  return struct(...[n, h, w, c, oh, ow, size[0], size[1], stride, padding].map(i32));
}

function pooling(name: string, count: number, { inputs, outputs }: Omit<Operands, 'scratch'>, geometry: Argument) {
  return [launch(SOURCE, name, ceilDivide(count, 256), 256, [...[...inputs, ...outputs].map(address), geometry])];
}

export const windowLowerings: Lowerings<
  | 'maxPool'
  | 'maxPoolGradient'
  | 'averagePool'
  | 'averagePoolGradient'
  | 'softmaxCrossEntropy'
  | 'softmaxCrossEntropyGradient'
> = {
  maxPool: {
    launches: ({ inputs: [x], outputs: [y], attributes }, operands) =>
      pooling('max_pool', sizeOf(y!.shape), operands, pool(x!.shape, y!.shape, attributes)),
  },
  maxPoolGradient: {
    scratchBytes: ({ inputs: [g] }) => 2 * sizeOf(g!.shape),
    launches: ({ inputs: [g, x], attributes }, { inputs, outputs, scratch }) => {
      const geometry = pool(x!.shape, g!.shape, attributes);
      const [gradient, image] = inputs as [Address, Address];
      return [
        ...pooling('max_pool_taps', sizeOf(g!.shape), { inputs: [image], outputs: [scratch] }, geometry),
        ...pooling('max_pool_gradient', sizeOf(x!.shape), { inputs: [gradient, scratch], outputs }, geometry),
      ];
    },
  },
  averagePool: {
    launches: ({ inputs: [x], outputs: [y], attributes }, operands) =>
      pooling('average_pool', sizeOf(y!.shape), operands, pool(x!.shape, y!.shape, attributes)),
  },
  averagePoolGradient: {
    launches: ({ inputs: [g], outputs: [dx], attributes }, operands) =>
      pooling('average_pool_gradient', sizeOf(dx!.shape), operands, pool(dx!.shape, g!.shape, attributes)),
  },
  softmaxCrossEntropy: {
    launches: ({ inputs: [logits] }, { inputs, outputs }) => {
      const shape = logits!.shape.map(i32);
      return [launch(SOURCE, 'softmax_cross_entropy', 1, 1024, [...[...inputs, ...outputs].map(address), ...shape])];
    },
  },
  softmaxCrossEntropyGradient: {
    launches: ({ outputs: [dlogits] }, { inputs, outputs }) => {
      const shape = dlogits!.shape.map(i32);
      const args = [...[...inputs, ...outputs].map(address), ...shape];
      return [launch(SOURCE, 'softmax_cross_entropy_gradient', 1, 1024, args)];
    },
  },
};
