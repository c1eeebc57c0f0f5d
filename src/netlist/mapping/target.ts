// What a mapping aims at: the real-valued product of the trained structure θ (training semantics, phase 2),
// Y(w, x) = w·x − Σ_{c<P} θ_c 2^c Σ_{i+j=c} w[i] x[j] over all operand pairs, and the mean squared error to it.
// The published program works in float32; so do these two, operation by operation, so that its figures are met to the last digit.

import { exactTable } from '../../multiplier/table.ts';

/**
 * Y for every pair, in the order of a ProductTable: float32, the columns subtracted from the lowest up. With signed operands (two's
 * complement) a partial product of exactly one sign bit counts negatively in w·x and so in its column, too: the same share of it is lost.
 */
export function targetProducts(
  theta: readonly number[],
  weightBits: number,
  activationBits: number,
  signed = false,
): Float32Array {
  return signed ? signedTarget(theta, weightBits, activationBits) : unsignedTarget(theta, weightBits, activationBits);
}

function signedTarget(theta: readonly number[], weightBits: number, activationBits: number): Float32Array {
  const target = Float32Array.from(exactTable(weightBits, activationBits, true).data);
  for (let i = 0; i < weightBits; i++) {
    for (let j = 0; j < activationBits && i + j < theta.length; j++) {
      const sign = (i === weightBits - 1) !== (j === activationBits - 1) ? -1 : 1;
      const lost = Math.fround(theta[i + j]! * sign * 2 ** (i + j));
      for (let pair = 0; pair < target.length; pair++) {
        if ((pair >> (activationBits + i)) & (pair >> j) & 1) target[pair]! -= lost;
      }
    }
  }
  return target;
}

function unsignedTarget(theta: readonly number[], weightBits: number, activationBits: number): Float32Array {
  const columns = theta.map((value, column) => Math.fround(Math.fround(value) * 2 ** column));
  const target = new Float32Array(2 ** (weightBits + activationBits));
  const reversed = reversedPatterns(activationBits);
  let pair = 0;
  for (let w = 0; w < 2 ** weightBits; w++) {
    for (let x = 0; x < reversed.length; x++, pair++) {
      let product = w * x;
      for (let column = 0; column < columns.length; column++) {
        const shift = column - (activationBits - 1);
        const mirrored = shift >= 0 ? reversed[x]! << shift : reversed[x]! >> -shift;
        product = Math.fround(product - Math.fround(columns[column]! * ones[w & mirrored]!));
      }
      target[pair] = product;
    }
  }
  return target;
}

/** Number of ones in each pattern of up to 8 bits. */
const ones = Uint8Array.from({ length: 256 }, (_, pattern) => pattern.toString(2).replaceAll('0', '').length);

/** Patterns with the bits in reverse: bits i and j with i + j = c meet when one operand is mirrored and shifted by c. */
function reversedPatterns(bits: number): number[] {
  return Array.from({ length: 2 ** bits }, (_, pattern) => {
    let reversed = 0;
    for (let bit = 0; bit < bits; bit++) reversed |= ((pattern >> bit) & 1) << (bits - 1 - bit);
    return reversed;
  });
}

const LANES = 32;
const CASCADE = 16;

/**
 * Mean of (product − target)² in float32, summed in the order of the published program's tensor library: 32 lanes, in each lane
 * cascades of 16 (sums of 16, sums of 16 such sums, …), and the lanes at the end.
 */
export function meanSquareError(products: Int32Array, target: Float32Array): number {
  const lanes = Math.min(LANES, products.length);
  const levels = Array.from({ length: 4 }, () => new Float32Array(lanes));
  const rows = products.length / lanes;
  for (let row = 0; row < rows; row++) {
    for (let lane = 0; lane < lanes; lane++) {
      const at = row * lanes + lane;
      const error = Math.fround(products[at]! - target[at]!);
      levels[0]![lane] = levels[0]![lane]! + Math.fround(error * error);
    }
    for (let level = 1, period = CASCADE; level < 4 && (row + 1) % period === 0; level++, period *= CASCADE) {
      moveUp(levels[level - 1]!, levels[level]!);
    }
  }
  const sums = levels[0]!;
  for (const level of levels.slice(1)) moveUp(level, sums);
  return Math.fround(sumOfLanes(sums) / products.length);
}

function moveUp(from: Float32Array, to: Float32Array): void {
  for (let lane = 0; lane < to.length; lane++) to[lane] = to[lane]! + from[lane]!;
  from.fill(0);
}

/** Lanes 8 apart first, then from the first to the last. */
function sumOfLanes(lanes: Float32Array): number {
  let sum = 0;
  for (let lane = 0; lane < Math.min(8, lanes.length); lane++) {
    let column = lanes[lane]!;
    for (let next = lane + 8; next < lanes.length; next += 8) column = Math.fround(column + lanes[next]!);
    sum = Math.fround(sum + column);
  }
  return sum;
}

/** The mean squared error over the pairs by their shares, which add up to 1; null: all pairs count equally, in float32 as above. */
export function weightedError(products: Int32Array, target: Float32Array, shares: Float64Array | null): number {
  if (!shares) return meanSquareError(products, target);
  return shares.reduce((sum, share, pair) => sum + share * (products[pair]! - target[pair]!) ** 2, 0);
}
