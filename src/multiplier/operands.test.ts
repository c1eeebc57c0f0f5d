import { expect, test } from 'vitest';
import { asSignedPatterns, codeOfPattern, sumOfOperands } from './operands.ts';
import { operandValue } from './table.ts';

test('code c is the operand c − 2^(bits−1), and the same flip leads back', () => {
  for (let code = 0; code < 32; code++) {
    expect(operandValue(codeOfPattern(code, 5), 5, true)).toBe(code - 16);
    expect(codeOfPattern(codeOfPattern(code, 5), 5)).toBe(code);
  }
});

test('counts by codes become counts by patterns, each operand by its own width', () => {
  const byCode = { weight: [1, 2, 3, 4], activation: [1, 2, 3, 4, 5, 6, 7, 8] };
  const { weight, activation } = asSignedPatterns(byCode);
  // The pattern 0 is the code in the middle.
  expect(weight).toEqual(Float64Array.of(3, 4, 1, 2));
  expect(activation).toEqual(Float64Array.of(5, 6, 7, 8, 1, 2, 3, 4));
});

test('layers that share a multiplier add up', () => {
  const sum = sumOfOperands([
    { weight: [1, 2], activation: [0, 5] },
    { weight: [10, 20], activation: [1, 1] },
  ]);
  expect(sum).toEqual({ weight: Float64Array.of(11, 22), activation: Float64Array.of(1, 6) });
});
