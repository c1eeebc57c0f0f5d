import { expect, test } from 'vitest';
import { crc32c as division, readRecords } from '../../test/logs/event-reader.ts';
import { crc32c, frame, recordsOf } from './tfrecord.ts';

// RFC 3720, B.4, and the check value of the Rocksoft model.
const vectors: readonly (readonly [Uint8Array, number])[] = [
  [new Uint8Array(32), 0x8a9136aa],
  [new Uint8Array(32).fill(0xff), 0x62a8ab43],
  [Uint8Array.from({ length: 32 }, (_, at) => at), 0x46dd794e],
  [Uint8Array.from({ length: 32 }, (_, at) => 31 - at), 0x113fdb5c],
  [Buffer.from('123456789'), 0xe3069283],
];

test('CRC-32C has the known answers, here and in the reader of the tests', () => {
  for (const [bytes, sum] of vectors) expect([crc32c(bytes), division(bytes)]).toEqual([sum, sum]);
});

test('records are framed so that another reader takes them, and are read up to what is torn or damaged', () => {
  const contents = [Buffer.from('one'), Buffer.alloc(0), Buffer.from('three')];
  const file = Buffer.concat(contents.map(frame));
  expect(readRecords(file).map(String)).toEqual(['one', '', 'three']);
  expect(recordsOf(file).records.map(({ data }) => String(data))).toEqual(['one', '', 'three']);
  const second = frame(contents[0]!).length;
  expect(recordsOf(file.subarray(0, file.length - 1)).end).toBe(second + frame(contents[1]!).length);
  const damaged = Buffer.from(file);
  damaged[second + 12]! ^= 1;
  expect(recordsOf(damaged)).toMatchObject({ end: second });
  expect(() => readRecords(damaged)).toThrow('sum of a record');
});
