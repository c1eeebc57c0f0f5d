// The approximate convolution as the paper writes it, product by product (Eq. (1) and (6)):
// AxM(w, x) = w·x + E(w, x), E = −Σ_ij m[i,j] 2^(i+j) w[i] x[j] for a structure m, or an entry of an error table.

import { errorOfRemoval } from '../../multiplier/removal.ts';
import { forEachProduct } from './convolution.ts';
import { channels, type Kernels } from './kernel.ts';

export const approximate: Kernels<
  | 'axmConv2d'
  | 'axmConv2dGradients'
  | 'axmErrorWeightGradient'
  | 'axmErrorInputGradient'
  | 'structureMatrix'
  | 'structureMatrixGradient'
> = {
  axmConv2d: ([x, w, xScale, xZero, wScale, wZero, given], [y], attributes) => {
    const { weightBits, activationBits } = attributes;
    const removed = given?.data as ArrayLike<number>;
    const table =
      attributes.error.kind === 'removal' ? errorOfRemoval({ weightBits, activationBits, removed }) : removed;
    const sums = new Float64Array(y!.data.length);
    const outputs = channels(w!);
    forEachProduct(x!.shape, w!.shape, attributes, (xi, wi, oi) => {
      const wq = w!.data[wi]!;
      const xq = x!.data[xi]!;
      const error = table ? table[(wq << activationBits) | xq]! : 0;
      sums[oi]! += (wq - wZero!.data[wi % outputs]!) * (xq - xZero!.data[0]!) + error;
    });
    for (let i = 0; i < sums.length; i++) y!.data[i] = xScale!.data[0]! * wScale!.data[i % outputs]! * sums[i]!;
  },
  axmConv2dGradients: ([g, x, w, xScale, xZero, wScale], [dw, dm], attributes) => {
    const { weightBits, activationBits } = attributes;
    const outputs = channels(w!);
    const size = w!.data.length;
    const planes = new Float64Array(activationBits * size);
    const ones = new Float64Array(size);
    forEachProduct(x!.shape, w!.shape, attributes, (xi, wi, oi) => {
      ones[wi]! += g!.data[oi]!;
      for (let j = 0; j < activationBits; j++) if ((x!.data[xi]! >> j) & 1) planes[j * size + wi]! += g!.data[oi]!;
    });
    for (let wi = 0; wi < size; wi++) {
      let sum = -xZero!.data[0]! * ones[wi]!;
      for (let j = 0; j < activationBits; j++) sum += 2 ** j * planes[j * size + wi]!;
      dw!.data[wi] = xScale!.data[0]! * sum;
    }
    for (let i = 0; i < weightBits; i++)
      for (let j = 0; j < activationBits; j++) {
        let sum = 0;
        for (let wi = 0; wi < size; wi++) {
          if ((w!.data[wi]! >> i) & 1) sum += wScale!.data[wi % outputs]! * planes[j * size + wi]!;
        }
        dm!.data[i * activationBits + j] = -xScale!.data[0]! * 2 ** (i + j) * sum;
      }
  },
  axmErrorWeightGradient: ([g, x, w, xScale, slopes], [dw], attributes) => {
    const sums = new Float64Array(dw!.data.length);
    forEachProduct(x!.shape, w!.shape, attributes, (xi, wi, oi) => {
      sums[wi]! += g!.data[oi]! * slopes!.data[(w!.data[wi]! << attributes.activationBits) | x!.data[xi]!]!;
    });
    for (let wi = 0; wi < sums.length; wi++) dw!.data[wi] = xScale!.data[0]! * sums[wi]!;
  },
  axmErrorInputGradient: ([g, x, w, wScale, slopes], [dx], attributes) => {
    const outputs = channels(w!);
    const sums = new Float64Array(dx!.data.length);
    forEachProduct(x!.shape, w!.shape, attributes, (xi, wi, oi) => {
      const slope = slopes!.data[(w!.data[wi]! << attributes.activationBits) | x!.data[xi]!]!;
      sums[xi]! += g!.data[oi]! * wScale!.data[wi % outputs]! * slope;
    });
    dx!.data.set(sums);
  },
  structureMatrix: ([theta], [m], { index }) => {
    index.forEach((from, at) => {
      m!.data[at] = from < 0 ? 0 : theta!.data[from]!;
    });
  },
  structureMatrixGradient: ([dm], [dtheta], { index }) => {
    dtheta!.data.fill(0);
    index.forEach((from, at) => {
      if (from >= 0) dtheta!.data[from]! += dm!.data[at]!;
    });
  },
};
