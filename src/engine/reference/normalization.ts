// Batch normalisation over all axes but the last (Ioffe and Szegedy, 2015), biased variance; running averages are
// ordinary graph nodes.

import { channels, type Kernels } from './kernel.ts';

export const normalization: Kernels<'batchNorm' | 'batchNormGradient' | 'batchNormInference'> = {
  batchNorm: ([x, gamma, beta], [y, mean, variance], { epsilon }) => {
    const c = channels(x!);
    const count = x!.data.length / c;
    for (let channel = 0; channel < c; channel++) {
      let total = 0;
      for (let i = channel; i < x!.data.length; i += c) total += x!.data[i]!;
      const mu = total / count;
      let squares = 0;
      for (let i = channel; i < x!.data.length; i += c) squares += (x!.data[i]! - mu) ** 2;
      const sigma2 = squares / count;
      const scale = gamma!.data[channel]! / Math.sqrt(sigma2 + epsilon);
      for (let i = channel; i < x!.data.length; i += c) y!.data[i] = (x!.data[i]! - mu) * scale + beta!.data[channel]!;
      mean!.data[channel] = mu;
      variance!.data[channel] = sigma2;
    }
  },
  batchNormGradient: ([g, x, gamma, mean, variance], [dx, dgamma, dbeta], { epsilon }) => {
    const c = channels(x!);
    const count = x!.data.length / c;
    for (let channel = 0; channel < c; channel++) {
      const inverse = 1 / Math.sqrt(variance!.data[channel]! + epsilon);
      let sumG = 0;
      let sumGx = 0;
      for (let i = channel; i < x!.data.length; i += c) {
        sumG += g!.data[i]!;
        sumGx += g!.data[i]! * (x!.data[i]! - mean!.data[channel]!) * inverse;
      }
      dgamma!.data[channel] = sumGx;
      dbeta!.data[channel] = sumG;
      const factor = gamma!.data[channel]! * inverse;
      for (let i = channel; i < x!.data.length; i += c) {
        const normalised = (x!.data[i]! - mean!.data[channel]!) * inverse;
        dx!.data[i] = factor * (g!.data[i]! - sumG / count - (normalised * sumGx) / count);
      }
    }
  },
  batchNormInference: ([x, gamma, beta, mean, variance], [y], { epsilon }) => {
    const c = channels(x!);
    for (let i = 0; i < x!.data.length; i++) {
      const channel = i % c;
      const scale = gamma!.data[channel]! / Math.sqrt(variance!.data[channel]! + epsilon);
      y!.data[i] = (x!.data[i]! - mean!.data[channel]!) * scale + beta!.data[channel]!;
    }
  },
};
