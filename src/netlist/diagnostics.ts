// Located diagnostics of the netlist readers: file:line:column, what was found, what was expected, and the offending line, in the one
// line of a UserError. The readers stop at the first problem; nothing is guessed around.

import { UserError } from '../tensor/errors.ts';

/** A place in a text; line and column count from 1. */
export interface Place {
  readonly line: number;
  readonly column: number;
}

export interface Token extends Place {
  readonly text: string;
}

const SHOWN = 100;
/** Names may be as long as their file. */
const MOST = 500;

/** On one line, and not longer than `most`. */
export function clipped(text: string, most: number): string {
  return (text.length > most ? `${text.slice(0, most)}…` : text).replace(/\s*[\r\n]\s*/g, ' ');
}

export class SourceText {
  readonly file: string;
  readonly lines: readonly string[];

  constructor(text: string, file: string) {
    this.file = file;
    this.lines = text.split(/\r\n|\n|\r/);
  }

  /** Throws `file:line:column: found: expected …; in the line "…"`. */
  fail(place: Place, found: string, expected: string): never {
    const line = this.lines[place.line - 1]?.trim() ?? '';
    const shown = clipped(line, SHOWN);
    throw new UserError(
      `${this.file}:${place.line}:${place.column}: ${clipped(found, MOST)}: expected ${clipped(expected, MOST)}` +
        (shown === '' ? '' : `; in the line ${JSON.stringify(shown)}`),
    );
  }

  /** The place behind the last character. */
  get end(): Place {
    return { line: this.lines.length, column: this.lines.at(-1)!.length + 1 };
  }
}

/** A hint like `; did you mean ".names"?` when a candidate is within two edits, else nothing. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  let best: { candidate: string; distance: number } | undefined;
  for (const candidate of candidates) {
    if (Math.abs(candidate.length - word.length) > 2 || word.length > 64) continue;
    const distance = editDistance(word, candidate);
    if (distance <= 2 && distance < candidate.length / 2 && (!best || distance < best.distance)) {
      best = { candidate, distance };
    }
  }
  return best ? ` (did you mean "${best.candidate}"?)` : '';
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, n) => n);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length]!;
}
