// The safetensors file format (https://github.com/huggingface/safetensors, "Format"): eight bytes of header length, a
// JSON header {name: {dtype, shape, data_offsets}, __metadata__}, then the tensors' bytes, little-endian and without
// gaps. What is written here loads in the Python package and the other way round. Reading is strict: a file that is
// truncated, has gaps or overlaps, or names a tensor twice is refused with what is wrong; a tensor of a type that has
// no place here is kept apart with the reason, since nobody may ask for it. Reading takes time and memory in proportion
// to the file. Equal tensors give equal bytes. Not a pickle reader.

import { invariant, quoted, UserError } from './errors.ts';
import { readBytes, writeFileAtomic } from './files.ts';
import { bytesPerElement, type DType, formatShape, type HostTensor, sizeOf, type TensorData } from './tensor.ts';

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

interface Reader {
  readonly bytes: number;
  readonly dtype: DType;
  /**
   * Takes bytes at the start of a buffer of their own; a text says what they are when a value cannot be represented.
   */
  read(bytes: Uint8Array): TensorData | string;
}

/** The element types that can be read, and what each becomes on the host. */
const readers: Readonly<Record<string, Reader>> = {
  F64: { bytes: 8, dtype: 'f32', read: ({ buffer }) => Float32Array.from(new Float64Array(buffer)) },
  F32: { bytes: 4, dtype: 'f32', read: ({ buffer }) => new Float32Array(buffer) },
  F16: { bytes: 2, dtype: 'f32', read: ({ buffer }) => widen(new Uint16Array(buffer), halfToNumber) },
  BF16: { bytes: 2, dtype: 'f32', read: ({ buffer }) => widen(new Uint16Array(buffer), brainToNumber) },
  I32: { bytes: 4, dtype: 'i32', read: ({ buffer }) => new Int32Array(buffer) },
  I64: { bytes: 8, dtype: 'i32', read: ({ buffer }) => narrow(new BigInt64Array(buffer)) },
  U8: { bytes: 1, dtype: 'u8', read: (bytes) => bytes },
};

/** Bytes of an element of the types that the format knows and that cannot be read here. */
const otherBytes: Readonly<Record<string, number>> = {
  ...{ BOOL: 1, I8: 1, F8_E4M3: 1, F8_E5M2: 1, F8_E8M0: 1, I16: 2, U16: 2, U32: 4, U64: 8, C64: 8 },
};

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

function brainToNumber(bits: number): number {
  word.setUint16(0, bits);
  return word.getFloat32(0);
}

const tables = new Map<(bits: number) => number, Float32Array>();

function tableOf(toNumber: (bits: number) => number): Float32Array {
  let table = tables.get(toNumber);
  if (table === undefined) {
    table = Float32Array.from({ length: 65536 }, (_, bits) => toNumber(bits));
    tables.set(toNumber, table);
  }
  return table;
}

/** Converts many 16-bit values by way of a table of all of them. */
function widen(values: Uint16Array, toNumber: (bits: number) => number): Float32Array {
  const table = tableOf(toNumber);
  const result = new Float32Array(values.length);
  for (let k = 0; k < values.length; k++) result[k] = table[values[k]!]!;
  return result;
}

function narrow(values: BigInt64Array): Int32Array | string {
  const large = values.find((value) => BigInt.asIntN(32, value) !== value);
  if (large !== undefined) return `I64 with the value ${large}, which does not fit into 32 bits`;
  return Int32Array.from(values, Number);
}

/**
 * The file's bytes. Tensors are laid out by element size, then by name, so that every one is aligned and the order is
 * fixed.
 */
export function encodeSafetensors(
  tensors: ReadonlyMap<string, HostTensor>,
  metadata: Readonly<Record<string, string>> = {},
): Uint8Array {
  const ordered = [...tensors].sort(
    ([nameA, a], [nameB, b]) => bytesPerElement[b.dtype] - bytesPerElement[a.dtype] || (nameA < nameB ? -1 : 1),
  );
  const entries: [string, unknown][] = [];
  if (Object.keys(metadata).length > 0) entries.push([metadataKey, metadata]);
  let end = 0;
  for (const [name, { dtype, shape, data }] of ordered) {
    invariant(name !== metadataKey, `a tensor must not be called ${metadataKey}`);
    const begin = end;
    end += data.byteLength;
    entries.push([name, { dtype: formatName[dtype], shape, data_offsets: [begin, end] }]);
  }
  const json = `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${JSON.stringify(value)}`).join(',')}}`;
  const unpadded = Buffer.byteLength(json);
  const header = Buffer.from(json + ' '.repeat(-unpadded & 7));
  const file = new Uint8Array(8 + header.length + end);
  new DataView(file.buffer).setBigUint64(0, BigInt(header.length), true);
  file.set(header, 8);
  let offset = 8 + header.length;
  for (const [, { data }] of ordered) {
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), offset);
    offset += data.byteLength;
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

function parseHeader(bytes: Uint8Array, wrong: (detail: string) => UserError): { header: object; dataStart: number } {
  if (bytes.length < 8) throw wrong(`${bytes.length} bytes are too few, the header length alone takes 8`);
  const length = new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  if (length > maximumHeader) throw wrong(`its header length reads ${length}, at most ${maximumHeader} is allowed`);
  const dataStart = 8 + Number(length);
  if (dataStart > bytes.length) {
    throw wrong(`truncated: the header takes ${dataStart} bytes, the file has ${bytes.length}`);
  }
  let text: string;
  let header: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes.subarray(8, dataStart));
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
  const bytes = Object.hasOwn(readers, format) ? readers[format]!.bytes : otherBytes[format];
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

/**
 * Parses a safetensors file; `name` is the file's name for messages. F64, F16 and BF16 become f32, I64 becomes i32 when
 * every value fits; what has another type is among the `others`. Throws a UserError for anything that is not a whole,
 * valid file. The tensors own their memory.
 */
export function decodeSafetensors(bytes: Uint8Array, name: string): SafeTensors {
  const wrong = (detail: string) => new UserError(`${name} is not a usable safetensors file: ${detail}`);
  const { header, dataStart } = parseHeader(bytes, wrong);
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
  const available = bytes.length - dataStart;
  if (end > available) throw wrong(`truncated: the tensors take ${end} bytes, the file holds ${available} of them`);
  if (end < available) throw wrong(`${available - end} bytes follow the last tensor`);
  const tensors = new Map<string, HostTensor>();
  const others = new Map<string, string>();
  for (const { name: key, format, shape, begin, end } of entries) {
    const reader = Object.hasOwn(readers, format) ? readers[format] : undefined;
    const own = new Uint8Array(reader ? end - begin : 0);
    if (reader) own.set(bytes.subarray(dataStart + begin, dataStart + end));
    const data = reader?.read(own) ?? format;
    if (!reader || typeof data === 'string') others.set(key, String(data));
    else tensors.set(key, { dtype: reader.dtype, shape, data });
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
      `${name}: the tensor ${quoted(key)} is ${holds}; ${Object.keys(readers).join(', ')} can be read`,
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
