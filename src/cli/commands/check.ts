// `tram check`: whether a run folder is as it was written and holds what it claims. Exit code 0: whole; 1: something is
// wrong, named.

import { type Command, Option } from 'commander';
import type { CheckResult } from '../../flow/results/check.ts';
import { commandOf } from '../../flow/settings/phases.ts';
import { nonEmpty } from '../../flow/settings/values.ts';
import { Exit } from '../failure.ts';
import { wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { grouped, type Style, styleFor } from '../style.ts';

const AFTER = `
Compares every file that the run's phases wrote with its hash in the manifest, reads each as what it claims to be, proves the netlists
anew (BLIF ≡ Verilog ≡ .npy ≡ text, over all operand pairs), and checks that the log of the epochs is whole. Writes nothing.

Exit code: 0 the run is whole; 1 a file is missing, differs, or does not hold what it should; 2 there is no run, or a mistake in the arguments.

--json prints one object: folder, whole, faults (path, kind, detail, phase), extra (files that no phase wrote; no fault), files, multipliers
(name, forms, pairs), epochs and donePhases.

Examples:
  tram check runs/mine
  tram check runs/mine --json
`;

export function defineCheck(command: Command, services: Services): void {
  command
    .description('Verifies a whole run folder: its files against their hashes, its netlists by proving them anew.')
    .argument('<RUN>', 'run folder', nonEmpty('RUN', 'a run folder'))
    .addOption(new Option('--json', 'print one JSON object').helpGroup('Output:'))
    .addHelpText('after', AFTER)
    .action((folder: string) => check(folder, command, services));
}

async function check(folder: string, command: Command, { stdout }: Services): Promise<void> {
  const { checkRun } = await import('../../flow/results/check.ts');
  const result = checkRun(folder);
  const { json } = command.opts<{ json?: boolean }>();
  const style = styleFor(stdout, wantsColor(command));
  stdout.write(`${json ? JSON.stringify(result) : checkText(result, style)}\n`);
  if (!result.whole) throw new Exit(1);
}

/** Lines without a final newline. */
export function checkText(result: CheckResult, style: Style): string {
  const { folder, faults, extra, files, multipliers, epochs, donePhases, whole } = result;
  const lines = faults.map(({ path, detail }) => `${style.red('wrong:')} ${path} ${detail}`);
  if (extra.length > 0) lines.push(`${style.dim('not of this run:')} ${extra.join(', ')}`);
  for (const { name, forms, pairs } of multipliers) {
    lines.push(`${style.green('proved:')} ${name}: ${forms.join(' ≡ ')} over ${grouped(pairs)} operand pairs`);
  }
  if (!whole) {
    const count = faults.length === 1 ? '1 fault' : `${faults.length} faults`;
    const from = faults.find(({ phase }) => phase !== undefined)?.phase;
    const redo = from === undefined ? '' : `, or tram ${commandOf(from)} ${folder} --redo makes it anew from there`;
    return [...lines, `${style.red('not whole:')} ${folder}, ${count}; restore what the run wrote${redo}`].join('\n');
  }
  const done = donePhases.length === 0 ? 'no phase is done yet' : `done: ${donePhases.join(', ')}`;
  return [
    ...lines,
    `${style.green('whole:')} ${folder}, ${files} files as they were written, ${epochs} epochs logged; ${done}`,
  ].join('\n');
}
