// The wire format of protocol buffers (protobuf.dev/programming-guides/encoding): a message is a row of fields, each a
// key (number · 8 + wire type) and a value. Messages are built as lists of such fields by whoever knows their numbers;
// nothing here knows a schema. Read back are the fields, uninterpreted.

import { invariant } from '../tensor/errors.ts';

/** An encoded field. */
export type Part = Uint8Array;

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

/** Seven bits a byte, the lowest first; of a whole number 0 … 2^53. */
export function varint(value: number): Uint8Array {
  invariant(Number.isSafeInteger(value) && value >= 0, `${value} is no varint of ours`);
  const bytes: number[] = [];
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
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return Buffer.concat([key(field, FIXED64), bytes]);
}

export function float(field: number, value: number): Part {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return Buffer.concat([key(field, FIXED32), bytes]);
}

/** Numbers of a repeated field, packed. */
export function doubles(field: number, values: readonly number[]): Part {
  const bytes = Buffer.alloc(8 * values.length);
  values.forEach((value, at) => void bytes.writeDoubleLE(value, 8 * at));
  return bytesField(field, bytes);
}

export function bytesField(field: number, bytes: Uint8Array): Part {
  return Buffer.concat([key(field, BYTES), varint(bytes.length), bytes]);
}

export const text = (field: number, value: string): Part => bytesField(field, Buffer.from(value, 'utf8'));

export const message = (field: number, ...parts: readonly Part[]): Part => bytesField(field, Buffer.concat(parts));

export interface Field {
  readonly number: number;
  /** A varint as a number; what has bytes as these. */
  readonly value: number | Uint8Array;
}

/** The fields of a message; undefined where the bytes are none. */
export function fieldsOf(bytes: Uint8Array): readonly Field[] | undefined {
  const fields: Field[] = [];
  let at = 0;
  const readVarint = (): number | undefined => {
    let value = 0;
    for (let power = 1; at < bytes.length && power < 2 ** 64; power *= 128) {
      const byte = bytes[at++]!;
      value += (byte % 128) * power;
      if (byte < 128) return value;
    }
    return undefined;
  };
  while (at < bytes.length) {
    const tag = readVarint();
    if (tag === undefined) return undefined;
    const wire = tag % 8;
    const length = wire === FIXED64 ? 8 : wire === FIXED32 ? 4 : readVarint();
    if (length === undefined || ![VARINT, FIXED64, BYTES, FIXED32].includes(wire)) return undefined;
    const number = Math.floor(tag / 8);
    if (wire === VARINT) fields.push({ number, value: length });
    else {
      if (at + length > bytes.length) return undefined;
      fields.push({ number, value: bytes.subarray(at, at + length) });
      at += length;
    }
  }
  return fields;
}
