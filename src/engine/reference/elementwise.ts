// Element-wise operations, small reductions and the optimiser update.

import { channels, clamp, type Kernels } from './kernel.ts';

export const elementwise: Kernels<
  | 'add'
  | 'affine'
  | 'scaleBy'
  | 'dot'
  | 'broadcast'
  | 'sum'
  | 'relu'
  | 'reluGradient'
  | 'clampStraightThrough'
  | 'imageToFloat'
  | 'bias'
  | 'channelSum'
  | 'channelDotDifference'
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
  dot: ([a, b], [y]) => {
    let total = 0;
    for (let i = 0; i < a!.data.length; i++) total += a!.data[i]! * b!.data[i]!;
    y!.data[0] = total;
  },
  broadcast: ([x], [y]) => {
    y!.data.fill(x!.data[0]!);
  },
  sum: ([x], [y]) => {
    let total = 0;
    for (const value of x!.data) total += value;
    y!.data[0] = total;
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
  channelSum: ([x], [y]) => {
    const c = channels(x!);
    const total = new Float64Array(c);
    for (let i = 0; i < x!.data.length; i++) total[i % c]! += x!.data[i]!;
    y!.data.set(total);
  },
  channelDotDifference: ([a, b, c, d], [y]) => {
    const count = channels(a!);
    const total = new Float64Array(count);
    for (let i = 0; i < a!.data.length; i++) total[i % count]! += a!.data[i]! * b!.data[i]!;
    for (let i = 0; i < c!.data.length; i++) total[i % count]! -= c!.data[i]! * d!.data[i]!;
    y!.data.set(total);
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
