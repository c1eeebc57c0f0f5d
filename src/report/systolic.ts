// A picture of a layer in hardware: a systolic array with the streams that go in and out, what stands between them, and
// which way weights, activations and sums move. Large arrays are drawn with fewer elements, and say so.
// Invariant: a function of its size alone; light and dark by the reader's preference.

import { element } from './svg.ts';
import { fontFamily } from './theme.ts';

const CELL = 74;
const GAP = 26;
const PITCH = CELL + GAP;
const MOST = 4;
const LEFT = 250;
const TOP = 130;

const style = `svg { --paper: #ffffff; --ink: #1f2328; --quiet: #59636e; --line: #8c959f; --cell: #ddf4ff; --store: #fff1e5; --x: #0072b2; --sum: #b34700; --w: #007a59; }
@media (prefers-color-scheme: dark) {
  svg { --paper: #0d1117; --ink: #f0f6fc; --quiet: #9198a1; --line: #6e7681; --cell: #0c2d4d; --store: #4a2a0f; --x: #6cb6ff; --sum: #f4a261; --w: #57d9a3; }
}
text { font-family: ${fontFamily}; font-size: 12px; fill: var(--ink); text-anchor: middle; }
.quiet { fill: var(--quiet); font-size: 11px; } .left { text-anchor: start; } .right { text-anchor: end; }
rect { stroke: var(--line); } .cell { fill: var(--cell); } .store { fill: var(--store); } .register { fill: var(--paper); }
path { fill: none; stroke-width: 1.5; } .x { stroke: var(--x); } .sum { stroke: var(--sum); } .w { stroke: var(--w); }
.xt { fill: var(--x); } .st { fill: var(--sum); } .wt { fill: var(--w); }`;

const box = (kind: string, x: number, y: number, width: number, height: number) =>
  element('rect', { class: kind, x, y, width, height, rx: 4 });
const words = (text: string, x: number, y: number, kind?: string) => element('text', { x, y, class: kind }, text);
/** An arrow with a head of its own, to the right or down. */
function arrow(kind: string, x: number, y: number, dx: number, dy: number): string {
  const [tx, ty] = [x + dx, y + dy];
  const head =
    dx !== 0
      ? `M${tx - 5} ${ty - 4}L${tx} ${ty}L${tx - 5} ${ty + 4}`
      : `M${tx - 4} ${ty - 5}L${tx} ${ty}L${tx + 4} ${ty - 5}`;
  return element('path', { class: kind, d: `M${x} ${y}L${tx} ${ty}${head}` });
}

/** An SVG of an array of rows × columns elements between its streams. */
export function systolicPicture(rows: number, columns: number): string {
  const [drawnRows, drawnColumns] = [Math.min(rows, MOST), Math.min(columns, MOST)];
  const [width, arrayHeight] = [drawnColumns * PITCH - GAP, drawnRows * PITCH - GAP];
  const bottom = TOP + arrayHeight;
  const shapes: string[] = [];
  for (let r = 0; r < drawnRows; r++) {
    const y = TOP + r * PITCH;
    // Registers that delay row r by r cycles.
    shapes.push(arrow('x', 118, y + CELL / 2, LEFT - 118 - 2, 0));
    for (let n = 0; n < r; n++) shapes.push(box('register', LEFT - 34 - 26 * n, y + CELL / 2 - 10, 12, 20));
    for (let c = 0; c < drawnColumns; c++)
      shapes.push(...cell(LEFT + c * PITCH, y, r < drawnRows - 1, c < drawnColumns - 1));
  }
  for (let c = 0; c < drawnColumns; c++) {
    const x = LEFT + c * PITCH;
    shapes.push(arrow('w', x + 22, TOP - 44, 0, 42));
    shapes.push(arrow('sum', x + 52, bottom, 0, 122));
    for (let n = 0; n < drawnColumns - 1 - c; n++) shapes.push(box('register', x + 42, bottom + 18 + 24 * n, 20, 12));
  }
  const below = bottom + 124;
  const mid = LEFT + width / 2;
  const right = LEFT + width + 40;
  shapes.push(
    words('weights: valid, ready', mid, 34, 'wt'),
    words('a row of a tile per beat, last row first', mid, 50, 'quiet'),
    arrow('w', mid, 56, 0, 26),
    words('activations:', 10, TOP + 14, 'xt left'),
    words('valid, ready', 10, TOP + 30, 'xt left'),
    words(`${rows} taps of one`, 10, TOP + 48, 'quiet left'),
    words('position per beat,', 10, TOP + 62, 'quiet left'),
    words('mask of the padding', 10, TOP + 76, 'quiet left'),
    box('store', LEFT, below, width, 46),
    words('accumulators: a sum per position and column', mid, below + 20),
    words('over the tiles of taps', mid, below + 36, 'quiet'),
    arrow('sum', mid, below + 46, 0, 30),
    box('store', LEFT, below + 78, width, 46),
    words('zero points and borders', mid, below + 98),
    words('step · sum + border − factor · row terms', mid, below + 114, 'quiet'),
    arrow('sum', mid, below + 124, 0, 30),
    box('store', LEFT, below + 156, width, 46),
    words('requantisation', mid, below + 176),
    words('(sum + bias) · multiplier ÷ 2^shift + offset, limits', mid, below + 192, 'quiet'),
    arrow('sum', mid, below + 202, 0, 34),
    words('results: valid, ready', mid, below + 254, 'st'),
    words('one per cycle, position after position', mid, below + 270, 'quiet'),
    // What goes beside the array.
    box('store', right, TOP, 150, 60),
    words('row terms: Σ x of taps', right + 75, TOP + 24),
    words('that count, border class', right + 75, TOP + 42),
    element('path', { class: 'x', d: `M${right + 75} ${TOP + 60}V${below + 22}H${LEFT + width + 2}m5 -4l-5 4l5 4` }),
    words(`delayed by ${rows + columns - 1}`, right + 82, bottom + 40, 'quiet left'),
    box('store', right, below + 78, 150, 46),
    words('constants of a tile', right + 75, below + 98),
    words('of outputs: a stream', right + 75, below + 114, 'quiet'),
    element('path', { class: 'w', d: `M${right} ${below + 101}H${LEFT + width + 2}m5 -4l-5 4l5 4` }),
  );
  if (rows > drawnRows || columns > drawnColumns) {
    shapes.push(
      words(`${drawnRows}×${drawnColumns} of ${rows}×${columns} elements drawn`, right, TOP - 12, 'quiet left'),
    );
  }
  const [w, h] = [right + 170, below + 290];
  return element(
    'svg',
    {
      ...{ xmlns: 'http://www.w3.org/2000/svg', viewBox: `0 0 ${w} ${h}`, width: w, height: h, role: 'img' },
      'aria-label': `A systolic array of ${rows} by ${columns} elements: weights come from above and stand still, activations move right, sums move down into accumulators, zero points and requantisation`,
    },
    element('style', {}, style),
    element('rect', { x: 0, y: 0, width: w, height: h, style: 'fill: var(--paper); stroke: none' }),
    ...shapes,
  );
}

/** One element: its multiplier between weight and activation, an adder in the way of the sums. */
function cell(x: number, y: number, below: boolean, beside: boolean): string[] {
  return [
    box('cell', x, y, CELL, CELL),
    words('w', x + 22, y + 20, 'wt'),
    words('AxM', x + 24, y + 42),
    words('+', x + 53, y + 42, 'st'),
    words('x', x + 12, y + 64, 'xt'),
    ...(below ? [arrow('w', x + 22, y + CELL, 0, GAP - 2), arrow('sum', x + 52, y + CELL, 0, GAP - 2)] : []),
    ...(beside ? [arrow('x', x + CELL, y + CELL / 2, GAP - 2, 0)] : []),
  ];
}
