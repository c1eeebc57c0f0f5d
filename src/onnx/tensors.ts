// Values of ONNX tensors: numbers of every real element type, in either of the two ways that a file may keep them
// (raw_data, or the list of the type), and written as raw_data. All is little-endian; types of four bits have two
// elements a byte, the first in the lower half. Not here: texts, complex numbers, 8-bit floats, data in other files.

import { brainToNumber, halfToNumber } from '../tensor/elements.ts';
import { invariant, quoted, UserError } from '../tensor/errors.ts';
import { formatShape, type Shape, sizeOf } from '../tensor/tensor.ts';
import type { Draft } from './messages.ts';
import type { TensorProto } from './schema.ts';

/** Element types by their numbers in TensorProto.DataType. */
export const elementTypes = {
  FLOAT: 1,
  UINT8: 2,
  INT8: 3,
  UINT16: 4,
  INT16: 5,
  INT32: 6,
  INT64: 7,
  BOOL: 9,
  FLOAT16: 10,
  DOUBLE: 11,
  UINT32: 12,
  UINT64: 13,
  BFLOAT16: 16,
  UINT4: 21,
  INT4: 22,
} as const;

export type ElementName = keyof typeof elementTypes;

/** Numbers as the narrowest array that holds all of a type; 64-bit ones as doubles, above 2^53 the nearest. */
export type Numbers = Float32Array | Float64Array | Int32Array | Uint32Array;

export interface OnnxTensor {
  readonly type: ElementName;
  readonly shape: Shape;
  readonly data: Numbers;
}

interface Element {
  readonly bits: 4 | 8 | 16 | 32 | 64;
  readonly allocate: (count: number) => Numbers;
  /** Element `at` of raw bytes. */
  readonly get: (view: DataView, at: number) => number;
  readonly set: (view: DataView, at: number, value: number) => void;
  /** Where else than in raw_data the elements may stand. */
  readonly list: 'floatData' | 'int32Data' | 'int64Data' | 'doubleData' | 'uint64Data';
  /** An element of that list; default: as it is. */
  readonly ofList?: (item: number) => number;
  /** Least and largest value; absent for floats. */
  readonly range?: readonly [number, number];
}

const f32 = (count: number) => new Float32Array(count);
const f64 = (count: number) => new Float64Array(count);
const i32 = (count: number) => new Int32Array(count);
const unwritten = (): never => invariant(false, 'an element type that is only read') as never;

/** Two elements of a byte. */
const nibble = (isSigned: boolean): Element => ({
  bits: 4,
  allocate: i32,
  get: (view, at) => {
    const half = (view.getUint8(at >> 1) >> (at % 2 === 0 ? 0 : 4)) & 15;
    return isSigned && half > 7 ? half - 16 : half;
  },
  set: (view, at, value) => {
    const byte = view.getUint8(at >> 1);
    view.setUint8(at >> 1, at % 2 === 0 ? (byte & 0xf0) | (value & 15) : (byte & 15) | ((value & 15) << 4));
  },
  list: 'int32Data',
  range: isSigned ? [-8, 7] : [0, 15],
});

const all: Readonly<Record<ElementName, Element>> = {
  FLOAT: {
    ...{ bits: 32, allocate: f32, list: 'floatData' },
    get: (view, at) => view.getFloat32(4 * at, true),
    set: (view, at, value) => view.setFloat32(4 * at, value, true),
  },
  DOUBLE: {
    ...{ bits: 64, allocate: f64, list: 'doubleData' },
    get: (view, at) => view.getFloat64(8 * at, true),
    set: (view, at, value) => view.setFloat64(8 * at, value, true),
  },
  FLOAT16: {
    ...{ bits: 16, allocate: f32, list: 'int32Data', ofList: (item) => halfToNumber(item & 0xffff), set: unwritten },
    get: (view, at) => halfToNumber(view.getUint16(2 * at, true)),
  },
  BFLOAT16: {
    ...{ bits: 16, allocate: f32, list: 'int32Data', ofList: (item) => brainToNumber(item & 0xffff), set: unwritten },
    get: (view, at) => brainToNumber(view.getUint16(2 * at, true)),
  },
  UINT8: {
    ...{ bits: 8, allocate: i32, list: 'int32Data', range: [0, 255] },
    get: (view, at) => view.getUint8(at),
    set: (view, at, value) => view.setUint8(at, value),
  },
  INT8: {
    ...{ bits: 8, allocate: i32, list: 'int32Data', range: [-128, 127] },
    get: (view, at) => view.getInt8(at),
    set: (view, at, value) => view.setInt8(at, value),
  },
  BOOL: {
    ...{ bits: 8, allocate: i32, list: 'int32Data', range: [0, 1] },
    get: (view, at) => view.getUint8(at),
    set: (view, at, value) => view.setUint8(at, value),
  },
  UINT16: {
    ...{ bits: 16, allocate: i32, list: 'int32Data', range: [0, 65535] },
    get: (view, at) => view.getUint16(2 * at, true),
    set: (view, at, value) => view.setUint16(2 * at, value, true),
  },
  INT16: {
    ...{ bits: 16, allocate: i32, list: 'int32Data', range: [-32768, 32767] },
    get: (view, at) => view.getInt16(2 * at, true),
    set: (view, at, value) => view.setInt16(2 * at, value, true),
  },
  INT32: {
    ...{ bits: 32, allocate: i32, list: 'int32Data', range: [-(2 ** 31), 2 ** 31 - 1] },
    get: (view, at) => view.getInt32(4 * at, true),
    set: (view, at, value) => view.setInt32(4 * at, value, true),
  },
  UINT32: {
    ...{ bits: 32, allocate: (count) => new Uint32Array(count), list: 'uint64Data', range: [0, 2 ** 32 - 1] },
    get: (view, at) => view.getUint32(4 * at, true),
    set: (view, at, value) => view.setUint32(4 * at, value, true),
  },
  INT64: {
    ...{ bits: 64, allocate: f64, list: 'int64Data', range: [-(2 ** 63), 2 ** 63] },
    get: (view, at) => Number(view.getBigInt64(8 * at, true)),
    set: (view, at, value) => view.setBigInt64(8 * at, BigInt(value), true),
  },
  UINT64: {
    ...{ bits: 64, allocate: f64, list: 'uint64Data', range: [0, 2 ** 64] },
    ofList: (item) => (item < 0 ? item + 2 ** 64 : item),
    get: (view, at) => Number(view.getBigUint64(8 * at, true)),
    set: (view, at, value) => view.setBigUint64(8 * at, BigInt(value), true),
  },
  UINT4: nibble(false),
  INT4: nibble(true),
};

const namesByNumber = new Map(Object.entries(elementTypes).map(([name, number]) => [number, name as ElementName]));

/** The name of an element type; undefined for what has none here. */
export const elementName = (number: number | undefined): ElementName | undefined => namesByNumber.get(number as 1);

const bytesOf = ({ bits }: Element, count: number): number => Math.ceil((count * bits) / 8);

/** The values of a tensor, checked against its shape. Throws a UserError that names the file and the tensor. */
export function readTensor(proto: TensorProto, file: string): OnnxTensor {
  const fail = (problem: string): never => {
    throw new UserError(`${file}: tensor ${quoted(proto.name ?? '')}: ${problem}`);
  };
  const type = elementName(proto.dataType);
  if (!type) return fail(`elements of type ${proto.dataType ?? 'unknown'}: expected numbers of 4 to 64 bits`);
  if (proto.dataLocation === 1 || proto.externalData.length > 0) {
    return fail('its data are in another file: expected all in one (save without external data)');
  }
  const shape = proto.dims;
  const count = sizeOf(shape);
  if (!shape.every((extent) => Number.isSafeInteger(extent) && extent >= 0) || !Number.isSafeInteger(count)) {
    return fail(`shape ${formatShape(shape)}: expected extents of 0 and more`);
  }
  const element = all[type];
  const { rawData } = proto;
  if (rawData) {
    const expected = bytesOf(element, count);
    if (rawData.length !== expected) {
      return fail(`${rawData.length} bytes for the shape ${formatShape(shape)}: expected ${expected}`);
    }
    const view = new DataView(rawData.buffer, rawData.byteOffset, rawData.byteLength);
    const data = element.allocate(count);
    for (let at = 0; at < count; at++) data[at] = element.get(view, at);
    return { type, shape, data };
  }
  const given = proto[element.list];
  // Elements of four bits: two an item, as in raw bytes (each item one byte).
  const listed = element.bits === 4 ? Math.ceil(count / 2) : count;
  if (given.length !== listed) {
    return fail(`${given.length} elements for the shape ${formatShape(shape)}: expected ${listed}`);
  }
  if (element.bits === 4) {
    const { dims, name, dataType } = proto;
    const packed = {
      dims,
      rawData: Uint8Array.from(given),
      ...(name ? { name } : {}),
      ...(dataType ? { dataType } : {}),
    };
    return readTensor({ ...noData, ...packed }, file);
  }
  const { ofList = (item: number) => item, range } = element;
  const data = element.allocate(count);
  for (let at = 0; at < count; at++) {
    const value = ofList(given[at]!);
    if (range && (value < range[0] || value > range[1])) fail(`the value ${value}: expected ${type.toLowerCase()}`);
    data[at] = value;
  }
  return { type, shape, data };
}

const noData = {
  ...{ floatData: [], int32Data: [], int64Data: [], doubleData: [], uint64Data: [], stringData: [], externalData: [] },
};

/** A tensor as a file has it; all values must be of the type. */
export function writeTensor(
  name: string,
  type: ElementName,
  shape: Shape,
  values: ArrayLike<number>,
): Draft<TensorProto> {
  const count = sizeOf(shape);
  invariant(values.length === count, `tensor ${name}: ${values.length} values for the shape ${formatShape(shape)}`);
  const element = all[type];
  const rawData = new Uint8Array(bytesOf(element, count));
  const view = new DataView(rawData.buffer);
  for (let at = 0; at < count; at++) {
    const value = values[at]!;
    const { range } = element;
    const isOfType = !range || (Number.isSafeInteger(value) && value >= range[0] && value <= range[1]);
    invariant(isOfType, `tensor ${name}: ${value} is no ${type}`);
    element.set(view, at, value);
  }
  return { name, dataType: elementTypes[type], dims: [...shape], rawData };
}
