// What the configuration's schema says about one key, for people: its default, its valid values, and whether a value
// will do. The schema (config.ts) stays the only place where ranges and defaults are written; fields, help texts,
// errors and the command reference read them here.

import { z } from 'zod';
import { invariant } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { type Configuration, configurationSchema } from './config.ts';

/** The part of JSON Schema that the configuration uses. */
interface SchemaNode {
  readonly type?: 'object' | 'array' | 'string' | 'number' | 'integer' | 'boolean';
  readonly properties?: Readonly<Record<string, SchemaNode>>;
  readonly enum?: readonly string[];
  readonly default?: unknown;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
}

const root = z.toJSONSchema(configurationSchema, { io: 'input' }) as SchemaNode;
const defaults: Configuration = configurationSchema.parse({});

function nodeAt(path: string): SchemaNode {
  const node = path.split('.').reduce<SchemaNode | undefined>((at, key) => at?.properties?.[key], root);
  invariant(node, `the configuration has no key ${path}`);
  return node;
}

/** Of the value at a path. */
export type ValueKind = NonNullable<SchemaNode['type']>;

/** Kind of value at a path such as `explore.lambda`. */
export function valueKind(path: string): ValueKind {
  const { type } = nodeAt(path);
  invariant(type, `the configuration's key ${path} has no type`);
  return type;
}

/** The names a key may take, where it is a closed list. */
export function choices(path: string): readonly string[] | undefined {
  return nodeAt(path).enum;
}

/** The value a new run gets when the user says nothing; undefined when the key is then absent. */
export function defaultValue(path: string): unknown {
  return path.split('.').reduce<unknown>((at, key) => (at as Record<string, unknown> | undefined)?.[key], defaults);
}

/** "a whole number from 1 to 8", "a number greater than 0", "one of constant, cosine". */
export function expectation(path: string): string {
  const node = nodeAt(path);
  if (node.enum) return `one of ${node.enum.join(', ')}`;
  if (node.type === 'array') return 'names separated by commas';
  if (node.type === 'boolean') return 'true or false';
  if (node.type !== 'integer' && node.type !== 'number') return 'a text that is not empty';
  const what = node.type === 'integer' ? 'a whole number' : 'a number';
  const range = rangeOf(node);
  return range === '' ? what : `${what} ${range}`;
}

/** Limits of a number; those that are not there are none. */
export interface Range {
  readonly least?: number;
  readonly most?: number;
  /** Of values that are greater, or less, but not equal. */
  readonly above?: number;
  readonly below?: number;
}

/** The range of the number at a path; undefined where it is no number or has no limit. */
export function rangeAt(path: string): Range | undefined {
  const { type, minimum, maximum, exclusiveMinimum, exclusiveMaximum } = nodeAt(path);
  if (type !== 'integer' && type !== 'number') return undefined;
  const limit = (value: number | undefined) => (isLimit(value) ? value : undefined);
  const range = { least: limit(minimum), most: limit(maximum), above: exclusiveMinimum, below: exclusiveMaximum };
  const known = given(range);
  return Object.keys(known).length === 0 ? undefined : known;
}

function rangeOf({ minimum, maximum, exclusiveMinimum, exclusiveMaximum }: SchemaNode): string {
  const low = exclusiveMinimum !== undefined ? `greater than ${exclusiveMinimum}` : bound(minimum);
  const high = exclusiveMaximum !== undefined ? `below ${exclusiveMaximum}` : bound(maximum);
  if (low === undefined) return high === undefined ? '' : `up to ${high}`;
  if (high === undefined) return exclusiveMinimum === undefined ? `of at least ${low}` : low;
  return exclusiveMinimum === undefined ? `from ${low} to ${high}` : `${low} and up to ${high}`;
}

/** The schema's own bounds of safe integers are no limit worth naming. */
function isLimit(value: number | undefined): value is number {
  return value !== undefined && Math.abs(value) !== Number.MAX_SAFE_INTEGER;
}

function bound(value: number | undefined): string | undefined {
  return isLimit(value) ? String(value) : undefined;
}

/** Whether the schema takes a value at a path. */
export function accepts(path: string, value: unknown): boolean {
  const nested = path.split('.').reduceRight<unknown>((inner, key) => ({ [key]: inner }), value);
  return configurationSchema.safeParse(nested).success;
}
