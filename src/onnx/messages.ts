// A codec of protocol buffers by tables: a message is an interface, and beside it a table that gives each of its fields
// a number, how often it stands, and its kind; the table's type follows from the interface, so that neither can say
// what the other does not. Which messages there are says schema.ts.
// Invariant: what is read is bounded by the bytes that are there; a fault is a UserError with its offset in the file
// and the path of its field. Fields that no table has are skipped.

import { invariant, UserError } from '../tensor/errors.ts';
import * as wire from '../tensor/protobuf.ts';

type Item<V> = V extends Uint8Array ? V : V extends readonly (infer E)[] ? E : V;
type Times<V> = V extends Uint8Array ? 'one' : V extends readonly unknown[] ? 'many' | 'packed' : 'one';
type Kind<E> = E extends number
  ? 'integer' | 'float' | 'double'
  : E extends string
    ? 'text'
    : E extends Uint8Array
      ? 'bytes'
      : () => Table<E>;
type Row<V> = readonly [number: number, times: Times<V>, kind: Kind<Item<V>>];

/**
 * Of each field its number, whether it stands once, many times, or many times and packed into one when it is written
 * (both are read), and its kind. `integer`: int32, int64, an enumeration; above 2^53 the nearest double, which is no
 * safe integer.
 */
export type Table<M> = { readonly [K in keyof M]-?: Row<NonNullable<M[K]>> };

/** A message to be written: what is absent is not written. */
export type Draft<M> = M extends number | string | Uint8Array
  ? M
  : M extends readonly (infer E)[]
    ? readonly Draft<E>[]
    : { readonly [K in keyof M]?: Draft<NonNullable<M[K]>> | undefined };

interface PlainRow {
  readonly name: string;
  readonly number: number;
  readonly times: 'one' | 'many' | 'packed';
  readonly kind: 'integer' | 'float' | 'double' | 'text' | 'bytes' | (() => Table<object>);
}

const known = new WeakMap<object, readonly PlainRow[]>();

function rowsOf(table: Table<object>): readonly PlainRow[] {
  const rows = known.get(table);
  if (rows) return rows;
  const made = Object.entries(table as Record<string, readonly [number, PlainRow['times'], PlainRow['kind']]>).map(
    ([name, [number, times, kind]]): PlainRow => ({ name, number, times, kind }),
  );
  known.set(table, made);
  return made;
}

export function encode<M extends object>(table: Table<M>, message: Draft<M>): Uint8Array {
  const values = message as Readonly<Record<string, unknown>>;
  const parts: wire.Part[] = [];
  for (const { name, number, times, kind } of rowsOf(table as Table<object>)) {
    const value = values[name];
    if (value === undefined) continue;
    if (times === 'one') parts.push(encodeOne(number, kind, value));
    else if (times === 'many')
      for (const item of value as readonly unknown[]) parts.push(encodeOne(number, kind, item));
    else if ((value as readonly number[]).length > 0)
      parts.push(encodePacked(number, kind, value as readonly number[]));
  }
  return Buffer.concat(parts);
}

function encodeOne(number: number, kind: PlainRow['kind'], value: unknown): wire.Part {
  switch (kind) {
    case 'integer':
      return wire.whole(number, value as number);
    case 'float':
      return wire.float(number, value as number);
    case 'double':
      return wire.double(number, value as number);
    case 'text':
      return wire.text(number, value as string);
    case 'bytes':
      return wire.bytesField(number, value as Uint8Array);
    default:
      return wire.bytesField(number, encode(kind(), value as object));
  }
}

function encodePacked(number: number, kind: PlainRow['kind'], values: readonly number[]): wire.Part {
  if (kind === 'integer') return wire.wholes(number, values);
  invariant(kind === 'float' || kind === 'double', 'only numbers are packed');
  return kind === 'float' ? wire.floats(number, values) : wire.doubles(number, values);
}

/** Messages within messages; protobuf's own limit. */
const DEEPEST = 100;
const nothing: readonly never[] = Object.freeze([]);

/** The message that bytes hold; `file` is named in errors. A field that stands once is absent where it is not there. */
export function decode<M extends object>(table: Table<M>, bytes: Uint8Array, file: string): M {
  return decodeAt(table as Table<object>, bytes, { file, start: bytes.byteOffset, path: [] }) as M;
}

interface Place {
  readonly file: string;
  /** Of the file's bytes in their buffer. */
  readonly start: number;
  readonly path: readonly string[];
}

function decodeAt(table: Table<object>, bytes: Uint8Array, place: Place): object {
  const fail = (offset: number, problem: string, path: readonly string[] = place.path): never => {
    const where = `byte ${bytes.byteOffset - place.start + offset}${path.length === 0 ? '' : ` (${path.join('.')})`}`;
    throw new UserError(`${place.file}: ${where}: ${problem}: expected a whole ONNX file`);
  };
  if (place.path.length > DEEPEST) fail(0, `messages ${DEEPEST} deep`, place.path.slice(0, 8));
  const rows = rowsOf(table);
  const result: Record<string, unknown> = {};
  for (const { name, times } of rows) if (times !== 'one') result[name] = nothing;
  try {
    for (const field of wire.fieldsIn(bytes)) {
      const row = rows.find(({ number }) => number === field.number);
      if (!row) continue;
      const { name, times, kind } = row;
      const path = [...place.path, name];
      let items: readonly unknown[];
      try {
        items = decodeField(kind, field, times, { ...place, path });
      } catch (error) {
        if (error instanceof wire.WireFault) fail(field.offset + error.offset, error.message, path);
        throw error;
      }
      if (times === 'one') {
        if (typeof kind === 'function' && name in result) fail(field.offset, 'a field that stands twice', path);
        result[name] = items[0];
      } else if (result[name] === nothing) result[name] = [...items];
      else for (const item of items) (result[name] as unknown[]).push(item);
    }
  } catch (error) {
    if (error instanceof wire.WireFault) fail(error.offset, error.message);
    throw error;
  }
  return result;
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** What a field holds: one item, or those of a packed one. */
function decodeField(
  kind: PlainRow['kind'],
  { wire: type, value }: wire.Field,
  times: PlainRow['times'],
  place: Place,
): readonly unknown[] {
  const unexpected = () => new wire.WireFault(0, `wire type ${type}`);
  const isPacked = type === wire.BYTES && times !== 'one';
  if (kind === 'integer') {
    if (typeof value === 'number') return [value];
    if (isPacked) return wire.varintsIn(value);
    throw unexpected();
  }
  if (typeof value === 'number') throw unexpected();
  if (kind === 'float' || kind === 'double') {
    if (!isPacked && type !== (kind === 'float' ? wire.FIXED32 : wire.FIXED64)) throw unexpected();
    return wire.floatsIn(value, kind === 'float' ? 4 : 8);
  }
  if (type !== wire.BYTES) throw unexpected();
  if (kind === 'bytes') return [value];
  if (kind === 'text') {
    try {
      return [utf8.decode(value)];
    } catch {
      throw new wire.WireFault(0, 'a text that is not UTF-8');
    }
  }
  return [decodeAt(kind(), value, place)];
}
