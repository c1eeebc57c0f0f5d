// The one error class for a user's mistake. Everything else that is thrown is a bug of ours and says `internal:`.
// A UserError's message is one line of bounded length that holds nothing a terminal would obey, whatever names of files
// it quotes: what failed, with which value, what was expected, what to do. The CLI prints it without a stack trace and
// exits with code 2.

/**
 * A mistake in what was given (settings, files, sizes), in one line for the user; anything else that is thrown is a
 * fault of the program.
 */
export class UserError extends Error {
  override readonly name = 'UserError';

  constructor(message: string) {
    super(oneLine(message));
  }
}

/** A disk that takes no more: no fault of what was being written, which can go on when there is room. */
export class StorageError extends UserError {}

/** Something that another process has in hand just now: no mistake, it can be had later. */
export class BusyError extends UserError {}

/**
 * A device, or the process or host that has it, which is gone while it computed: nobody's mistake; what was saved goes
 * on. The command ends with code 1.
 */
export class LostDeviceError extends UserError {}

/** A program that a device has no room for, or cannot address: with a smaller batch it may. */
export class TooLargeError extends UserError {}

/** Training in which the loss has become no number, or far larger than that of a network that guesses. */
export class DivergedError extends UserError {}

/** Throws the UserError for a number, by its name, that is not a whole one of this range. */
export function requireWhole(name: string, value: number, least: number, most: number = Number.MAX_SAFE_INTEGER): void {
  if (Number.isSafeInteger(value) && value >= least && value <= most) return;
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  throw new UserError(`${name} is ${value}; a whole number ${range} was expected`);
}

/** Characters that a message keeps of a text: its beginning, and its end, where the advice is. */
const KEPT = { first: 1000, last: 300 } as const;

/**
 * A text as one line for people: line breaks become blanks, other control characters are written out, the middle of a
 * long text is left out.
 */
export function oneLine(text: string): string {
  const { first, last } = KEPT;
  const clipped = text.length > first + last ? `${text.slice(0, first)} … ${text.slice(-last)}` : text;
  const lines = clipped.split(/[\r\n\u2028\u2029]+/).map((line) => line.trim());
  return visible(
    lines
      .filter((line) => line !== '')
      .join(' ')
      .replaceAll('\t', ' '),
  );
}

/** Control characters, and those that turn the direction of writing, as \uXXXX; line breaks and tabulators stay. */
export function visible(text: string): string {
  return text.replace(HIDDEN, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

const HIDDEN = /(?![\t\n\r])[\p{Cc}\u202a-\u202e\u2066-\u2069]/gu;

/** A name from a file, quoted, for a message: no longer than anybody reads. */
export function quoted(name: string): string {
  return `'${name.length > 80 ? `${name.slice(0, 60)}…` : name}'`;
}

/** Throws a bug report of our own when an invariant does not hold. */
export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`internal: ${message}`);
}
