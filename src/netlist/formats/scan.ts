// Numbers of a text, read byte by byte: tables of 12×12 bits have hundreds of megabytes, too many for one string per
// row.
// Invariant: time is linear in the bytes; every error names file and line, and quotes at most a piece of the line.

import { UserError } from '../../tensor/errors.ts';

const [TAB, NEWLINE, RETURN, SPACE, PLUS, MINUS, POINT, ZERO, NINE] = [9, 10, 13, 32, 43, 45, 46, 48, 57];
const MAX_DIGITS = 40;
const QUOTED = 80;

/** 1 for the bytes that belong. */
export type ByteClass = Uint8Array;

/** Blanks and the given characters, but not the end of a line. */
export function blanksAnd(characters: string): ByteClass {
  const bytes = new Uint8Array(256);
  for (const byte of [TAB, RETURN, SPACE, ...Buffer.from(characters)]) bytes[byte] = 1;
  return bytes;
}

const blanks = blanksAnd('');

export class NumberScanner {
  readonly bytes: Uint8Array;
  readonly file: string;
  position: number;
  /** Of `position`, from 1. */
  line: number;

  constructor(bytes: Uint8Array, file: string, position = 0, line = 1) {
    this.bytes = bytes;
    this.file = file;
    this.position = position;
    this.line = line;
  }

  get ended(): boolean {
    return this.position >= this.bytes.length;
  }

  /** The byte here, or −1 at the end. */
  get byte(): number {
    return this.bytes[this.position] ?? -1;
  }

  /** Throws `file:line: found: expected …`. */
  fail(found: string, expected: string): never {
    throw new UserError(`${this.file}:${this.line}: ${found}: expected ${expected}`);
  }

  /** The same about the whole line, which is quoted. */
  failLine(what: string, expected: string): never {
    return this.fail(`${what} ${JSON.stringify(this.currentLine().slice(0, QUOTED))}`, expected);
  }

  /** Over bytes of a class. */
  skip(bytes: ByteClass = blanks): void {
    while (bytes[this.bytes[this.position]!] === 1) this.position++;
  }

  /** Over the end of the line; false where something else stands. */
  newline(): boolean {
    if (this.byte !== NEWLINE) return false;
    this.position++;
    this.line++;
    return true;
  }

  skipLine(): void {
    const end = this.bytes.indexOf(NEWLINE, this.position);
    this.position = end < 0 ? this.bytes.length : end;
    this.newline();
  }

  currentLine(): string {
    const start = this.bytes.lastIndexOf(NEWLINE, this.position - 1) + 1;
    const end = this.bytes.subarray(start, start + 4 * QUOTED).indexOf(NEWLINE);
    const piece = this.bytes.subarray(start, end < 0 ? start + 4 * QUOTED : start + end);
    return new TextDecoder().decode(piece).trimEnd();
  }

  /**
   * A decimal integer, 1.0 and 1e3 too; as C has them with `inC`: 0x…, octal with a leading 0, suffixes. Null, and
   * nothing consumed, where no integer stands.
   */
  integer(inC = false): number | null {
    const { bytes } = this;
    let at = this.position;
    const negative = bytes[at] === MINUS;
    if (negative || bytes[at] === PLUS) at++;
    const start = at;
    let value = 0;
    while (isDigit(bytes[at])) value = 10 * value + bytes[at++]! - ZERO;
    const plain = at > start;
    const octal = inC && bytes[start] === ZERO && at > start + 1;
    if (plain && !octal && !continues(bytes[at])) {
      this.position = at;
      return negative ? -value : value;
    }
    while (at - start < MAX_DIGITS && (continues(bytes[at]) || isSign(bytes, at))) at++;
    const text = String.fromCharCode(...bytes.subarray(start, at));
    const decimal =
      /^(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/.test(text) && !(inC && /^0\d+$/.test(text)) ? Number(text) : null;
    const found = (inC ? cInteger(text) : null) ?? decimal;
    if (found === null || !Number.isInteger(found) || continues(bytes[at])) return null;
    this.position = at;
    return negative ? -found : found;
  }
}

/** An integer literal of C; null where it is none. */
function cInteger(text: string): number | null {
  const digits = text.replace(/[uUlL]+$/, '');
  if (/^0[0-7]+$/.test(digits)) return Number.parseInt(digits, 8);
  return /^(0[xX][0-9a-fA-F]+|0|[1-9]\d*)$/.test(digits) ? Number(digits) : null;
}

function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= ZERO && byte <= NINE;
}

/** Digits, letters, underscore and the decimal point: a number does not end before them. */
function continues(byte: number | undefined): boolean {
  if (byte === undefined) return false;
  return isDigit(byte) || byte === POINT || byte === 95 || (byte >= 65 && byte <= 90) || (byte >= 97 && byte <= 122);
}

/** The sign of an exponent. */
function isSign(bytes: Uint8Array, at: number): boolean {
  const before = bytes[at - 1];
  return (bytes[at] === PLUS || bytes[at] === MINUS) && (before === 69 || before === 101);
}

/** Integers of 32 bits, as many as come, up to a limit that the caller keeps. */
export class IntegerList {
  length = 0;
  #data = new Int32Array(1024);

  push(value: number): void {
    if (this.length === this.#data.length) {
      const larger = new Int32Array(2 * this.#data.length);
      larger.set(this.#data);
      this.#data = larger;
    }
    this.#data[this.length++] = value;
  }

  at(index: number): number {
    return this.#data[index]!;
  }

  values(): Int32Array {
    return this.#data.subarray(0, this.length);
  }
}

export function fitsInt32(value: number): boolean {
  return value >= -(2 ** 31) && value < 2 ** 31;
}
