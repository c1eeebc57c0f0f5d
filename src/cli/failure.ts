// How a command ends when it fails: one line on the error stream and an exit code. A user's mistake is code 2, an
// interruption 130, a lost device code 1, and so is anything else: a bug of ours, with its stack only on demand.

import { CommanderError } from 'commander';
import { LostDeviceError, oneLine, UserError } from '../tensor/errors.ts';
import { fileError } from '../tensor/files.ts';

/** Thrown to end a command whose text has been shown already. */
export class Exit extends Error {
  readonly code: number;

  constructor(code: number) {
    super(`exit ${code}`);
    this.code = code;
  }
}

/** The run was stopped by a signal after it saved; `message` says how to go on. */
export class Interrupted extends Error {
  readonly code: number;

  constructor(message: string, code: number) {
    super(message);
    this.code = code;
  }
}

export interface Failure {
  readonly code: number;
  /** For the error stream, without a newline at the end; empty when nothing is left to say. */
  readonly text: string;
}

/** `command` is what the user called, such as `tram run`. */
export function describeFailure(error: unknown, verbose: boolean, command = 'tram'): Failure {
  if (error instanceof Exit) return { code: error.code, text: '' };
  if (error instanceof Interrupted) return { code: error.code, text: `tram: ${oneLine(error.message)}` };
  if (error instanceof CommanderError) {
    return error.exitCode === 0 ? { code: 0, text: '' } : { code: 2, text: `tram: ${usageMessage(error, command)}` };
  }
  if (error instanceof LostDeviceError) return { code: 1, text: `tram: ${oneLine(error.message)}` };
  if (error instanceof UserError) return { code: 2, text: `tram: ${oneLine(error.message)}` };
  // The one thing that any call may meet: the folder in which the program was started has been removed.
  if ((error as { syscall?: unknown } | null)?.syscall === 'uv_cwd') {
    return { code: 2, text: 'tram: the current folder does not exist any more; change to another one' };
  }
  const { message, stack } = error instanceof Error ? error : { message: String(error), stack: undefined };
  const advice = verbose
    ? 'please report this with the lines below'
    : 'please report this with the output of --verbose';
  const text = `tram: internal error: ${oneLine(message).replace(/^internal: /, '')}; ${advice}`;
  return { code: 1, text: verbose && stack ? `${text}\n${stack}` : text };
}

/** Why the output could not be written. */
export function outputFailure(error: unknown): string {
  return oneLine(fileError('write', 'the output', error).message);
}

/** "unknown option '--epoch' (did you mean --epochs?)". */
function usageMessage({ message }: CommanderError, command: string): string {
  const text = oneLine(message.replace(/^error: /, ''))
    .replace('(Did you mean', '(did you mean')
    .replace(/\.$/, '');
  return `${text}; see ${command} --help`;
}
