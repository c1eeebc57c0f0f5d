// What a sweep came to as text: a row for each point, the front marked, and what is to be read from it.

import type { Spread, SweepPoint, SweepReport } from '../flow/sweep/front.ts';
import { cellsTitle } from '../report/front.ts';
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
  sections.push(wrapped(verdict(report), width));
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
    { head: 'bits', rank: 1, of: ({ weightBits, activationBits }) => `${weightBits}×${activationBits}` },
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

function verdict({ points, answers, loss, kind, missingRivals }: SweepReport): string {
  const lines: string[] = [];
  const limit = `${(100 * loss).toFixed(2)} points`;
  const several = answers.length > 1;
  for (const { task, point } of answers) {
    const found = points.find(({ name }) => name === point);
    const { model, data, approximateShare } = points.find((one) => one.task === task)!;
    const network = several
      ? `the float network ${model} on ${data} (${percent(approximateShare, 1)} approximated)`
      : 'the float network';
    if (found) {
      lines.push(
        `The cheapest within ${limit} of ${network}: ${found.name}, ${percentSpread(found.accuracy)} at ${kind === 'gates' ? 'gate cost' : 'synthesised power'} ${costSpread(found.power[kind])}.`,
      );
    } else lines.push(`No point is within ${limit} of ${several ? network : 'its float network'}.`);
  }
  const isAlone = !points.some(
    ({ kind, weightBits, activationBits }) => kind === 'exact' && weightBits * activationBits < 64,
  );
  if (points.length > 0 && isAlone && missingRivals.length === 0) {
    lines.push('No exact multiplier of fewer bits is among the points; --rivals 4x5,3x4 in a new sweep adds them.');
  }
  if (missingRivals.length > 0) {
    lines.push(`Without a result yet: the rivals ${missingRivals.join(', ')}; what they match is not known.`);
  }
  if (!isAlone) lines.push(...judged(points, kind, loss));
  const unlucky = points.filter(({ seeds }) => seeds.length < 2).length;
  if (unlucky > 0) lines.push('A point with one seed says little: tenths of a point are within its chance.');
  return lines.join(' ') || 'Nothing is done yet.';
}

/**
 * Where a structure pays, and where an exact multiplier of the same training does as well at no more power. What has
 * lost too much is no answer, whatever it is cheaper than.
 */
function judged(points: readonly SweepPoint[], kind: SweepReport['kind'], loss: number): string[] {
  const priced = points.flatMap((point) => {
    const power = point.power[kind]?.mean;
    return power === undefined ? [] : [{ point, power, accuracy: point.accuracy.mean }];
  });
  const exact = priced.filter(({ point }) => point.kind === 'exact');
  const all = priced.filter(({ point }) => point.kind !== 'exact');
  const others = all.filter(({ point, accuracy }) => accuracy >= point.floatAccuracy.mean - loss);
  const beaten = others.filter((one) =>
    exact.some(
      (rival) => rival.point.task === one.point.task && rival.power <= one.power && rival.accuracy >= one.accuracy,
    ),
  );
  if (all.length === 0) return [];
  if (others.length === 0) return ['Every multiplier that is not exact loses more than that.'];
  const rest = others.filter((one) => !beaten.includes(one)).map(({ point }) => point.name);
  const pays = rest.length === 0 ? '' : ` Not matched: ${rest.join(', ')}.`;
  return [
    `Matched by an exact multiplier with the same training, no dearer and no less accurate: ${beaten.length} of the ${others.length} others that lose no more than that.${pays}`,
  ];
}

function legend({ points, answers, library }: SweepReport): string[] {
  const spread = points.some(({ accuracy }) => accuracy.n > 1) ? '; ±: 95 % interval of the mean over seeds' : '';
  return [
    `● on the front: nothing cheaper is as accurate${spread}; loss: points against the float network`,
    'modelled: what training sees; gates: unit gates of the netlist, 1 = the cheapest exact 8×8',
    ...(answers.length > 1
      ? [
          'networks, data and parts of a network that are approximated have fronts of their own; share: of the multiplications, whose power it is',
        ]
      : []),
    ...(library === null ? [] : [`synthesised: power in ${cellsTitle(library)}, 1 = the exact 8×8 array`]),
  ];
}
