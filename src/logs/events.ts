// What a TensorBoard event file says, as its messages: Event and Summary (tensorboard/compat/proto/event.proto and
// summary.proto), and those of the hparams plugin (tensorboard/plugins/hparams/plugin_data.proto). Scalars, histograms
// and pictures are in the first form of each, which every reader takes. An event here has one value.

import { invariant } from '../tensor/errors.ts';
import {
  bytesField,
  double,
  doubles,
  type Field,
  fieldsOf,
  float,
  message,
  type Part,
  text,
  truth,
  whole,
} from '../tensor/protobuf.ts';

/** A Summary.Value: a tag and what it is. */
export interface Value {
  readonly tag: string;
  readonly bytes: Uint8Array;
}

const taggedValue = (tag: string, ...parts: readonly Part[]): Value => ({
  tag,
  bytes: Buffer.concat([text(1, tag), ...parts]),
});

/** Kept as float32. */
export const scalar = (tag: string, value: number): Value => taggedValue(tag, float(2, value));

/** Buckets of a histogram. */
const BUCKETS = 40;

/** How values are distributed, in buckets of one width; what is no finite number is left out. */
export function histogram(tag: string, values: ArrayLike<number>): Value | undefined {
  let [least, most, count, sum, squares] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 0, 0, 0];
  for (let at = 0; at < values.length; at++) {
    const value = values[at]!;
    if (!Number.isFinite(value)) continue;
    if (value < least) least = value;
    if (value > most) most = value;
    sum += value;
    squares += value * value;
    count++;
  }
  if (count === 0) return undefined;
  const width = (most - least) / BUCKETS;
  const buckets = width > 0 ? new Array<number>(BUCKETS).fill(0) : [count];
  if (width > 0) {
    for (let at = 0; at < values.length; at++) {
      const value = values[at]!;
      if (Number.isFinite(value)) buckets[Math.min(BUCKETS - 1, Math.floor((value - least) / width))]!++;
    }
  }
  // The right end of each; the first begins at the least value.
  const limits = buckets.map((_, at) => (at === buckets.length - 1 ? most : least + (at + 1) * width));
  return taggedValue(
    tag,
    message(
      5,
      ...[double(1, least), double(2, most), double(3, count), double(4, sum), double(5, squares)],
      ...[doubles(6, limits), doubles(7, buckets)],
    ),
  );
}

/** A picture of 8-bit samples in colours. */
export function image(tag: string, png: Uint8Array): Value {
  const view = Buffer.from(png.buffer, png.byteOffset, png.byteLength);
  invariant(view.toString('latin1', 12, 16) === 'IHDR', `the picture ${tag} is no PNG`);
  const [width, height] = [view.readUInt32BE(16), view.readUInt32BE(20)];
  const alpha = view[25] === 6;
  return taggedValue(tag, message(4, whole(1, height), whole(2, width), whole(3, alpha ? 4 : 3), bytesField(4, png)));
}

export type HyperParameter = string | number | boolean;

const HPARAMS = 'hparams';
/** Version of the plugin's data. */
const HPARAMS_VERSION = 0;
const SUCCESS = 1;
const FLOAT = 1;

/** google.protobuf.Value. */
function anyValue(value: HyperParameter): Part {
  if (typeof value === 'number') return double(2, value);
  return typeof value === 'string' ? text(3, value) : truth(4, value);
}

/** Data of the hparams plugin under its tag, with the tensor that a value must have and nobody reads. */
function hparams(tag: string, data: Part): Value {
  const content = Buffer.concat([whole(1, HPARAMS_VERSION), data]);
  const metadata = message(9, message(1, text(1, HPARAMS), bytesField(2, content)));
  const tensor = message(8, whole(1, FLOAT), message(2, message(2, whole(1, 1))), float(5, 0));
  return taggedValue(tag, metadata, tensor);
}

export const SESSION_START = '_hparams_/session_start_info';
export const SESSION_END = '_hparams_/session_end_info';

/** What a run was made with; `started` in seconds since 1970. */
export function sessionStart(
  parameters: Readonly<Record<string, HyperParameter>>,
  group: string,
  started: number,
): Value {
  const entries = Object.entries(parameters).map(([name, value]) =>
    message(1, text(1, name), message(2, anyValue(value))),
  );
  return hparams(SESSION_START, message(3, ...entries, text(4, group), double(5, started)));
}

/** That it ended well. */
export const sessionEnd = (ended: number): Value =>
  hparams(SESSION_END, message(4, whole(1, SUCCESS), double(2, ended)));

/** The record at the beginning of a file: from this version on a START says what is void. */
export const fileVersion = (time: number): Uint8Array => Buffer.concat([double(1, time), text(3, 'brain.Event:2')]);

/** Of a value; `time` in seconds since 1970. */
export function event(time: number, step: number, { bytes }: Value): Uint8Array {
  return Buffer.concat([double(1, time), whole(2, step), message(5, bytesField(1, bytes))]);
}

const START = 1;

/** Says that training starts again at a step: readers forget what has this step or a later one. */
export function restart(time: number, step: number): Uint8Array {
  return Buffer.concat([double(1, time), whole(2, step), message(7, whole(1, START))]);
}

export type Told =
  | { readonly kind: 'value'; readonly step: number; readonly value: Value }
  | { readonly kind: 'restart'; readonly step: number }
  | { readonly kind: 'other' };

/** What an event of this program says. */
export function toldBy(data: Uint8Array): Told {
  const fields = fieldsOf(data) ?? [];
  const step = numberOf(fields, 2) ?? 0;
  const session = inside(fields, 7);
  if (session && numberOf(session, 1) === START) return { kind: 'restart', step };
  const bytes = bytesOf(inside(fields, 5) ?? [], 1);
  const tag = bytes && bytesOf(fieldsOf(bytes) ?? [], 1);
  if (!bytes || !tag) return { kind: 'other' };
  return { kind: 'value', step, value: { tag: new TextDecoder().decode(tag), bytes } };
}

const find = (fields: readonly Field[], number: number) => fields.find((field) => field.number === number)?.value;

function numberOf(fields: readonly Field[], number: number): number | undefined {
  const value = find(fields, number);
  return typeof value === 'number' ? value : undefined;
}

function bytesOf(fields: readonly Field[], number: number): Uint8Array | undefined {
  const value = find(fields, number);
  return value instanceof Uint8Array ? value : undefined;
}

function inside(fields: readonly Field[], number: number): readonly Field[] | undefined {
  const bytes = bytesOf(fields, number);
  return bytes && fieldsOf(bytes);
}
