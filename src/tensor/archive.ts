// The directory of a zip archive whose members are stored as they are, as PyTorch writes them, zip64 included (PKWARE
// APPNOTE 6.3). The directory alone is read; members are read from the file when somebody asks. Strict: a directory
// that is not whole, members that overlap, lie outside of the file, are packed or encrypted, names that occur twice or
// look like paths out of the archive are refused. Not a general unzip (that is zip.ts).

import { crc32 } from 'node:zlib';
import { quoted, UserError } from './errors.ts';
import type { ByteSource } from './source.ts';

export interface ZipMember {
  readonly name: string;
  /** Where its bytes begin in the file, and how many they are. */
  readonly start: number;
  readonly size: number;
  readonly crc: number;
}

const SIGNATURES = { local: 0x04034b50, central: 0x02014b50, end: 0x06054b50, end64: 0x06064b50, locator: 0x07064b50 };
const END_BYTES = 22;
const LONGEST_COMMENT = 65535;
const MOST_MEMBERS = 2 ** 20;
const MOST_DIRECTORY = 2 ** 28;

/** The members by name, in the order of the directory. */
export function readZipDirectory(source: ByteSource): ReadonlyMap<string, ZipMember> {
  const wrong = (detail: string) => new UserError(`${source.name} is not a usable zip archive: ${detail}`);
  const { at, size, count } = findDirectory(source, wrong);
  if (count > MOST_MEMBERS || size > MOST_DIRECTORY) throw wrong(`its directory has ${count} members in ${size} bytes`);
  const directory = bufferOf(source.read(at, size));
  const members = new Map<string, ZipMember>();
  let place = 0;
  for (let k = 0; k < count; k++) {
    const where = `the directory's entry ${k}, byte ${at + place},`;
    if (place + 46 > size || directory.readUInt32LE(place) !== SIGNATURES.central) throw wrong(`${where} is none`);
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((field) => directory.readUInt16LE(place + field));
    const next = place + 46 + nameBytes! + extraBytes! + commentBytes!;
    if (next > size) throw wrong(`${where} is cut off`);
    const name = directory.toString('utf8', place + 46, place + 46 + nameBytes!);
    requireName(name, wrong);
    if (members.has(name)) throw wrong(`the name ${quoted(name)} appears twice`);
    if (directory.readUInt16LE(place + 8) & 1) throw wrong(`${quoted(name)} is encrypted`);
    if (directory.readUInt16LE(place + 10) !== 0) {
      throw wrong(`${quoted(name)} is packed, PyTorch stores as it is; save the file again with torch.save`);
    }
    const extra = directory.subarray(place + 46 + nameBytes!, place + 46 + nameBytes! + extraBytes!);
    const { packed, unpacked, header } = sizesOf(directory, place, extra, () => wrong(`${where} has no whole sizes`));
    if (packed !== unpacked) throw wrong(`${quoted(name)} has ${packed} bytes and says ${unpacked}`);
    const start = startOf(source, header, name, wrong);
    if (start + unpacked > at) throw wrong(`${quoted(name)} ends at byte ${start + unpacked}, behind the members`);
    members.set(name, { name, start, size: unpacked, crc: directory.readUInt32LE(place + 16) });
    place = next;
  }
  if (place !== size) throw wrong(`its directory has ${size - place} bytes more than its ${count} entries`);
  requireApart([...members.values()], wrong);
  return members;
}

type Wrong = (detail: string) => UserError;

const bufferOf = (bytes: Uint8Array) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Where the directory lies: said at the end of the file, behind a comment of any text. */
function findDirectory(source: ByteSource, wrong: Wrong) {
  const tailSize = Math.min(source.size, END_BYTES + LONGEST_COMMENT);
  const tailAt = source.size - tailSize;
  const tail = bufferOf(source.read(tailAt, tailSize));
  let end = tailSize - END_BYTES;
  const isEnd = (at: number) =>
    tail.readUInt32LE(at) === SIGNATURES.end && at + END_BYTES + tail.readUInt16LE(at + 20) === tailSize;
  while (end >= 0 && !isEnd(end)) end--;
  if (end < 0) throw wrong('it has no directory at its end; it is cut off, fetch or copy it again');
  const place = tailAt + end;
  let [count, size, at] = [tail.readUInt16LE(end + 10), tail.readUInt32LE(end + 12), tail.readUInt32LE(end + 16)];
  let limit = place;
  if (place >= 20) {
    const locator = bufferOf(source.read(place - 20, 20));
    if (locator.readUInt32LE(0) === SIGNATURES.locator) {
      limit = Number(locator.readBigUInt64LE(8));
      if (limit + 56 > place - 20) throw wrong(`its zip64 end is said to be at byte ${limit}`);
      const record = bufferOf(source.read(limit, 56));
      if (record.readUInt32LE(0) !== SIGNATURES.end64) throw wrong(`there is no zip64 end at byte ${limit}`);
      [count, size, at] = [32, 40, 48].map((field) => Number(record.readBigUInt64LE(field))) as [
        number,
        number,
        number,
      ];
    }
  }
  if (at + size > limit) throw wrong(`its directory is said to end at byte ${at + size}, it can end at ${limit}`);
  return { at, size, count };
}

/** Sizes and place of a member; what is 2^32 − 1 stands in the zip64 extra field, in this order. */
function sizesOf(directory: Buffer, place: number, extra: Buffer, wrong: () => UserError) {
  const fields = [24, 20, 42].map((field) => directory.readUInt32LE(place + field));
  let at = 0;
  while (at + 4 <= extra.length && extra.readUInt16LE(at) !== 1) at += 4 + extra.readUInt16LE(at + 2);
  at += 4;
  const [unpacked, packed, header] = fields.map((value) => {
    if (value !== 0xffffffff) return value;
    if (at + 8 > extra.length) throw wrong();
    at += 8;
    return Number(extra.readBigUInt64LE(at - 8));
  }) as [number, number, number];
  return { unpacked, packed, header };
}

/** Where a member's bytes begin: behind its own header, whose name must be that of the directory. */
function startOf(source: ByteSource, header: number, name: string, wrong: Wrong): number {
  if (header + 30 > source.size) throw wrong(`${quoted(name)} is said to begin at byte ${header}, behind the end`);
  const local = bufferOf(source.read(header, 30));
  const nameBytes = local.readUInt16LE(26);
  const start = header + 30 + nameBytes + local.readUInt16LE(28);
  const isThere =
    local.readUInt32LE(0) === SIGNATURES.local &&
    start <= source.size &&
    bufferOf(source.read(header + 30, nameBytes)).toString('utf8') === name;
  if (!isThere) throw wrong(`${quoted(name)} is not at byte ${header}, where the directory has it`);
  return start;
}

function requireName(name: string, wrong: Wrong): void {
  const isPlain = name !== '' && !/[\\\0]/.test(name) && !name.split('/').some((part) => part === '..' || part === '.');
  if (!isPlain || name.startsWith('/')) throw wrong(`the name ${quoted(name)} is a path out of the archive`);
}

/** Members that share bytes would be more than the file holds. */
function requireApart(members: readonly ZipMember[], wrong: Wrong): void {
  let before: ZipMember | undefined;
  for (const member of members.toSorted((a, b) => a.start - b.start || a.size - b.size)) {
    if (before && before.start + before.size > member.start) {
      throw wrong(`${quoted(member.name)} lies over ${quoted(before.name)}`);
    }
    if (member.size > 0) before = member;
  }
}

/** Refuses a member whose bytes are not those that were written. */
export function requireChecksum(source: ByteSource, { name, start, size, crc }: ZipMember): void {
  let found = 0;
  for (let at = 0; at < size; at += 2 ** 24)
    found = crc32(source.read(start + at, Math.min(2 ** 24, size - at)), found);
  if (found !== crc) {
    throw new UserError(
      `${source.name}: ${quoted(name)}, byte ${start}, is damaged (its checksum differs); fetch or copy the file again, or, if it was written without checksums, save it again`,
    );
  }
}

/** The archive of these members, each beginning at a multiple of `alignment` bytes; below 4 GiB. */
export function writeZip(
  members: readonly { readonly name: string; readonly data: Uint8Array }[],
  alignment: number,
): Uint8Array {
  const parts: Uint8Array[] = [];
  const directory: Uint8Array[] = [];
  let at = 0;
  for (const { name, data } of members) {
    const label = Buffer.from(name);
    // The padding is an extra field of its own, as PyTorch pads.
    const padding = (alignment - ((at + 30 + label.length + 4) % alignment)) % alignment;
    const header = Buffer.alloc(30 + label.length + 4 + padding);
    header.writeUInt32LE(SIGNATURES.local, 0);
    writeCommon(header, 4, data, label.length);
    header.writeUInt16LE(4 + padding, 28);
    label.copy(header, 30);
    header.write('FB', 30 + label.length, 'latin1');
    header.writeUInt16LE(padding, 32 + label.length);
    header.fill('Z', 34 + label.length);
    const entry = Buffer.alloc(46 + label.length);
    entry.writeUInt32LE(SIGNATURES.central, 0);
    writeCommon(entry, 6, data, label.length);
    entry.writeUInt32LE(at, 42);
    label.copy(entry, 46);
    parts.push(header, data);
    directory.push(entry);
    at += header.length + data.length;
  }
  const directorySize = directory.reduce((sum, entry) => sum + entry.length, 0);
  if (at + directorySize >= 0xffffffff || members.length >= 0xffff) {
    throw new UserError(
      `an archive of ${members.length} members and ${at} bytes is too large for .pth here; write safetensors instead`,
    );
  }
  const end = Buffer.alloc(END_BYTES);
  end.writeUInt32LE(SIGNATURES.end, 0);
  end.writeUInt16LE(members.length, 8);
  end.writeUInt16LE(members.length, 10);
  end.writeUInt32LE(directorySize, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, ...directory, end]);
}

/** Version 0 until now, flags: UTF-8, stored, 1 January 1980, checksum, sizes, length of the name. */
function writeCommon(header: Buffer, at: number, data: Uint8Array, nameBytes: number): void {
  header.writeUInt16LE(20, at);
  header.writeUInt16LE(0x0800, at + 2);
  header.writeUInt16LE(0x21, at + 8);
  header.writeUInt32LE(crc32(data), at + 10);
  header.writeUInt32LE(data.length, at + 14);
  header.writeUInt32LE(data.length, at + 18);
  header.writeUInt16LE(nameBytes, at + 22);
}
