// Element-wise operations and the updates of variables by optimisers and averages.

import { channels, type Kernels } from './kernel.ts';

export const elementwise: Kernels<'add' | 'affine' | 'imageToFloat' | 'bias' | 'sgd' | 'adam' | 'movingAverage'> = {
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
  sgd: ([p, dp, v, rate], [pNew, vNew], { momentum, weightDecay, nesterov = false }) => {
    const learningRate = rate!.data[0]!;
    for (let i = 0; i < p!.data.length; i++) {
      const velocity = momentum * v!.data[i]! + dp!.data[i]! + weightDecay * p!.data[i]!;
      const ahead = dp!.data[i]! + weightDecay * p!.data[i]! + momentum * velocity;
      vNew!.data[i] = velocity;
      pNew!.data[i] = p!.data[i]! - learningRate * (nesterov ? ahead : velocity);
    }
  },
  adam: ([p, dp, m, v, rate, corrections], [pNew, mNew, vNew], attributes) => {
    const { beta1, beta2, epsilon, weightDecay, decoupled } = attributes;
    const learningRate = rate!.data[0]!;
    const [ofMean, ofSquare] = corrections!.data as Float32Array;
    for (let i = 0; i < p!.data.length; i++) {
      const gradient = dp!.data[i]! + (decoupled ? 0 : weightDecay * p!.data[i]!);
      const decayed = p!.data[i]! * (decoupled ? 1 - learningRate * weightDecay : 1);
      const mean = beta1 * m!.data[i]! + (1 - beta1) * gradient;
      const square = beta2 * v!.data[i]! + (1 - beta2) * gradient * gradient;
      mNew!.data[i] = mean;
      vNew!.data[i] = square;
      pNew!.data[i] = decayed - (learningRate * (mean / ofMean!)) / (Math.sqrt(square / ofSquare!) + epsilon);
    }
  },
  movingAverage: ([average, x, keep], [y]) => {
    const share = keep!.data[0]!;
    for (let i = 0; i < y!.data.length; i++) y!.data[i] = share * average!.data[i]! + (1 - share) * x!.data[i]!;
  },
};
