// The safetensors file format (https://github.com/huggingface/safetensors, "Format"): eight bytes of header length, a
// JSON header {name: {dtype, shape, data_offsets}, __metadata__}, then the tensors' bytes, little-endian and without
// gaps. What is written here loads in the Python package and the other way round. Reading is strict: a file that is
// truncated, has gaps or overlaps, or names a tensor twice is refused with what is wrong; a tensor of a type that has
// no place here is kept apart with the reason, since nobody may ask for it. Reading takes time and memory in proportion
// to the file. Equal tensors give equal bytes. Not a pickle reader.

import { elements, isElementType } from './elements.ts';
import { invariant, quoted, UserError } from './errors.ts';
import { readBytes, writeFileAtomic } from './files.ts';
import { type ByteSource, memorySource } from './source.ts';
import { readStored, rowMajor, type StoredTensor } from './stored.ts';
import {
  byteSize,
  bytesPerElement,
  type DType,
  formatShape,
  type HostTensor,
  sizeOf,
  type TensorType,
} from './tensor.ts';

export interface SafeTensors {
  readonly tensors: ReadonlyMap<string, HostTensor>;
  /** The tensors that cannot be had here, with what they hold instead: "BOOL". */
  readonly others: ReadonlyMap<string, string>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** The format allows 100 MB; what is made has some hundred bytes for each tensor. */
const maximumHeader = 2 ** 24;
/** An entry of the header has an object around a list. */
const deepestHeader = 3;
const metadataKey = '__metadata__';
const formatName: Record<DType, string> = { f32: 'F32', i32: 'I32', u8: 'U8' };

/** Bytes of an element of the types that the format knows and that are not read. */
const otherBytes: Readonly<Record<string, number>> = { F8_E8M0: 1, C64: 8 };

/** A tensor that is made where it is to lie, in a file's bytes. */
export interface TensorInPlace extends TensorType {
  /** Writes all of its elements into these bytes, which are aligned for them. */
  readonly write: (bytes: Uint8Array) => void;
}

/** The order in which a file has tensors: by element size, then by name, so that every one is aligned. */
export function inFileOrder<T extends TensorType>(tensors: ReadonlyMap<string, T>): [string, T][] {
  return [...tensors].sort(
    ([nameA, a], [nameB, b]) => bytesPerElement[b.dtype] - bytesPerElement[a.dtype] || (nameA < nameB ? -1 : 1),
  );
}

/** The file's bytes; tensors lie in the order of `inFileOrder`. */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, HostTensor | TensorInPlace>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const ordered = inFileOrder(tensors);
  const entries: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) entries.push([metadataKey, metadata]);
  let end = 0;
  for (const [name, { dtype, shape }] of ordered) {
    invariant(name !== metadataKey, `a tensor must not be called ${metadataKey}`);
    const begin = end;
    end += byteSize({ dtype, shape });
    entries.push([name, { dtype: formatName[dtype], shape, data_offsets: [begin, end] }]);
  }
  const json = `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;
  const unpadded = Buffer.byteLength(json);
  const header = Buffer.from(json + ' '.repeat(-unpadded & 7));
  const file = new Uint8Array(8 + header.length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
  file.set(header, 8);
  let offset = 8 + header.length;
  for (const [, tensor] of ordered) {
    const bytes = file.subarray(offset, offset + byteSize(tensor));
    if ('write' in tensor) tensor.write(bytes);
    else bytes.set(new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength));
    offset += bytes.length;
  }
  return file;
}

/**
 * Looks through a header before it is parsed, because parsing hostile nesting takes memory out of proportion, and
 * because JSON.parse keeps only the last of several equal keys: how deep it nests, and the keys of its outermost
 * object, repetitions included, as they are written.
 * The scan stops below the depth that a header has.
 */
function scanHeader(json: string): { readonly depth: number; readonly keys: readonly string[] } {
  const keys: string[] = [];
  let depth = 0;
  let deepest = 0;
  for (let at = 0; at < json.length && deepest <= deepestHeader; at++) {
    const character = json.charCodeAt(at);
    if (character === 0x7b || character === 0x5b) deepest = Math.max(deepest, ++depth);
    else if (character === 0x7d || character === 0x5d) depth--;
    else if (character === 0x22) {
      const end = endOfString(json, at);
      // A text as a value at this depth would be no entry and is refused by its own name.
      if (depth === 1) keys.push(json.slice(at, end + 1));
      at = end;
    }
  }
  return { depth: deepest, keys };
}

/** The place of the quote that ends the string which begins at `start`; the end of the text when there is none. */
function endOfString(json: string, start: number): number {
  for (let at = json.indexOf('"', start + 1); at >= 0; at = json.indexOf('"', at + 1)) {
    let before = at - 1;
    while (json.charCodeAt(before) === 0x5c) before--;
    if ((at - before) % 2 === 1) return at;
  }
  return json.length;
}

function parseHeader(source: ByteSource, wrong: (detail: string) => UserError): { header: object; dataStart: number } {
  if (source.size < 8) throw wrong(`${source.size} bytes are too few, the header length alone takes 8`);
  const length = Buffer.from(source.read(0, 8)).readBigUInt64LE();
  if (length > maximumHeader) throw wrong(`its header length reads ${length}, at most ${maximumHeader} is allowed`);
  const dataStart = 8 + Number(length);
  if (dataStart > source.size) {
    throw wrong(`truncated: the header takes ${dataStart} bytes, the file has ${source.size}`);
  }
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(source.read(8, dataStart - 8));
  } catch {
    throw wrong('its header is not JSON');
  }
  const { depth, keys } = scanHeader(text);
  if (depth > deepestHeader) throw wrong(`its header nests more than ${deepestHeader} deep`);
  try {
    header = JSON.parse(text);
  } catch {
    throw wrong('its header is not JSON');
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw wrong('its header is not a JSON object');
  }
  const seen = new Set<string>();
  for (const key of keys.map((written) => JSON.parse(written) as string)) {
    if (seen.has(key)) throw wrong(`the name ${quoted(key)} appears twice`);
    seen.add(key);
  }
  return { header, dataStart };
}

const isIndex = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

interface Entry {
  readonly name: string;
  readonly format: string;
  readonly shape: number[];
  readonly begin: number;
  readonly end: number;
}

function checkEntry(name: string, value: unknown, wrong: (detail: string) => UserError): Entry {
  const { dtype: format, shape, data_offsets: offsets } = (value ?? {}) as Record<string, unknown>;
  const of = `tensor ${quoted(name)}`;
  if (typeof format !== 'string' || !/^[A-Z][A-Z0-9_]{0,15}$/.test(format)) {
    throw wrong(`${of} has the element type ${excerpt(format)}, a name such as F32 was expected`);
  }
  if (!Array.isArray(shape) || !shape.every(isIndex)) {
    throw wrong(`${of} has the shape ${excerpt(shape)}, a list of extents was expected`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isIndex) || offsets[0] > offsets[1]) {
    throw wrong(`${of} has the offsets ${excerpt(offsets)}, [begin, end] was expected`);
  }
  const [begin, end] = offsets as [number, number];
  const bytes = isElementType(format) ? elements[format].bytes : otherBytes[format];
  const expected = bytes === undefined ? end - begin : sizeOf(shape) * bytes;
  if (end - begin !== expected) {
    const needed = `${format}${formatShape(shape.slice(0, 8))}`;
    throw wrong(`${of} takes ${end - begin} bytes, ${needed} needs ${expected}`);
  }
  return { name, format, shape, begin, end };
}

/** A value of the header as a message shows it. */
function excerpt(value: unknown): string {
  const text = JSON.stringify(typeof value === 'string' ? value.slice(0, 40) : value) ?? 'undefined';
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}

function checkMetadata(value: unknown, wrong: (detail: string) => UserError): Record<string, string> {
  if (value === undefined) return {};
  const valid = typeof value === 'object' && value !== null && !Array.isArray(value);
  if (!valid || !Object.values(value).every((text) => typeof text === 'string')) {
    throw wrong(`its ${metadataKey} is not an object of strings`);
  }
  return value as Record<string, string>;
}

/** What a file holds, its tensors still in it. */
export interface SafeTensorEntries extends Omit<SafeTensors, 'tensors'> {
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

/** Reads and checks the header of a safetensors file. Throws a UserError for what is not a whole, valid file. */
export function entriesOf(source: ByteSource): SafeTensorEntries {
  const wrong = (detail: string) => new UserError(`${source.name} is not a usable safetensors file: ${detail}`);
  const { header, dataStart } = parseHeader(source, wrong);
  const entries: Entry[] = [];
  let metadata: Record<string, string> = {};
  for (const [key, value] of Object.entries(header)) {
    if (key === metadataKey) metadata = checkMetadata(value, wrong);
    else entries.push(checkEntry(key, value, wrong));
  }
  let end = 0;
  for (const entry of entries.toSorted((a, b) => a.begin - b.begin || a.end - b.end)) {
    if (entry.begin !== end) {
      throw wrong(
        `tensor ${quoted(entry.name)} begins at byte ${entry.begin} of the data, ${end} was expected (gap or overlap)`,
      );
    }
    end = entry.end;
  }
  const available = source.size - dataStart;
  if (end > available) throw wrong(`truncated: the tensors take ${end} bytes, the file holds ${available} of them`);
  if (end < available) throw wrong(`${available - end} bytes follow the last tensor`);
  const tensors = new Map<string, StoredTensor>();
  const others = new Map<string, string>();
  for (const { name, format, shape, begin } of entries) {
    if (!isElementType(format)) {
      others.set(name, format);
      continue;
    }
    const { bytes } = elements[format];
    const storage = {
      type: format,
      count: sizeOf(shape),
      read: (from: number, count: number) => source.read(dataStart + begin + from * bytes, count * bytes),
    };
    tensors.set(name, { storage, shape, offset: 0, strides: rowMajor(shape) });
  }
  return { tensors, others, metadata };
}

/**
 * Parses a safetensors file; `name` is the file's name for messages. Floats become f32, whole numbers i32 when every
 * value fits, bytes and booleans u8; what has another type is among the `others`. Throws a UserError for anything that
 * is not a whole, valid file. The tensors own their memory.
 */
export function decodeSafetensors(bytes: Uint8Array, name: string): SafeTensors {
  const { tensors: stored, others: foreign, metadata } = entriesOf(memorySource(bytes, name));
  const tensors = new Map<string, HostTensor>();
  const others = new Map(foreign);
  for (const [key, tensor] of stored) {
    const read = readStored(tensor);
    if (typeof read === 'string') others.set(key, read);
    else tensors.set(key, read);
  }
  return { tensors, others, metadata };
}

/**
 * As `decodeSafetensors`, for a file of which everything is meant to be read: a UserError names a tensor of another
 * type.
 */
export function decodeAll(bytes: Uint8Array, name: string): Omit<SafeTensors, 'others'> {
  const { others, ...stored } = decodeSafetensors(bytes, name);
  for (const [key, holds] of others) {
    throw new UserError(
      `${name}: the tensor ${quoted(key)} is ${holds}; ${Object.keys(elements).join(', ')} can be read`,
    );
  }
  return stored;
}

/** Reads and checks a safetensors file; see `decodeSafetensors`. */
export function readSafetensors(path: string): SafeTensors {
  return decodeSafetensors(readBytes(path), path);
}

/** Writes a safetensors file atomically. */
export function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, HostTensor>,
  metadata?: Readonly<Record<string, string>>,
): void {
  writeFileAtomic(path, encodeSafetensors(tensors, metadata));
}
