// Accuracy over power as a picture: one labelled point per multiplier, ours and its rivals, error bars over seeds, and
// the front as a staircase (between two points nothing cheaper is known than the left one's accuracy), one per task.
// Invariant: one kind of power on the axis, which says it; the exact 8×8 multiplier stands at 1. Where powers differ by
// more than a factor of LOGARITHMIC the axis is logarithmic, so that a factor is the same length everywhere.

import { invariant } from '../tensor/errors.ts';
import {
  cellsTitle,
  type FrontPoint,
  type FrontSeries,
  floorOf,
  front,
  frontSeries,
  powerTitles,
  seriesTitles,
} from './front.ts';
import { type Position, placeLabels } from './labels.ts';
import { colours, figureWidth, fontSize, textWidth } from './theme.ts';
import { renderSpec } from './vega.ts';

const LOGARITHMIC = 4;

/** Colour and shape of a series; rivals that were not retrained are hollow. */
const looks: Readonly<Record<FrontSeries, { colour: string; shape: string; filled: boolean }>> = {
  trained: { colour: colours.blue, shape: 'circle', filled: true },
  exact: { colour: colours.orange, shape: 'square', filled: false },
  'exact-retrained': { colour: colours.orange, shape: 'square', filled: true },
  truncated: { colour: colours.green, shape: 'triangle-down', filled: true },
  given: { colour: colours.purple, shape: 'diamond', filled: true },
};

export interface FrontPictureOptions {
  /** Width of the frame in pixels; from 260, by default that of a full figure. */
  readonly width?: number;
  /** Pixels of its height. */
  readonly height?: number;
  /** A line above the picture. */
  readonly caption?: string;
  /** Added to the axis' title: the library, by its own name, or the model of power. */
  readonly technology?: string;
  /** An accuracy, 0 … 1, from which on a network works: a dotted line with these words, where it is in the picture. */
  readonly goal?: { readonly accuracy: number; readonly label: string };
  /** Accuracies below, 0 … 1, are drawn at it and told in the label; by default some way under the better half. */
  readonly floor?: number;
}

/** For the screen of a telephone: 390 pixels with its axis and the margins of a page. */
export const NARROW_FRAME = { width: 290, height: 330 } as const;

interface Axis {
  readonly domain: readonly [number, number];
  /** 0 … 1 along the axis. */
  readonly share: (value: number) => number;
  readonly value: (share: number) => number;
  readonly scale: object;
}

function linear(low: number, high: number, margin = 0.08): Axis {
  const room = (high - low) * margin || 0.02;
  const [from, to] = [low - room, high + room];
  return {
    domain: [from, to],
    share: (value) => (value - from) / (to - from),
    value: (share) => from + share * (to - from),
    scale: { domain: [from, to], nice: false, zero: false },
  };
}

function logarithmic(low: number, high: number): Axis {
  const inner = linear(Math.log(low), Math.log(high));
  const domain = [Math.exp(inner.domain[0]), Math.exp(inner.domain[1])] as const;
  return {
    domain,
    share: (value) => inner.share(Math.log(value)),
    value: (share) => Math.exp(inner.value(share)),
    scale: { type: 'log', domain, nice: false },
  };
}

/** Round values within a logarithmic axis: 0.05, 0.1, 0.2, 0.5, 1. */
function roundValues([low, high]: readonly [number, number]): number[] {
  const decades = [-4, -3, -2, -1, 0, 1].flatMap((power) => [1, 2, 3, 5, 7].map((digit) => digit * 10 ** power));
  return decades.map((value) => Number(value.toPrecision(2))).filter((value) => value >= low && value <= high);
}

/** The picture as SVG text; accuracies in per cent. All points have one kind of power. */
export function frontSvg(points: readonly FrontPoint[], options: FrontPictureOptions = {}): Promise<string> {
  invariant(points.length > 0, 'a front without a point');
  const { kind } = points[0]!;
  const { width = figureWidth - 100, height = 400, caption, technology, goal } = options;
  const { floor = floorOf(points.map(({ accuracy }) => accuracy)) } = options;
  const best = front(points);
  const shown = (accuracy: number) => 100 * Math.min(1, Math.max(accuracy, floor));
  const reach = ({ power, powerSpread = 0 }: FrontPoint) => [power - powerSpread, power + powerSpread];
  const powers = points.flatMap(reach);
  const [least, most] = [Math.min(...powers), Math.max(...powers)];
  const isLogarithmic = least > 0 && most / least > LOGARITHMIC;
  const horizontal = isLogarithmic ? logarithmic(least, most) : linear(least, most);
  const accuracies = points.flatMap(({ accuracy, before = accuracy, accuracySpread = 0 }) =>
    [accuracy - accuracySpread, accuracy + accuracySpread, before].map(shown),
  );
  const vertical = linear(Math.min(...accuracies), Math.max(...accuracies));
  const at = (power: number, accuracy: number): Position => ({
    x: width * horizontal.share(power),
    y: height * (1 - vertical.share(shown(accuracy))),
  });

  const labels = points.map(({ label, accuracy }) =>
    accuracy < floor ? `${label} ↓ ${(100 * accuracy).toFixed(1)} %` : label,
  );
  const tasks = [...new Set(best.map(({ task }) => task))];
  const flights = tasks.map((task) =>
    staircase(
      best.filter((one) => one.task === task),
      horizontal.domain[1],
    ),
  );
  const bars = points.flatMap(({ power, accuracy, powerSpread = 0, accuracySpread = 0 }) => [
    ...(accuracySpread > 0
      ? [{ from: [power, accuracy - accuracySpread], to: [power, accuracy + accuracySpread] } as const]
      : []),
    ...(powerSpread > 0
      ? [{ from: [power - powerSpread, accuracy], to: [power + powerSpread, accuracy] } as const]
      : []),
  ]);
  const raised = points.flatMap(({ power, accuracy, before }) =>
    before === undefined || shown(before) === shown(accuracy)
      ? []
      : [{ from: [power, before], to: [power, accuracy] } as const],
  );
  const [lowest, highest] = vertical.domain;
  const goals = goal && 100 * goal.accuracy > lowest && 100 * goal.accuracy < highest ? [goal] : [];
  // The line, and the words that stand over its right end, 11 pixels high.
  const goalLines = goals.flatMap(({ accuracy, label }) => {
    const { y } = at(horizontal.domain[1], accuracy);
    const words = width - 3 - textWidth(label, fontSize.small);
    return [
      { from: 0, up: 0 },
      { from: words, up: 5 },
      { from: words, up: 10 },
    ].map(({ from, up }) => [from, width].map((x) => ({ x, y: y - up })));
  });
  const placements = placeLabels(
    points.map(({ power, accuracy }, k) => ({ ...at(power, accuracy), label: labels[k]! })),
    [
      ...flights.map((stairs) => stairs.map(({ power, accuracy }) => at(power, accuracy))),
      ...[...bars, ...raised].map(({ from, to }) => [at(...from), at(...to)]),
      ...goalLines,
    ],
    width,
    height,
  );
  // From the point to the edge of its label.
  const ties = points.flatMap(({ power, accuracy }, k) => {
    const { dx, dy, tied } = placements[k]!;
    if (!tied) return [];
    const { x, y } = at(power, accuracy);
    const half = textWidth(labels[k]!, fontSize.small) / 2;
    const end =
      dy === 0
        ? { x: x + dx - Math.sign(dx) * (half + 2), y }
        : { x: x + dx * 0.8, y: y + dy - Math.sign(dy) * fontSize.small * 0.6 };
    return [
      {
        ...{ power, accuracy: shown(accuracy) },
        ...{ toPower: horizontal.value(end.x / width), toAccuracy: vertical.value(1 - end.y / height) },
      },
    ];
  });
  const rules = (lines: readonly { from: readonly [number, number]; to: readonly [number, number] }[]) =>
    lines.map(({ from, to }) => ({
      ...{ power: Math.max(from[0], horizontal.domain[0]), accuracy: shown(from[1]) },
      ...{ toPower: to[0], toAccuracy: shown(to[1]) },
    }));

  const values = points.map((point, k) => ({
    ...{ power: point.power, accuracy: shown(point.accuracy), label: labels[k], series: seriesTitles[point.series] },
    ...{ fill: fillOf(point.series) },
    ...{ dx: placements[k]!.dx, dy: placements[k]!.dy, onFront: best.includes(point) },
  }));
  const drawn = frontSeries.filter((series) => points.some((point) => point.series === series));
  const title = [powerTitles[kind], ...(technology === undefined ? [] : [cellsTitle(technology)])].join(', ');
  const x = {
    field: 'power',
    type: 'quantitative',
    scale: horizontal.scale,
    axis: {
      title: brokenTitle(title, width),
      grid: true,
      ...(isLogarithmic ? { values: ticksFor(horizontal, width), format: '~g' } : { tickCount: width < 400 ? 5 : 8 }),
    },
  };
  const y = {
    field: 'accuracy',
    type: 'quantitative',
    scale: vertical.scale,
    axis: { title: 'Accuracy (%)', tickCount: 8 },
  };
  const lines = (data: readonly object[], mark: object) =>
    data.length === 0
      ? []
      : [
          {
            data: { values: data },
            mark: { type: 'rule', ...mark },
            encoding: { x, y, x2: { field: 'toPower' }, y2: { field: 'toAccuracy' } },
          },
        ];
  const colour = {
    field: 'series',
    type: 'nominal',
    scale: { domain: drawn.map((series) => seriesTitles[series]), range: drawn.map((series) => looks[series].colour) },
  };
  const shape = { ...colour, scale: { ...colour.scale, range: drawn.map((series) => looks[series].shape) } };
  const fills = drawn.map((series) => `'${seriesTitles[series]}': '${fillOf(series)}'`);
  // A single series is what its labels say.
  const legend =
    drawn.length === 1
      ? null
      : {
          ...{ title: null, orient: 'bottom', direction: 'horizontal', labelLimit: 0, columns: width < 400 ? 1 : 0 },
          symbolFillColor: { expr: `({${fills.join(', ')}})[datum.value]` },
        };
  return renderSpec({
    width,
    height,
    ...(caption === undefined
      ? {}
      : {
          title: {
            ...{ text: wrappedText(caption, width), anchor: 'start', fontWeight: 'normal' },
            ...{ fontSize: fontSize.label, color: colours.muted },
          },
        }),
    layer: [
      ...lines(ties, { color: colours.muted, strokeWidth: 0.5 }),
      ...lines(rules(raised), { color: colours.faint, strokeWidth: 1 }),
      ...goals.flatMap(({ accuracy, label }) => {
        const [power, toPower] = horizontal.domain;
        const line = { power, accuracy: 100 * accuracy, toPower, toAccuracy: 100 * accuracy, label };
        const words = { type: 'text', align: 'right', baseline: 'bottom', dx: -3, dy: -2, fontSize: fontSize.small };
        return [
          ...lines([line], { color: colours.green, strokeWidth: 1.2, strokeDash: [1, 3] }),
          {
            data: { values: [{ ...line, power: toPower }] },
            mark: { ...words, color: colours.green },
            encoding: { x, y, text: { field: 'label' } },
          },
        ];
      }),
      ...flights.map((stairs) => ({
        data: { values: stairs.map(({ power, accuracy }) => ({ power, accuracy: shown(accuracy) })) },
        mark: { type: 'line', color: colours.muted, strokeWidth: 1, strokeDash: [4, 3] },
        encoding: { x, y, order: { field: 'order' } },
      })),
      ...lines(rules(bars), { color: colours.ink, strokeWidth: 1 }),
      {
        data: { values },
        mark: { type: 'point', size: 65, opacity: 1, strokeWidth: 1.8 },
        encoding: {
          ...{ x, y, fill: { field: 'fill', type: 'nominal', scale: null } },
          stroke: { ...colour, legend },
          shape: { ...shape, legend },
        },
      },
      {
        data: { values },
        mark: {
          ...{ type: 'text', align: 'center', baseline: 'middle', fontSize: fontSize.small },
          ...{ dx: { expr: 'datum.dx' }, dy: { expr: 'datum.dy' } },
        },
        encoding: {
          ...{ x, y, text: { field: 'label' } },
          color: { condition: { test: 'datum.onFront', value: colours.ink }, value: colours.muted },
        },
      },
    ],
  });
}

const fillOf = (series: FrontSeries): string => (looks[series].filled ? looks[series].colour : colours.background);

/** The corners of the front, by rising power, and on to the end of the axis. */
function staircase(best: readonly FrontPoint[], end: number): { power: number; accuracy: number }[] {
  const corners = best.flatMap(({ power, accuracy }, k) => {
    const before = best[k - 1];
    return [...(before ? [{ power, accuracy: before.accuracy }] : []), { power, accuracy }];
  });
  return [...corners, { power: end, accuracy: best.at(-1)!.accuracy }];
}

/** Ticks of a logarithmic axis with room for their numbers. */
function ticksFor(axis: Axis, width: number): number[] {
  let last = Number.NEGATIVE_INFINITY;
  return roundValues(axis.domain).filter((value) => {
    const x = width * axis.share(value);
    if (x - last < 34) return false;
    last = x;
    return true;
  });
}

/** A title that a narrow frame has no room for stands in two lines, the second in its brackets. */
function brokenTitle(title: string, width: number): string | string[] {
  return width >= 500 ? title : wrappedText(title, width);
}

/** Lines of at most so many pixels. */
function wrappedText(text: string, width: number): string[] {
  const most = Math.floor(width / (fontSize.label * 0.55));
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > most) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
