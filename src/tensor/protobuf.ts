// The wire format of protocol buffers (protobuf.dev/programming-guides/encoding): a message is a row of fields, each a
// key (number · 8 + wire type) and a value. Messages are built as lists of such fields by whoever knows their numbers;
// nothing here knows a schema. Read back are the fields, uninterpreted.
// Invariant: reading looks at each byte once and makes nothing larger than what is there, whatever a length says.
// Groups (wire types 3 and 4), which no writer makes any more, are refused.

import { invariant } from './errors.ts';

/** An encoded field. */
export type Part = Uint8Array;

export const VARINT = 0;
export const FIXED64 = 1;
export const BYTES = 2;
export const FIXED32 = 5;

/** Seven bits a byte, the lowest first; of a whole number below 2^53, a negative one as its 64-bit complement. */
export function varint(value: number): Uint8Array {
  invariant(Number.isSafeInteger(value), `${value} is no varint of ours`);
  const bytes: number[] = [];
  if (value < 0) {
    let rest = BigInt.asUintN(64, BigInt(value));
    for (; rest >= 128n; rest >>= 7n) bytes.push(Number(rest & 127n) + 128);
    return Uint8Array.of(...bytes, Number(rest));
  }
  let rest = value;
  while (rest >= 128) {
    bytes.push((rest % 128) + 128);
    rest = Math.floor(rest / 128);
  }
  return Uint8Array.of(...bytes, rest);
}

const key = (field: number, wire: number): Uint8Array => varint(field * 8 + wire);

export const whole = (field: number, value: number): Part => Buffer.concat([key(field, VARINT), varint(value)]);

export const truth = (field: number, value: boolean): Part => whole(field, value ? 1 : 0);

export function double(field: number, value: number): Part {
  return Buffer.concat([key(field, FIXED64), doubleBytes([value])]);
}

export function float(field: number, value: number): Part {
  return Buffer.concat([key(field, FIXED32), floatBytes([value])]);
}

function doubleBytes(values: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, at) => void bytes.writeDoubleLE(value, 8 * at));
  return bytes;
}

function floatBytes(values: readonly number[]): Uint8Array {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, at) => void bytes.writeFloatLE(value, 4 * at));
  return bytes;
}

/** Numbers of a repeated field, packed. */
export const doubles = (field: number, values: readonly number[]): Part => bytesField(field, doubleBytes(values));
export const floats = (field: number, values: readonly number[]): Part => bytesField(field, floatBytes(values));
export const wholes = (field: number, values: readonly number[]): Part =>
  bytesField(field, Buffer.concat(values.map(varint)));

export function bytesField(field: number, bytes: Uint8Array): Part {
  return Buffer.concat([key(field, BYTES), varint(bytes.length), bytes]);
}

export const text = (field: number, value: string): Part => bytesField(field, Buffer.from(value, 'utf8'));

export const message = (field: number, ...parts: readonly Part[]): Part => bytesField(field, Buffer.concat(parts));

export interface Field {
  readonly number: number;
  readonly wire: number;
  /** Of its key, in the bytes that were given. */
  readonly offset: number;
  /**
   * A varint as the signed 64-bit number that it is, above 2^53 the nearest that a double has; what has bytes as these,
   * a view.
   */
  readonly value: number | Uint8Array;
}

/** Bytes that are no message: where, counted in the bytes that were given, and why. */
export class WireFault extends Error {
  readonly offset: number;

  constructor(offset: number, problem: string) {
    super(problem);
    this.offset = offset;
  }
}

/** The varint at a place, and the place behind it. */
function varintAt(bytes: Uint8Array, from: number): readonly [value: number, next: number] {
  let [low, high] = [0, 0];
  for (let k = 0; k < 10; k++) {
    const byte = bytes[from + k];
    if (byte === undefined) throw new WireFault(from, 'a number that the end of its message cuts off');
    const bits = byte & 127;
    if (k < 4) low |= bits << (7 * k);
    else if (k === 4) [low, high] = [low | (bits << 28), bits >> 4];
    else high |= bits << (7 * k - 32);
    if (byte < 128) return [(high | 0) * 2 ** 32 + (low >>> 0), from + k + 1];
  }
  throw new WireFault(from, 'a number of more than ten bytes');
}

/** The fields of a message, in their order. Throws a WireFault. */
export function* fieldsIn(bytes: Uint8Array): Generator<Field, void, undefined> {
  let at = 0;
  while (at < bytes.length) {
    const offset = at;
    const [tag, behind] = varintAt(bytes, at);
    const [number, wire] = [Math.floor(tag / 8), tag & 7];
    if (number < 1 || number >= 2 ** 29) throw new WireFault(offset, `a field of the number ${number}`);
    if (wire === VARINT) {
      const [value, next] = varintAt(bytes, behind);
      at = next;
      yield { number, wire, offset, value };
      continue;
    }
    if (wire !== FIXED64 && wire !== BYTES && wire !== FIXED32) throw new WireFault(offset, `wire type ${wire}`);
    const [length, start] = wire === BYTES ? varintAt(bytes, behind) : [wire === FIXED64 ? 8 : 4, behind];
    const left = bytes.length - start;
    if (length < 0 || length > left) throw new WireFault(offset, `${length} bytes where ${left} are left`);
    at = start + length;
    yield { number, wire, offset, value: bytes.subarray(start, at) };
  }
}

/** The fields of a message; undefined where the bytes are none. */
export function fieldsOf(bytes: Uint8Array): readonly Field[] | undefined {
  try {
    return [...fieldsIn(bytes)];
  } catch (error) {
    if (error instanceof WireFault) return undefined;
    throw error;
  }
}

/** The numbers of a packed field of varints. Throws a WireFault. */
export function varintsIn(bytes: Uint8Array): number[] {
  const values: number[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [value, next] = varintAt(bytes, at);
    values.push(value);
    at = next;
  }
  return values;
}

/** The float64 or float32 numbers of a packed field, or the one of a field of its own. Throws a WireFault. */
export function floatsIn(bytes: Uint8Array, width: 4 | 8): number[] {
  if (bytes.length % width !== 0) throw new WireFault(0, `${bytes.length} bytes of numbers of ${width} bytes each`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return Array.from({ length: bytes.length / width }, (_, at) =>
    width === 4 ? view.getFloat32(4 * at, true) : view.getFloat64(8 * at, true),
  );
}
