// Element-wise operations and the optimiser update.

import { channels, clamp, type Kernels } from './kernel.ts';

export const elementwise: Kernels<
  | 'add'
  | 'affine'
  | 'scaleBy'
  | 'broadcast'
  | 'relu'
  | 'reluGradient'
  | 'clampStraightThrough'
  | 'imageToFloat'
  | 'bias'
  | 'divide'
  | 'sgd'
> = {
  add: ([a, b], [y], { alpha, beta }) => {
    for (let i = 0; i < y!.data.length; i++) y!.data[i] = alpha * a!.data[i]! + beta * b!.data[i]!;
  },
  affine: ([x], [y], { scale, offset }) => {
    for (let i = 0; i < y!.data.length; i++) y!.data[i] = scale * x!.data[i]! + offset;
  },
  scaleBy: ([x, s], [y]) => {
    const factor = s!.data[0]!;
    for (let i = 0; i < y!.data.length; i++) y!.data[i] = factor * x!.data[i]!;
  },
  broadcast: ([x], [y]) => {
    y!.data.fill(x!.data[0]!);
  },
  relu: ([x], [y]) => {
    for (let i = 0; i < y!.data.length; i++) y!.data[i] = Math.max(0, x!.data[i]!);
  },
  reluGradient: ([g, y], [dx]) => {
    for (let i = 0; i < dx!.data.length; i++) dx!.data[i] = y!.data[i]! > 0 ? g!.data[i]! : 0;
  },
  clampStraightThrough: ([x], [y], { low, high }) => {
    for (let i = 0; i < y!.data.length; i++) y!.data[i] = clamp(x!.data[i]!, low, high);
  },
  imageToFloat: ([x], [y], { scale, offset }) => {
    const c = scale.length;
    for (let i = 0; i < y!.data.length; i++) y!.data[i] = x!.data[i]! * scale[i % c]! + offset[i % c]!;
  },
  bias: ([x, b], [y]) => {
    const c = channels(x!);
    for (let i = 0; i < y!.data.length; i++) y!.data[i] = x!.data[i]! + b!.data[i % c]!;
  },
  divide: ([a, b], [y]) => {
    for (let i = 0; i < y!.data.length; i++) y!.data[i] = a!.data[i]! / b!.data[i]!;
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
