// Accuracy against normalised power, one labelled point per multiplier or sweep setting, with the Pareto front drawn.
// Labels are placed greedily at the first position around their point that touches no point, no line and no earlier
// label; one that has to stand further off is tied to its point by a thin line.

import { invariant } from '../tensor/errors.ts';
import { categories, colours, figureWidth, fontSize, textWidth } from './theme.ts';
import { renderSpec } from './vega.ts';

export interface ParetoPoint {
  readonly label: string;
  /** Points of one group share colour and shape: 'exact', 'trained', 'library', … */
  readonly group: string;
  /** Share of correctly classified images, 0 … 1. */
  readonly accuracy: number;
  /** Power or gate cost relative to the exact multiplier. */
  readonly power: number;
  /** The accuracy that it had before something was done about it: drawn as a thin line up to the point. */
  readonly before?: number;
}

/** The points that no other point beats in both accuracy and power, by rising power. */
export function paretoFront(points: readonly ParetoPoint[]): ParetoPoint[] {
  const front: ParetoPoint[] = [];
  for (const point of points.toSorted((a, b) => a.power - b.power || b.accuracy - a.accuracy)) {
    const best = front.at(-1);
    if (best === undefined || point.accuracy > best.accuracy) front.push(point);
  }
  return front;
}

interface Box {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

const overlaps = (a: Box, b: Box) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;

/** Where a label may stand relative to its point: horizontal and vertical direction, the preferred one first. */
const directions = [
  [1, 0],
  [0, -1],
  [0, 1],
  [-1, 0],
  [1, -1],
  [1, 1],
  [-1, -1],
  [-1, 1],
] as const;

/** Pixels that a label may stand further off, tied to its point; first none. */
const rings = [0, 14, 28, 44, 60] as const;

export interface Placement {
  /** Offset of the label's centre from its point in pixels. */
  readonly dx: number;
  readonly dy: number;
  /** Stands further off than the points around would tell. */
  readonly tied: boolean;
}

interface Position {
  readonly x: number;
  readonly y: number;
}

/** Boxes around points at most 6 pixels apart along a polyline. */
function boxesAlong(line: readonly Position[]): Box[] {
  return line.slice(1).flatMap((end, k) => {
    const start = line[k]!;
    const steps = Math.ceil(Math.hypot(end.x - start.x, end.y - start.y) / 6);
    return Array.from({ length: steps + 1 }, (_, step) => {
      const x = start.x + ((end.x - start.x) * step) / steps;
      const y = start.y + ((end.y - start.y) * step) / steps;
      return { left: x - 2, right: x + 2, top: y - 2, bottom: y + 2 };
    });
  });
}

/**
 * Centre offsets of labels at pixel positions inside a width × height frame, clear of points, of each other and of
 * lines; a label without a free place stands right of its point.
 */
export function placeLabels(
  points: readonly (Position & { readonly label: string })[],
  lines: readonly (readonly Position[])[],
  width: number,
  height: number,
): Placement[] {
  const marks: Box[] = points.map(({ x, y }) => ({ left: x - 6, right: x + 6, top: y - 6, bottom: y + 6 }));
  const taken = [...marks, ...lines.flatMap(boxesAlong)];
  return points.map(({ x, y, label }) => {
    const halfWidth = textWidth(label, fontSize.small) / 2;
    const halfHeight = fontSize.small * 0.6;
    const at = ([horizontal, vertical]: readonly [number, number], ring = 0) => {
      const dx = horizontal * (halfWidth + (vertical === 0 ? 10 : 5) + ring / 2);
      const dy = vertical * (halfHeight + (horizontal === 0 ? 9 : 5) + ring);
      const box = {
        left: x + dx - halfWidth,
        right: x + dx + halfWidth,
        top: y + dy - halfHeight,
        bottom: y + dy + halfHeight,
      };
      return { dx, dy, box, tied: ring > 0 };
    };
    const inside = ({ left, right, top, bottom }: Box) => left >= 0 && right <= width && top >= 0 && bottom <= height;
    const free = rings
      .flatMap((ring) => directions.map((direction) => at(direction, ring)))
      .find(({ box }) => inside(box) && !taken.some((other) => overlaps(box, other)));
    const { dx, dy, box, tied } = free ?? at(directions[0]);
    taken.push(box);
    return { dx, dy, tied };
  });
}

function domainOf(values: readonly number[]): [number, number] {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const margin = (high - low) * 0.1 || 0.02;
  return [low - margin, high + margin];
}

export interface ParetoOptions {
  /** Accuracies below, 0 … 1, are drawn at it and told in the label: one failure does not flatten all the rest. */
  readonly floor?: number;
  /** A line above the picture: what the points and lines are. */
  readonly caption?: string;
}

/** The scatter plot; accuracies in per cent, and on the other axis the measure that the title names. */
export function paretoSvg(
  points: readonly ParetoPoint[],
  axisTitle = 'Normalised power (exact multiplier = 1)',
  { floor = 0, caption }: ParetoOptions = {},
): Promise<string> {
  invariant(points.length > 0, 'a Pareto picture without a point');
  const width = figureWidth - 100;
  const height = 400;
  const shown = (accuracy: number) => 100 * Math.max(accuracy, floor);
  const xDomain = domainOf(points.map(({ power }) => power));
  const yDomain = domainOf(points.flatMap(({ accuracy, before = accuracy }) => [shown(accuracy), shown(before)]));
  const position = ({ power, accuracy }: ParetoPoint) => ({
    x: (width * (power - xDomain[0])) / (xDomain[1] - xDomain[0]),
    y: (height * (yDomain[1] - shown(accuracy))) / (yDomain[1] - yDomain[0]),
  });
  const front = paretoFront(points);
  const labels = points.map(({ label, accuracy }) =>
    accuracy < floor ? `${label} ↓ ${(100 * accuracy).toFixed(1)} %` : label,
  );
  const labelled = points.map((point, k) => ({ ...position(point), label: labels[k]! }));
  const before = points.flatMap((point) =>
    point.before === undefined ? [] : [[position(point), position({ ...point, accuracy: point.before })]],
  );
  const placements = placeLabels(labelled, [front.map(position), ...before], width, height);
  const values = points.map((point, k) => ({
    ...point,
    label: labels[k],
    accuracy: shown(point.accuracy),
    ...placements[k],
  }));
  // From the point to the edge of its label, in the units of the axes.
  const ties = points.flatMap((point, k) => {
    const { dx, dy, tied } = placements[k]!;
    const [toX, toY] = [dx * 0.8, dy - Math.sign(dy) * fontSize.small * 0.6];
    const { power, accuracy } = point;
    if (!tied) return [];
    const end = {
      power: power + (toX * (xDomain[1] - xDomain[0])) / width,
      accuracy: shown(accuracy) - (toY * (yDomain[1] - yDomain[0])) / height,
    };
    return [{ power, accuracy: shown(accuracy), toPower: end.power, toAccuracy: end.accuracy }];
  });
  const raised = points.flatMap(({ power, accuracy, before }) =>
    before === undefined ? [] : [{ power, accuracy: shown(accuracy), before: shown(before) }],
  );
  const groups = [...new Set(points.map(({ group }) => group))];
  const x = {
    field: 'power',
    type: 'quantitative',
    scale: { domain: xDomain, nice: false, zero: false },
    axis: { title: axisTitle, grid: true, tickCount: 8 },
  };
  const y = {
    field: 'accuracy',
    type: 'quantitative',
    scale: { domain: yDomain, nice: false, zero: false },
    axis: { title: 'Accuracy (%)', tickCount: 8 },
  };
  return renderSpec({
    width,
    height,
    ...(caption === undefined
      ? {}
      : {
          title: {
            text: caption,
            anchor: 'start',
            fontSize: fontSize.label,
            fontWeight: 'normal',
            color: colours.muted,
          },
        }),
    layer: [
      ...(ties.length === 0
        ? []
        : [
            {
              data: { values: ties },
              mark: { type: 'rule', color: colours.muted, strokeWidth: 0.5 },
              encoding: { x, y, x2: { field: 'toPower' }, y2: { field: 'toAccuracy' } },
            },
          ]),
      ...(raised.length === 0
        ? []
        : [
            {
              data: { values: raised },
              mark: { type: 'rule', color: colours.faint, strokeWidth: 1 },
              encoding: { x, y: { ...y, field: 'before' }, y2: { field: 'accuracy' } },
            },
          ]),
      {
        data: { values: front.map(({ power, accuracy }) => ({ power, accuracy: shown(accuracy) })) },
        mark: { type: 'line', color: colours.faint, strokeWidth: 1.5, strokeDash: [5, 3] },
        encoding: { x, y, order: { field: 'power' } },
      },
      {
        data: { values },
        mark: { type: 'point', filled: true, size: 70, opacity: 1 },
        encoding: {
          x,
          y,
          color: {
            field: 'group',
            type: 'nominal',
            scale: { domain: groups, range: groups.map((_, k) => categories[k % categories.length]) },
            legend: { title: null, orient: 'bottom', direction: 'horizontal' },
          },
          shape: { field: 'group', type: 'nominal', scale: { domain: groups } },
        },
      },
      {
        data: { values },
        mark: {
          type: 'text',
          align: 'center',
          baseline: 'middle',
          fontSize: fontSize.small,
          color: colours.ink,
          dx: { expr: 'datum.dx' },
          dy: { expr: 'datum.dy' },
        },
        encoding: { x, y, text: { field: 'label' } },
      },
    ],
  });
}
