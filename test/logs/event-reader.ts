// Reads TensorBoard event files as their specification says, for tests of what writes them: another way than the
// program's own (CRC-32C as a division bit by bit, messages by a table of names), and strict: a field that is not
// in the table, a wrong sum or a torn end fails. Voids what a START voids, as TensorBoard's event accumulator does.

import assert from 'node:assert/strict';

/** The bits of a number of so many, in the other order. */
const reversed = (value: number, bits: number): number =>
  Number.parseInt(value.toString(2).padStart(bits, '0').split('').reverse().join(''), 2);
const reversedBytes = Array.from({ length: 256 }, (_, byte) => reversed(byte, 8));

/**
 * Division of the bits, the lowest of each byte first, by x^32 + x^28 + x^27 + x^26 + x^25 + x^23 + x^22 + x^20 + x^19
 * + x^18 + x^14 + x^13 + x^11 + x^10 + x^9 + x^8 + x^6 + 1 (0x11edc6f41).
 */
export function crc32c(bytes: Uint8Array): number {
  let rest = -1;
  for (const byte of bytes) {
    rest ^= reversedBytes[byte]! << 24;
    for (let bit = 0; bit < 8; bit++) rest = rest < 0 ? (rest << 1) ^ 0x1edc6f41 : rest << 1;
  }
  return reversed(~rest >>> 0, 32);
}

function unmasked(sum: number): number {
  const rotated = (BigInt(sum) - 0xa282ead8n + (1n << 32n)) & 0xffffffffn;
  return Number(((rotated >> 17n) | (rotated << 15n)) & 0xffffffffn);
}

/** The records of a file; every sum is checked. */
export function readRecords(file: Uint8Array): Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const records: Uint8Array[] = [];
  for (let at = 0; at < file.length; ) {
    const length = Number(view.getBigUint64(at, true));
    assert.equal(unmasked(view.getUint32(at + 8, true)), crc32c(file.subarray(at, at + 8)), 'sum of a length');
    const data = file.subarray(at + 12, at + 12 + length);
    assert.equal(data.length, length, 'a torn record');
    assert.equal(unmasked(view.getUint32(at + 12 + length, true)), crc32c(data), 'sum of a record');
    records.push(data);
    at += 16 + length;
  }
  return records;
}

type Kind = 'int' | 'double' | 'float' | 'string' | 'bytes' | 'doubles' | 'floats' | Schema;
interface Schema {
  readonly [number: number]: readonly [name: string, kind: Kind, repeated?: 'repeated'];
}
// biome-ignore lint/suspicious/noExplicitAny: messages as their schema says
export type Message = any;

const histogram: Schema = {
  1: ['min', 'double'],
  2: ['max', 'double'],
  3: ['num', 'double'],
  4: ['sum', 'double'],
  5: ['sumSquares', 'double'],
  6: ['limits', 'doubles'],
  7: ['buckets', 'doubles'],
};
const picture: Schema = { 1: ['height', 'int'], 2: ['width', 'int'], 3: ['colorspace', 'int'], 4: ['png', 'bytes'] };
const dimension: Schema = { 1: ['size', 'int'] };
const tensor: Schema = {
  1: ['dtype', 'int'],
  2: ['shape', { 2: ['dim', dimension, 'repeated'] }],
  5: ['floats', 'float', 'repeated'],
};
const metadata: Schema = { 1: ['plugin', { 1: ['name', 'string'], 2: ['content', 'bytes'] }] };
const value: Schema = {
  1: ['tag', 'string'],
  2: ['simple', 'float'],
  4: ['image', picture],
  5: ['histogram', histogram],
  8: ['tensor', tensor],
  9: ['metadata', metadata],
};
const eventSchema: Schema = {
  1: ['wallTime', 'double'],
  2: ['step', 'int'],
  3: ['fileVersion', 'string'],
  5: ['summary', { 1: ['values', value, 'repeated'] }],
  7: ['session', { 1: ['status', 'int'] }],
};
const anyValue: Schema = { 2: ['number', 'double'], 3: ['string', 'string'], 4: ['bool', 'int'] };
/** tensorboard.hparams.HParamsPluginData */
export const hparams: Schema = {
  1: ['version', 'int'],
  3: [
    'start',
    {
      1: ['hparams', { 1: ['key', 'string'], 2: ['value', anyValue] }, 'repeated'],
      4: ['group', 'string'],
      5: ['started', 'double'],
    },
  ],
  4: ['end', { 1: ['status', 'int'], 2: ['ended', 'double'] }],
};

export function decode(bytes: Uint8Array, schema: Schema): Message {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: Message = {};
  let at = 0;
  const varint = (): number => {
    let [value, shift] = [0n, 0n];
    for (;;) {
      const byte = view.getUint8(at++);
      value |= BigInt(byte & 127) << shift;
      shift += 7n;
      if (byte < 128) return Number(value);
    }
  };
  while (at < bytes.length) {
    const key = varint();
    const [number, wire] = [key >> 3, key & 7];
    const entry = schema[number];
    assert.ok(entry, `field ${number} is not in the schema`);
    const [name, kind, repeated] = entry;
    let read: unknown;
    if (kind === 'int') {
      assert.equal(wire, 0, name);
      read = varint();
    } else if (kind === 'double') {
      assert.equal(wire, 1, name);
      read = view.getFloat64(at, true);
      at += 8;
    } else if (kind === 'float') {
      assert.equal(wire, 5, name);
      read = view.getFloat32(at, true);
      at += 4;
    } else {
      assert.equal(wire, 2, name);
      const length = varint();
      const inner = bytes.subarray(at, at + length);
      assert.equal(inner.length, length, `${name} is torn`);
      at += length;
      if (kind === 'string') read = new TextDecoder('utf-8', { fatal: true }).decode(inner);
      else if (kind === 'bytes') read = inner;
      else if (kind === 'doubles') read = Array.from(new Float64Array(Uint8Array.from(inner).buffer));
      else if (kind === 'floats') read = Array.from(new Float32Array(Uint8Array.from(inner).buffer));
      else read = decode(inner, kind);
    }
    if (repeated) found[name] = [...(found[name] ?? []), read];
    else found[name] = read;
  }
  return found;
}

export interface Entry {
  readonly step: number;
  readonly wallTime: number;
  readonly value: Message;
}

/** By tag, what TensorBoard shows of a file: what stands behind a START's step is void. */
export function shown(file: Uint8Array): Map<string, Entry[]> {
  const [first, ...events] = readRecords(file).map((record) => decode(record, eventSchema));
  assert.equal(first.fileVersion, 'brain.Event:2');
  const tags = new Map<string, Entry[]>();
  for (const { wallTime, step = 0, summary, session } of events) {
    assert.ok(wallTime > 1e9, 'a time in seconds');
    if (session?.status === 1) {
      for (const [tag, entries] of tags)
        tags.set(
          tag,
          entries.filter((entry) => entry.step < step),
        );
    }
    for (const value of summary?.values ?? []) {
      tags.set(value.tag, [...(tags.get(value.tag) ?? []), { step, wallTime, value }]);
    }
  }
  return new Map([...tags].filter(([, entries]) => entries.length > 0));
}
