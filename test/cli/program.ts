// Runs `tram` in this process, on arguments, with its output and exit code as values. The flow runs in this thread:
// another one would need the built program.

import { runProgram } from '../../src/cli/program.ts';

export async function tram(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const out: string[] = [];
  const err: string[] = [];
  const code = await runProgram(args, {
    loadFlow: async () => ({
      runFlow: (await import('../../src/flow/flow.ts')).runFlow,
      evaluateRun: (await import('../../src/flow/results/evaluate.ts')).evaluateRun,
    }),
    stdout: { write: (text) => out.push(text) },
    stderr: { write: (text) => err.push(text) },
  });
  return { code, out: out.join(''), err: err.join('') };
}
