// Pieces of C text: arrays, comments and strings that say what they should, whatever names are in them.
// Invariant: no text from outside leaves its comment or its string, not by a quote, a line end, `*/` or a trigraph.

/** Words in a column of at most 110 characters. */
function wrapped(words: Iterable<string>): string {
  const lines: string[] = [];
  let line = ' ';
  for (const word of words) {
    if (line.length + word.length > 108) {
      lines.push(line);
      line = ' ';
    }
    line += ` ${word},`;
  }
  return [...lines, line].join('\n');
}

/** `static const TYPE NAME[n] = { … };` */
export function cArray(type: string, name: string, values: Iterable<number>): string {
  const words = Array.from(values, cInteger);
  return `static const ${type} ${name}[${words.length}] = {\n${wrapped(words)}\n};\n`;
}

/** An integer of 32 bits as a constant; the least one has no literal of its own. */
export const cInteger = (value: number): string => (value === -(2 ** 31) ? '(-2147483647 - 1)' : String(value));

/** What stands in a comment for a text of any kind. */
export const inComment = (text: string): string =>
  text
    .replaceAll(/[^ -~]/g, '?')
    .replaceAll(/[\\?]+/g, '?')
    .replaceAll(/\*+\/|\/\*+/g, '-');

/** A string literal; what is not printable ASCII is a question mark. */
export const cString = (text: string): string => `"${inComment(text).replaceAll('"', "'")}"`;
