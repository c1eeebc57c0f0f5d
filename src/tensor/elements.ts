// Element types of tensors in files, by their names in safetensors, and what becomes of them on the host: every float
// an f32 (exactly, but for F64, which is rounded), whole numbers an i32 where all of them fit, bytes and booleans a u8.
// All conversions are functions of bit patterns, none asks the processor; those of at most 16 bits go by a table of all
// of them. Not here: complex numbers, quantised types and floats of fewer than 8 bits.

import type { DType, TensorData } from './tensor.ts';

interface Element {
  readonly bytes: number;
  readonly dtype: DType;
  /** Takes little-endian bytes at the start of a buffer of their own; a text names a value that cannot be kept. */
  readonly toHost: (bytes: Uint8Array) => TensorData | string;
  /** The same as numbers for statistics, rounded to f64 where it must be. */
  readonly toNumbers: (bytes: Uint8Array) => ArrayLike<number>;
}

const integers = (bytes: number, view: (buffer: ArrayBufferLike) => ArrayLike<number> & Iterable<number>): Element => ({
  bytes,
  dtype: 'i32',
  toHost: ({ buffer }) => narrow(view(buffer)),
  toNumbers: ({ buffer }) => view(buffer),
});

const bigIntegers = (type: string, view: (buffer: ArrayBufferLike) => BigInt64Array | BigUint64Array): Element => ({
  bytes: 8,
  dtype: 'i32',
  toHost: ({ buffer }) => {
    const values = view(buffer);
    for (const value of values) if (BigInt.asIntN(32, value) !== value) return tooLarge(type, value);
    return Int32Array.from(values as BigInt64Array, Number);
  },
  toNumbers: ({ buffer }) => Float64Array.from(view(buffer) as BigInt64Array, Number),
});

const tooLarge = (type: string, value: number | bigint) =>
  `${type} with the value ${value}, which does not fit into 32 bits`;

function narrow(values: ArrayLike<number> & Iterable<number>): Int32Array | string {
  for (const value of values) if ((value | 0) !== value) return tooLarge('U32', value);
  return Int32Array.from(values);
}

/** Floats of at most 16 bits by a table of all of them. */
function smallFloats(bytes: 1 | 2, toNumber: (bits: number) => number): Element {
  let table: Float32Array | undefined;
  const widen = ({ buffer }: Uint8Array): Float32Array => {
    table ??= Float32Array.from({ length: 256 ** bytes }, (_, bits) => toNumber(bits));
    const codes = bytes === 2 ? new Uint16Array(buffer) : new Uint8Array(buffer);
    const result = new Float32Array(codes.length);
    for (let k = 0; k < codes.length; k++) result[k] = table[codes[k]!]!;
    return result;
  };
  return { bytes, dtype: 'f32', toHost: widen, toNumbers: widen };
}

const bytesAsTheyAre: Element = { bytes: 1, dtype: 'u8', toHost: (bytes) => bytes, toNumbers: (bytes) => bytes };

/** The types that are read. */
export const elements = {
  F64: {
    bytes: 8,
    dtype: 'f32',
    toHost: ({ buffer }) => Float32Array.from(new Float64Array(buffer)),
    toNumbers: ({ buffer }) => new Float64Array(buffer),
  },
  F32: {
    bytes: 4,
    dtype: 'f32',
    toHost: ({ buffer }) => new Float32Array(buffer),
    toNumbers: ({ buffer }) => new Float32Array(buffer),
  },
  F16: smallFloats(2, halfToNumber),
  BF16: smallFloats(2, brainToNumber),
  F8_E4M3: smallFloats(1, f8e4m3ToNumber),
  F8_E5M2: smallFloats(1, (bits) => halfToNumber(bits << 8)),
  I64: bigIntegers('I64', (buffer) => new BigInt64Array(buffer)),
  I32: integers(4, (buffer) => new Int32Array(buffer)),
  I16: integers(2, (buffer) => new Int16Array(buffer)),
  I8: integers(1, (buffer) => new Int8Array(buffer)),
  U64: bigIntegers('U64', (buffer) => new BigUint64Array(buffer)),
  U32: integers(4, (buffer) => new Uint32Array(buffer)),
  U16: integers(2, (buffer) => new Uint16Array(buffer)),
  U8: bytesAsTheyAre,
  BOOL: bytesAsTheyAre,
} as const satisfies Readonly<Record<string, Element>>;

export type ElementType = keyof typeof elements;

export const isElementType = (name: string): name is ElementType => Object.hasOwn(elements, name);

/** Whether the values are real numbers, as weights are. */
export const isFloat = (type: ElementType): boolean => elements[type].dtype === 'f32';

/** The value of an IEEE 754 half-precision bit pattern. */
export function halfToNumber(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

const word = new DataView(new ArrayBuffer(4));

/** The value of a bfloat16 bit pattern: the upper half of an f32. */
export function brainToNumber(bits: number): number {
  word.setUint16(0, bits);
  return word.getFloat32(0);
}

/** The value of an 8-bit float of 4 exponent and 3 fraction bits without infinities (OCP "E4M3"): 448 at most. */
export function f8e4m3ToNumber(bits: number): number {
  const sign = bits & 0x80 ? -1 : 1;
  const exponent = (bits >> 3) & 15;
  const fraction = bits & 7;
  if (exponent === 0) return sign * fraction * 2 ** -9;
  if (exponent === 15 && fraction === 7) return Number.NaN;
  return sign * (8 + fraction) * 2 ** (exponent - 10);
}
