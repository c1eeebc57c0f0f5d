// The tokens of Liberty text: words (names, numbers, unquoted expressions), quoted strings and the marks ( ) { } : ; ,
// Comments, and a backslash at the end of a line, are white space. Newlines end a simple attribute whose semicolon is
// missing, so each token says whether it is the first of its line.
// Source: Liberty User Guide, volume 1, "General syntax". Not here: what the words mean (syntax.ts, read.ts).

import { type Place, SourceText } from '../../netlist/diagnostics.ts';

export interface LibertyToken {
  readonly kind: 'word' | 'string' | 'mark' | 'end';
  readonly text: string;
  readonly offset: number;
  readonly startsLine: boolean;
}

/** A backslash at the end of a line. */
const CONTINUATION = /\\[ \t]{0,80}(\r\n|\r|\n)/y;
const MARKS = new Set(['(', ')', '{', '}', ':', ';', ',']);

export class LibertyTokens {
  readonly #text: string;
  readonly #file: string;
  #position = 0;
  #token: LibertyToken;

  constructor(text: string, file: string) {
    this.#text = text;
    this.#file = file;
    this.#token = this.#scan();
  }

  get next(): LibertyToken {
    return this.#token;
  }

  take(): LibertyToken {
    const taken = this.#token;
    if (taken.kind !== 'end') this.#token = this.#scan();
    return taken;
  }

  isNext(mark: string): boolean {
    return this.#token.kind === 'mark' && this.#token.text === mark;
  }

  accept(mark: string): boolean {
    if (!this.isNext(mark)) return false;
    this.take();
    return true;
  }

  expect(mark: string, where: string): void {
    if (!this.accept(mark)) this.fail(this.#token, describe(this.#token), `"${mark}" ${where}`);
  }

  /** Throws a located UserError; the lines of the text are counted only here. */
  fail(at: { readonly offset: number }, found: string, expected: string): never {
    return failAt(this.#text, this.#file, at.offset, found, expected);
  }

  #scan(): LibertyToken {
    const text = this.#text;
    const startsLine = this.#skipSpace();
    const offset = this.#position;
    if (offset >= text.length) return { kind: 'end', text: '', offset, startsLine };
    const first = text[offset]!;
    if (MARKS.has(first)) {
      this.#position++;
      return { kind: 'mark', text: first, offset, startsLine };
    }
    if (first === '"') return { kind: 'string', text: this.#quoted(offset), offset, startsLine };
    while (this.#position < text.length && !isBoundary(text, this.#position)) this.#position++;
    if (this.#position === offset) this.#position++; // a lone backslash
    return { kind: 'word', text: text.slice(offset, this.#position), offset, startsLine };
  }

  #quoted(offset: number): string {
    const text = this.#text;
    let end = offset + 1;
    let escaped = false;
    while (end < text.length && text[end] !== '"') {
      if (text[end] === '\\') {
        escaped = true;
        end++;
      }
      end++;
    }
    if (end >= text.length) this.fail({ offset }, 'a string without an end', 'a closing "');
    this.#position = end + 1;
    const raw = text.slice(offset + 1, end);
    return escaped ? raw.replace(/\\(\r\n|[\s\S])/g, (_, char: string) => (/^[\r\n]/.test(char) ? ' ' : char)) : raw;
  }

  /** True when a line ended. */
  #skipSpace(): boolean {
    const text = this.#text;
    let newline = this.#position === 0;
    for (; this.#position < text.length; this.#position++) {
      const char = text[this.#position]!;
      if (char === '\n' || char === '\r') newline = true;
      else if (char === '/' && text[this.#position + 1] === '*') {
        const end = text.indexOf('*/', this.#position + 2);
        if (end < 0) this.fail({ offset: this.#position }, 'a comment without an end', '*/');
        this.#position = end + 1;
      } else if (char === '/' && text[this.#position + 1] === '/') {
        const end = text.indexOf('\n', this.#position);
        this.#position = (end < 0 ? text.length : end) - 1;
      } else if (char === '\\') {
        CONTINUATION.lastIndex = this.#position;
        const length = CONTINUATION.exec(text)?.[0].length;
        if (length === undefined) break;
        this.#position += length - 1;
      } else if (!/\s/.test(char)) break;
    }
    return newline;
  }
}

export function describe(token: LibertyToken): string {
  if (token.kind === 'end') return 'the end of the file';
  return JSON.stringify(token.text.length > 60 ? `${token.text.slice(0, 60)}…` : token.text);
}

/** Throws `file:line:column: found: expected …` for a character offset of a text. */
export function failAt(text: string, file: string, offset: number, found: string, expected: string): never {
  const source = new SourceText(text, file);
  const before = text.slice(0, offset).split(/\r\n|\n|\r/);
  const place: Place = { line: before.length, column: before.at(-1)!.length + 1 };
  return source.fail(place, found, expected);
}

/** The line of a character offset, from 1. */
export function lineAt(text: string, offset: number): number {
  let line = 1;
  for (let at = text.indexOf('\n'); at >= 0 && at < offset; at = text.indexOf('\n', at + 1)) line++;
  return line;
}

function isBoundary(text: string, position: number): boolean {
  const char = text[position]!;
  if (MARKS.has(char) || char === '"' || char === '\\' || /\s/.test(char)) return true;
  return char === '/' && (text[position + 1] === '*' || text[position + 1] === '/');
}
