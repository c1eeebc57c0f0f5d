// The safetensors file format (https://github.com/huggingface/safetensors, "Format"): eight bytes of header length, a JSON
// header {name: {dtype, shape, data_offsets}, __metadata__}, then the tensors' bytes, little-endian and without gaps. What is
// written here loads in the Python package and the other way round. Reading is strict: a file that is truncated, has gaps or
// overlaps, or names a tensor twice is refused with what is wrong. Equal tensors give equal bytes. Not a pickle reader.

import { invariant, UserError } from './errors.ts';
import { readBytes, writeFileAtomic } from './files.ts';
import { bytesPerElement, type DType, formatShape, type HostTensor, sizeOf, type TensorData } from './tensor.ts';

export interface SafeTensors {
  readonly tensors: ReadonlyMap<string, HostTensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

const maximumHeader = 100_000_000;
const metadataKey = '__metadata__';
const formatName: Record<DType, string> = { f32: 'F32', i32: 'I32', u8: 'U8' };

interface Reader {
  readonly bytes: number;
  readonly dtype: DType;
  /** Takes bytes at the start of a buffer of their own; `wrong` makes the error for a value that cannot be represented. */
  read(bytes: Uint8Array, wrong: (detail: string) => UserError): TensorData;
}

/** The element types that can be read, and what each becomes on the host. */
const readers: Readonly<Record<string, Reader>> = {
  F32: { bytes: 4, dtype: 'f32', read: ({ buffer }) => new Float32Array(buffer) },
  F16: { bytes: 2, dtype: 'f32', read: ({ buffer }) => widen(new Uint16Array(buffer), halfToNumber) },
  BF16: { bytes: 2, dtype: 'f32', read: ({ buffer }) => widen(new Uint16Array(buffer), brainToNumber) },
  I32: { bytes: 4, dtype: 'i32', read: ({ buffer }) => new Int32Array(buffer) },
  I64: { bytes: 8, dtype: 'i32', read: ({ buffer }, wrong) => narrow(new BigInt64Array(buffer), wrong) },
  U8: { bytes: 1, dtype: 'u8', read: (bytes) => bytes },
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

function narrow(values: BigInt64Array, wrong: (detail: string) => UserError): Int32Array {
  return Int32Array.from(values, (value) => {
    if (BigInt.asIntN(32, value) !== value) throw wrong(`the 64-bit value ${value} does not fit into 32 bits`);
    return Number(value);
  });
}

/** The file's bytes. Tensors are laid out by element size, then by name, so that every one is aligned and the order is fixed. */
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

/** The keys of the outermost object of a valid JSON text, repetitions included (JSON.parse keeps only the last of each). */
function topLevelKeys(json: string): string[] {
  const keys: string[] = [];
  let depth = 0;
  const tokens = /"(?:[^"\\]|\\.)*"|[{}[\]]/g;
  for (let match = tokens.exec(json); match !== null; match = tokens.exec(json)) {
    const [token] = match;
    if (token === '{' || token === '[') depth++;
    else if (token === '}' || token === ']') depth--;
    else if (depth === 1) keys.push(JSON.parse(token));
  }
  return keys;
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
    header = JSON.parse(text);
  } catch {
    throw wrong('its header is not JSON');
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header)) {
    throw wrong('its header is not a JSON object');
  }
  const seen = new Set<string>();
  for (const key of topLevelKeys(text)) {
    if (seen.has(key)) throw wrong(`the name '${key}' appears twice`);
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
  if (typeof format !== 'string' || !Object.hasOwn(readers, format)) {
    const known = Object.keys(readers).join(', ');
    throw wrong(`tensor '${name}' has the element type ${JSON.stringify(format)}; ${known} can be read`);
  }
  if (!Array.isArray(shape) || !shape.every(isIndex)) {
    throw wrong(`tensor '${name}' has the shape ${JSON.stringify(shape)}, a list of extents was expected`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isIndex) || offsets[0] > offsets[1]) {
    throw wrong(`tensor '${name}' has the offsets ${JSON.stringify(offsets)}, [begin, end] was expected`);
  }
  const [begin, end] = offsets as [number, number];
  const expected = sizeOf(shape) * readers[format]!.bytes;
  if (end - begin !== expected) {
    throw wrong(`tensor '${name}' takes ${end - begin} bytes, ${format}${formatShape(shape)} needs ${expected}`);
  }
  return { name, format, shape, begin, end };
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
 * Parses a safetensors file; `name` is the file's name for messages. F16 and BF16 become f32, I64 becomes i32 when every value
 * fits. Throws a UserError for anything that is not a whole, valid file. The tensors own their memory.
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
        `tensor '${entry.name}' begins at byte ${entry.begin} of the data, ${end} was expected (gap or overlap)`,
      );
    }
    end = entry.end;
  }
  const available = bytes.length - dataStart;
  if (end > available) throw wrong(`truncated: the tensors take ${end} bytes, the file holds ${available} of them`);
  if (end < available) throw wrong(`${available - end} bytes follow the last tensor`);
  const tensors = new Map<string, HostTensor>();
  for (const entry of entries) {
    const own = new Uint8Array(entry.end - entry.begin);
    own.set(bytes.subarray(dataStart + entry.begin, dataStart + entry.end));
    const reader = readers[entry.format]!;
    const data = reader.read(own, (detail) => wrong(`tensor '${entry.name}': ${detail}`));
    tensors.set(entry.name, { dtype: reader.dtype, shape: entry.shape, data });
  }
  return { tensors, metadata };
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
