// Tokens of the structural Verilog subset: identifiers (also escaped ones), keywords, numbers and punctuation, each with its place.
// Comments and attributes are skipped.

import type { SourceText, Token } from '../diagnostics.ts';

export interface VerilogToken extends Token {
  readonly kind: 'keyword' | 'name' | 'number' | 'symbol' | 'end';
}

export const KEYWORDS: readonly string[] = ['module', 'endmodule', 'input', 'output', 'wire', 'assign'];

const PATTERN =
  /(?<space>\s+|\/\/[^\n]*|\/\*[\s\S]*?\*\/|\(\*(?!\s*\))[\s\S]*?\*\))|(?<escaped>\\\S+)|(?<name>[A-Za-z_][A-Za-z0-9_$]*)|(?<number>\d+\s*'\s*[a-zA-Z]+\s*[0-9a-zA-Z_?]+|\d+)|(?<symbol>[()[\]{},;:.=~&|^])/y;

/** All tokens; the last one is of kind `end`. An escaped identifier loses its backslash and is never a keyword. */
export function tokenize(source: SourceText): VerilogToken[] {
  const text = source.lines.join('\n');
  const tokens: VerilogToken[] = [];
  let line = 1;
  let lineStart = 0;
  for (let at = 0; at < text.length; ) {
    const place = { line, column: at - lineStart + 1 };
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
