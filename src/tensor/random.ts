// Deterministic random numbers. A generator is derived from a seed and a list of stream numbers, e.g. (seed, stream,
// epoch, step): whoever names the same numbers draws the same values, so no generator state is ever saved and a resumed
// run is bit-equal. The generator is xoshiro128** (Blackman and Vigna, 2018), its state mixed from the numbers with the
// finaliser of MurmurHash3. Not for cryptography.

import { invariant } from './errors.ts';

/** Seeds are whole numbers from 0 to this one. */
export const MOST_SEED = 2 ** 32 - 1;

/** The streams of one run; each consumer has its own, so that one that draws more does not shift another. */
export const streams = { split: 1, order: 2, augmentation: 3, weights: 4, sample: 6, dropout: 7 } as const;

const rotateLeft = (x: number, k: number) => (x << k) | (x >>> (32 - k));

function mix(h: number): number {
  let x = h;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}

function stateOf(numbers: readonly number[]): [number, number, number, number] {
  let hash = mix(numbers.length + 1);
  for (const number of numbers) {
    invariant(Number.isSafeInteger(number), `a random stream is named by integers, got ${number}`);
    hash = mix(Math.imul(hash, 5) + (number | 0) + 0x9e3779b9);
    hash = mix(Math.imul(hash, 5) + Math.floor(number / 2 ** 32) + 0x7f4a7c15);
  }
  const word = (k: number) => mix(hash + Math.imul(k, 0x9e3779b9));
  return [word(1), word(2), word(3), word(4) | 1];
}

/**
 * From a uniform number in [0, 1) the index that it falls on, where each is as likely as its weight (inversion of the
 * running sums).
 */
export function drawByWeight(weights: ArrayLike<number>): (uniform: number) => number {
  let total = 0;
  const sums = Float64Array.from(weights, (weight) => {
    total += weight;
    return total;
  });
  return (uniform) => {
    const wanted = uniform * total;
    let [low, high] = [0, sums.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sums[middle]! > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}

export class Random {
  private a: number;
  private b: number;
  private c: number;
  private d: number;
  private spare = Number.NaN;

  /** The generator of a seed and the stream numbers behind it; all are integers within ±2^53. */
  constructor(seed: number, ...stream: readonly number[]) {
    [this.a, this.b, this.c, this.d] = stateOf([seed, ...stream]);
  }

  /** A generator in a given state (four 32-bit words, not all zero), for comparison with other implementations. */
  static fromState(state: readonly [number, number, number, number]): Random {
    const random = new Random(0);
    [random.a, random.b, random.c, random.d] = state;
    return random;
  }

  /** 32 random bits as an unsigned integer. */
  bits(): number {
    const result = Math.imul(rotateLeft(Math.imul(this.b, 5), 7), 9) >>> 0;
    const t = this.b << 9;
    this.c ^= this.a;
    this.d ^= this.b;
    this.b ^= this.c;
    this.a ^= this.d;
    this.c ^= t;
    this.d = rotateLeft(this.d, 11);
    return result;
  }

  /** Uniform in [0, 1), a multiple of 2^-32. */
  uniform(): number {
    return this.bits() * 2 ** -32;
  }

  /** Standard normal (Box–Muller; two values from two draws). */
  normal(): number {
    if (!Number.isNaN(this.spare)) {
      const value = this.spare;
      this.spare = Number.NaN;
      return value;
    }
    const radius = Math.sqrt(-2 * Math.log((this.bits() + 1) * 2 ** -32));
    const angle = 2 * Math.PI * this.uniform();
    this.spare = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  /** Uniform integer in 0 … bound − 1, without bias; 1 ≤ bound ≤ 2^32. */
  integer(bound: number): number {
    // Where it holds, no message is put together: millions are drawn.
    if (!(Number.isInteger(bound) && bound >= 1 && bound <= 2 ** 32)) {
      invariant(false, `the bound ${bound} is not in 1..2^32`);
    }
    return bound === 2 ** 32 ? this.bits() : this.below(bound);
  }

  /** As `integer`, for bounds below 2^32: a value that lies in no whole range of the bound is drawn again. */
  private below(bound: number): number {
    const range = bound >>> 0;
    for (;;) {
      const value = this.bits();
      const rest = value % range;
      if (value - rest <= 2 ** 32 - range) return rest;
    }
  }

  /** A random order of 0 … count − 1 (Fisher–Yates). */
  permutation(count: number): Int32Array {
    const order = new Int32Array(count);
    for (let index = 0; index < count; index++) order[index] = index;
    for (let last = count - 1; last > 0; last--) {
      const other = this.below(last + 1);
      const value = order[last]!;
      order[last] = order[other]!;
      order[other] = value;
    }
    return order;
  }
}
