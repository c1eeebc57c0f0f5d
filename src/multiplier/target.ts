// The real-valued products that values of θ ask of a multiplier (phase 2), which a mapping aims at:
// Y(w, x) = w·x − Σ θ_(i,j) 2^(i+j) w[i] x[j] over the partial products that read a θ, for all operand pairs in the
// order of a ProductTable.
// Invariant: the published program works in float32; so does this, operation by operation (the columns subtracted from
// the lowest up), and its figures are met to the last digit.

import type { Structure } from './structure.ts';
import { exactTable } from './table.ts';

/**
 * Y for every pair. With signed operands (two's complement) a partial product of exactly one sign bit counts negatively
 * in w·x and so in its column, too: the same share of it is lost.
 */
export function targetProducts(structure: Structure, theta: ArrayLike<number>, signed = false): Float32Array {
  return signed ? signedTarget(structure, theta) : unsignedTarget(structure, theta);
}

function signedTarget({ weightBits, activationBits, index }: Structure, theta: ArrayLike<number>): Float32Array {
  const target = Float32Array.from(exactTable(weightBits, activationBits, true).data);
  for (let i = 0; i < weightBits; i++) {
    for (let j = 0; j < activationBits; j++) {
      const from = index[i * activationBits + j]!;
      if (from < 0) continue;
      const sign = (i === weightBits - 1) !== (j === activationBits - 1) ? -1 : 1;
      const lost = Math.fround(theta[from]! * sign * 2 ** (i + j));
      for (let pair = 0; pair < target.length; pair++) {
        if ((pair >> (activationBits + i)) & (pair >> j) & 1) target[pair]! -= lost;
      }
    }
  }
  return target;
}

/** Partial products of one column that read the same θ: what a pair loses is a multiple of one number. */
interface Group {
  readonly lost: number;
  /** For each weight the bits of x that meet one of its bits in this group. */
  readonly met: Uint8Array;
}

function unsignedTarget(structure: Structure, theta: ArrayLike<number>): Float32Array {
  const { weightBits, activationBits } = structure;
  const groups = groupsOf(structure, theta);
  const target = new Float32Array(2 ** (weightBits + activationBits));
  let pair = 0;
  for (let w = 0; w < 2 ** weightBits; w++) {
    for (let x = 0; x < 2 ** activationBits; x++, pair++) {
      let product = w * x;
      for (const { lost, met } of groups) product = Math.fround(product - Math.fround(lost * ones[met[w]! & x]!));
      target[pair] = product;
    }
  }
  return target;
}

/**
 * From the lowest column up. In a column each bit of w meets another bit of x, so that bits to meet can be counted by
 * their ones.
 */
function groupsOf({ weightBits, activationBits, index }: Structure, theta: ArrayLike<number>): Group[] {
  const groups = new Map<string, Group>();
  for (let column = 0; column < weightBits + activationBits - 1; column++) {
    for (let i = Math.max(0, column - activationBits + 1); i <= Math.min(column, weightBits - 1); i++) {
      const j = column - i;
      const from = index[i * activationBits + j]!;
      if (from < 0) continue;
      const key = `${column} ${from}`;
      const lost = Math.fround(Math.fround(theta[from]!) * 2 ** column);
      const group = groups.get(key) ?? { lost, met: new Uint8Array(2 ** weightBits) };
      groups.set(key, group);
      for (let w = 0; w < group.met.length; w++) if ((w >> i) & 1) group.met[w]! |= 1 << j;
    }
  }
  return [...groups.values()];
}

/** Number of ones in each pattern of up to 8 bits. */
const ones = Uint8Array.from({ length: 256 }, (_, pattern) => pattern.toString(2).replaceAll('0', '').length);
