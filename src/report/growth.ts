// How a cost grows: measured points and the model that explains them, in small plots side by side. The curves are given
// as points of the model; what was fitted, and how well, is said by whoever measured.

import { invariant } from '../tensor/errors.ts';
import { categories, colours, figureWidth, fontSize } from './theme.ts';
import { renderSpec } from './vega.ts';

export interface GrowthSeries {
  readonly name: string;
  /** Measured milliseconds, in the order of x. */
  readonly points: readonly { readonly x: number; readonly ms: number }[];
  /** The model's milliseconds, at as many x as the curve needs. */
  readonly model: readonly { readonly x: number; readonly ms: number }[];
}

export interface GrowthPlot {
  readonly title: string;
  /** What x counts. */
  readonly x: string;
  readonly y: string;
  readonly series: readonly GrowthSeries[];
}

const perRow = 2;
/** Pixels for the axis at the left of a plot, and between rows for titles. */
const space = { axis: 66, row: 78 } as const;

/** One plot per kind of growth, at most two in a row: dots are measured, lines are the model. */
export function growthSvg(plots: readonly GrowthPlot[]): Promise<string> {
  invariant(plots.length > 0, 'a figure of growth without a plot');
  const inRow = Math.min(perRow, plots.length);
  const width = figureWidth / inRow - space.axis - 8;
  const names = [...new Set(plots.flatMap(({ series }) => series.map(({ name }) => name)))];
  invariant(names.length <= categories.length, `${names.length} series in a figure of growth`);
  const color = {
    field: 'series',
    type: 'nominal',
    scale: { domain: names, range: categories.slice(0, names.length) },
    legend: { title: null, orient: 'bottom', direction: 'horizontal', symbolType: 'circle' },
  };
  return renderSpec({
    concat: plots.map((plot) => plotOf(plot, width, color)),
    columns: perRow,
    bounds: 'flush',
    spacing: { row: space.row, column: space.axis + 8 },
  });
}

function plotOf({ title, x, y, series }: GrowthPlot, width: number, color: object): object {
  const values = (kind: 'points' | 'model') =>
    series.flatMap((one) => one[kind].map((point) => ({ ...point, series: one.name })));
  const xs = series.flatMap(({ points }) => points.map((point) => point.x));
  const encoding = {
    x: {
      field: 'x',
      type: 'quantitative',
      scale: { domain: [Math.min(0, ...xs), Math.max(...xs)], nice: false },
      axis: { title: x, tickCount: 8 },
    },
    y: { field: 'ms', type: 'quantitative', scale: { zero: true }, axis: { title: y, tickCount: 5 } },
    color,
  };
  return {
    title: { text: title, fontSize: fontSize.title, offset: 8, frame: 'group', color: colours.ink },
    width,
    height: 190,
    layer: [
      { data: { values: values('model') }, mark: { type: 'line', strokeWidth: 1.5, opacity: 0.8 }, encoding },
      { data: { values: values('points') }, mark: { type: 'point', filled: true, size: 40, opacity: 1 }, encoding },
    ],
  };
}
