// NumPy's array files (.npy, format versions 1 to 3): what the header says, checked against the bytes that are there.
// Elements are integers of any width, sign and byte order, or floats. What an array means is its reader's business.

import { UserError } from './errors.ts';

export const NPY_MAGIC = [0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59];
/** Magic number, version, and the length of the header in version 1. */
export const NPY_PREFIX = NPY_MAGIC.length + 4;
const MAX_HEADER = 2 ** 16;

/** An array whose bytes are all there. */
export interface NpyArray {
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly count: number;
  /** Kind and bytes of an element, as in NumPy's type names: `u1`, `i8`, `f4`. */
  readonly type: string;
  readonly isLittleEndian: boolean;
  /** The first axis varies fastest. */
  readonly isFortran: boolean;
  /** The elements' bytes. */
  readonly data: Uint8Array;
}

type ElementReader = (view: DataView, at: number, little: boolean) => number;

const readers: Readonly<Record<string, ElementReader>> = {
  i1: (view, at) => view.getInt8(at),
  i2: (view, at, little) => view.getInt16(at, little),
  i4: (view, at, little) => view.getInt32(at, little),
  i8: (view, at, little) => Number(view.getBigInt64(at, little)),
  u1: (view, at) => view.getUint8(at),
  u2: (view, at, little) => view.getUint16(at, little),
  u4: (view, at, little) => view.getUint32(at, little),
  u8: (view, at, little) => Number(view.getBigUint64(at, little)),
  f4: (view, at, little) => view.getFloat32(at, little),
  f8: (view, at, little) => view.getFloat64(at, little),
};

export function isNpy(bytes: Uint8Array): boolean {
  return NPY_MAGIC.every((byte, at) => bytes[at] === byte);
}

/** The array of a .npy file with at most `most` elements. Throws a UserError that names the file. */
export function readNpyArray(
  bytes: Uint8Array,
  file: string,
  { most, elements, what }: { readonly most: number; readonly elements: string; readonly what: string },
): NpyArray {
  const fail = (found: string, expected: string): never => {
    throw new UserError(`${file}: ${found}: expected ${expected}`);
  };
  if (bytes.length < NPY_PREFIX || !isNpy(bytes)) fail('not a .npy file', 'the NumPy array format');
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = bytes[NPY_MAGIC.length]!;
  if (version < 1 || version > 3) fail(`.npy format version ${version}`, 'version 1, 2 or 3');
  const wide = version > 1;
  const length =
    wide && bytes.length >= NPY_PREFIX + 2
      ? view.getUint32(NPY_MAGIC.length + 2, true)
      : view.getUint16(NPY_MAGIC.length + 2, true);
  const start = NPY_PREFIX + (wide ? 2 : 0) + length;
  if (length > MAX_HEADER) fail(`a header of ${length} bytes`, `at most ${MAX_HEADER}`);
  if (bytes.length < start) {
    fail(`${bytes.length} bytes, ends inside its header`, `at least ${start} bytes; the file is truncated`);
  }
  const header = new TextDecoder('latin1').decode(bytes.subarray(start - length, start));
  const named = /'descr':\s*'([^']*)'/.exec(header)?.[1];
  const [, byteOrder, type] = /^([<>|=])([iuf][1248])$/.exec(named ?? '') ?? [];
  if (type === undefined || !readers[type]) {
    return fail(`elements of type ${JSON.stringify(named?.slice(0, 20) ?? 'unknown')}`, elements);
  }
  const order = /'fortran_order':\s*(True|False)/.exec(header)?.[1];
  if (order === undefined) fail('a header without fortran_order', 'the NumPy array format');
  const shapeText = /'shape':\s*\(([\d, ]{0,200})\)/.exec(header)?.[1];
  if (shapeText === undefined) fail('a header without a shape', 'the NumPy array format');
  const shape = shapeText!.split(',').flatMap((text) => (text.trim() === '' ? [] : [Number(text)]));
  const count = shape.reduce((product, one) => product * one, 1);
  if (!(count <= most)) fail(`the shape (${shapeText})`, `at most 2^${Math.floor(Math.log2(most))} ${what}`);
  const wanted = start + Number(type[1]) * count;
  if (bytes.length !== wanted) {
    fail(`${bytes.length} bytes`, `${wanted} bytes for its shape; the file is truncated or damaged`);
  }
  return {
    ...{ shape, count, type, isLittleEndian: byteOrder !== '>', isFortran: order === 'True' },
    data: bytes.subarray(start),
  };
}

/** The element at a position of the file; beyond 2^53 the nearest double. */
export function npyElements({ type, data, isLittleEndian }: NpyArray): (position: number) => number {
  const read = readers[type]!;
  const size = Number(type[1]);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  return (position) => read(view, size * position, isLittleEndian);
}

/** Header and data start are padded to a multiple of this. */
const ALIGNMENT = 64;

/** What is written: little-endian, in C order. */
export interface NpyContent {
  readonly shape: readonly number[];
  readonly data: Int8Array | Int16Array | Int32Array | Uint8Array | Float32Array;
}

const writers = {
  i1: (view: DataView, at: number, value: number) => view.setInt8(at, value),
  i2: (view: DataView, at: number, value: number) => view.setInt16(at, value, true),
  i4: (view: DataView, at: number, value: number) => view.setInt32(at, value, true),
  u1: (view: DataView, at: number, value: number) => view.setUint8(at, value),
  f4: (view: DataView, at: number, value: number) => view.setFloat32(at, value, true),
} as const;

function typeOf(data: NpyContent['data']): keyof typeof writers {
  if (data instanceof Float32Array) return 'f4';
  if (data instanceof Uint8Array) return 'u1';
  return data instanceof Int8Array ? 'i1' : data instanceof Int16Array ? 'i2' : 'i4';
}

/** The .npy file of an array, format version 1.0. */
export function encodeNpy({ shape, data }: NpyContent): Uint8Array {
  const type = typeOf(data);
  const order = data.BYTES_PER_ELEMENT === 1 ? '|' : '<';
  const extents = shape.length === 1 ? `${shape[0]},` : shape.join(', ');
  const dictionary = `{'descr': '${order}${type}', 'fortran_order': False, 'shape': (${extents}), }`;
  const start = Math.ceil((NPY_PREFIX + dictionary.length + 1) / ALIGNMENT) * ALIGNMENT;
  const header = `${dictionary.padEnd(start - NPY_PREFIX - 1)}\n`;
  const bytes = new Uint8Array(start + data.byteLength);
  const view = new DataView(bytes.buffer);
  bytes.set(NPY_MAGIC);
  bytes.set([1, 0], NPY_MAGIC.length);
  view.setUint16(NPY_MAGIC.length + 2, header.length, true);
  bytes.set(new TextEncoder().encode(header), NPY_PREFIX);
  const write = writers[type];
  data.forEach((value, at) => {
    write(view, start + data.BYTES_PER_ELEMENT * at, value);
  });
  return bytes;
}
