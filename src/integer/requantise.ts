// From one step to another with integers alone: what multiplier, shift and bias stand for a real factor and a real
// constant, the one rounding that this network has, and which results it can have.
// Invariant: `requantised` is exact: (q·2^fraction + bias)·multiplier has up to 62 bits and is divided by a power of
// two without an error before it is rounded to nearest, halves to even. Gemmlowp's scheme (Jacob et al., 2018, section
// 2.2) with one rounding instead of two.

import { roundHalfEven } from '../engine/reference/kernel.ts';
import { invariant } from '../tensor/errors.ts';
import type { Requantisation } from './network.ts';

const INT32 = 2 ** 31 - 1;
const MOST_FRACTION = 30;
const MOST_SHIFT = 62;

/** Per channel, or one for all: result = factor·q + constant, before it is rounded. */
export interface Steps {
  readonly factor: ArrayLike<number>;
  /** In steps of the result. */
  readonly constant: ArrayLike<number>;
  /** Bounds of q. */
  readonly low: ArrayLike<number>;
  readonly high: ArrayLike<number>;
}

/** The integers for `steps`; `zero` is added to every result, which is then limited. */
export function requantisation(
  steps: Steps,
  zero: number,
  limits: readonly [low: number, high: number],
): Requantisation {
  const channels = steps.factor.length;
  const offset = new Int32Array(channels).fill(zero);
  const constants = Float64Array.from(steps.constant);
  const factors = Float64Array.from(steps.factor);
  const mostOf = (c: number) => Math.max(Math.abs(steps.low[c]!), Math.abs(steps.high[c]!));
  for (let c = 0; c < channels; c++) {
    // A bias that has no room beside the value is added behind the rounding as far as it is whole.
    if (fits(factors[c]!, constants[c]!, mostOf(c), 0)) continue;
    const whole = roundHalfEven(constants[c]!);
    constants[c]! -= whole;
    offset[c] = checkedInteger(zero + whole);
    // So small a factor moves nothing by a whole step, whatever the value.
    if (!fits(factors[c]!, constants[c]!, mostOf(c), 0)) factors[c] = constants[c] = 0;
  }
  let fraction = MOST_FRACTION;
  while (fraction > 0 && !every(channels, (c) => fits(factors[c]!, constants[c]!, mostOf(c), fraction))) fraction--;
  const bias = new Int32Array(channels);
  const multiplier = new Int32Array(channels);
  const shift = new Uint8Array(channels);
  for (let c = 0; c < channels; c++) {
    const whole = mantissa(factors[c]! / 2 ** fraction);
    [multiplier[c], shift[c]] = whole;
    if (multiplier[c] === 0) offset[c] = checkedInteger(offset[c]! + roundHalfEven(constants[c]!));
    else bias[c] = roundHalfEven((constants[c]! / factors[c]!) * 2 ** fraction);
  }
  return { fraction, bias, multiplier, shift, offset, low: limits[0], high: limits[1] };
}

const every = (count: number, holds: (c: number) => boolean): boolean => {
  for (let c = 0; c < count; c++) if (!holds(c)) return false;
  return true;
};

/** Whether q·2^fraction + bias stays in 32 bits. */
function fits(factor: number, constant: number, most: number, fraction: number): boolean {
  if (factor === 0) return true;
  return (most + Math.abs(constant / factor)) * 2 ** fraction + 1 <= INT32;
}

function checkedInteger(value: number): number {
  invariant(Number.isInteger(value) && Math.abs(value) <= INT32, `an offset of ${value} is no 32-bit integer`);
  return value;
}

/** An int32 and a shift for a real factor: |multiplier| from 2^30 on where the shift allows it; (0, 1) for 0. */
function mantissa(factor: number): [multiplier: number, shift: number] {
  if (factor === 0) return [0, 1];
  let shift = Math.min(MOST_FRACTION - Math.floor(Math.log2(Math.abs(factor))), MOST_SHIFT);
  let multiplier = roundHalfEven(factor * 2 ** shift);
  // Logarithms and rounding may both be one off.
  while (Math.abs(multiplier) > INT32) multiplier = roundHalfEven(factor * 2 ** --shift);
  invariant(shift >= 1, `a factor of ${factor} between steps is too large`);
  return multiplier === 0 ? [0, 1] : [multiplier, shift];
}

/** limit(round_half_even((q·2^fraction + bias)·multiplier / 2^shift) + offset, low, high) for a channel. */
export function requantised(by: Requantisation, channel: number, q: number): number {
  const c = by.multiplier.length === 1 ? 0 : channel;
  const value = roundedQuotient(q * 2 ** by.fraction + by.bias[c]!, by.multiplier[c]!, by.shift[c]!) + by.offset[c]!;
  return Math.min(Math.max(value, by.low), by.high);
}

/**
 * round_half_even(value·multiplier / 2^shift) of two 32-bit integers, shift 1 … 62; exact where the result has at most
 * 37 bits, and beyond that nearly. The product is held as high·2^16 + low with 0 ≤ low < 2^16.
 */
export function roundedQuotient(value: number, multiplier: number, shift: number): number {
  const upper = Math.floor(value / 65536);
  const lower = (value - upper * 65536) * multiplier;
  const carry = Math.floor(lower / 65536);
  const low = lower - carry * 65536;
  const high = upper * multiplier + carry;
  if (shift <= 16) {
    const whole = high * 65536 + low;
    const quotient = Math.floor(whole / 2 ** shift);
    const rest = whole - quotient * 2 ** shift;
    const half = 2 ** (shift - 1);
    return rest > half || (rest === half && quotient % 2 !== 0) ? quotient + 1 : quotient;
  }
  const unit = 2 ** (shift - 16);
  const quotient = Math.floor(high / unit);
  const rest = high - quotient * unit;
  const isUp = rest > unit / 2 || (rest === unit / 2 && (low > 0 || quotient % 2 !== 0));
  return isUp ? quotient + 1 : quotient;
}
