// Tokens of the structural Verilog subset: identifiers (also escaped ones), keywords, numbers and punctuation, each with its place.
// Comments and attributes are skipped. A stream
// of them answers the questions of a recursive-descent parser and fails, located, when the expected token is not there.

import type { SourceText, Token } from '../diagnostics.ts';

export interface VerilogToken extends Token {
  readonly kind: 'keyword' | 'name' | 'number' | 'symbol' | 'end';
}

export const KEYWORDS: readonly string[] = ['module', 'endmodule', 'input', 'output', 'wire', 'assign'];

const MAX_TOKENS = 4_000_000;

const PATTERN =
  /(?<space>\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/|\(\*(?!\s*\))[\s\S]*?\*\))|(?<escaped>\\\S+)|(?<name>[A-Za-z_][A-Za-z0-9_$]*)|(?<number>\d+\s*'\s*[a-zA-Z]+\s*[0-9a-zA-Z_?]+|\d+)|(?<symbol>[()[\]{},;:.=~&|^])/y;

/** All tokens; the last one is of kind `end`. An escaped identifier loses its backslash and is never a keyword. */
function tokenize(source: SourceText): VerilogToken[] {
  const text = source.lines.join('\n');
  const tokens: VerilogToken[] = [];
  let line = 1;
  let lineStart = 0;
  for (let at = 0; at < text.length; ) {
    const place = { line, column: at - lineStart + 1 };
    if (tokens.length > MAX_TOKENS) source.fail(place, `more than ${MAX_TOKENS} tokens`, 'a smaller file');
    PATTERN.lastIndex = at;
    const match = PATTERN.exec(text);
    if (!match?.groups) {
      const found = text.startsWith('/*', at)
        ? 'a comment without an end'
        : `the character ${JSON.stringify(text[at])}`;
      source.fail(place, found, 'structural Verilog: module, input, output, wire, assign with ~ & ^ | and instances');
    }
    const { space, escaped, name, number } = match.groups;
    if (space !== undefined) {
      for (let newline = space.indexOf('\n'); newline >= 0; newline = space.indexOf('\n', newline + 1)) {
        line++;
        lineStart = at + newline + 1;
      }
    } else if (escaped !== undefined) tokens.push({ kind: 'name', text: escaped.slice(1), ...place });
    else if (name !== undefined)
      tokens.push({ kind: KEYWORDS.includes(name) ? 'keyword' : 'name', text: name, ...place });
    else if (number !== undefined) tokens.push({ kind: 'number', text: number.replaceAll(/\s/g, ''), ...place });
    else tokens.push({ kind: 'symbol', text: match[0], ...place });
    at += match[0].length;
  }
  tokens.push({ kind: 'end', text: 'end of file', ...source.end });
  return tokens;
}

export class TokenStream {
  private readonly source: SourceText;
  private readonly tokens: readonly VerilogToken[];
  private position = 0;

  constructor(source: SourceText) {
    this.source = source;
    this.tokens = tokenize(source);
  }

  get next(): VerilogToken {
    return this.tokens[this.position]!;
  }

  get afterNext(): VerilogToken {
    return this.tokens[this.position + 1] ?? this.next;
  }

  take(): VerilogToken {
    const token = this.next;
    if (token.kind !== 'end') this.position++;
    return token;
  }

  /** Whether a keyword or symbol comes next; a name that is spelled the same does not count. */
  isNext(text: string): boolean {
    return this.next.text === text && (this.next.kind === 'keyword' || this.next.kind === 'symbol');
  }

  accept(text: string): boolean {
    if (!this.isNext(text)) return false;
    this.position++;
    return true;
  }

  expect(text: string, why: string): VerilogToken {
    if (!this.isNext(text)) this.refuse(`"${text}" ${why}`);
    return this.take();
  }

  name(what: string): VerilogToken {
    if (this.next.kind !== 'name') this.refuse(what);
    return this.take();
  }

  /** An unsized integer of at most `largest`. */
  integer(what: string, largest: number): number {
    const { kind, text } = this.next;
    const value = kind === 'number' && /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (!(value <= largest)) this.refuse(`${what}, an integer up to ${largest}`);
    this.position++;
    return value;
  }

  private refuse(expected: string): never {
    const { kind, text } = this.next;
    return this.source.fail(this.next, kind === 'end' ? 'the end of the file' : `"${text}"`, expected);
  }
}
