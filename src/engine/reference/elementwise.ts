// Element-wise operations and the optimiser update.

import { channels, type Kernels } from './kernel.ts';

export const elementwise: Kernels<'add' | 'affine' | 'imageToFloat' | 'bias' | 'sgd'> = {
  add: ([a, b], [y], { alpha, beta }) => {
    for (let i = 0; i < y!.data.length; i++) y!.data[i] = alpha * a!.data[i]! + beta * b!.data[i]!;
  },
  affine: ([x], [y], { scale, offset }) => {
    for (let i = 0; i < y!.data.length; i++) y!.data[i] = scale * x!.data[i]! + offset;
  },
  imageToFloat: ([x], [y], { scale, offset }) => {
    const c = scale.length;
    for (let i = 0; i < y!.data.length; i++) y!.data[i] = x!.data[i]! * scale[i % c]! + offset[i % c]!;
  },
  bias: ([x, b], [y]) => {
    const c = channels(x!);
    for (let i = 0; i < y!.data.length; i++) y!.data[i] = x!.data[i]! + b!.data[i % c]!;
  },
  sgd: ([p, dp, v, rate], [pNew, vNew], { momentum, weightDecay }) => {
    const learningRate = rate!.data[0]!;
    for (let i = 0; i < p!.data.length; i++) {
      const velocity = momentum * v!.data[i]! + dp!.data[i]! + weightDecay * p!.data[i]!;
      vNew!.data[i] = velocity;
      pNew!.data[i] = p!.data[i]! - learningRate * velocity;
    }
  },
};
