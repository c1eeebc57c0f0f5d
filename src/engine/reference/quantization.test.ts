import { expect, test } from 'vitest';
import { roundHalfEven } from './kernel.ts';
import { roundedCode } from './quantization.ts';

test('a code is the float32 quotient rounded half to even, whatever its size', () => {
  const sizes = Array.from({ length: 60 }, (_, exponent) => 2 ** (exponent - 8));
  const near = sizes.flatMap((size) => [size, size + 0.5, size - 0.5, size * (1 - 2 ** -24), size * (1 + 2 ** -23)]);
  for (const quotient of [0, 1e-40, 0.49999997, ...near].flatMap((one) => [one, -one])) {
    const [float, code] = [Math.fround(quotient), roundedCode(quotient, 0)];
    expect([float, code + 0]).toEqual([float, roundHalfEven(float) + 0]);
    expect(roundedCode(quotient, 7.5) + 0).toBe(roundHalfEven(Math.fround(float + 0.5)) + 7);
  }
});
