// The mean squared error of a mapping to its target, the real-valued products that θ asks for (multiplier/target.ts);
// not to be taken for the one to the exact products, of error metrics. In float32, in the order of the published
// program, so that its figures are met to the last digit.

const LANES = 32;
const CASCADE = 16;

/**
 * Mean of (product − target)² in float32, summed in the order of the published program's tensor library: 32 lanes, in
 * each lane cascades of 16 (sums of 16, sums of 16 such sums, …), and the lanes at the end.
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

/**
 * The mean squared error over the pairs by their shares, which add up to 1; null: all pairs count equally, in float32
 * as above.
 */
export function weightedError(products: Int32Array, target: Float32Array, shares: Float64Array | null): number {
  if (!shares) return meanSquareError(products, target);
  return shares.reduce((sum, share, pair) => sum + share * (products[pair]! - target[pair]!) ** 2, 0);
}
