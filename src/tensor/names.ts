// Messages about names a user got wrong: which values are valid and which one was probably meant. Shared by every place
// where a user picks from a closed list (data sets, models, generators, options).

import { UserError } from './errors.ts';

/** Number of single-character insertions, deletions and substitutions between two words (Levenshtein). */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const substituted = row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(substituted, row[j]! + 1, next[j - 1]! + 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/** Nobody mistypes a longer word, and comparing it takes time. */
const LONGEST = 64;

/**
 * The valid name closest to `value`, or undefined when none is close enough to be a slip of the finger: two letters, in
 * long words one in three, and less than half of the name.
 */
export function nearestName(value: string, valid: Iterable<string>): string | undefined {
  if (value.length > LONGEST) return undefined;
  const most = Math.max(2, Math.floor(value.length / 3));
  let best: { readonly name: string; readonly distance: number } | undefined;
  for (const name of valid) {
    if (Math.abs(name.length - value.length) > most) continue;
    const distance = editDistance(value.toLowerCase(), name.toLowerCase());
    if (distance > most || distance >= name.length / 2 || (best && distance >= best.distance)) continue;
    best = { name, distance };
  }
  return best?.name;
}

/** The names of a long list that look most like a word, best first; a prefix such as `imagenet/` counts for nothing. */
export function similarNames(value: string, valid: readonly string[], count: number): string[] {
  const own = (name: string) => name.slice(name.lastIndexOf('/') + 1).toLowerCase();
  const word = own(value.slice(0, LONGEST));
  const ranked = valid.map((name) => ({ name, distance: editDistance(word, own(name)) }));
  ranked.sort((a, b) => a.distance - b.distance);
  return ranked.slice(0, count).map(({ name }) => name);
}

/**
 * The error for a name outside a closed list: "unknown data set 'cifra10'; did you mean 'cifar10'? Valid: digits,
 * cifar10".
 * `usages` replaces the names in the list of valid values where they take arguments.
 */
export function unknownName(kind: string, value: string, valid: readonly string[], usages = valid): UserError {
  const nearest = nearestName(value, valid);
  const question = nearest === undefined ? '' : ` did you mean '${nearest}'?`;
  return new UserError(`unknown ${kind} '${value}';${question} valid: ${usages.join(', ')}`);
}

/** A path or text as a word of a shell command. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** On one line, not longer than `most`, and with nothing that a terminal would obey. */
export function clipped(text: string, most: number): string {
  return printable((text.length > most ? `${text.slice(0, most)}…` : text).replace(/\s*[\r\n]\s*/g, ' '));
}

const INVISIBLE = /[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** Control characters and marks that turn the direction of writing as escapes: `\x1b`, `\u202e`. */
export function printable(text: string): string {
  return text.replace(INVISIBLE, (char) => {
    const code = char.codePointAt(0)!;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

/**
 * Whether a pattern stands for a name: `*` for any run of characters, also an empty one or one with dots; every other
 * character for itself, upper and lower case apart. `blocks.*.fc1` stands for `blocks.0.mlp.fc1`. Time is linear in
 * pattern × name.
 */
export function matchesPattern(pattern: string, name: string): boolean {
  const [head, ...rest] = pattern.split('*') as [string, ...string[]];
  const tail = rest.pop();
  if (tail === undefined) return head === name;
  if (!name.startsWith(head) || !name.endsWith(tail)) return false;
  const end = name.length - tail.length;
  let at = head.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0) return false;
    at = found + part.length;
  }
  return at <= end;
}
