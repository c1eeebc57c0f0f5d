// Philox4x32-10 (Salmon et al., 2011): four random words of a counter and a key, the same on every device. What is
// drawn for an element depends on nothing but the numbers that name it, so that nothing is stored to draw it again.
// Kernels of devices have it once more: engine/wasm/kernels/philox.ts, engine/cuda/kernels/philox.cuh.

export type Words4 = readonly [number, number, number, number];

const MULTIPLIERS = [0xd2511f53, 0xcd9e8d57] as const;
const WEYL = [0x9e3779b9, 0xbb67ae85] as const;
const ROUNDS = 10;

/** The upper 32 bits of a product of two unsigned words. */
function upperProduct(a: number, b: number): number {
  const [aHigh, aLow, bHigh, bLow] = [a >>> 16, a & 0xffff, b >>> 16, b & 0xffff];
  const [middle, other] = [aHigh * bLow, aLow * bHigh];
  const carry = ((aLow * bLow) >>> 16) + (middle & 0xffff) + (other & 0xffff);
  return (aHigh * bHigh + (middle >>> 16) + (other >>> 16) + (carry >>> 16)) >>> 0;
}

/** Words are unsigned, from 0 to 2³² − 1. */
export function philox(counter: Words4, key: readonly [number, number]): Words4 {
  let [a, b, c, d] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const [upper0, lower0] = [upperProduct(MULTIPLIERS[0], a), Math.imul(MULTIPLIERS[0], a) >>> 0];
    const [upper1, lower1] = [upperProduct(MULTIPLIERS[1], c), Math.imul(MULTIPLIERS[1], c) >>> 0];
    [a, b, c, d] = [(upper1 ^ b ^ k0) >>> 0, lower1, (upper0 ^ d ^ k1) >>> 0, lower0];
    [k0, k1] = [(k0 + WEYL[0]) >>> 0, (k1 + WEYL[1]) >>> 0];
  }
  return [a, b, c, d];
}
