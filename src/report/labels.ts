// Where labels stand in a scatter plot: greedily at the first position around their point that touches no point, no
// line and no earlier label; one that has to stand further off is tied to its point by a thin line.

import { fontSize, textWidth } from './theme.ts';

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

export interface Position {
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
