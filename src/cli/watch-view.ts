// What `tram watch` shows of a run and of a sweep, as lines of text: a function of what the folder holds. Nothing here
// reads, waits or moves a cursor.

import type { MetricRecord } from '../flow/run/events.ts';
import type { RunRow, SweepRow } from '../serve/api.ts';
import { chart, type Series, sparkline, strip } from './chart.ts';
import { percent, type Style } from './style.ts';

/** Columns of the labels at the left of a chart. */
const LABELS = 11;
const CHART_HEIGHT = 5;
/** θ in rows of their own up to so many, more of them in as many groups. */
const MOST_ROWS = 16;

/** A run's name in words: `.` is the watched folder itself. */
export type NameOf = (name: string) => string;

export function stateText({ state, progress, donePhases, problem }: RunRow): string {
  if (state === 'damaged') return `damaged: ${problem ?? 'its manifest cannot be read'}`;
  if (state === 'done') return 'done';
  const at = progress
    ? `${progress.phase} epoch ${progress.epoch}/${progress.epochs}`
    : `after ${donePhases.at(-1) ?? 'its start'}`;
  return state === 'running' ? `at work: ${at}` : `stopped: ${at}`;
}

/** "explore: epoch 3/10: loss 0.5012, train 91.20 %, test 90.11 %, power 0.4312". */
export function epochText(record: MetricRecord, epochs: number | undefined): string {
  const facts = [
    `loss ${record.loss.toFixed(4)}`,
    `train ${percent(record.trainAccuracy)}`,
    `test ${percent(record.testAccuracy)}`,
    ...(record.power === undefined ? [] : [`power ${record.power.toFixed(4)}`]),
    ...(record.lambda === undefined ? [] : [`lambda ${Number(record.lambda.toPrecision(3))}`]),
  ];
  return `${record.phase}: epoch ${record.epoch}${epochs === undefined ? '' : `/${epochs}`}: ${facts.join(', ')}`;
}

/** Curves of loss, accuracy and power over all epochs, and θ as a strip; no line is `columns` long. */
export function runView(
  row: RunRow,
  name: string,
  records: readonly MetricRecord[],
  columns: number,
  style: Style,
): string[] {
  const width = Math.max(16, Math.min(100, columns - 1 - LABELS));
  const head = `${style.bold(name)}  ${stateText(row)}`;
  if (records.length === 0) return [head, style.dim('no epoch has ended yet')];
  const of = (
    key: 'crossEntropy' | 'testLoss' | 'trainAccuracy' | 'testAccuracy' | 'power',
    paint: Style['green'],
  ): Series => ({
    points: records.map((record, x) => ({ x, y: record[key] })),
    paint,
  });
  const { yellow, green, cyan } = style;
  return [
    head,
    ...chartLines(
      `loss: ${yellow('training')}, ${green('test')}`,
      [of('crossEntropy', yellow), of('testLoss', green)],
      width,
      records,
      String,
    ),
    ...chartLines(
      `accuracy: ${yellow('training')}, ${green('test')}`,
      [of('trainAccuracy', yellow), of('testAccuracy', green)],
      width,
      records,
      (value) => percent(value, 1),
    ),
    ...chartLines('power (model of θ)', [of('power', cyan)], width, records, String),
    phaseLine(records, width),
    ...thetaLines(records, width),
    lastLine(records, row),
  ];
}

function chartLines(
  title: string,
  series: readonly Series[],
  width: number,
  { length }: readonly unknown[],
  text: (value: number) => string,
): string[] {
  const drawn = chart(series, { width, height: CHART_HEIGHT }, 0, length - 1);
  if (!drawn) return [];
  const short = (value: number) => (text === String ? String(Number(value.toPrecision(4))) : text(value));
  return [
    `${' '.repeat(LABELS)}${title}`,
    ...drawn.rows.map((row, at) => {
      const label = at === 0 ? short(drawn.most) : at === CHART_HEIGHT - 1 ? short(drawn.least) : '';
      return `${label.slice(0, LABELS - 2).padStart(LABELS - 2)} ┤${row}`;
    }),
  ];
}

/** Where each phase begins, under the charts. */
function phaseLine(records: readonly MetricRecord[], width: number): string {
  let line = '';
  records.forEach((record, at) => {
    if (records[at - 1]?.phase === record.phase) return;
    const place = records.length === 1 ? 0 : Math.floor((at / (records.length - 1)) * (width - 1));
    if (line !== '' && place <= line.length) return;
    line = `${line.padEnd(place)}└${record.phase}`;
  });
  return ' '.repeat(LABELS) + line.slice(0, width);
}

function thetaLines(records: readonly MetricRecord[], width: number): string[] {
  const own = records.filter(({ theta }) => theta !== undefined);
  const names = Object.keys(own.at(-1)?.theta ?? {});
  if (names.length === 0) return [];
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  let rows: { label: string; values: number[] }[];
  if (names.length === 1) {
    const name = names[0]!;
    const { length } = own.at(-1)!.theta![name]!;
    const size = Math.ceil(length / MOST_ROWS);
    rows = Array.from({ length: Math.ceil(length / size) }, (_, at) => {
      const last = Math.min(length, (at + 1) * size) - 1;
      return {
        label: size === 1 ? `θ ${at}` : `θ ${at * size}–${last}`,
        values: own.map(({ theta }) => mean((theta![name] ?? []).slice(at * size, last + 1))),
      };
    });
  } else {
    rows = names.slice(0, 2 * MOST_ROWS).map((name) => ({
      label: name.replace(/\.theta$/, ''),
      // Layers that have been put together have another name before.
      values: own.map(({ theta }) => (theta![name] ? mean(theta![name]!) : 0)),
    }));
  }
  // Under the epochs of the charts that they are of.
  const place = (at: number) => Math.round((at / Math.max(1, records.length - 1)) * (width - 2));
  const from = Math.max(0, place(records.indexOf(own[0]!)) - 1);
  const to = Math.max(from + 1, place(records.indexOf(own.at(-1)!)));
  const title =
    names.length === 1 ? 'θ over the epochs of exploration' : 'mean θ of each layer over the epochs of exploration';
  return [
    `${' '.repeat(LABELS)}${title} (· kept, █ removed)`,
    ...rows.map(({ label, values }) => {
      const shown = label.length > LABELS - 2 ? `…${label.slice(3 - LABELS)}` : label;
      return `${shown.padStart(LABELS - 2)} ${' '.repeat(from)}│${strip(values, to - from)}│`;
    }),
  ];
}

function lastLine(records: readonly MetricRecord[], { progress }: RunRow): string {
  const last = records.at(-1)!;
  return epochText(last, progress?.phase === last.phase ? progress.epochs : undefined);
}

/** What trials have in common ends with a phase that is not the last. */
const trialText = (row: RunRow): string =>
  row.state === 'unfinished' && /(^|\/)shared\//.test(row.name)
    ? `after ${row.donePhases.at(-1) ?? 'its start'}`
    : stateText(row);

export interface WatchedTrial {
  readonly row: RunRow;
  readonly records: readonly MetricRecord[];
}

/** Those at work first, then those that came last. */
export function sweepView(
  sweep: SweepRow,
  name: string,
  trials: readonly WatchedTrial[],
  most: number,
  columns: number,
  style: Style,
): string[] {
  const { done, failed, trials: all } = sweep;
  const atWork = trials.filter(({ row }) => row.state === 'running');
  const rest = trials
    .filter(({ row }) => row.state !== 'running')
    .toSorted((a, b) => (a.row.changed < b.row.changed ? 1 : -1));
  const shown = [...atWork, ...rest].slice(0, most);
  const label = Math.min(40, Math.max(8, ...shown.map(({ row }) => row.name.length)));
  const room = Math.max(0, columns - 1 - label - 2 - 46);
  const lines = shown.map(({ row, records }) => {
    const last = records.at(-1);
    const end = row.stages.at(-1);
    const accuracy = row.state === 'running' ? last?.testAccuracy : (end?.accuracy ?? last?.testAccuracy);
    const power = records.findLast((record) => record.power !== undefined)?.power;
    const text = `${row.name.length > label ? `…${row.name.slice(1 - label)}` : row.name.padEnd(label)}  ${trialText(row).slice(0, 24).padEnd(24)} ${(accuracy === undefined ? '' : percent(accuracy)).padStart(8)} ${(power === undefined ? '' : power.toFixed(3)).padStart(6)}`;
    const course = sparkline(
      records.map(({ testAccuracy }) => testAccuracy),
      Math.min(24, room),
    );
    const line = `${text} ${course}`.slice(0, Math.max(20, columns - 1));
    return row.state === 'running' ? line : style.dim(line);
  });
  const failures = failed > 0 ? `, ${failed} failed` : '';
  return [
    `${style.bold(name)}  ${done}/${all} trials${failures}, ${atWork.length} at work`,
    style.dim(
      `${''.padEnd(label)}  ${''.padEnd(24)} ${'accuracy'.padStart(8)} ${'power'.padStart(6)} test accuracy`.slice(
        0,
        columns - 1,
      ),
    ),
    ...lines,
  ];
}
