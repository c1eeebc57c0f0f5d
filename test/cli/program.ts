// Runs `tram` in this process, on arguments, with its output and exit code as values.

import { runProgram } from '../../src/cli/program.ts';
import { realServices } from '../../src/cli/services.ts';

export async function tram(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await runProgram(args, {
    ...realServices,
    stdout: { write: (text) => out.push(text) },
    stderr: { write: (text) => err.push(text) },
  });
  return { code, out: out.join(''), err: err.join('') };
}
