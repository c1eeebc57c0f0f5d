// `tram compare`: runs side by side, as a table and as accuracy over power.

import { type Command, Option } from 'commander';
import type { ComparedRun } from '../../flow/results/compare.ts';
import { nonEmpty } from '../../flow/settings/values.ts';
import { writeFileAtomic } from '../../tensor/files.ts';
import { wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { styleFor, textWidth } from '../style.ts';
import { tellNotes } from '../workbench.ts';

const AFTER = `
Reads the manifests of the run folders; computes nothing anew. A folder of tram try among them is left out. Two measures, each in its own column: power is the analytic model of θ, at the
end of the exploration; gate cost counts the gates of the netlist, at the end of the run. Both are relative to an exact 8×8 multiplier, and those of the approximated layers alone:
which share of the multiplications these have is said where it is not all.
--figure draws accuracy over the measure that most of the runs have (gate cost at a tie) and names it on its axis; the exact multiplier in it
is that of the best quantised network among the runs. --json prints one array: label, folder, data, model, widths, approximateShare, lambda, stages, and for each
run the last stage with a power and with a gateCost, and errors of its multipliers.

Examples:
  tram compare runs/a runs/b
  tram compare runs/* --figure pareto.svg
`;

export function defineCompare(command: Command, services: Services): void {
  const run = nonEmpty('RUNS', 'run folders');
  command
    .description('Compares runs: accuracy at every stage, power and gate cost, errors, and a Pareto picture of them.')
    .argument('<RUNS...>', 'run folders', (text: string, all: readonly string[] = []) => [...all, run(text)])
    .addOption(
      new Option('--figure <FILE>', 'write accuracy over power or gate cost as SVG')
        .argParser(nonEmpty('--figure', 'the path of an SVG file'))
        .helpGroup('Output:'),
    )
    .addOption(new Option('--json', 'print one JSON array').helpGroup('Output:'))
    .addHelpText('after', AFTER)
    .action((folders: readonly string[]) => compare(folders, command, services));
}

async function compare(given: readonly string[], command: Command, { stdout, stderr }: Services): Promise<void> {
  const { figure, json } = command.opts<{ figure?: string; json?: boolean }>();
  const { compareRuns } = await import('../../flow/results/compare.ts');
  const { isTryFolder } = await import('../../flow/try/folder.ts');
  const { comparisonText } = await import('../tables.ts');
  // A try lies beside its run, where a pattern such as runs/* finds both.
  const tries = given.length > 1 ? given.filter(isTryFolder) : [];
  const folders = given.filter((folder) => !tries.includes(folder));
  tellNotes(
    stderr,
    tries.map((folder) => `${folder} holds what tram try found, not a run: left out`),
  );
  const runs = compareRuns(folders);
  const picture = figure === undefined ? undefined : await pictureOf(runs);
  if (figure !== undefined && picture) writeFileAtomic(figure, picture.svg);
  if (json) return void stdout.write(`${JSON.stringify(runs)}\n`);
  stdout.write(`${comparisonText(runs, styleFor(stdout, wantsColor(command)), textWidth(stdout))}\n`);
  if (!picture) return;
  const { measure, missing } = picture;
  const without =
    missing.length === 0 ? '' : `; without ${missing.join(', ')}, which ${missing.length > 1 ? 'have' : 'has'} none`;
  stdout.write(`\naccuracy over ${axes[measure]}: ${figure}${without}\n`);
}

async function pictureOf(runs: readonly ComparedRun[]) {
  const { comparedPicture } = await import('../../flow/results/pareto.ts');
  return comparedPicture(runs);
}

const axes = { power: 'analytic power of θ', gateCost: 'gate cost' } as const;
