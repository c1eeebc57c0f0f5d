// Results as text. The end of a run: the stages with accuracy, loss, power and gate cost, the multipliers with their
// error metrics and proof (a row per layer where each has its own), the files, and the last word. And several runs side
// by side.

import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import type { ComparedRun } from '../flow/results/compare.ts';
import type { ComparedGroup, Judged } from '../flow/results/compared-front.ts';
import { kindNames, type RunFront, rivalName } from '../flow/results/rivals.ts';
import {
  describeExactLayers,
  gateCostNote,
  type MultiplierSummary,
  measuresNote,
  powerModelTitles,
  proofOf,
  type RunFile,
  type RunSummary,
  widthsText,
} from '../flow/results/summary.ts';
import { type ThetaOf, thetaCell, thetaCellNote, thetaLines } from '../flow/results/theta-text.ts';
import { type Stage, stageTitles } from '../flow/run/stages.ts';
import { cellsTitle, front, type PowerKind } from '../report/front.ts';
import { fixed, grouped, percent, type Style, shellWord, significant, wrapped } from './style.ts';

/** Lines without a final newline; prose is wrapped to `width` columns. */
export function summaryText(summary: RunSummary, style: Style, width = Number.POSITIVE_INFINITY): string {
  const { data, model, seed, exactLayers, files, multipliers, options } = summary;
  const changed = options.length === 0 ? '' : `\n${style.dim(`options: ${options.map(shellWord).join(' ')}`)}`;
  const sections = [`${style.bold(`${model} on ${data}`)}, ${widthsText(summary)}, seed ${seed}${changed}`];
  if (summary.stages.length > 0) sections.push(stagesTable(summary, style, width));
  if (exactLayers.length > 0 || summary.products.length > 0) {
    sections.push(wrapped(describeExactLayers(summary), width));
  }
  if (summary.types) sections.push(typesTable(summary.types, style, width));
  if (multipliers.length > 1) sections.push(layersTable(summary, style, width));
  else if (multipliers.length > 0) sections.push(errorTable(multipliers, summary.thetaOf, style, width));
  if (summary.front) sections.push(rivalsTable(summary.front, style, width));
  if (files.length > 0) sections.push(runFilesText(files, style));
  if (summary.stages.length > 0) sections.push(wrapped(summary.verdict, width));
  return sections.join('\n\n');
}

const cost = (value: number | null | undefined) => (value === undefined || value === null ? '–' : fixed(value, 4));

function stagesTable({ stages, powerModel }: RunSummary, style: Style, width: number): string {
  const heads = ['stage', 'accuracy', 'loss', 'power', 'gate cost'];
  const table = plainTable(heads, style, ['left', ...heads.slice(1).map(() => 'right' as const)]);
  for (const { stage, accuracy, loss, power, gateCost } of stages) {
    table.push([stageTitles[stage], percent(accuracy), fixed(loss, 4), cost(power), cost(gateCost)]);
  }
  return `${tableText(table)}\n${style.dim(wrapped(measuresNote(powerModel), width))}`;
}

/** What any number of multipliers costs. */
function typesTable({ table: rows, images }: NonNullable<RunSummary['types']>, style: Style, width: number): string {
  const heads = ['multipliers', 'accuracy', 'loss', 'power'];
  const table = plainTable(
    heads,
    style,
    heads.map(() => 'right' as const),
  );
  for (const { types, accuracy, loss, power } of rows) {
    table.push([`${types}`, percent(accuracy), fixed(loss, 4), fixed(power, 4)]);
  }
  const note = `multipliers for all layers together, with the network as it was when they were put together, on ${images} training images`;
  return `${tableText(table)}\n${style.dim(wrapped(note, width))}`;
}

/** The run's multiplier among exact ones, by falling power, with a mark at those that nothing dominates. */
function rivalsTable({ kind, library, own, rivals }: RunFront, style: Style, width: number): string {
  const points = [own, ...rivals].toSorted((a, b) => b.power - a.power);
  const best = new Set(front(points));
  const table = plainTable(['multiplier', 'accuracy', kindNames[kind], ''], style, ['left', 'right', 'right', 'left']);
  for (const point of points) {
    const name = point === own ? style.bold('this run') : rivalName(point).replace(/^an |,$/g, '');
    table.push([name, percent(point.accuracy), fixed(point.power, 4), best.has(point) ? '●' : '']);
  }
  const cells = library === undefined ? '' : ` in ${library}`;
  const note = `${kindNames[kind]}${cells}, 1 = the exact 8×8; ●: nothing here is cheaper and as accurate`;
  return `${tableText(table)}\n${style.dim(wrapped(note, width))}`;
}

type MultiplierRow = Pick<MultiplierSummary, 'name' | 'theta' | 'thetaOf' | 'metrics' | 'gateCost' | 'certificate'>;

/** Error metrics, gate cost and proof of multipliers. */
export function errorTable(
  multipliers: readonly MultiplierRow[],
  of: ThetaOf,
  style: Style,
  width = Number.POSITIVE_INFINITY,
): string {
  const heads = ['multiplier', 'ER', 'NMED', 'MED', 'MSE', 'MaxED', 'mean', 'gates'];
  const table = plainTable(heads, style, ['left', ...heads.slice(1).map(() => 'right' as const)]);
  for (const { name, metrics, gateCost } of multipliers) {
    table.push([
      name,
      percent(metrics.errorRate, 1),
      percent(metrics.normalizedMeanErrorDistance, 3),
      significant(metrics.meanErrorDistance),
      significant(metrics.meanSquareError),
      grouped(metrics.maxErrorDistance),
      significant(metrics.meanError),
      cost(gateCost),
    ]);
  }
  const lines = [tableText(table)];
  const [only] = multipliers;
  if (only && multipliers.length === 1) lines.push(...thetaLines(only.theta, only.thetaOf ?? of));
  lines.push(style.dim(wrapped('errors over all operand pairs; gates: gate cost, 1 = the cheapest exact 8×8', width)));
  lines.push(proofLine(multipliers, style));
  return lines.join('\n');
}

/** What was proved of them, and of which there was nothing to compare. */
function proofLine(multipliers: readonly MultiplierRow[], style: Style): string {
  const different = new Map(multipliers.map(({ certificate }) => proofOf(certificate)).map((one) => [one.text, one]));
  const each = multipliers.length > 1 ? ' each' : '';
  const lines = [...different.values()].map(({ text, proved }) =>
    proved ? `${style.green('proved:')} ${text}${each}` : `not compared: ${text}${each}`,
  );
  return lines.join('\n');
}

/** A row per layer: what share of the work it has, and what it multiplies with. */
function layersTable({ layers, multipliers, thetaOf }: RunSummary, style: Style, width: number): string {
  const rows = layers.map((layer) => ({ ...layer, own: multipliers.find(({ name }) => name === layer.multiplier) }));
  type Row = (typeof rows)[number];
  const several = new Set(rows.map(({ weightBits, activationBits }) => `${weightBits}×${activationBits}`)).size > 1;
  const error = (
    head: string,
    rank: number,
    of: (metrics: MultiplierSummary['metrics']) => string,
  ): RankedColumn<Row> => ({
    ...{ head, rank },
    of: ({ own }) => (own ? of(own.metrics) : '–'),
  });
  const columns: readonly RankedColumn<Row>[] = [
    { head: 'layer', rank: 0, left: true, of: ({ name }) => name },
    { head: 'MACs', rank: 5, of: ({ macs }) => grouped(macs) },
    { head: 'share', rank: 1, of: ({ share }) => percent(share, 1) },
    ...(several
      ? [{ head: 'bits', rank: 0, of: ({ weightBits, activationBits }: Row) => `${weightBits}×${activationBits}` }]
      : []),
    { head: 'gates', rank: 0, of: ({ own }) => (own ? cost(own.gateCost) : 'exact') },
    { head: 'of all', rank: 3, of: ({ gateShare }) => (gateShare === undefined ? '–' : percent(gateShare, 1)) },
    { head: 'θ', rank: 1, left: true, of: ({ own }) => (own ? thetaCell(own.theta, own.thetaOf ?? thetaOf) : '') },
    error('ER', 4, ({ errorRate }) => percent(errorRate, 1)),
    error('NMED', 0, ({ normalizedMeanErrorDistance }) => percent(normalizedMeanErrorDistance, 3)),
    error('MaxED', 2, ({ maxErrorDistance }) => grouped(maxErrorDistance)),
    error('mean', 6, ({ meanError }) => significant(meanError, 3)),
  ];
  const note = `MACs per image; gates: gate cost, 1 = the cheapest exact 8×8, and the layer's share of all gates at work; ${thetaCellNote(thetaOf)}; errors over all operand pairs`;
  return [
    fittingTable(rows, columns, style, width),
    style.dim(wrapped(note, width)),
    proofLine(multipliers, style),
  ].join('\n');
}

/** A line per kind of file; files of the same kind share one, with a star for what differs. */
function runFilesText(files: readonly RunFile[], style: Style): string {
  const kinds = new Map<string, string[]>();
  for (const { group, title, path } of files) {
    const kind = group === 'multiplier' ? `multiplier, ${title}` : title;
    kinds.set(kind, [...(kinds.get(kind) ?? []), path]);
  }
  const width = Math.max(...[...kinds.keys()].map((title) => title.length));
  const lines = [...kinds].map(([title, paths]) => {
    const count = paths.length > 1 ? ` (${paths.length} files)` : '';
    return `  ${title.padEnd(width)}  ${commonPattern(paths)}${count}`;
  });
  return [style.bold('files'), ...lines].join('\n');
}

/** The paths' common beginning and end with a star between; a single path is itself. */
function commonPattern(paths: readonly [string, ...string[]] | readonly string[]): string {
  const [first = '', ...others] = paths;
  if (others.length === 0) return first;
  const shared = (same: (length: number) => boolean) => {
    let length = 0;
    while (length < first.length && same(length + 1)) length++;
    return length;
  };
  const start = shared((length) => others.every((path) => path.startsWith(first.slice(0, length))));
  const end = shared((length) => others.every((path) => path.endsWith(first.slice(first.length - length))));
  return `${first.slice(0, start)}*${first.slice(first.length - end)}`;
}

const comparedStages: readonly Stage[] = ['float', 'quantized', 'explored', 'mapped', 'recovered'];

/**
 * One line per run: accuracy at every stage and a column for each kind of power, with a mark at those that nothing
 * dominates; means over seeds; what dominates the others; then the errors. Without a final newline.
 */
export function comparisonText(
  runs: readonly ComparedRun[],
  style: Style,
  width = Number.POSITIVE_INFINITY,
  drawn?: { readonly kind: PowerKind; readonly judged: readonly Judged[]; readonly groups: readonly ComparedGroup[] },
): string {
  const same = (of: (run: ComparedRun) => string) => (new Set(runs.map(of)).size === 1 ? of(runs[0]!) : undefined);
  const facts = [
    { head: 'data', of: ({ data }: ComparedRun) => data },
    { head: 'model', of: ({ model }: ComparedRun) => model },
    {
      head: 'bits',
      of: ({ hasOwnWidths, weightBits, activationBits }: ComparedRun) =>
        hasOwnWidths ? 'by layer' : `w${weightBits}a${activationBits}`,
    },
    { head: 'images', of: ({ trainImages, testImages }: ComparedRun) => `${trainImages} + ${testImages}` },
  ].map((fact) => ({ ...fact, same: same(fact.of) }));
  const differing = facts.filter((fact) => fact.same === undefined);
  const [data, model, bits] = facts.map((fact) => fact.same);
  const title = [model && data ? `${model} on ${data}` : (model ?? data), bits].filter((text) => text !== undefined);
  const shown = comparedStages.filter((name) => runs.some(({ stages }) => stages.some(({ stage }) => stage === name)));
  const isSynthesised = runs.some(({ synthesised }) => synthesised);
  const heads = [
    ...['run', ...differing.map(({ head }) => head), ...shown, 'modelled', 'gate cost'],
    ...(isSynthesised ? ['synthesised'] : []),
  ];
  const best = new Set(drawn?.judged.flatMap(({ point, by }) => (by ? [] : point.runs)));
  const marked = (run: ComparedRun, kind: PowerKind, value: number | null | undefined) =>
    drawn?.kind !== kind ? cost(value) : `${best.has(run) ? '● ' : ''}${cost(value)}`;
  const left = 1 + differing.length;
  const table = plainTable(
    heads,
    style,
    heads.map((_, at) => (at < left ? 'left' : 'right')),
  );
  for (const run of runs) {
    const accuracies = shown.map((name) => run.stages.find(({ stage }) => stage === name)?.accuracy);
    table.push([
      run.label,
      ...differing.map(({ of }) => of(run)),
      ...accuracies.map((accuracy) => (accuracy === undefined ? '–' : percent(accuracy))),
      marked(run, 'modelled', run.power?.power),
      marked(run, 'gates', run.gateCost?.gateCost),
      ...(isSynthesised ? [marked(run, 'synthesised', run.synthesised?.power)] : []),
    ]);
  }
  const unfinished = runs.flatMap(({ label, gateCost, stages }) =>
    gateCost && gateCost.stage !== 'recovered'
      ? [`${label}: not recovered yet (${stageTitles[stages.at(-1)!.stage]})`]
      : [],
  );
  const sections = [
    ...(title.length > 0 ? [style.bold(title.join(', '))] : []),
    [tableText(table), ...unfinished, style.dim(wrapped(kindsNote(runs, drawn?.kind), width))].join('\n'),
    ...(drawn ? [seedsText(drawn.groups, drawn.kind, style), wrapped(frontText(drawn), width)] : []).filter(Boolean),
    ...[...tasksApart(runs), ...comparedShares(runs)].map((text) => wrapped(text, width)),
    ...comparedErrors(runs, style, width),
  ];
  return sections.join('\n\n');
}

/** What modelled power is by; where runs have several models, which have which. */
function modelledNote(runs: readonly ComparedRun[]): string {
  const models = [...new Set(runs.flatMap(({ power, powerModel }) => (power ? [powerModel] : [])))];
  const named = models.map((model) => {
    const those = runs.filter(({ power, powerModel }) => power && powerModel === model).map(({ label }) => label);
    return models.length > 1 ? `${powerModelTitles[model]} (${those.join(', ')})` : powerModelTitles[model];
  });
  const apart = models.length > 1 ? '; powers by different models are not compared' : '';
  return `modelled: ${named.join(', ') || 'power of θ'}, 1 = the exact 8×8 array${apart}`;
}

/** What the columns of power are, and the mark. */
function kindsNote(runs: readonly ComparedRun[], kind: PowerKind | undefined): string {
  const libraries = [...new Set(runs.flatMap(({ synthesised }) => synthesised?.library ?? []))];
  const synthesised =
    libraries.length === 0
      ? []
      : [`synthesised: power in ${libraries.map(cellsTitle).join(', ')}, 1 = the exact 8×8 array`];
  const apart = new Set(runs.map(({ task }) => task)).size > 1 ? ' comparable' : ' here';
  const mark = kind === undefined ? [] : [`●: nothing${apart} is cheaper (${kindNames[kind]}) and as accurate`];
  return [modelledNote(runs), gateCostNote, ...synthesised, ...mark].join('; ');
}

/** Means with 95 % intervals of runs that differ in their seed alone; empty where there are none. */
function seedsText(groups: readonly ComparedGroup[], kind: PowerKind, style: Style): string {
  const several = groups.filter(({ accuracy }) => accuracy && accuracy.n > 1);
  if (several.length === 0) return '';
  const table = plainTable(['over seeds', 'n', 'accuracy', kindNames[kind]], style, [
    'left',
    'right',
    'right',
    'right',
  ]);
  for (const { label, accuracy, power } of several) {
    table.push([
      label,
      String(accuracy!.n),
      `${percent(accuracy!.mean)} ± ${(100 * accuracy!.spread).toFixed(2)}`,
      `${fixed(power!.mean, 4)} ± ${power!.spread.toFixed(4)}`,
    ]);
  }
  return `${tableText(table)}\n${style.dim('mean and 95 % interval (Student’s t) of runs that differ in their seed alone')}`;
}

/** What is better than a run, or that nothing is. */
function frontText({ kind, judged }: { readonly kind: PowerKind; readonly judged: readonly Judged[] }): string {
  return judged
    .flatMap(({ point, by }) => {
      if (!by) return [];
      const own = `${percent(point.accuracy)} at ${fixed(point.power, 3)}`;
      // A run has a name of its own, whatever it multiplies with.
      const name = judged.some((one) => one.point === by) ? by.label : rivalName(by);
      return [
        `${point.label} (${own}) is dominated: ${name} has ${percent(by.accuracy)} at ${kindNames[kind]} ${fixed(by.power, 3)}.`,
      ];
    })
    .join('\n');
}

/** Which runs' accuracies are of the same thing, where not all are. */
function tasksApart(runs: readonly ComparedRun[]): string[] {
  const tasks = [...new Set(runs.map(({ task }) => task))];
  if (tasks.length === 1) return [];
  const parts = tasks.map((task) => runs.flatMap((run) => (run.task === task ? [run.label] : [])).join(', '));
  return [
    `not comparable, for their images, networks or approximated layers are not the same, and judged apart: ${parts.join(' | ')}`,
  ];
}

/** What the costs are those of, where exact layers are left out of them. */
function comparedShares(runs: readonly ComparedRun[]): string[] {
  if (runs.every(({ approximateShare }) => approximateShare === 1)) return [];
  const labels = new Map<string, string[]>();
  for (const { label, approximateShare } of runs) {
    const share = percent(approximateShare);
    labels.set(share, [...(labels.get(share) ?? []), label]);
  }
  const parts = [...labels].map(([share, those]) => {
    const named = labels.size === 1 ? '' : ` in ${those.join(', ')}`;
    return `${share} of the multiplications${named}`;
  });
  const unlike = labels.size === 1 ? '' : ': costs of different parts of the network';
  return [`power and gate cost are those of ${parts.join(', ')}${unlike}`];
}

function comparedErrors(runs: readonly ComparedRun[], style: Style, width: number): string[] {
  if (runs.every(({ errors }) => errors === undefined)) return [];
  const heads = ['run', 'multipliers', 'ER', 'NMED', 'MaxED', 'mean error'];
  const table = plainTable(
    heads,
    style,
    heads.map((_, at) => (at === 0 ? 'left' : 'right')),
  );
  for (const { label, errors } of runs) {
    if (!errors) continue;
    table.push([
      label,
      String(errors.multipliers),
      percent(errors.errorRate, 1),
      percent(errors.normalizedMeanErrorDistance, 3),
      grouped(errors.maxErrorDistance),
      significant(errors.meanError),
    ]);
  }
  const several = runs.some(({ errors }) => errors && errors.multipliers > 1);
  const note = `errors over all operand pairs${several ? '; of several multipliers the mean over their multiplications, and the largest MaxED' : ''}`;
  return [`${tableText(table)}\n${style.dim(wrapped(note, width))}`];
}

export interface RankedColumn<Row> {
  readonly head: string;
  readonly of: (row: Row) => string;
  /** Of columns for which there is no room the one with the largest rank goes first; those of rank 0 stay. */
  readonly rank: number;
  /** Texts stand at the left, numbers at the right. */
  readonly left?: boolean;
}

/** A table without the columns that a narrow terminal has no room for. */
export function fittingTable<Row>(
  rows: readonly Row[],
  columns: readonly RankedColumn<Row>[],
  style: Style,
  width: number,
): string {
  const widthOf = ({ head, of }: RankedColumn<Row>) =>
    Math.max(head.length, ...rows.map((row) => stripVTControlCharacters(of(row)).length)) + 2;
  let shown = [...columns];
  while (shown.reduce((sum, column) => sum + widthOf(column), 0) > width && shown.some(({ rank }) => rank > 0)) {
    const least = shown.reduce((worst, column) => (column.rank > worst.rank ? column : worst));
    shown = shown.filter((column) => column !== least);
  }
  const table = plainTable(
    shown.map(({ head }) => head),
    style,
    shown.map(({ left = false }) => (left ? 'left' : 'right')),
  );
  for (const row of rows) table.push(shown.map(({ of }) => of(row)));
  return tableText(table);
}

/** A table with nothing but a rule under its heads. */
export function plainTable(heads: readonly string[], style: Style, aligns: readonly ('left' | 'right')[]): Table.Table {
  const none = {
    top: '',
    'top-mid': '',
    'top-left': '',
    'top-right': '',
    bottom: '',
    'bottom-mid': '',
    'bottom-left': '',
  };
  return new Table({
    head: heads.map((head) => style.bold(head)),
    colAligns: [...aligns],
    chars: {
      ...none,
      'bottom-right': '',
      left: '',
      right: '',
      middle: ' ',
      'left-mid': '',
      'right-mid': '',
      mid: '─',
      'mid-mid': '─',
    },
    style: { head: [], border: [], compact: true, 'padding-left': 0, 'padding-right': 1 },
  });
}

/** Without blanks at the ends of lines. */
export function tableText(table: Table.Table): string {
  return table.toString().replace(/ +$/gm, '');
}
