// What the rest of the program knows of Yosys: a tool that runs one script over named files and gives back files and a
// log.
// Invariant: files live in one flat folder of the tool's own; their names are chosen by this program, never by a user.

import { UserError } from '../../tensor/errors.ts';

/** File name → text; names are plain: letters, digits, dots and dashes. */
export type Files = Readonly<Record<string, string>>;

export interface YosysRun {
  readonly ok: boolean;
  /** The files asked for that the run wrote. */
  readonly files: Files;
  /** Everything Yosys and ABC printed. */
  readonly log: string;
}

export interface YosysRequest {
  readonly script: string;
  readonly files: Files;
  /** The files to give back. */
  readonly outputs: readonly string[];
  /** Gives up after so many milliseconds (default: 5 minutes). */
  readonly timeoutMs?: number;
}

export interface Yosys {
  /** Nothing outside of the request can be read or written, whatever its files hold. */
  readonly sandboxed: boolean;
  /**
   * Resolves for a run that Yosys ended with an error too (`ok` false). Throws a UserError if Yosys cannot run at all
   * or in time.
   */
  run(request: YosysRequest): Promise<YosysRun>;
  /** For example `Yosys 0.55+3 (git sha1 …)`. */
  version(): Promise<string>;
  /** Ends its worker or processes; runs in progress fail. */
  close(): Promise<void>;
}

export const DEFAULT_TIMEOUT_MS = 300_000;

/** The files of a run that must have succeeded; throws a UserError with Yosys' own message. */
export async function mustRun(yosys: Yosys, what: string, request: YosysRequest): Promise<YosysRun> {
  const run = await yosys.run(request);
  const missing = request.outputs.find((name) => !(name in run.files));
  if (!run.ok || missing !== undefined) throw new UserError(`${what}: ${yosysMessage(run.log)}`);
  return run;
}

/** Yosys' own error message, on one line. */
export function yosysMessage(log: string): string {
  const lines = log.split('\n');
  const start = lines.findLastIndex((line) => /\bERROR: /.test(line));
  if (start < 0) {
    const last = lines.findLast((line) => line.trim() !== '')?.trim();
    return `Yosys stopped without an error message${last ? ` after "${last.slice(0, 200)}"` : ''}`;
  }
  const message = lines[start]!.trim().replace(/ERROR: /, '');
  const cause = /check -assert/.test(message)
    ? lines.find((line) => line.startsWith('Warning: '))?.slice(9)
    : undefined;
  return `Yosys says: ${(cause ? `${cause.trim()} (${message})` : message).slice(0, 500)}`;
}
