// Sums and extremes over the rows of a tensor, or over all of it.

import { channels, groups, type Kernels } from './kernel.ts';

export const reduction: Kernels<'sum' | 'dot' | 'channelSum' | 'channelDotDifference' | 'minMax' | 'minMaxGradient'> = {
  sum: ([x], [y]) => {
    let total = 0;
    for (const value of x!.data) total += value;
    y!.data[0] = total;
  },
  dot: ([a, b], [y]) => {
    let total = 0;
    for (let i = 0; i < a!.data.length; i++) total += a!.data[i]! * b!.data[i]!;
    y!.data[0] = total;
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
  minMax: ([x], [min, max], { granularity, holdsZero }) => {
    const count = groups(x!, granularity);
    min!.data.fill(holdsZero ? 0 : Number.POSITIVE_INFINITY);
    max!.data.fill(holdsZero ? 0 : Number.NEGATIVE_INFINITY);
    x!.data.forEach((value, i) => {
      min!.data[i % count] = Math.min(min!.data[i % count]!, value);
      max!.data[i % count] = Math.max(max!.data[i % count]!, value);
    });
  },
  minMaxGradient: ([gMin, gMax, x, min, max], [dx], { granularity }) => {
    const count = groups(x!, granularity);
    const lows = new Float64Array(count);
    const highs = new Float64Array(count);
    x!.data.forEach((value, i) => {
      if (value === min!.data[i % count]) lows[i % count]!++;
      if (value === max!.data[i % count]) highs[i % count]!++;
    });
    x!.data.forEach((value, i) => {
      const at = i % count;
      const low = value === min!.data[at] ? gMin!.data[at]! / lows[at]! : 0;
      const high = value === max!.data[at] ? gMax!.data[at]! / highs[at]! : 0;
      dx!.data[i] = low + high;
    });
  },
};
