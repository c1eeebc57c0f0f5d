// Accuracy against normalised power, one labelled point per multiplier or sweep setting, with the Pareto front drawn. Labels
// are placed greedily at the first of eight positions that touches no point and no earlier label.

import { invariant } from '../tensor/errors.ts';
import { categories, colours, figureWidth, fontSize, textWidth } from './theme.ts';
import { renderSpec } from './vega.ts';

export interface ParetoPoint {
  readonly label: string;
  /** Points of one group share colour and shape: 'exact', 'trained', 'library', … */
  readonly group: string;
  /** Share of correctly classified images, 0 … 1. */
  readonly accuracy: number;
  /** Power relative to the exact multiplier. */
  readonly power: number;
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

export interface Placement {
  /** Offset of the label's centre from its point in pixels. */
  readonly dx: number;
  readonly dy: number;
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
 * Centre offsets of labels at pixel positions inside a width × height frame, clear of points, of each other and of a line;
 * a label without a free place stands right of its point.
 */
export function placeLabels(
  points: readonly (Position & { readonly label: string })[],
  line: readonly Position[],
  width: number,
  height: number,
): Placement[] {
  const marks: Box[] = points.map(({ x, y }) => ({ left: x - 6, right: x + 6, top: y - 6, bottom: y + 6 }));
  const taken = [...marks, ...boxesAlong(line)];
  return points.map(({ x, y, label }) => {
    const halfWidth = textWidth(label, fontSize.small) / 2;
    const halfHeight = fontSize.small * 0.6;
    const at = ([horizontal, vertical]: readonly [number, number]) => {
      const dx = horizontal * (halfWidth + (vertical === 0 ? 10 : 5));
      const dy = vertical * (halfHeight + (horizontal === 0 ? 9 : 5));
      const box = {
        left: x + dx - halfWidth,
        right: x + dx + halfWidth,
        top: y + dy - halfHeight,
        bottom: y + dy + halfHeight,
      };
      return { dx, dy, box };
    };
    const inside = ({ left, right, top, bottom }: Box) => left >= 0 && right <= width && top >= 0 && bottom <= height;
    const free = directions.map(at).find(({ box }) => inside(box) && !taken.some((other) => overlaps(box, other)));
    const { dx, dy, box } = free ?? at(directions[0]);
    taken.push(box);
    return { dx, dy };
  });
}

function domainOf(values: readonly number[]): [number, number] {
  const low = Math.min(...values);
  const high = Math.max(...values);
  const margin = (high - low) * 0.1 || 0.02;
  return [low - margin, high + margin];
}

/** The scatter plot; accuracies in per cent, and on the other axis the measure that the title names. */
export function paretoSvg(
  points: readonly ParetoPoint[],
  axisTitle = 'Normalised power (exact multiplier = 1)',
): Promise<string> {
  invariant(points.length > 0, 'a Pareto picture without a point');
  const width = figureWidth - 100;
  const height = 400;
  const xDomain = domainOf(points.map(({ power }) => power));
  const yDomain = domainOf(points.map(({ accuracy }) => 100 * accuracy));
  const position = ({ power, accuracy }: ParetoPoint) => ({
    x: (width * (power - xDomain[0])) / (xDomain[1] - xDomain[0]),
    y: (height * (yDomain[1] - 100 * accuracy)) / (yDomain[1] - yDomain[0]),
  });
  const front = paretoFront(points);
  const labelled = points.map((point) => ({ ...position(point), label: point.label }));
  const placements = placeLabels(labelled, front.map(position), width, height);
  const values = points.map((point, k) => ({ ...point, accuracy: 100 * point.accuracy, ...placements[k] }));
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
    layer: [
      {
        data: { values: front.map(({ power, accuracy }) => ({ power, accuracy: 100 * accuracy })) },
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
