// Liberty text as a tree of groups: `name (arguments) { attributes and groups }`. Knows the three statement forms and
// nothing of cells.
// Invariant: every node keeps the offset where it began, so that later stages can point at it; nesting is bounded.

import { UserError } from '../../tensor/errors.ts';
import { describe, failAt, type LibertyToken, LibertyTokens } from './tokens.ts';

export interface Attribute {
  readonly name: string;
  /** One value for `name : value`, all arguments for `name (a, b)`. */
  readonly values: readonly string[];
  readonly offset: number;
}

export interface Group {
  readonly name: string;
  readonly args: readonly string[];
  readonly attributes: readonly Attribute[];
  readonly groups: readonly Group[];
  readonly offset: number;
}

const MAX_DEPTH = 32;
/** Attributes of a group up to which they are searched one by one. */
const FEW = 16;
const indices = new WeakMap<Group, ReadonlyMap<string, Attribute>>();

/** The first attribute of a name. */
export function attributeOf(group: Group, name: string): Attribute | undefined {
  if (group.attributes.length <= FEW) return group.attributes.find((one) => one.name === name);
  const index = indices.get(group) ?? new Map(group.attributes.toReversed().map((one) => [one.name, one]));
  indices.set(group, index);
  return index.get(name);
}

/** Its value, the first of several. */
export function attributeValue(group: Group, name: string): string | undefined {
  return attributeOf(group, name)?.values[0];
}

/** Parses a text that consists of one group. Throws a located UserError. */
export function parseGroups(text: string, file: string): Group {
  if (text.trim() === '') throw new UserError(`${file} is empty: expected Liberty text, library (name) { … }`);
  const tokens = new LibertyTokens(text, file);
  const name = word(tokens, 'library (name) { … }');
  const root = statement(tokens, name, 0);
  if (!('groups' in root)) return failAt(text, file, name.offset, `the attribute "${root.name}"`, 'a group with { … }');
  if (tokens.next.kind !== 'end')
    tokens.fail(tokens.next, describe(tokens.next), 'the end of the file after the group');
  return root;
}

function statement(tokens: LibertyTokens, name: LibertyToken, depth: number): Attribute | Group {
  const { offset } = name;
  if (tokens.accept(':')) return { name: name.text, values: [simpleValue(tokens)], offset };
  tokens.expect('(', `or ":" after "${name.text}"`);
  const args: string[] = [];
  while (!tokens.accept(')')) {
    const token = tokens.take();
    if (token.kind === 'end' || (token.kind === 'mark' && token.text !== ',' && token.text !== ':')) {
      tokens.fail(token, describe(token), `a value or ")" in the arguments of "${name.text}"`);
    }
    if (token.kind !== 'mark') args.push(token.text);
  }
  if (!tokens.accept('{')) {
    tokens.accept(';');
    return { name: name.text, values: args, offset };
  }
  if (depth >= MAX_DEPTH) tokens.fail(name, `"${name.text}" nests deeper than ${MAX_DEPTH} groups`, 'fewer levels');
  const attributes: Attribute[] = [];
  const groups: Group[] = [];
  while (!tokens.accept('}')) {
    if (tokens.accept(';')) continue;
    const inner = statement(tokens, word(tokens, `a statement or "}" of the group "${name.text}"`), depth + 1);
    if ('groups' in inner) groups.push(inner);
    else attributes.push(inner);
  }
  return { name: name.text, args, attributes, groups, offset };
}

/**
 * A value up to its semicolon, or to the end of its line where the semicolon is missing. An expression without quotes
 * may begin with "(".
 */
function simpleValue(tokens: LibertyTokens): string {
  const first = tokens.take();
  if (first.kind === 'end' || (first.kind === 'mark' && first.text !== '(')) {
    tokens.fail(first, describe(first), 'a value after ":"');
  }
  let value = first.text;
  while (!tokens.accept(';')) {
    const { next } = tokens;
    if (next.kind === 'end' || next.startsLine || tokens.isNext('}')) break;
    value += ` ${tokens.take().text}`;
  }
  return value;
}

function word(tokens: LibertyTokens, expected: string): LibertyToken {
  const token = tokens.take();
  if (token.kind !== 'word') tokens.fail(token, describe(token), expected);
  return token;
}
