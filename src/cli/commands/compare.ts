// `tram compare`: runs side by side, as a table and as accuracy over power.

import { type Command, Option } from 'commander';
import type { ComparedRun, Measure } from '../../flow/results/compare.ts';
import { nonEmpty } from '../../flow/settings/values.ts';
import { exactPower } from '../../multiplier/power.ts';
import { cheapestExact } from '../../netlist/exact-cost.ts';
import type { ParetoPoint } from '../../report/pareto.ts';
import { wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { styleFor, textWidth } from '../style.ts';
import { tellNotes } from '../workbench.ts';

const AFTER = `
Reads the manifests of the run folders; computes nothing anew. A folder of tram try among them is left out. Two measures, each in its own column: power is the analytic model of θ, at the
end of the exploration; gate cost counts the gates of the netlist, at the end of the run. Both are relative to an exact 8×8 multiplier.
--figure draws accuracy over the measure that most of the runs have (gate cost at a tie) and names it on its axis; the exact multiplier in it
is that of the best quantised network among the runs. --json prints one array: label, folder, data, model, widths, lambda, stages, and for each
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
  const { comparedAxis, comparisonText } = await import('../tables.ts');
  // A try lies beside its run, where a pattern such as runs/* finds both.
  const tries = given.length > 1 ? given.filter(isTryFolder) : [];
  const folders = given.filter((folder) => !tries.includes(folder));
  tellNotes(
    stderr,
    tries.map((folder) => `${folder} holds what tram try found, not a run: left out`),
  );
  const runs = compareRuns(folders);
  const axis = comparedAxis(runs);
  if (figure !== undefined) {
    const { paretoSvg } = await import('../../report/pareto.ts');
    const { writeFileAtomic } = await import('../../tensor/files.ts');
    writeFileAtomic(figure, await paretoSvg(pointsOf(runs, axis.measure), axisTitles[axis.measure]));
  }
  if (json) return void stdout.write(`${JSON.stringify(runs)}\n`);
  stdout.write(`${comparisonText(runs, styleFor(stdout, wantsColor(command)), textWidth(stdout))}\n`);
  if (figure === undefined) return;
  const missing =
    axis.missing.length === 0
      ? ''
      : `; without ${axis.missing.join(', ')}, which ${axis.missing.length > 1 ? 'have' : 'has'} none`;
  stdout.write(`\naccuracy over ${axis.title}: ${figure}${missing}\n`);
}

const axisTitles: Record<Measure, string> = {
  power: 'Power, analytic model of θ (exact 8×8 array = 1)',
  gateCost: 'Gate cost of the netlist (cheapest exact 8×8 multiplier = 1)',
};

/** Points on one axis; the exact multiplier stands where its widths place it. */
function pointsOf(runs: readonly ComparedRun[], measure: Measure): ParetoPoint[] {
  const widths = (run: ComparedRun) => `${run.weightBits}×${run.activationBits}`;
  const exact = new Map<string, ParetoPoint>();
  for (const run of runs) {
    const quantized = run.stages.find(({ stage }) => stage === 'quantized');
    const before = exact.get(widths(run));
    if (!quantized || (before && before.accuracy >= quantized.accuracy)) continue;
    const { weightBits, activationBits } = run;
    const power =
      measure === 'power' ? exactPower(weightBits, activationBits) : cheapestExact(weightBits, activationBits).gateCost;
    exact.set(widths(run), {
      label: `exact ${widths(run)}`,
      group: 'exact multiplier',
      accuracy: quantized.accuracy,
      power,
    });
  }
  const points = runs.flatMap((run) => {
    const result = run[measure];
    const power = measure === 'power' ? run.power?.power : run.gateCost?.gateCost;
    if (!result || power === undefined) return [];
    const group = run.multiplier === undefined ? 'trained structure' : 'given multiplier';
    return [{ label: run.label, group, accuracy: result.accuracy, power }];
  });
  return [...exact.values(), ...points];
}
