// Training curves: loss, accuracy and modelled power over the epochs of each phase, and the structure parameters θ over
// time. Input are plain points, whatever wrote them; a metric that no point carries has no row.

import { invariant } from '../tensor/errors.ts';
import { categories, colours, figureWidth, fontSize, orderedColours, textWidth } from './theme.ts';
import { renderSpec } from './vega.ts';

export interface CurvePoint {
  /** Epochs done in this phase; a fraction within an epoch. */
  readonly epoch: number;
  /** Mean loss per image. */
  readonly loss?: number;
  /** Share of correctly classified images, 0 … 1. */
  readonly accuracy?: number;
  /** Modelled power of the multipliers relative to exact 8×8 ones, 0 … 1. */
  readonly power?: number;
}

export interface PhaseCurves {
  readonly phase: string;
  readonly training: readonly CurvePoint[];
  readonly test: readonly CurvePoint[];
}

interface Row {
  readonly metric: 'loss' | 'accuracy' | 'power';
  readonly title: string;
  readonly factor: number;
}

const rows: readonly Row[] = [
  { metric: 'loss', title: 'Loss', factor: 1 },
  { metric: 'accuracy', title: 'Accuracy (%)', factor: 100 },
  { metric: 'power', title: 'Power (model of θ)', factor: 1 },
];

/** Pixels left of a plot for the labels of its axis, for the axis title beside them, and between plots. */
const labelSpace = 34;
const titleSpace = 40;
const gap = 20;
/** The same for a figure with a plot per layer, and how many stand in a row. */
const axisSpace = 110;
const perRow = 4;
const SPACING = 18;

/**
 * Values per line up to which each is marked with a dot; beyond, as with one value per step, dots would hide the line.
 */
const mostDots = 60;

interface CurveValue {
  readonly epoch: number;
  readonly value: number;
  readonly series: string;
}

function valuesOf({ training, test }: PhaseCurves, { metric, factor }: Row): CurveValue[] {
  const of = (points: readonly CurvePoint[], series: string) =>
    points.flatMap(({ epoch, [metric]: value }) =>
      value === undefined ? [] : [{ epoch, value: value * factor, series }],
    );
  return [...of(training, 'training'), ...of(test, 'test')];
}

/** The smallest interval around the values with a margin, so that a flat curve is not drawn on the frame. */
function domainOf(values: readonly number[]): [number, number] {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const margin = (high - low) * 0.06 || Math.max(Math.abs(high) * 0.02, 1e-3);
  return [low - margin, high + margin];
}

/** Width shared by the phases; a phase without a span (a single evaluation) takes a fifth of the others' width. */
function phaseWidths(phases: readonly PhaseCurves[]): number[] {
  const weights = phases.map(({ training, test }) =>
    new Set([...training, ...test].map((p) => p.epoch)).size > 1 ? 5 : 1,
  );
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const width = figureWidth - titleSpace - (labelSpace + gap) * phases.length;
  return weights.map((weight) => Math.max((width * weight) / total, 80));
}

/**
 * Loss, accuracy and power from top to bottom, the phases side by side. Each panel has the scale of its own values, so
 * that the small changes of late phases show beside the large ones of the first; a metric that a phase lacks has no
 * panel.
 */
export function curvesSvg(phases: readonly PhaseCurves[]): Promise<string> {
  invariant(
    phases.some((phase) => rows.some((row) => valuesOf(phase, row).length > 0)),
    'training curves without a single value',
  );
  const widths = phaseWidths(phases);
  const dotted = Math.max(...phases.flatMap(({ training, test }) => [training.length, test.length])) <= mostDots;
  const present = rows.filter((row) => phases.some((phase) => valuesOf(phase, row).length > 0));
  const cells = present.flatMap((row, at) =>
    phases.map((phase, column) => {
      const size = { width: widths[column]!, height: 150 };
      const lowest = present.slice(at + 1).every((below) => valuesOf(phase, below).length === 0);
      const titled = column === 0 || valuesOf(phases[column - 1]!, row).length === 0;
      const heading = { title: { text: phase.phase, fontSize: fontSize.title, offset: 8, frame: 'group' } };
      const cell = { ...size, ...(at === 0 ? heading : {}) };
      // Nothing but room: the panels below each other belong to one phase.
      if (valuesOf(phase, row).length === 0) return { ...cell, data: { values: [] }, mark: 'point' };
      return { ...cell, ...panel(phase, row, { dotted, lowest, titled }, size.width) };
    }),
  );
  return renderSpec({ concat: cells, columns: phases.length, spacing: { row: 16, column: gap } });
}

interface PanelLook {
  readonly dotted: boolean;
  /** The last of its phase: it names the axis of epochs. */
  readonly lowest: boolean;
  /** It has no neighbour at the left that names its metric. */
  readonly titled: boolean;
}

function panel(phase: PhaseCurves, row: Row, { dotted, lowest, titled }: PanelLook, width: number) {
  const values = valuesOf(phase, row);
  return {
    data: { values },
    mark: { type: 'line', point: dotted && { size: 24, filled: true } },
    encoding: {
      x: {
        field: 'epoch',
        type: 'quantitative',
        scale: { domain: epochDomain(phase), nice: false, zero: false },
        axis: {
          title: lowest ? 'Epoch' : null,
          tickMinStep: 1,
          tickCount: Math.max(2, Math.floor(width / 30)),
        },
      },
      y: {
        field: 'value',
        type: 'quantitative',
        scale: { domain: domainOf(values.map(({ value }) => value)), nice: true, zero: false },
        axis: { title: titled ? row.title : null, tickCount: 5, minExtent: labelSpace },
      },
      color: {
        field: 'series',
        type: 'nominal',
        scale: { domain: ['training', 'test'], range: [categories[0], categories[1]] },
        legend: { title: null, orient: 'bottom', direction: 'horizontal', symbolType: 'stroke', symbolSize: 300 },
      },
    },
  };
}

function epochDomain({ training, test }: PhaseCurves): [number, number] {
  const epochs = [...training, ...test].map(({ epoch }) => epoch);
  const first = Math.min(...epochs);
  const last = Math.max(...epochs);
  return first === last ? [first - 0.5, last + 0.5] : [first, last];
}

export interface ThetaPoint {
  readonly epoch: number;
  /** One vector of parameters per distinct multiplier: one if shared by all layers, else one per layer. */
  readonly theta: readonly (readonly number[])[];
}

/**
 * θ over the epochs, one line for each, by name (columns by default); a small picture per layer when layers have
 * vectors of their own.
 */
export function thetaSvg(
  points: readonly ThetaPoint[],
  layers: readonly string[] = ['all layers'],
  given?: readonly string[],
): Promise<string> {
  invariant(points.length > 0, 'θ over time without a point');
  for (const { theta } of points) {
    invariant(theta.length === layers.length, `${theta.length} θ vectors for ${layers.length} layers`);
  }
  const count = Math.max(...points.flatMap(({ theta }) => theta.map((vector) => vector.length)));
  const names = given ?? Array.from({ length: count }, (_, column) => `column ${column}`);
  invariant(names.length === count, `${names.length} names for ${count} θ`);
  const counted = countedThings(names);
  const field = counted?.word ?? 'θ';
  const keys = counted?.numbers ?? names;
  const color = {
    field,
    type: 'ordinal',
    scale: { domain: keys, range: orderedColours(count) },
    legend: {
      title: field.charAt(0).toUpperCase() + field.slice(1),
      orient: 'bottom',
      direction: 'horizontal',
      symbolType: 'stroke',
      symbolSize: 200,
    },
  };
  const valuesOfLayer = (layer: number) =>
    points.flatMap(({ epoch, theta }) =>
      theta[layer]!.map((value, at) => ({ epoch, value, name: names[at]!, [field]: keys[at]! })),
    );
  return renderSpec(
    layers.length === 1
      ? sharedTheta(valuesOfLayer(0), counted ? `θ (1: ${counted.word} removed)` : 'θ (1: removed)', color)
      : {
          concat: layers.map((name, layer) => layerTheta(name, layer, layers.length, valuesOfLayer(layer), color)),
          columns: perRow,
          spacing: SPACING,
        },
  );
}

interface ThetaValue {
  readonly epoch: number;
  readonly value: number;
  readonly name: string;
}

/** One large picture with each θ named at the end of its line, those that end together in one label. */
function sharedTheta(values: readonly ThetaValue[], title: string, color: object): object {
  const last = Math.max(...values.map(({ epoch }) => epoch));
  const x = { field: 'epoch', type: 'quantitative', axis: { title: 'Epoch', tickMinStep: 1, tickCount: 10 } };
  const y = { field: 'value', type: 'quantitative', scale: { domain: [0, 1.1], nice: false } };
  return {
    width: 640,
    height: 280,
    layer: [
      {
        data: { values },
        mark: { type: 'line', point: { size: 24, filled: true } },
        encoding: {
          x,
          y: { ...y, axis: { title, values: [0, 0.2, 0.4, 0.6, 0.8, 1] } },
          color,
        },
      },
      {
        data: { values: endLabels(values.filter(({ epoch }) => epoch === last)) },
        mark: { type: 'text', align: 'left', dx: 8, fontSize: fontSize.small, color: colours.muted },
        encoding: { x, y, text: { field: 'label' } },
      },
    ],
  };
}

/** Labels for values whose distance is at least a line of text; closer ones share the label of their group. */
export function endLabels(ends: readonly ThetaValue[]): { epoch: number; value: number; label: string }[] {
  const groups: ThetaValue[][] = [];
  for (const end of ends.toSorted((a, b) => a.value - b.value)) {
    const group = groups.at(-1);
    if (group && end.value - group.at(-1)!.value < 0.05) group.push(end);
    else groups.push([end]);
  }
  return groups.map((group) => ({
    epoch: group[0]!.epoch,
    value: group.reduce((sum, { value }) => sum + value, 0) / group.length,
    label: labelOf(group.map(({ name }) => name)),
  }));
}

/** What names like "column 0", "column 1" count; undefined where they are of another kind. */
function countedThings(names: readonly string[]): { word: string; numbers: number[] } | undefined {
  const [, word] = /^([a-z]+) \d+$/.exec(names[0] ?? '') ?? [];
  if (word === undefined) return undefined;
  const numbers = names.map((name) => (name.startsWith(`${word} `) ? Number(name.slice(word.length + 1)) : Number.NaN));
  return numbers.every((number) => Number.isInteger(number)) ? { word, numbers } : undefined;
}

/** "columns 0–3, 5", or the names themselves while they are few. */
function labelOf(names: readonly string[]): string {
  const counted = countedThings(names);
  if (!counted) return names.length > MOST_NAMES ? `${names.length} θ` : names.join(', ');
  return `${counted.word}${names.length > 1 ? 's' : ''} ${formatRanges(counted.numbers)}`;
}

const MOST_NAMES = 3;

/** Numbers as ranges: 0–3, 5. */
function formatRanges(numbers: readonly number[]): string {
  const ranges: [number, number][] = [];
  for (const number of numbers.toSorted((a, b) => a - b)) {
    const range = ranges.at(-1);
    if (range && range[1] === number - 1) range[1] = number;
    else ranges.push([number, number]);
  }
  return ranges.map(([from, to]) => (from === to ? `${from}` : `${from}–${to}`)).join(', ');
}

/** A layer's name in bold, of a long one the end, in which it differs from its neighbours': "…denselayer1.conv1". */
function endOf(name: string, width: number): string {
  const fits = (text: string) => textWidth(text, fontSize.label, true) <= width;
  if (fits(name)) return name;
  const starts = Array.from(name, (_, at) => `…${name.slice(at)}`);
  return starts.find(fits) ?? name;
}

/** One small picture; axis titles only where no other picture is left of it or below it. */
function layerTheta(name: string, layer: number, layers: number, values: readonly ThetaValue[], color: object): object {
  const leftmost = layer % perRow === 0;
  const lowest = layer + perRow >= layers;
  const width = (figureWidth - axisSpace - SPACING * (perRow - 1)) / perRow;
  return {
    title: { text: endOf(name, width), fontSize: fontSize.label, offset: 6, frame: 'group' },
    width,
    height: 100,
    data: { values },
    mark: { type: 'line', strokeWidth: 1.5 },
    encoding: {
      x: {
        field: 'epoch',
        type: 'quantitative',
        axis: { title: lowest ? 'Epoch' : null, labels: lowest, tickMinStep: 1, tickCount: 4 },
      },
      y: {
        field: 'value',
        type: 'quantitative',
        scale: { domain: [0, 1.1], nice: false },
        axis: {
          title: leftmost ? 'θ' : null,
          labels: leftmost,
          ticks: leftmost,
          domain: leftmost,
          values: [0, 0.5, 1],
        },
      },
      color,
    },
  };
}
