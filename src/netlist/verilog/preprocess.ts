// The preprocessor of Verilog: macros expanded, conditions decided, comments and other directives blanked, so that what
// follows, our reader or Yosys, sees the language alone.
// Invariant: the text that comes out has the lines of the text that went in; no backtick is left outside of strings and
// escaped names; an expansion never joins what stands beside it. No other file is read: `include is refused.

import type { Place, SourceText } from '../diagnostics.ts';

export interface Preprocessed {
  readonly text: string;
  /** False after `default_nettype none: names that are not declared are no nets. */
  readonly implicitNets: boolean;
}

interface Macro {
  /** null: the name alone is the macro. */
  readonly parameters: readonly { readonly name: string; readonly otherwise: string | null }[] | null;
  readonly body: string;
}

interface Condition {
  /** The text around it counts. */
  readonly outer: boolean;
  /** A branch was taken already. */
  taken: boolean;
  active: boolean;
  readonly offset: number;
}

const MAX_TEXT = 2 ** 26;
const MAX_EXPANSIONS = 1_000_000;
const MAX_DEPTH = 64;
/** Directives that say nothing about the function: with the rest of their line, or alone. */
const WITH_LINE = new Set(['timescale', 'default_nettype', 'line', 'pragma', 'begin_keywords', 'default_decay_time']);
const ALONE = new Set(['celldefine', 'endcelldefine', 'resetall', 'end_keywords', 'nounconnected_drive']);
const INTERESTING = /["\\`/]/g;
const NAME = /[A-Za-z_][A-Za-z0-9_$]*/y;
const ESCAPED = /\\\S*/y;
const STRING = /"(?:[^"\\\n]|\\[^\n])*"/y;

/** Throws a located UserError. */
export function preprocess(source: SourceText): Preprocessed {
  const run = new Preprocessor(source);
  return { text: run.text(), implicitNets: run.implicitNets };
}

class Preprocessor {
  implicitNets = true;
  readonly #source: SourceText;
  /** Those that Yosys defines are defined here, too: a text means the same to both. */
  readonly #macros = new Map<string, Macro>(
    ['SYNTHESIS', 'YOSYS'].map((name) => [name, { parameters: null, body: '1' }]),
  );
  readonly #conditions: Condition[] = [];
  #expansions = 0;
  #length = 0;
  /** Where in the file the text that is expanded stands. */
  #origin: number | null = null;

  constructor(source: SourceText) {
    this.#source = source;
  }

  text(): string {
    const text = this.#expand(this.#source.text, 0);
    const open = this.#conditions[0];
    if (open) this.#fail(open.offset, 'a condition without an end', '`endif');
    return text;
  }

  get #active(): boolean {
    return this.#conditions.at(-1)?.active ?? true;
  }

  #expand(text: string, depth: number): string {
    const out: string[] = [];
    const put = (part: string) => {
      this.#length += part.length;
      if (this.#length > MAX_TEXT) this.#fail(at, `more than ${MAX_TEXT} characters`, 'a smaller text');
      out.push(part);
    };
    const emit = (part: string) => put(this.#active ? part : blank(part));
    let at = 0;
    while (at < text.length) {
      INTERESTING.lastIndex = at;
      const next = INTERESTING.exec(text)?.index ?? text.length;
      if (next > at) emit(text.slice(at, next));
      at = next;
      if (at >= text.length) break;
      const end = this.#endOfAtom(text, at);
      if (text[at] === '`') at = this.#directive(text, at, depth, put);
      else {
        const atom = text.slice(at, end);
        if (/^\/[/*]/.test(atom)) put(blank(atom));
        else emit(atom);
        at = end;
      }
    }
    return out.join('');
  }

  /** The end of the comment, string or escaped name that begins here; of one character where none does. */
  #endOfAtom(text: string, at: number): number {
    if (text.startsWith('//', at)) {
      const end = text.indexOf('\n', at);
      return end < 0 ? text.length : end;
    }
    if (text.startsWith('/*', at)) {
      const end = text.indexOf('*/', at + 2);
      if (end < 0) this.#fail(at, 'a comment without an end', '*/');
      return end + 2;
    }
    if (text[at] === '"') {
      const length = matchAt(STRING, text, at)?.length;
      if (length === undefined) this.#fail(at, 'a string without an end', 'a closing " in its line');
      return at + length;
    }
    return at + (matchAt(ESCAPED, text, at)?.length ?? 1);
  }

  /** Obeys the directive or expands the macro at a backtick; returns where the text goes on. */
  #directive(text: string, at: number, depth: number, put: (part: string) => void): number {
    const name = matchAt(NAME, text, at + 1);
    if (name === undefined) return this.#fail(at, 'a "`" without a name', 'a directive or a macro');
    const end = at + 1 + name.length;
    const lineEnd = endOfLine(text, end);
    if (this.#condition(name, text, at, end)) return skipped(put, text, at, this.#afterCondition(name, text, end));
    if (!this.#active) return skipped(put, text, at, end);
    if (name === 'define') return skipped(put, text, at, this.#define(text, at, end));
    if (name === 'undef') {
      this.#macros.delete(text.slice(end, lineEnd).trim());
      return skipped(put, text, at, lineEnd);
    }
    if (name === 'default_nettype') this.implicitNets = !/^\s*none\b/.test(text.slice(end, lineEnd));
    if (WITH_LINE.has(name)) return skipped(put, text, at, lineEnd);
    if (ALONE.has(name)) return skipped(put, text, at, end);
    if (name === 'include') return this.#fail(at, 'an `include', 'one text: put the other file’s text in its place');
    return this.#use(name, text, at, end, depth, put);
  }

  #use(name: string, text: string, at: number, end: number, depth: number, put: (part: string) => void): number {
    const macro = this.#macros.get(name);
    if (!macro) return this.#fail(at, `the macro "\`${name}", which is not defined`, '`define before it');
    if (depth >= MAX_DEPTH || ++this.#expansions > MAX_EXPANSIONS) {
      return this.#fail(at, `the macro "\`${name}" nests too deeply or too often`, `at most ${MAX_DEPTH} levels`);
    }
    const call = macro.parameters ? this.#callArguments(name, macro.parameters, text, end) : { values: [], end };
    const values = new Map(macro.parameters?.map((parameter, n) => [parameter.name, call.values[n]!]));
    const body = macro.parameters ? substitute(macro.body, values) : macro.body;
    const outermost = this.#origin === null;
    if (outermost) this.#origin = at;
    const expanded = this.#expand(body, depth + 1).replaceAll('\n', ' ');
    if (outermost) this.#origin = null;
    put(` ${expanded} ${linesOf(text.slice(at, call.end))}`);
    return call.end;
  }

  /**
   * `define NAME body or `define NAME(a, b = default) body; the body ends with its line, unless a backslash continues
   * it.
   */
  #define(text: string, at: number, end: number): number {
    let body = end;
    while (text[body] === ' ' || text[body] === '\t') body++;
    const name = matchAt(NAME, text, body);
    if (name === undefined) return this.#fail(at, 'a `define without a name', '`define NAME text');
    body += name.length;
    let parameters: Macro['parameters'] = null;
    if (text[body] === '(') {
      const list = this.#balanced(text, body, at);
      parameters = list.parts.map((part) => {
        const [parameter, ...otherwise] = part.split('=');
        return { name: parameter!.trim(), otherwise: otherwise.length > 0 ? otherwise.join('=').trim() : null };
      });
      body = list.end;
    }
    const parts: string[] = [];
    for (;;) {
      const { line, end: lineEnd, continued } = this.#bodyLine(text, body);
      parts.push(line);
      body = lineEnd;
      if (!continued) break;
    }
    const joined = parts.join(' ').trim();
    if (joined.includes('``') || joined.includes('`"')) {
      this.#fail(at, `the macro "${name}" joins or quotes its text`, 'whole words');
    }
    this.#macros.set(name, { parameters, body: joined });
    return body;
  }

  /**
   * One line of a macro's body without comments; `end` is the end of the line, or the start of the next where it is
   * continued.
   */
  #bodyLine(text: string, start: number): { line: string; end: number; continued: boolean } {
    const parts: string[] = [];
    let at = start;
    while (at < text.length && text[at] !== '\n') {
      if (text.startsWith('\\\n', at)) return { line: parts.join(''), end: at + 2, continued: true };
      const end = /["\\/]/.test(text[at]!) ? this.#endOfAtom(text, at) : at + 1;
      const atom = text.slice(at, end);
      parts.push(/^\/[/*]/.test(atom) ? ' ' : atom);
      at = end;
    }
    return { line: parts.join(''), end: at, continued: false };
  }

  #callArguments(
    name: string,
    parameters: NonNullable<Macro['parameters']>,
    text: string,
    end: number,
  ): { values: string[]; end: number } {
    let open = end;
    while (/\s/.test(text[open] ?? '')) open++;
    if (text[open] !== '(')
      this.#fail(end, `the macro "\`${name}" without its arguments`, `${parameters.length} in ( )`);
    const list = this.#balanced(text, open, end);
    const values = parameters.map(({ otherwise }, n) => {
      const given = list.parts[n]?.trim();
      return given === undefined || given === '' ? (otherwise ?? given) : given;
    });
    if (list.parts.length > Math.max(1, parameters.length) || values.some((given) => given === undefined)) {
      this.#fail(end, `${list.parts.length} arguments of the macro "\`${name}"`, String(parameters.length));
    }
    return { values: values as string[], end: list.end };
  }

  /** The parts between commas of a parenthesis, brackets counted; `end` is behind it. */
  #balanced(text: string, open: number, place: number): { parts: string[]; end: number } {
    const parts: string[] = [];
    let depth = 0;
    let start = open + 1;
    for (let at = open; at < text.length; ) {
      const char = text[at]!;
      if ('([{'.includes(char)) depth++;
      if (')]}'.includes(char)) depth--;
      if (depth === 0 || (char === ',' && depth === 1)) {
        parts.push(text.slice(start, at));
        start = at + 1;
      }
      if (depth === 0) return { parts, end: at + 1 };
      at = /["\\/]/.test(char) ? this.#endOfAtom(text, at) : at + 1;
    }
    return this.#fail(place, 'a parenthesis without its end', '")"');
  }

  /** Obeys a directive of a condition; false for any other. */
  #condition(name: string, text: string, at: number, end: number): boolean {
    const conditions = this.#conditions;
    const last = conditions.at(-1);
    const defined = () => this.#macros.has(/^\s*([A-Za-z_][A-Za-z0-9_$]*)/.exec(text.slice(end, end + 500))?.[1] ?? '');
    if (name === 'ifdef' || name === 'ifndef') {
      const holds = defined() === (name === 'ifdef');
      conditions.push({ outer: this.#active, taken: holds, active: this.#active && holds, offset: this.#origin ?? at });
      return true;
    }
    if (name !== 'elsif' && name !== 'else' && name !== 'endif') return false;
    if (!last) return this.#fail(at, `\`${name} without \`ifdef`, 'a condition before it');
    if (name === 'endif') conditions.pop();
    else {
      const holds = !last.taken && (name === 'else' || defined());
      last.active = last.outer && holds;
      last.taken ||= holds;
    }
    return true;
  }

  #afterCondition(name: string, text: string, end: number): number {
    if (name === 'else' || name === 'endif') return end;
    const match = /^\s*[A-Za-z_][A-Za-z0-9_$]*/.exec(text.slice(end, end + 500));
    return end + (match?.[0].length ?? 0);
  }

  #fail(offset: number, found: string, expected: string): never {
    return this.#source.fail(placeAt(this.#source.text, this.#origin ?? offset), found, expected);
  }
}

/** Blanks what is left out; returns where the text goes on. */
function skipped(put: (part: string) => void, text: string, start: number, end: number): number {
  put(blank(text.slice(start, end)));
  return end;
}

/** Spaces in its place, so that what follows keeps its line and column. */
function blank(text: string): string {
  return text.replace(/[^\n]/g, ' ');
}

function linesOf(text: string): string {
  return text.includes('\n') ? text.replace(/[^\n]+/g, '') : '';
}

/** Parameters replaced where they stand as whole words outside of strings. */
function substitute(body: string, values: ReadonlyMap<string, string>): string {
  return body.replace(/"(?:[^"\\]|\\.)*"|\\\S+|[A-Za-z_][A-Za-z0-9_$]*/g, (word) => values.get(word) ?? word);
}

function matchAt(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

function endOfLine(text: string, at: number): number {
  const end = text.indexOf('\n', at);
  return end < 0 ? text.length : end;
}

function placeAt(text: string, offset: number): Place {
  let line = 1;
  let start = 0;
  for (let end = text.indexOf('\n'); end >= 0 && end < offset; end = text.indexOf('\n', start)) {
    line++;
    start = end + 1;
  }
  return { line, column: offset - start + 1 };
}
