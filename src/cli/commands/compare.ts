// `tram compare`: runs side by side, as a table and as accuracy over power.

import { type Command, Option } from 'commander';
import type { ComparedRun } from '../../flow/results/compare.ts';
import { nonEmpty, oneOf } from '../../flow/settings/values.ts';
import { type FrontPoint, type PowerKind, powerKinds } from '../../report/front.ts';
import { UserError } from '../../tensor/errors.ts';
import { writeFileAtomic } from '../../tensor/files.ts';
import { given } from '../../tensor/given.ts';
import { describeOption } from '../facts.ts';
import { wantsColor } from '../options.ts';
import type { Services } from '../services.ts';
import { styleFor, textWidth } from '../style.ts';
import { addSynthesis, readSynthesis, synthesisOptions, tellNotes } from '../workbench.ts';

const AFTER = `
Reads the manifests of the run folders. A folder of tram try among them is left out. Power has three kinds, each in its own column and never on one axis with another:
modelled (by the run’s model of θ, at the end of the exploration; runs with different models are not judged by each other), gate cost (unit gates of the netlist, at the end of the run) and synthesised (in the cells of a library). All are relative to an exact 8×8
multiplier, whatever the widths, and are those of the approximated layers alone: which share of the multiplications these have is said where it is not all.

--by chooses the kind for the marks, the means and the picture; by default it is what most of the runs have. With --by synthesised, or an option of the synthesis,
the multipliers are synthesised now, some seconds each; results are kept in the user's cache, so that the next time is quick.

Runs are judged by each other where network, images (training and test) and approximated layers are the same; where not all are, the groups are told.

Beside the runs stand their rivals: the exact multiplier of each width that a run quantised to, and those of fewer bits that tram run --rivals measured. A dominated run is
told so, with what is as accurate and cheaper. Of runs that differ in their seed alone, mean and 95 % interval are told, and they are one point of the picture.

--json prints one array: label, folder, data, trainImages, testImages, model, seed, widths, approximateShare, lambda, stages, and for each run the last stage with a power and with a gateCost, synthesised
(library, power, and those of exact multipliers by width), rivals, dominatedBy (label, series, kind, power, accuracy; null on the front), over (accuracy, power: mean, spread, n), errors of its multipliers.

Examples:
  tram compare runs/a runs/b
  tram compare runs/* --figure front.svg
  tram compare runs/* --by synthesised --liberty simple.lib.gz invbuf.lib.gz
`;

export function defineCompare(command: Command, services: Services): void {
  const run = nonEmpty('RUNS', 'run folders');
  const by = describeOption({
    help: 'kind of power that the marks, the means and the picture are by',
    values: `one of ${powerKinds.join(', ')}`,
    default: 'what most of the runs have',
  });
  command
    .description(
      'Compares runs: accuracy at every stage, three kinds of power, errors, and the front with their rivals.',
    )
    .argument('<RUNS...>', 'run folders', (text: string, all: readonly string[] = []) => [...all, run(text)])
    .addOption(
      new Option('--figure <FILE>', 'write accuracy over power as SVG')
        .argParser(nonEmpty('--figure', 'the path of an SVG file'))
        .helpGroup('Output:'),
    )
    .addOption(new Option('--by <KIND>', by).argParser(oneOf('--by', powerKinds)).helpGroup('Output:'))
    .addOption(new Option('--json', 'print one JSON array').helpGroup('Output:'));
  addSynthesis(command, { objective: 'power' });
  command.addHelpText('after', AFTER).action((folders: readonly string[]) => compare(folders, command, services));
}

async function compare(named: readonly string[], command: Command, { stdout, stderr }: Services): Promise<void> {
  const { figure, by, json } = command.opts<{ figure?: string; by?: PowerKind; json?: boolean }>();
  const { commonKind, compareRuns, resultBy } = await import('../../flow/results/compare.ts');
  const { comparedGroups, comparedPicture, comparedPoints, judge } = await import(
    '../../flow/results/compared-front.ts'
  );
  const { isTryFolder } = await import('../../flow/try/folder.ts');
  const { comparisonText } = await import('../tables.ts');
  // A try lies beside its run, where a pattern such as runs/* finds both.
  const tries = named.length > 1 ? named.filter(isTryFolder) : [];
  const folders = named.filter((folder) => !tries.includes(folder));
  tellNotes(
    stderr,
    tries.map((folder) => `${folder} holds what tram try found, not a run: left out`),
  );
  const isAsked = by === 'synthesised' || (by === undefined && asksForSynthesis(command));
  const read = compareRuns(folders);
  const runs = isAsked ? await synthesised(read, command) : read;
  const kind = by ?? (isAsked ? 'synthesised' : commonKind(runs));
  const missing = runs.filter((run) => resultBy(run, kind) === undefined);
  if (missing.length === runs.length) {
    throw new UserError(`--by ${kind}: none of the runs has it; expected runs that are done, or another kind`);
  }
  const judged = judge(comparedPoints(runs, kind));
  const groups = comparedGroups(runs, kind);
  if (figure !== undefined) writeFileAtomic(figure, (await comparedPicture(runs, kind)).svg);
  if (json) {
    const reported = runs.map(({ task: _, settings: __, ...run }) => {
      const own = judged.find(({ point }) => point.runs.some(({ folder }) => folder === run.folder));
      const group = groups.find(({ runs: those }) => those.some(({ folder }) => folder === run.folder))!;
      const { accuracy, power } = group;
      return {
        ...run,
        ...given({
          dominatedBy: own && (own.by ? rivalOf(own.by) : null),
          over: accuracy && { kind, accuracy, power },
        }),
      };
    });
    return void stdout.write(`${JSON.stringify(reported)}\n`);
  }
  stdout.write(
    `${comparisonText(runs, styleFor(stdout, wantsColor(command)), textWidth(stdout), { kind, judged, groups })}\n`,
  );
  if (figure === undefined) return;
  const labels = missing.map(({ label }) => label);
  const without =
    labels.length === 0 ? '' : `; without ${labels.join(', ')}, which ${labels.length > 1 ? 'have' : 'has'} none`;
  stdout.write(`\naccuracy over ${axes[kind]}: ${figure}${without}\n`);
}

const rivalOf = ({ label, series, kind, power, accuracy }: FrontPoint) => ({ label, series, kind, power, accuracy });

const axes: Readonly<Record<PowerKind, string>> = {
  modelled: 'modelled power',
  gates: 'gate cost',
  synthesised: 'synthesised power',
};

const asksForSynthesis = (command: Command): boolean =>
  synthesisOptions.some((name) => command.getOptionValueSource(name) === 'cli');

async function synthesised(runs: readonly ComparedRun[], command: Command): Promise<readonly ComparedRun[]> {
  const { Technology } = await import('../../workbench/synthesised-power.ts');
  const { synthesizeRuns } = await import('../../flow/results/compare.ts');
  const technology = new Technology(await readSynthesis(command));
  try {
    return await synthesizeRuns(runs, technology);
  } finally {
    await technology.close();
  }
}
