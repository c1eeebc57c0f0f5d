// The commands that the pages show: every line of a shell block, whether fenced or indented, and what stands in a line
// of text between backquotes. A line is cut as a shell cuts it, as far as the pages use one: comments, &&, quotes, a
// backslash at its end.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export const root = join(import.meta.dirname, '..');

/** README.md and the pages of docs/, as paths from the root. */
export const pages: readonly string[] = [
  'README.md',
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
];

export interface Documented {
  readonly page: string;
  /** From 1. */
  readonly line: number;
  /** As it is shown, without its comment. */
  readonly text: string;
  /** Program and arguments; `npx tram` is `tram`. */
  readonly words: readonly string[];
}

/** What is typed before the program itself: a package runner, or a variable for this one command. */
const isPrefix = (word: string) => word === 'npx' || /^[A-Z_]+=/.test(word);

/** The words of a command line, without quotes; null behind each &&, where another command begins. */
export function wordsOf(line: string): (string | null)[] {
  const tokens = line.matchAll(/\s*(?:(#.*$)|(&&)|((?:'[^']*'|"[^"]*"|[^\s'"])+))/gy);
  return [...tokens].flatMap(([, comment, and, word]) => {
    if (comment !== undefined) return [];
    return and === undefined ? [word!.replace(/'([^']*)'|"([^"]*)"/g, (_, one, two) => one ?? two)] : [null];
  });
}

function commandsOf(page: string, line: number, text: string): Documented[] {
  const commands: string[][] = [[]];
  for (const word of wordsOf(text)) {
    if (word === null) commands.push([]);
    else commands.at(-1)!.push(word);
  }
  // What goes into a file or to another program is no word of the command.
  const own = (words: string[]) =>
    words.slice(
      0,
      [...words, '>'].findIndex((word) => /^[>|]+$/.test(word)),
    );
  return commands
    .map(own)
    .map((words) => words.slice(words.findIndex((word) => !isPrefix(word))))
    .filter((words) => words.length > 0)
    .map((words) => ({ page, line, text: words.join(' '), words }));
}

const textOf = (page: string) => readFileSync(join(root, page), 'utf8');

/** Every line of every shell block of a page, in order. */
export function blockCommands(page: string): Documented[] {
  const found: Documented[] = [];
  let fence: string | undefined;
  let begun: { line: number; text: string } | undefined;
  textOf(page)
    .split('\n')
    .forEach((written, at) => {
      const fenced = /^\s*```(\w*)/.exec(written);
      if (fenced) {
        fence = fence === undefined ? fenced[1]! : undefined;
        return;
      }
      const indented = fence === undefined && /^ {4,}(npx |tram |node |npm )/.test(written);
      if (fence !== 'sh' && !indented) return;
      const text = begun ? `${begun.text} ${written.trim()}` : written.trim();
      const line = begun?.line ?? at + 1;
      begun = text.endsWith('\\') ? { line, text: text.slice(0, -1).trim() } : undefined;
      if (!begun) found.push(...commandsOf(page, line, text));
    });
  return found;
}

/** What stands between backquotes in the text of a page: code spans, outside of blocks. */
export function codeSpans(page: string): { page: string; line: number; text: string }[] {
  const text = textOf(page).replace(/^\s*```[\s\S]*?^\s*```/gm, (block) => block.replace(/[^\n]/g, ''));
  return text
    .split('\n')
    .flatMap((written, at) =>
      /^ {4,}(npx |tram |node |npm )/.test(written)
        ? []
        : [...written.matchAll(/`([^`]+)`/g)].map(([, code]) => ({ page, line: at + 1, text: code! })),
    );
}
