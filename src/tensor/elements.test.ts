import { expect, test } from 'vitest';
import { brainToNumber, elements, f8e4m3ToNumber, halfToNumber } from './elements.ts';

/** The value of a float of so many exponent and fraction bits, by the definition of IEEE 754. */
function ieeeValue(bits: number, exponentBits: number, fractionBits: number): number {
  const sign = (bits >> (exponentBits + fractionBits)) & 1 ? -1 : 1;
  const exponent = (bits >> fractionBits) & (2 ** exponentBits - 1);
  const fraction = (bits & (2 ** fractionBits - 1)) / 2 ** fractionBits;
  const bias = 2 ** (exponentBits - 1) - 1;
  if (exponent === 2 ** exponentBits - 1) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** (1 - bias) : sign * (1 + fraction) * 2 ** (exponent - bias);
}

test.each<[string, number, (bits: number) => number, (bits: number) => number]>([
  ['F16', 65536, halfToNumber, (bits) => ieeeValue(bits, 5, 10)],
  ['BF16', 65536, brainToNumber, (bits) => ieeeValue(bits, 8, 7)],
  ['F8_E5M2', 256, (bits) => halfToNumber(bits << 8), (bits) => ieeeValue(bits, 5, 2)],
  [
    'F8_E4M3',
    256,
    f8e4m3ToNumber,
    // The highest exponent holds numbers too, but for the last one.
    (bits) =>
      (bits & 0x7f) === 0x7f
        ? Number.NaN
        : (bits & 0x78) === 0x78
          ? (bits & 0x80 ? -1 : 1) * 2 ** 8 * (1 + (bits & 7) / 8)
          : ieeeValue(bits, 4, 3),
  ],
])('%s: every one of the %i patterns, exactly', (type, patterns, convert, expected) => {
  const width = patterns === 256 ? 1 : 2;
  const all =
    patterns === 256 ? Uint8Array.from({ length: 256 }, (_, k) => k) : Uint16Array.from({ length: 65536 }, (_, k) => k);
  const widened = elements[type as 'F16'].toHost(new Uint8Array(all.buffer)) as Float32Array;
  expect(elements[type as 'F16'].bytes).toBe(width);
  for (let bits = 0; bits < patterns; bits++) {
    const wanted = expected(bits);
    if (!Object.is(convert(bits), wanted) || !Object.is(widened[bits], wanted)) {
      expect(`${bits}: ${convert(bits)}, ${widened[bits]}`).toBe(`${bits}: ${wanted}`);
    }
  }
});

test('whole numbers of every width, and what does not fit', () => {
  const of = (type: keyof typeof elements, array: { buffer: ArrayBufferLike }) =>
    elements[type].toHost(new Uint8Array(array.buffer));
  expect(of('I8', Int8Array.of(-128, 127))).toEqual(Int32Array.of(-128, 127));
  expect(of('I16', Int16Array.of(-32768, 5))).toEqual(Int32Array.of(-32768, 5));
  expect(of('U16', Uint16Array.of(65535))).toEqual(Int32Array.of(65535));
  expect(of('U32', Uint32Array.of(2 ** 31 - 1))).toEqual(Int32Array.of(2 ** 31 - 1));
  expect(of('U32', Uint32Array.of(1, 2 ** 31))).toBe('U32 with the value 2147483648, which does not fit into 32 bits');
  expect(of('U64', BigUint64Array.of(2n ** 64n - 1n))).toBe(
    `U64 with the value ${2n ** 64n - 1n}, which does not fit into 32 bits`,
  );
  expect(of('I64', BigInt64Array.of(-(2n ** 31n)))).toEqual(Int32Array.of(-(2 ** 31)));
  expect(of('BOOL', Uint8Array.of(1, 0))).toEqual(Uint8Array.of(1, 0));
});
