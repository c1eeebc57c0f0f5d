// TFRecord framing (tensorflow/core/lib/io/record_writer.h): length (uint64), masked CRC-32C of it, the data, masked
// CRC-32C of these, all little-endian. CRC-32C is that of Castagnoli (RFC 3720, B.4), which zlib's crc32 is not.

/** x^32 + … by Castagnoli, its bits reversed. */
const POLYNOMIAL = 0x82f63b78;

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit++) rest = rest & 1 ? (rest >>> 1) ^ POLYNOMIAL : rest >>> 1;
  return rest;
});

/** 0 … 2^32 − 1. */
export function crc32c(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  for (const byte of bytes) sum = table[(sum ^ byte) & 0xff]! ^ (sum >>> 8);
  return ~sum >>> 0;
}

/** Rotated and moved, so that a sum of data that hold sums is not weak. */
const masked = (sum: number): number => (((sum >>> 15) | (sum << 17)) + 0xa282ead8) >>> 0;

const HEAD = 12;
const FOOT = 4;

export function frame(data: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(HEAD + data.length + FOOT);
  bytes.writeBigUInt64LE(BigInt(data.length));
  bytes.writeUInt32LE(masked(crc32c(bytes.subarray(0, 8))), 8);
  bytes.set(data, HEAD);
  bytes.writeUInt32LE(masked(crc32c(data)), HEAD + data.length);
  return bytes;
}

export interface Record {
  readonly data: Uint8Array;
  /** Of the whole frame in the file. */
  readonly offset: number;
  readonly length: number;
}

/** The records of a file up to the first that is torn or damaged, and where it begins. */
export function recordsOf(bytes: Uint8Array): { readonly records: readonly Record[]; readonly end: number } {
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const records: Record[] = [];
  let offset = 0;
  while (offset + HEAD + FOOT <= view.length) {
    const size = view.readBigUInt64LE(offset);
    if (view.readUInt32LE(offset + 8) !== masked(crc32c(view.subarray(offset, offset + 8)))) break;
    if (size > BigInt(view.length - offset - HEAD - FOOT)) break;
    const end = offset + HEAD + Number(size);
    const data = view.subarray(offset + HEAD, end);
    if (view.readUInt32LE(end) !== masked(crc32c(data))) break;
    records.push({ data, offset, length: end + FOOT - offset });
    offset = end + FOOT;
  }
  return { records, end: offset };
}
