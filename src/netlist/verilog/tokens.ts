// Tokens of preprocessed Verilog: identifiers (also escaped ones), numbers, strings, operators and punctuation, each
// with its place.
// Attributes are skipped, but one that says "black box" is remembered. A stream of tokens answers the questions of a
// recursive-descent parser; a token that the parser does not take is declined, located, because it may be right in more
// of the language.

import { clipped } from '../../tensor/names.ts';
import type { Place, SourceText, Token } from '../diagnostics.ts';
import { preprocess } from './preprocess.ts';

export interface VerilogToken extends Token {
  readonly kind: 'keyword' | 'name' | 'number' | 'string' | 'symbol' | 'end';
  /** Behind the attribute of a black box. */
  readonly hollow?: true;
  /** Written with a backslash: a name whatever it is spelled like. */
  readonly escaped?: true;
}

export const PRIMITIVES = ['and', 'nand', 'or', 'nor', 'xor', 'xnor', 'buf', 'not'] as const;
/** Kinds of nets that carry what drives them. */
export const NETS = ['wire', 'tri', 'logic', 'reg', 'var'] as const;
export const KEYWORDS: readonly string[] = [
  ...['module', 'endmodule', 'input', 'output', ...NETS, 'signed', 'unsigned', 'assign', 'supply0', 'supply1'],
  ...['specify', 'endspecify', ...PRIMITIVES],
];

const KEYWORD_SET = new Set(KEYWORDS);
const MAX_TOKENS = 4_000_000;

const PATTERN =
  /(?<space>\s+)|(?<escaped>\\\S+)|(?<name>[A-Za-z_$][A-Za-z0-9_$]*)|(?<number>(?:\d[\d_]*\s*)?'\s*[sS]?[a-zA-Z]\s*[0-9a-zA-Z_?]+|\d[\d_]*(?:\.\d+)?)|(?<string>"(?:[^"\\\n]|\\[^\n])*")|(?<symbol>[=!]==?|<<<|>>>|<<|>>|[<>]=|&&|\|\||~[&|^]|\^~|[!-/:-@[-^{-~])/y;

/**
 * All tokens of a preprocessed text; the last one is of kind `end`. An escaped identifier loses its backslash and is
 * never a keyword.
 * Attributes are skipped, or (`attributes` true) taken apart like everything else.
 */
export function tokenize(source: SourceText, text: string, attributes = false): VerilogToken[] {
  const tokens: VerilogToken[] = [];
  let line = 1;
  let lineStart = 0;
  let hollow = false;
  /** Of a part of the text alone: where no line ends for long, a search in the whole would begin anew at each token. */
  const countLines = (start: number, end: number) => {
    const part = text.slice(start, end);
    for (let newline = part.indexOf('\n'); newline >= 0; newline = part.indexOf('\n', newline + 1)) {
      line++;
      lineStart = start + newline + 1;
    }
  };
  const add = (token: VerilogToken) => {
    tokens.push(hollow ? { ...token, hollow } : token);
    hollow = false;
  };
  for (let at = 0; at < text.length; ) {
    const place = { line, column: at - lineStart + 1 };
    if (tokens.length > MAX_TOKENS) source.fail(place, `more than ${MAX_TOKENS} tokens`, 'a smaller file');
    const attribute = !attributes && text.startsWith('(*', at) && !/^\(\*\s*\)/.test(text.slice(at, at + 20));
    if (attribute) {
      const end = text.indexOf('*)', at + 2);
      if (end < 0) source.fail(place, 'an attribute without an end', '"*)"');
      hollow ||= /\b(syn_)?black_?box\b/.test(text.slice(at, Math.min(end, at + 1000)));
      countLines(at, end + 2);
      at = end + 2;
      continue;
    }
    PATTERN.lastIndex = at;
    const match = PATTERN.exec(text);
    if (!match?.groups) {
      source.fail(place, `the character ${JSON.stringify(String.fromCodePoint(text.codePointAt(at)!))}`, 'Verilog');
    }
    const { space, escaped, name, number, string } = match.groups;
    const [word] = match;
    if (space !== undefined || string !== undefined) countLines(at, at + word.length);
    if (escaped !== undefined) {
      if (/\p{Cc}/u.test(escaped))
        source.fail(place, `a control character in "${clipped(escaped, 60)}"`, 'a plain name');
      add({ kind: 'name', text: escaped.slice(1), escaped: true, ...place });
    } else if (name !== undefined) add({ kind: KEYWORD_SET.has(name) ? 'keyword' : 'name', text: name, ...place });
    else if (number !== undefined) add({ kind: 'number', text: number.replaceAll(/\s/g, ''), ...place });
    else if (string !== undefined) add({ kind: 'string', text: string, ...place });
    else if (space === undefined) add({ kind: 'symbol', text: word, ...place });
    at += word.length;
  }
  tokens.push({ kind: 'end', text: 'end of file', ...source.end });
  return tokens;
}

export class TokenStream {
  /** Names that are not declared may be nets. */
  readonly implicitNets: boolean;
  readonly #source: SourceText;
  readonly #tokens: readonly VerilogToken[];
  #position = 0;
  /** What seems to be declared in the rest of the module, found once, and where the module ends. */
  readonly #declared = new Set<string>();
  #declaredUntil = -1;

  constructor(source: SourceText) {
    this.#source = source;
    const { text, implicitNets } = preprocess(source);
    this.implicitNets = implicitNets;
    this.#tokens = tokenize(source, text);
  }

  get next(): VerilogToken {
    return this.#tokens[this.#position]!;
  }

  get afterNext(): VerilogToken {
    return this.#tokens[this.#position + 1] ?? this.next;
  }

  take(): VerilogToken {
    const token = this.next;
    if (token.kind !== 'end') this.#position++;
    return token;
  }

  /** Whether a keyword or symbol comes next; a name that is spelled the same does not count. */
  isNext(text: string): boolean {
    return this.next.text === text && (this.next.kind === 'keyword' || this.next.kind === 'symbol');
  }

  isOneOf(texts: readonly string[]): boolean {
    return (this.next.kind === 'keyword' || this.next.kind === 'symbol') && texts.includes(this.next.text);
  }

  accept(text: string): boolean {
    if (!this.isNext(text)) return false;
    this.#position++;
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

  /** An unsized integer from `least` to `largest`. */
  integer(what: string, largest: number): number {
    const { kind, text } = this.next;
    const value = kind === 'number' && /^\d{1,9}$/.test(text) ? Number(text) : Number.NaN;
    if (!(value <= largest)) this.refuse(`${what}, an integer up to ${largest}`);
    this.#position++;
    return value;
  }

  /** Whether a declaration of this name seems to follow somewhere: `wire NAME`, `] NAME`, `function NAME`. */
  isDeclaredLater(name: string): boolean {
    if (this.#position > this.#declaredUntil) {
      this.#declared.clear();
      let n = this.#position;
      for (; n < this.#tokens.length; n++) {
        const { kind, text } = this.#tokens[n]!;
        if (text === 'endmodule' && kind === 'keyword') break;
        if (kind === 'name' && DECLARING.has(this.#tokens[n - 1]?.text ?? '')) this.#declared.add(text);
      }
      this.#declaredUntil = n;
    }
    return this.#declared.has(name);
  }

  /** Declines what comes next. */
  refuse(expected: string, place: Place = this.next): never {
    const { kind, text } = this.next;
    return this.#source.decline(place, kind === 'end' ? 'the end of the file' : `"${text}"`, expected);
  }
}

const DECLARING = new Set([
  ...NETS,
  ...['signed', ']', 'parameter', 'localparam', 'genvar', 'integer', 'int', 'bit', 'function', 'automatic'],
]);
