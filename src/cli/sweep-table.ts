// What a sweep came to as text: a row for each point, the front marked, and what is to be read from it.

import type { Answer, Spread, SweepPoint, SweepReport } from '../flow/sweep/front.ts';
import { cellsTitle, fewSeedsCaution } from '../report/front.ts';
import { fixed, percent, type Style, wrapped } from './style.ts';
import { fittingTable, type RankedColumn } from './tables.ts';

/** Lines without a final newline; prose is wrapped to `width` columns, and the table has those that fit. */
export function sweepText(report: SweepReport, style: Style, width = Number.POSITIVE_INFINITY): string {
  const { points, failed, open } = report;
  const sections: string[] = [];
  if (points.length > 0) sections.push(tableOf(report, style, width));
  const lost = [
    ...failed.map(({ name, state, reason }) => `  ${name} (${state}): ${reason}`),
    ...(open.length === 0 ? [] : [`  not done: ${open.length > 6 ? `${open.length} trials` : open.join(', ')}`]),
  ];
  if (lost.length > 0) sections.push([style.red('without a result:'), ...lost].join('\n'));
  sections.push(
    verdict(report)
      .split('\n')
      .map((line) => wrapped(line, width))
      .join('\n'),
  );
  if (points.length === 0) return sections.join('\n\n');
  sections.push(
    style.dim(
      legend(report)
        .map((line) => wrapped(line, width))
        .join('\n'),
    ),
  );
  return sections.join('\n\n');
}

const percentSpread = ({ mean, spread, n }: Spread): string =>
  n < 2 ? percent(mean) : `${percent(mean).replace(' %', '')} ± ${(100 * spread).toFixed(2)} %`;

const costSpread = (spread: Spread | null): string => {
  if (!spread) return '–';
  return spread.spread === 0 ? fixed(spread.mean, 3) : `${fixed(spread.mean, 3)} ± ${fixed(spread.spread, 3)}`;
};

function tableOf({ points, kind }: SweepReport, style: Style, width: number): string {
  const several = (of: (point: SweepPoint) => string) => new Set(points.map(of)).size > 1;
  const columns: RankedColumn<SweepPoint>[] = [
    { head: '', rank: 0, left: true, of: ({ isOnFront }) => (isOnFront ? style.green('●') : '') },
    { head: 'point', rank: 0, left: true, of: ({ name }) => name },
    ...(several(({ model }) => model)
      ? [{ head: 'model', rank: 2, left: true, of: ({ model }: SweepPoint) => model }]
      : []),
    ...(several(({ approximateShare }) => String(approximateShare))
      ? [{ head: 'share', rank: 2, of: ({ approximateShare }: SweepPoint) => percent(approximateShare, 1) }]
      : []),
    {
      head: 'bits',
      rank: 1,
      of: ({ isByLayer, weightBits, activationBits }) => (isByLayer ? 'by layer' : `${weightBits}×${activationBits}`),
    },
    { head: 'modelled', rank: 3, of: ({ power }) => costSpread(power.modelled) },
    { head: 'gates', rank: kind === 'gates' ? 0 : 5, of: ({ power }) => costSpread(power.gates) },
    ...(kind === 'gates'
      ? []
      : [{ head: 'synthesised', rank: 0, of: ({ power }: SweepPoint) => costSpread(power.synthesised) }]),
    { head: 'accuracy', rank: 0, of: ({ accuracy }) => percentSpread(accuracy) },
    {
      head: 'loss',
      rank: 2,
      of: ({ accuracy, floatAccuracy }) => fixed(100 * (floatAccuracy.mean - accuracy.mean), 2),
    },
    { head: 'seeds', rank: 4, of: ({ seeds }) => String(seeds.length) },
  ];
  return fittingTable(points, columns, style, width);
}

function verdict(report: SweepReport): string {
  const { points, missingRivals, answers } = report;
  const lines = answers.flatMap((answer) => answerText(report, answer));
  const isAlone = !points.some(
    ({ kind, isByLayer, weightBits, activationBits }) =>
      kind === 'exact' && (isByLayer || weightBits * activationBits < 64),
  );
  const isGiven = points.every(({ weightBits, activationBits }) => weightBits === 8 && activationBits === 8);
  if (points.length > 0 && isAlone && missingRivals.length === 0 && !(isGiven && points.some(isExact))) {
    lines.push('No exact multiplier of fewer bits is among the points; --rivals 4x5,3x4 in a new sweep adds them.');
  }
  if (missingRivals.length > 0) {
    lines.push(`Without a result yet: the rivals ${missingRivals.join(', ')}; what they match is not known.`);
  }
  const unlucky = points.filter(({ seeds }) => seeds.length < 2).length;
  if (unlucky > 0) lines.push('A point with one seed says little: tenths of a point are within its chance.');
  return lines.join('\n') || 'Nothing is done yet.';
}

const isExact = ({ kind }: SweepPoint): boolean => kind === 'exact';
const powerOf = ({ power }: SweepPoint, kind: SweepReport['kind']): number => power[kind]?.mean ?? Number.NaN;

const againstFloat = (loss: number): string =>
  `${(100 * Math.abs(loss)).toFixed(2)} points ${loss < 0 ? 'above' : 'below'} float`;

/** The network, as far as it takes to tell it from those of the other answers. */
function networkOf({ points, answers }: SweepReport, task: string): string {
  const titleOfTask = (which: string) => {
    const { model, data, approximateShare } = points.find((one) => one.task === which)!;
    return answers.length > 1 ? `${model} on ${data} (${percent(approximateShare, 1)} approximated)` : model;
  };
  const title = titleOfTask(task);
  if (answers.filter((one) => titleOfTask(one.task) === title).length === 1) return title;
  const own = points.filter((one) => one.task === task).map(({ name }) => name);
  const more = own.length > 3 ? ` and ${own.length - 3} more` : '';
  return `${title}, that of ${own.slice(0, 3).join(', ')}${more},`;
}

/** What was asked, what was found, what the best of the other sort has, and where structures pay. */
function answerText(report: SweepReport, { task, point, other }: Answer): string[] {
  const { points, loss, kind, power, goal } = report;
  const own = points.filter((one) => one.task === task);
  const { floatAccuracy } = own[0]!;
  const network = networkOf(report, task);
  const unit = kind === 'gates' ? 'gate cost' : 'synthesised power';
  const within = `no more than ${(100 * loss).toFixed(2)} points below float (${percent(floatAccuracy.mean)})`;
  const below = power === null ? '' : ` at ${unit} of at most ${power}`;
  const sought =
    goal === 'cheapest'
      ? `The cheapest multiplier with which ${network} is ${within}${below}`
      : `The most accurate multiplier of ${network}${below}`;
  const [found, second] = [point, other].map((name) => own.find((one) => one.name === name));
  if (!found) return [`${sought}: none of these points.${nearest(report, own)}`, ...whereItPays(report, own)];
  const figures = (one: SweepPoint) =>
    `${percentSpread(one.accuracy)} at ${unit} ${costSpread(one.power[kind])}, ${againstFloat(floatAccuracy.mean - one.accuracy.mean)}`;
  const lines = [`${sought}: ${titleOf(found)}, ${figures(found)}.`];
  const sort = isExact(found) ? 'that is not exact' : 'exact one';
  if (second) {
    lines.push(
      `The best ${isExact(found) ? `one ${sort}` : sort}: ${titleOf(second)}, ${figures(second)}: ${compared(found, second, kind)}.`,
    );
  } else lines.push(`No ${isExact(found) ? 'approximate' : 'exact'} one among the points is as good as that asks.`);
  return [...lines, ...whereItPays(report, own)];
}

/** "2.4 times the power and 0.28 points less". */
function compared(found: SweepPoint, second: SweepPoint, kind: SweepReport['kind']): string {
  const ratio = powerOf(second, kind) / powerOf(found, kind);
  const power =
    ratio >= 1.995
      ? `${ratio.toFixed(1)} times the power`
      : `${Math.abs(100 * (ratio - 1)).toFixed(0)} % ${ratio < 1 ? 'less' : 'more'} power`;
  const points = 100 * (second.accuracy.mean - found.accuracy.mean);
  const accuracy =
    Math.abs(points) < 0.005
      ? 'the same accuracy'
      : `${Math.abs(points).toFixed(2)} points ${points < 0 ? 'less' : 'more'}`;
  return `${power}, ${accuracy}`;
}

/** What a point is, beside its name. */
function titleOf({ name, kind, isByLayer, weightBits, activationBits }: SweepPoint): string {
  const widths = isByLayer ? 'with widths by layer' : `of ${weightBits}×${activationBits} bits`;
  if (kind === 'exact') return `${name} (exact, ${widths})`;
  return `${name} (${kind === 'trained' ? 'a trained structure' : 'given'}, ${widths})`;
}

/** What comes nearest where nothing is good enough. */
function nearest({ kind, goal, loss }: SweepReport, own: readonly SweepPoint[]): string {
  const priced = own.filter((one) => one.power[kind]);
  if (priced.length === 0) return '';
  const by = (of: (one: SweepPoint) => number) => priced.reduce((best, one) => (of(one) > of(best) ? one : best));
  const works = priced.filter((one) => one.accuracy.mean >= one.floatAccuracy.mean - loss);
  // The cheapest stand first.
  const one = works[0] ?? (goal === 'cheapest' ? by(({ accuracy }) => accuracy.mean) : priced[0]!);
  const what = works[0]
    ? 'The cheapest that is so accurate'
    : goal === 'cheapest'
      ? 'The most accurate'
      : 'The cheapest';
  return ` ${what}: ${titleOf(one)}, ${percentSpread(one.accuracy)} at ${costSpread(one.power[kind])}.`;
}

/**
 * Where structures pay: against the exact multiplier of their own widths, for those who cannot choose them, and against
 * all exact ones with the same training. What has lost too much is no answer, whatever it is cheaper than.
 */
function whereItPays({ kind, loss, missingRivals }: SweepReport, own: readonly SweepPoint[]): string[] {
  const priced = own.filter((one) => one.power[kind]);
  const all = priced.filter((one) => !isExact(one));
  const exact = priced.filter(isExact);
  if (all.length === 0 || exact.length === 0) return [];
  const others = all.filter((one) => one.accuracy.mean >= one.floatAccuracy.mean - loss);
  if (others.length === 0) return ['Every multiplier that is not exact loses more than that.'];
  const given = exact.flatMap((rival) => {
    if (rival.isByLayer) return [];
    const { weightBits, activationBits } = rival;
    const same = others.filter(
      (one) => !one.isByLayer && one.weightBits === weightBits && one.activationBits === activationBits,
    );
    const [best] = same.toSorted((a, b) => powerOf(a, kind) - powerOf(b, kind));
    if (!best) return [];
    const saved = 100 * (1 - powerOf(best, kind) / powerOf(rival, kind));
    const text = saved >= 0.5 ? `${saved.toFixed(0)} % less` : 'nothing saved';
    return [
      `${weightBits}×${activationBits} ${text} (${costSpread(best.power[kind])} for ${costSpread(rival.power[kind])})`,
    ];
  });
  const isMatched = (one: SweepPoint) =>
    exact.some((rival) => powerOf(rival, kind) <= powerOf(one, kind) && rival.accuracy.mean >= one.accuracy.mean);
  const free = others.filter((one) => !isMatched(one)).map(({ name }) => name);
  return [
    ...(given.length > 0 ? [`Where the widths are given an approximate one saves: ${given.join('; ')}.`] : []),
    ...(missingRivals.length > 0
      ? []
      : [
          `Where they may be chosen an exact multiplier with the same training, no dearer and no less accurate, matches ${others.length - free.length} of the ${others.length} approximate ones that lose no more than that${free.length === 0 ? '' : `; not matched: ${free.join(', ')}`}.`,
        ]),
  ];
}

function legend({ points, answers, library }: SweepReport): string[] {
  const spread = points.some(({ accuracy }) => accuracy.n > 1) ? '; ±: 95 % interval of the mean over seeds' : '';
  const caution = fewSeedsCaution(points.map(({ accuracy }) => accuracy.n));
  return [
    `● on the front: nothing cheaper is as accurate${spread}; loss: points against the float network`,
    ...(caution === undefined ? [] : [caution]),
    'modelled: what training sees; gates: unit gates of the netlist, 1 = the cheapest exact 8×8',
    ...(answers.length > 1
      ? [
          'networks, data and parts of a network that are approximated have fronts of their own; share: of the multiplications, whose power it is',
        ]
      : []),
    ...(library === null ? [] : [`synthesised: power in ${cellsTitle(library)}, 1 = the exact 8×8 array`]),
  ];
}
