// `tram compare`: runs side by side, as a table and as accuracy over power.

import { type Command, Option } from 'commander';
import type { ComparedRun } from '../../flow/compare.ts';
import type { ParetoPoint } from '../../report/pareto.ts';
import { wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { styleFor } from '../style.ts';
import { nonEmpty } from '../values.ts';

const AFTER = `
Reads the manifests of the run folders; computes nothing anew. A run counts with the last stage whose power is known, the recovered network
at the end. --figure draws accuracy over normalised power with the Pareto front; the exact multiplier is the best quantised network among the
runs. --json prints one array with label, folder, data, model, widths, lambda, stages and result of each run.

Examples:
  tram compare runs/a runs/b
  tram compare runs/lambda-* --figure pareto.svg
`;

export function defineCompare(command: Command, services: Services): void {
  const run = nonEmpty('RUNS', 'run folders');
  command
    .description('Compares runs: accuracy at every stage and power, and a Pareto picture of them.')
    .argument('<RUNS...>', 'run folders', (text: string, all: readonly string[] = []) => [...all, run(text)])
    .addOption(
      new Option('--figure <FILE>', 'write accuracy over power as SVG')
        .argParser(nonEmpty('--figure', 'the path of an SVG file'))
        .helpGroup('Output:'),
    )
    .addOption(new Option('--json', 'print one JSON array').helpGroup('Output:'))
    .addHelpText('after', AFTER)
    .action((folders: readonly string[]) => compare(folders, command, services));
}

async function compare(folders: readonly string[], command: Command, { stdout }: Services): Promise<void> {
  const { figure, json } = command.opts<{ figure?: string; json?: boolean }>();
  const { compareRuns } = await import('../../flow/compare.ts');
  const runs = compareRuns(folders);
  if (figure !== undefined) {
    const { paretoSvg } = await import('../../report/pareto.ts');
    const { writeFileAtomic } = await import('../../tensor/files.ts');
    writeFileAtomic(figure, await paretoSvg(pointsOf(runs)));
  }
  if (json) return void stdout.write(`${JSON.stringify(runs)}\n`);
  const { comparisonText } = await import('../tables.ts');
  stdout.write(`${comparisonText(runs, styleFor(stdout, wantsColor(command)))}\n`);
  if (figure !== undefined) stdout.write(`\naccuracy over power: ${figure}\n`);
}

function pointsOf(runs: readonly ComparedRun[]): ParetoPoint[] {
  const exact = runs
    .flatMap(({ stages }) => stages.filter(({ stage }) => stage === 'quantized'))
    .sort((a, b) => b.accuracy - a.accuracy)[0];
  return [
    ...(exact ? [{ label: 'exact', group: 'exact multiplier', accuracy: exact.accuracy, power: 1 }] : []),
    ...runs.map(({ label, multiplier, result: { accuracy, power } }) => ({
      label,
      group: multiplier === undefined ? 'trained structure' : 'given multiplier',
      accuracy,
      power,
    })),
  ];
}
