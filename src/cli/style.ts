// How text is shown on one output stream: colours or none, in which width, and times. Colours follow the
// stream itself (a terminal that is not dumb), NO_COLOR, FORCE_COLOR and --no-color; a pipe never gets control
// characters by itself.

import pc from 'picocolors';
import { visible } from '../tensor/errors.ts';

export type Style = ReturnType<typeof pc.createColors>;

export interface Output {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
  /** The stream itself, where this is a guarded one: for what moves the cursor. */
  readonly bare?: Output;
}

/** Colours, and the end of a line cleared: what is ours among control sequences. */
const OURS = new RegExp(`(${String.fromCharCode(27)}\\[(?:[\\d;]*m|K))`);

/**
 * The stream with control characters of names written out: what files say does not reach a terminal as commands to it.
 */
export function guarded(stream: Output): Output {
  return {
    get isTTY() {
      return stream.isTTY ?? false;
    },
    get columns() {
      return stream.columns ?? 0;
    },
    write: (text) =>
      stream.write(
        text
          .split(OURS)
          .map((part, at) => (at % 2 === 1 ? part : visible(part)))
          .join(''),
      ),
    bare: stream,
  };
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Whether a stream can redraw a line. */
export function isLive(stream: Output, environment: Environment = process.env): boolean {
  return stream.isTTY === true && environment.TERM !== 'dumb';
}

export function styleFor(stream: Output, wanted = true, environment: Environment = process.env): Style {
  const { NO_COLOR, FORCE_COLOR } = environment;
  const forced = FORCE_COLOR !== undefined && FORCE_COLOR !== '' && FORCE_COLOR !== '0';
  return pc.createColors(wanted && !NO_COLOR && (forced || isLive(stream, environment)));
}

export { shellWord } from '../tensor/names.ts';
export { fixed, grouped, percent, significant } from '../tensor/numbers.ts';

/** Milliseconds → "0:07", "12:34", "1:02:03". */
export function clockTime(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  const two = (value: number) => String(value).padStart(2, '0');
  const minutes = Math.floor(seconds / 60);
  const tail = `${two(seconds % 60)}`;
  return minutes < 60 ? `${minutes}:${tail}` : `${Math.floor(minutes / 60)}:${two(minutes % 60)}:${tail}`;
}

/** Columns that prose may fill: those of the terminal, or no limit where the stream is none. */
export function textWidth({ columns }: Output): number {
  return columns ? Math.max(40, columns - 1) : Number.POSITIVE_INFINITY;
}

/**
 * A text in which paragraphs with a line longer than `width` are filled anew. A blank line or an indented one begins a
 * paragraph; what an indented line has beyond the width goes on below it, as far in as the last of its columns.
 */
export function reflowed(text: string, width: number): string {
  const paragraphs: string[][] = [];
  for (const line of text.split('\n')) {
    const last = paragraphs.at(-1);
    const goesOn = last?.at(-1) && line !== '' && !line.startsWith(' ') && !last[0]!.startsWith(' ');
    if (last && goesOn) last.push(line);
    else paragraphs.push([line]);
  }
  return paragraphs
    .map((lines) => {
      if (lines.every((line) => line.length <= width)) return lines.join('\n');
      const whole = lines.join(' ');
      const column = /^ +\S.*? {2,}(?=\S)|^ */.exec(whole)![0];
      const body = wrapped(whole.slice(column.length), Math.max(20, width - column.length));
      return column + body.replaceAll('\n', `\n${' '.repeat(column.length)}`);
    })
    .join('\n');
}

/** A paragraph broken at blanks into lines of at most `width` characters; a longer word stands alone. */
export function wrapped(text: string, width: number, indent = ''): string {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + 1 + word.length <= width) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(lines.length === 0 ? word : indent + word);
  }
  return lines.join('\n');
}
