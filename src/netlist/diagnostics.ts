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

/** On one line, not longer than `most`, and with nothing that a terminal would obey. */
export function clipped(text: string, most: number): string {
  return printable((text.length > most ? `${text.slice(0, most)}…` : text).replace(/\s*[\r\n]\s*/g, ' '));
}

/** Control characters and marks that turn the direction of writing as escapes: `\x1b`, `\u202e`. */
export function printable(text: string): string {
  return text.replace(INVISIBLE, (char) => {
    const code = char.codePointAt(0)!;
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16).padStart(4, '0')}`;
  });
}

const INVISIBLE = /[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** Something legal that a reader does not take; a reader of more of the language may. */
export class Unsupported extends UserError {
  readonly place: Place;

  constructor(message: string, place: Place) {
    super(message);
    this.place = place;
  }
}

/** A text with its name, for messages that point into it; lines end in `\n` whatever they ended in. */
export class SourceText {
  readonly file: string;
  readonly text: string;

  constructor(text: string, file: string) {
    this.file = file;
    const unmarked = text.startsWith('\ufeff') ? text.slice(1) : text;
    this.text = unmarked.includes('\r') ? unmarked.replace(/\r\n?/g, '\n') : unmarked;
  }

  /** The lines one after the other, without their ends. */
  *lines(): Generator<string> {
    let start = 0;
    for (let end = this.text.indexOf('\n'); end >= 0; end = this.text.indexOf('\n', start)) {
      yield this.text.slice(start, end);
      start = end + 1;
    }
    yield this.text.slice(start);
  }

  /** Throws `file:line:column: found: expected …; in the line "…"`. */
  fail(place: Place, found: string, expected: string): never {
    throw new UserError(this.message(place, found, expected));
  }

  /** The same for what is not wrong, only not read here. */
  decline(place: Place, found: string, expected: string): never {
    throw new Unsupported(this.message(place, found, expected), place);
  }

  private message(place: Place, found: string, expected: string): string {
    const line = this.lineAt(place.line).trim();
    const shown = printable(JSON.stringify(line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line));
    return (
      `${printable(this.file)}:${place.line}:${place.column}: ${clipped(found, MOST)}: expected ${clipped(expected, MOST)}` +
      (line === '' ? '' : `; in the line ${shown}`)
    );
  }

  private lineAt(number: number): string {
    let start = 0;
    for (let line = 1; line < number; line++) {
      const end = this.text.indexOf('\n', start);
      if (end < 0) return '';
      start = end + 1;
    }
    const end = this.text.indexOf('\n', start);
    return this.text.slice(start, Math.min(end < 0 ? this.text.length : end, start + MOST));
  }

  /** The place behind the last character. */
  get end(): Place {
    let line = 1;
    let start = 0;
    for (let end = this.text.indexOf('\n'); end >= 0; end = this.text.indexOf('\n', start)) {
      line++;
      start = end + 1;
    }
    return { line, column: this.text.length - start + 1 };
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
