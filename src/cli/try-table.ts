// What `tram try` came to as text: a row for each multiplier in each order of its operands, and what is to be read from
// the rows.

import { kindOf, powerOf } from '../flow/try/picture.ts';
import { lastResult, lastTreatment, type TriedMultiplier, type TryReport } from '../flow/try/report.ts';
import { cellsTitle } from '../report/front.ts';
import { fixed, percent, type Style, significant, wrapped } from './style.ts';
import { fittingTable, type RankedColumn } from './tables.ts';

/** Lines without a final newline; prose is wrapped to `width` columns, and the table has those that fit. */
export function tryText(report: TryReport, style: Style, width = Number.POSITIVE_INFINITY): string {
  const { run, multipliers, failed } = report;
  const { weights, activations } = run.bits;
  const filled = (text: string) =>
    text
      .split('\n')
      .map((line) => wrapped(line, width))
      .join('\n');
  const sections = [
    `${style.bold(`${run.model} on ${run.data}`)}, w${weights}a${activations}, seed ${run.seed}\n${filled(`multipliers tried in the quantised network of ${run.folder}${keptExact(report)}`)}`,
    tableOf(report, style, width),
    filled(verdicts(report)),
  ];
  for (const { name, notes } of multipliers) sections.push(...notes.map((note) => `${name}: ${note}`));
  if (failed.length > 0) {
    sections.push(
      [style.red('not tried:'), ...failed.map(({ source, reason }) => `  ${source}: ${reason}`)].join('\n'),
    );
  }
  sections.push(style.dim(filled(legendOf(report))));
  return sections.join('\n\n');
}

/** Where the multipliers were not tried: gates say nothing about that share of the work. */
function keptExact({ run: { exactLayers, exactShare } }: TryReport): string {
  if (exactLayers.length === 0) return '';
  const named = exactLayers.length > 12 ? `${exactLayers.length} layers` : exactLayers.join(', ');
  return `, in ${percent(1 - exactShare)} of its multiplications; exact all along: ${named}`;
}

function legendOf(report: TryReport): string {
  const { recoverEpochs, images } = report;
  const retrained = recoverEpochs > 0 ? `; recovered: ${recoverEpochs} epochs of retraining` : '';
  return [
    ...(hasOrders(report)
      ? ['first: operand of the file that comes first, measured both ways where that matters (✓ the better)']
      : []),
    'gates: unit gates, 1 = the cheapest exact 8×8 multiplier; ER, MED, mean: errors over all operand pairs, here: MED over the operands of this network',
    ...(report.library === undefined
      ? []
      : [`power: synthesised in ${cellsTitle(report.library)}, 1 = the exact 8×8 array`]),
    `as it is → folded (mean error taken out of the biases) → re-estimated (batch norm’s statistics over ${images} training images)${retrained}`,
  ].join('\n');
}

/** Whether the order of the operands made a difference to one of them. */
const hasOrders = ({ multipliers }: TryReport): boolean => multipliers.some(({ better }) => better !== undefined);

function tableOf(report: TryReport, style: Style, width: number): string {
  const { multipliers, recoverEpochs } = report;
  const synthesised = kindOf(report) === 'synthesised';
  const columns: RankedColumn<TriedMultiplier>[] = [
    { head: 'multiplier', rank: 0, left: true, of: nameWithoutOrder },
    ...(hasOrders(report)
      ? [{ head: 'first', rank: 0, left: true, of: (one: TriedMultiplier) => firstOperand(one, style) }]
      : []),
    { head: 'gates', rank: 0, of: ({ gateCost }) => (gateCost === null ? '–' : fixed(gateCost, 3)) },
    ...(synthesised
      ? [
          {
            head: 'power',
            rank: 0,
            of: (one: TriedMultiplier) => (one.synthesised ? fixed(one.synthesised.power, 3) : '–'),
          },
        ]
      : []),
    { head: 'ER', rank: 3, of: ({ uniform }) => percent(uniform.errorRate, 1) },
    { head: 'MED', rank: 1, of: ({ uniform }) => significant(uniform.meanErrorDistance) },
    { head: 'here', rank: 0, of: ({ measured }) => (measured ? significant(measured.meanErrorDistance) : '–') },
    { head: 'mean', rank: 2, of: ({ uniform }) => significant(uniform.meanError) },
    { head: 'as it is', rank: 0, of: ({ results }) => percent(results.plain.accuracy) },
    { head: 'folded', rank: 0, of: ({ results }) => percent(results.folded.accuracy) },
    { head: 're-estimated', rank: 0, of: ({ results }) => percent(results.reestimated.accuracy) },
  ];
  if (recoverEpochs > 0) {
    columns.push({
      head: 'recovered',
      rank: 0,
      of: ({ results }) => (results.recovered ? percent(results.recovered.accuracy) : '–'),
    });
  }
  return fittingTable(multipliers, columns, style, width);
}

const nameWithoutOrder = ({ name }: TriedMultiplier): string =>
  name.replace(/ \((weight-activation|activation-weight)\)$/, '');

/** Which operand of the source is the first, where it makes a difference, with a mark at the better one. */
function firstOperand({ operandOrder, better }: TriedMultiplier, style: Style): string {
  if (better === undefined || operandOrder === null) return '';
  const first = operandOrder.split('-')[0]!;
  return better ? style.green(`${first} ✓`) : first;
}

/** How many of the tried ones an exact multiplier matches, and which it does not. */
function verdicts(report: TryReport): string {
  const tried = report.multipliers.filter(({ group, better }) => group === 'tried' && better !== false);
  const kind = kindOf(report);
  const priced = tried.filter((one) => powerOf(one, kind) !== null);
  const exact = report.multipliers.filter(({ group }) => group === 'exact');
  const matched = priced.filter((one) => exact.some((rival) => isNoWorse(rival, one, kind)));
  const unpriced = tried.length - priced.length;
  const lines: string[] = [];
  if (priced.length > 0) {
    const rest = priced.filter((one) => !matched.includes(one)).map(({ name }) => name);
    const unmatched = rest.length === 0 ? '' : ` Not matched: ${rest.join(', ')}.`;
    lines.push(
      `Matched by an exact multiplier of as many or fewer bits, no dearer and no less accurate: ${matched.length} of the ${priced.length} tried.${unmatched}`,
    );
  }
  if (unpriced > 0) lines.push(`${unpriced} known by their tables alone have no gate cost and are not in the picture.`);
  lines.push(uncertainty(report));
  return lines.join('\n');
}

/** What a difference of accuracies is worth: two standard errors of one of them, at the best of the table. */
function uncertainty({ run, multipliers }: TryReport): string {
  const best = Math.max(...multipliers.map((one) => lastResult(one).accuracy));
  const wrong = Math.max(1 / run.testImages, 1 - best);
  const error = 2 * Math.sqrt((wrong * (1 - wrong)) / run.testImages);
  return `One of the ${run.testImages} test images is ${percent(1 / run.testImages)}; differences below about ${(100 * error).toFixed(1)} points say little.`;
}

/** As cheap or cheaper, and as accurate or more, after the same treatment. */
function isNoWorse(rival: TriedMultiplier, one: TriedMultiplier, kind: 'synthesised' | 'gates'): boolean {
  if (lastTreatment(rival) !== lastTreatment(one)) return false;
  const [theirs, ours] = [powerOf(rival, kind), powerOf(one, kind)];
  return theirs !== null && ours !== null && theirs <= ours && lastResult(rival).accuracy >= lastResult(one).accuracy;
}
