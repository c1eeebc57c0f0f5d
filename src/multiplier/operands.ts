// Codes and operands: a network's codes run from 0 on, a signed multiplier's operands from the most negative on, as
// two's complement patterns. Code c is the operand c − 2^(bits−1), whose pattern is c with its highest bit flipped; the
// same flip leads back.

import type { OperandHistograms } from './metrics.ts';

/** The code of a signed operand's pattern, or the pattern of a code. */
export function codeOfPattern(pattern: number, bits: number): number {
  return pattern ^ (1 << (bits - 1));
}

/** Counts by code as counts by the patterns of a signed multiplier's operands. */
export function asSignedPatterns({ weight, activation }: OperandHistograms): OperandHistograms {
  const flip = (counts: ArrayLike<number>) =>
    Float64Array.from(counts, (_, at) => counts[codeOfPattern(at, Math.log2(counts.length))]!);
  return { weight: flip(weight), activation: flip(activation) };
}

/** The histograms of layers that share a multiplier. */
export function sumOfOperands(all: readonly OperandHistograms[]): OperandHistograms {
  const add = (operand: keyof OperandHistograms) =>
    Float64Array.from(all[0]![operand], (_, code) => all.reduce((sum, one) => sum + one[operand][code]!, 0));
  return { weight: add('weight'), activation: add('activation') };
}
