// Curves as text: a cell of braille is two by four dots, so that a chart of sixty columns has 120 points across. Strips
// of shares are blocks of five shades. Nothing here writes or knows what is drawn.

export interface Series {
  /** Points of rising x; a gap where y is undefined. */
  readonly points: readonly { readonly x: number; readonly y: number | undefined }[];
  readonly paint?: (text: string) => string;
}

export interface ChartSize {
  /** Cells. */
  readonly width: number;
  readonly height: number;
}

/** Bits of the dots of a cell (Unicode 2800 …), by row and column. */
const DOTS = [
  [0x01, 0x08],
  [0x02, 0x10],
  [0x04, 0x20],
  [0x40, 0x80],
] as const;

export interface Chart {
  /** From the top, `width` cells each. */
  readonly rows: readonly string[];
  readonly least: number;
  readonly most: number;
}

/** Draws series over one another, on the axis from `from` to `to`; undefined where there is no point. */
export function chart(
  series: readonly Series[],
  { width, height }: ChartSize,
  from: number,
  to: number,
): Chart | undefined {
  const values = series.flatMap(({ points }) => points.flatMap(({ y }) => (y === undefined ? [] : [y])));
  if (values.length === 0) return undefined;
  let [least, most] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const value of values) [least, most] = [Math.min(least, value), Math.max(most, value)];
  const [columns, lines] = [2 * width, 4 * height];
  const cells = Array.from({ length: height }, () => new Array<number>(width).fill(0));
  const paints: (Series['paint'] | undefined)[][] = cells.map((row) => row.map(() => undefined));
  const place = ({ x, y }: { x: number; y: number }) => ({
    column: to > from ? ((x - from) / (to - from)) * (columns - 1) : 0,
    line: most > least ? (1 - (y - least) / (most - least)) * (lines - 1) : (lines - 1) / 2,
  });
  for (const { points, paint } of series) {
    const dot = (column: number, line: number) => {
      const [c, l] = [Math.round(column), Math.round(line)];
      if (c < 0 || c >= columns || l < 0 || l >= lines) return;
      cells[l >> 2]![c >> 1]! |= DOTS[l & 3]![c & 1]!;
      paints[l >> 2]![c >> 1] = paint;
    };
    let before: { column: number; line: number } | undefined;
    for (const { x, y } of points) {
      if (y === undefined) {
        before = undefined;
        continue;
      }
      const at = place({ x, y });
      const start = before ?? at;
      const steps = Math.max(
        1,
        Math.ceil(Math.max(Math.abs(at.column - start.column), Math.abs(at.line - start.line))),
      );
      for (let step = 0; step <= steps; step++) {
        const share = step / steps;
        dot(start.column + share * (at.column - start.column), start.line + share * (at.line - start.line));
      }
      before = at;
    }
  }
  const rows = cells.map((row, line) => painted(row, paints[line]!));
  return { rows, least, most };
}

/** Cells of dots as text; neighbours of one colour are painted together. */
function painted(bits: readonly number[], paints: readonly (Series['paint'] | undefined)[]): string {
  let text = '';
  for (let at = 0; at < bits.length; ) {
    let end = at + 1;
    while (end < bits.length && paints[end] === paints[at]) end++;
    const cells = bits.slice(at, end).map((one) => (one === 0 ? ' ' : String.fromCodePoint(0x2800 + one)));
    text += paints[at]?.(cells.join('')) ?? cells.join('');
    at = end;
  }
  return text;
}

const SHADES = ['·', '░', '▒', '▓', '█'];

/** Shares 0 … 1 as shades over `width` cells, the last value at the end. */
export function strip(values: readonly number[], width: number): string {
  return Array.from({ length: width }, (_, cell) => {
    const value = values[Math.max(0, Math.ceil(((cell + 1) * values.length) / width) - 1)]!;
    return SHADES[Math.round(Math.max(0, Math.min(1, value)) * (SHADES.length - 1))]!;
  }).join('');
}

const BARS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/** A course of numbers in one line, between their own least and largest. */
export function sparkline(values: readonly number[], width: number): string {
  const cells = Math.min(width, values.length);
  const shown = Array.from(
    { length: cells },
    (_, cell) => values[Math.floor(((cell + 1) * values.length) / cells) - 1]!,
  );
  const [least, most] = [Math.min(...shown), Math.max(...shown)];
  return shown.map((value) => BARS[most > least ? Math.round(((value - least) / (most - least)) * 7) : 3]!).join('');
}
