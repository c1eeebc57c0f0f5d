// Curves of many series over one axis, by uPlot on a canvas. The series that the pointer is nearest to stands out and
// is named below the picture; a picture has a text that says the same to who does not see it.

import { useEffect, useRef, useState } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { fixed, percent, significant } from '../tensor/numbers.ts';
import { inTurn, outOfTurn } from './frames.ts';
import { colourOf, useTheme } from './theme.ts';

export interface Series {
  readonly label: string;
  /** One for each of the chart's x; null where it has none. */
  readonly values: readonly (number | null)[];
  /** Which colour of the theme. */
  readonly colour: number;
}

/** Something that begins with a value of the axis. */
export interface Mark {
  readonly at: number;
  readonly label: string;
}

export interface ChartProps {
  readonly title: string;
  /** Rising. */
  readonly x: readonly number[];
  readonly series: readonly Series[];
  /** Shares are written per cent. */
  readonly isShare: boolean;
  readonly xLabel?: string;
  readonly marks?: readonly Mark[];
}

export const COLOURS = 8;
const HEIGHT = 240;
/** Between ticks of an axis that counts. */
const wholeSteps = [1, 2, 5]
  .flatMap((digit) => [1, 10, 100, 1000, 10_000].map((power) => digit * power))
  .sort((a, b) => a - b);

/** Behind the last colour the strokes are dashed, then dotted. */
const dashes: readonly (readonly number[])[] = [[], [6, 4], [2, 3]];

const dashOf = (colour: number) => dashes[Math.floor(colour / COLOURS) % dashes.length]!;

/** As a reader of values wants it, or with so many decimals of the number that is written. */
function written(value: number, isShare: boolean, decimals?: number): string {
  if (isShare) return percent(value, decimals ?? 2);
  return decimals === undefined ? significant(value) : fixed(value, decimals);
}

/** Decimals that tell ticks apart which are `step` from each other. */
function decimalsOf(step: number): number {
  const isWritten = (decimals: number) => Math.abs(step * 10 ** decimals - Math.round(step * 10 ** decimals)) < 1e-6;
  return [0, 1, 2, 3, 4, 5, 6, 7].find(isWritten) ?? 8;
}

export function Chart({ title, x, series, isShare, xLabel = 'epoch', marks = [] }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot>(undefined);
  /** The part of the axis that the reader had enlarged in the plot before this one, until this one shows it. */
  const part = useRef<Part>(undefined);
  const marked = useRef(marks);
  marked.current = marks;
  const [near, setNear] = useState<string>();
  const [theme] = useTheme();
  const identity = series.map(({ label, colour }) => `${label} ${colour}`).join('\n');

  // Other series or another theme make another plot, empty at first: its curves are drawn in a frame of their own.
  useEffect(() => {
    const holder = place.current!;
    // Of hundreds of curves what costs a frame is left out.
    const isFew = series.length <= 60;
    const strokes = Array.from({ length: COLOURS }, (_, at) => colourOf(`series-${at + 1}`));
    const axis = { stroke: colourOf('muted'), grid: { stroke: colourOf('line'), width: 1 }, ticks: { show: false } };
    const read = (self: uPlot, at: number) => {
      const index = self.cursor.idx;
      const value = index === null || index === undefined ? undefined : self.data[at]?.[index];
      const label = series[at - 1]?.label ?? '';
      return value === null || value === undefined
        ? label
        : `${label}: ${written(value, isShare)} at ${xLabel} ${self.data[0][index!]}`;
    };
    inTurn(place, () => {
      plot.current = new uPlot(
        {
          width: Math.max(200, holder.clientWidth),
          height: HEIGHT,
          legend: { show: false },
          focus: { alpha: 0.25 },
          cursor: { focus: { prox: 24 }, drag: { x: true, y: false }, points: { show: isFew } },
          scales: { x: { time: false } },
          axes: [
            { ...axis, size: 30, incrs: wholeSteps },
            {
              ...axis,
              size: 62,
              values: (_, values, __, ___, step) =>
                values.map((value) => written(value, isShare, decimalsOf(isShare ? 100 * step : step))),
            },
          ],
          series: [
            {},
            ...series.map(({ label, colour }) => ({
              label,
              stroke: strokes[colour % COLOURS]!,
              width: isFew ? 1.75 : 1,
              dash: [...dashOf(colour)],
              // Drawn together, below.
              ...(isFew ? {} : { paths: () => null }),
              // A value with none beside it makes no line.
              points: { show: isFew || x.length < 2, filter: (self: uPlot, at: number) => alone(self.data[at]!) },
              spanGaps: false,
            })),
          ],
          hooks: {
            draw: [
              (self) => {
                if (!isFew) drawTogether(self, series, strokes);
                drawMarks(self, marked.current);
              },
            ],
            setSeries: [(self, at) => setNear(at === null ? undefined : read(self, at))],
            setCursor: [
              (self) => {
                const at = self.series.findIndex((one, k) => k > 0 && (one as { _focus?: boolean })._focus);
                if (at > 0) setNear(read(self, at));
              },
            ],
          },
        },
        undefined,
        holder,
      );
    });
    const resized = new ResizeObserver(() => {
      plot.current?.setSize({ width: Math.max(200, holder.clientWidth), height: HEIGHT });
    });
    resized.observe(holder);
    return () => {
      resized.disconnect();
      outOfTurn(place);
      outOfTurn(plot);
      part.current = (plot.current && partOf(plot.current)) ?? part.current;
      plot.current?.destroy();
      plot.current = undefined;
    };
  }, [identity, theme]);

  // Whatever makes a plot also draws it: the turn comes behind the one above.
  const draw = () => {
    if (!plot.current) return;
    const enlarged = partOf(plot.current) ?? part.current;
    part.current = undefined;
    plot.current.setData(aligned(x, series));
    if (enlarged) plot.current.setScale('x', enlarged);
  };
  useEffect(() => inTurn(plot, draw), [x, series, theme]);

  return (
    <figure class="chart">
      <figcaption>{title}</figcaption>
      <div ref={place} role="img" aria-label={described(title, series, isShare)} />
      <p class="readout muted">{near ?? ' '}</p>
    </figure>
  );
}

/**
 * Hundreds of curves as one path for each kind of stroke: a path and a clip of its own for each of them takes most of a
 * frame. A value without one before it begins a new line.
 */
function drawTogether(self: uPlot, series: readonly Series[], strokes: readonly string[]): void {
  const { ctx, bbox, data } = self;
  const across = Array.from(data[0], (value) => self.valToPos(value, 'x', true));
  const paths = new Map<string, { readonly path: Path2D; readonly colour: number; readonly alpha: number }>();
  series.forEach(({ colour }, at) => {
    const alpha = self.series[at + 1]!.alpha ?? 1;
    const kind = `${colour % (COLOURS * dashes.length)} ${alpha}`;
    const { path } = paths.get(kind) ?? paths.set(kind, { path: new Path2D(), colour, alpha }).get(kind)!;
    let isDown = false;
    data[at + 1]?.forEach((value, k) => {
      if (value != null) path[isDown ? 'lineTo' : 'moveTo'](across[k]!, self.valToPos(value, 'y', true));
      isDown = value != null;
    });
  });
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.lineWidth = devicePixelRatio;
  // What stands out is drawn last.
  for (const { path, colour, alpha } of [...paths.values()].sort((a, b) => a.alpha - b.alpha)) {
    ctx.globalAlpha = alpha;
    ctx.strokeStyle = strokes[colour % COLOURS]!;
    ctx.setLineDash(dashOf(colour).map((length) => length * devicePixelRatio));
    ctx.stroke(path);
  }
  ctx.restore();
}

/** A line before what begins there, and its name at the foot of the line. */
function drawMarks({ ctx, bbox, scales, valToPos }: uPlot, marks: readonly Mark[]): void {
  const { min = -Infinity, max = Infinity } = scales.x as { min?: number; max?: number };
  const size = Math.round(11 * devicePixelRatio);
  ctx.save();
  ctx.fillStyle = ctx.strokeStyle = colourOf('muted');
  ctx.lineWidth = devicePixelRatio;
  ctx.textAlign = 'left';
  ctx.textBaseline = 'alphabetic';
  ctx.font = `${size}px system-ui, sans-serif`;
  ctx.setLineDash([2 * devicePixelRatio, 3 * devicePixelRatio]);
  for (const { at, label } of marks) {
    if (at - 0.5 <= min || at - 0.5 >= max) continue;
    const x = Math.round(valToPos(at - 0.5, 'x', true));
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillText(label, x + size / 3, bbox.top + bbox.height - size / 3);
  }
  ctx.restore();
}

interface Part {
  readonly min: number;
  readonly max: number;
}

/** What is shown of the axis, where that is less than its values. */
function partOf({ data: [x], scales }: uPlot): Part | undefined {
  const { min, max } = scales.x!;
  const [first, last] = [x[0], x.at(-1)];
  if (typeof min !== 'number' || typeof max !== 'number' || first === undefined || last === undefined) return undefined;
  return min > first || max < last ? { min, max } : undefined;
}

/** Where a value has none before and none behind it. */
const alone = (values: ArrayLike<number | null | undefined>): number[] =>
  Array.from(values).flatMap((value, at) =>
    value != null && values[at - 1] == null && values[at + 1] == null ? [at] : [],
  );

const aligned = (x: readonly number[], series: readonly Series[]): uPlot.AlignedData =>
  [x, ...series.map(({ values }) => values)] as unknown as uPlot.AlignedData;

/** "Accuracy of 2 curves: a ends at 0.9, b at 0.8". */
function described(title: string, series: readonly Series[], isShare: boolean): string {
  const ends = series.slice(0, 8).map(({ label, values }) => {
    const end = values.findLast((value) => value !== null);
    return `${label} ends at ${end === null || end === undefined ? 'nothing yet' : written(end, isShare)}`;
  });
  const more = series.length > 8 ? `, and ${series.length - 8} more` : '';
  return `${title}, ${series.length} ${series.length === 1 ? 'curve' : 'curves'}: ${ends.join(', ')}${more}`;
}
