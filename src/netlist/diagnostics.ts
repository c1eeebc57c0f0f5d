// Located diagnostics of the netlist readers: file:line:column, what was found, what was expected, and the offending
// line, in the one line of a UserError. The readers stop at the first problem; nothing is guessed around.

import { UserError } from '../tensor/errors.ts';
import { clipped, nearestName, printable } from '../tensor/names.ts';

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
    throw new UserError(this.#message(place, found, expected));
  }

  /** The same for what is not wrong, only not read here. */
  decline(place: Place, found: string, expected: string): never {
    throw new Unsupported(this.#message(place, found, expected), place);
  }

  #message(place: Place, found: string, expected: string): string {
    const line = this.#lineAt(place.line).trim();
    const shown = printable(JSON.stringify(line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line));
    return (
      `${printable(this.file)}:${place.line}:${place.column}: ${clipped(found, MOST)}: expected ${clipped(expected, MOST)}` +
      (line === '' ? '' : `; in the line ${shown}`)
    );
  }

  #lineAt(number: number): string {
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

/** A hint like ` (did you mean ".names"?)` when a candidate is near enough, else nothing. */
export function didYouMean(word: string, candidates: Iterable<string>): string {
  const nearest = nearestName(word, candidates);
  return nearest === undefined ? '' : ` (did you mean "${nearest}"?)`;
}
