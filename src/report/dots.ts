// The dot diagram of an approximate multiplier: its partial products as the classical parallelogram of dots (column of
// weight 2^(i+j), most significant left), then one band per compression stage with its half adders (two dots) and full
// adders (three dots) in their columns. What was removed is hollow and faint; a constant bit is a 1 in the place of a
// dot. Drawn by hand because no chart grammar knows these marks; the input says what survives, nothing is inferred
// here.

import { invariant } from '../tensor/errors.ts';
import { element, escapeText } from './svg.ts';
import { colours, fontFamily, fontSize, textWidth } from './theme.ts';

export interface PartialProduct {
  /** Bit of the weight and of the activation; the column is i + j. */
  readonly i: number;
  readonly j: number;
  readonly kept: boolean;
}

export interface DiagramAdder {
  /** Compression stage, 0 first. */
  readonly stage: number;
  readonly column: number;
  readonly kind: 'half' | 'full';
  readonly kept: boolean;
  /** How many of its inputs are the constant 1. */
  readonly constantInputs?: number;
}

export interface DotDiagram {
  readonly weightBits: number;
  readonly activationBits: number;
  readonly partialProducts: readonly PartialProduct[];
  readonly adders: readonly DiagramAdder[];
  /** Adders of the exact multiplier that this one came from, where `adders` holds only those that are left. */
  readonly before?: Readonly<Record<'full' | 'half', number>>;
  /** Columns to which a constant 1 is added (compensation). */
  readonly constants?: readonly number[];
}

const pitch = 34;
const rowHeight = 19;
const dotRadius = 4.6;
const boxWidth = 18;
const boxPadding = 4;
const dotGap = 13;
const boxGap = 6;
const leftMargin = 92;
const rightMargin = 32;
const bandGap = 16;

interface Style {
  readonly fill: string;
  readonly stroke: string;
}

const keptDot: Style = { fill: colours.blue, stroke: colours.blue };
const removedDot: Style = { fill: 'none', stroke: colours.faint };

function dot(x: number, y: number, { fill, stroke }: Style, kind: string): string {
  return element('circle', { class: kind, cx: x, cy: y, r: dotRadius, fill, stroke, 'stroke-width': 1.2 });
}

function text(x: number, y: number, content: string, attributes: Record<string, string | number> = {}): string {
  return element('text', { x, y, 'font-size': fontSize.small, fill: colours.ink, ...attributes }, escapeText(content));
}

/** A constant bit, centred like a dot. */
function one(x: number, y: number, fill: string, kind: string): string {
  return text(x, y + 4, '1', { class: kind, 'text-anchor': 'middle', 'font-weight': 'bold', fill });
}

const boxHeight = (kind: 'half' | 'full') => 2 * boxPadding + 2 * dotRadius + dotGap * (kind === 'half' ? 1 : 2);

/** A half or full adder with its top edge at `y`. */
function adderBox(x: number, y: number, adder: DiagramAdder): string {
  const { kind, kept, constantInputs = 0 } = adder;
  const colour = kind === 'half' ? colours.green : colours.orange;
  const stroke = kept ? colour : colours.faint;
  const inputs = kind === 'half' ? 2 : 3;
  const dots = Array.from({ length: inputs }, (_, k) => {
    const at = y + boxPadding + dotRadius + k * dotGap;
    if (k >= inputs - constantInputs) return one(x, at, colour, 'one');
    return dot(x, at, kept ? { fill: colour, stroke: colour } : removedDot, 'input');
  });
  const frame = element('rect', {
    x: x - boxWidth / 2,
    y,
    width: boxWidth,
    height: boxHeight(kind),
    rx: 5,
    fill: kept ? colour : 'none',
    'fill-opacity': kept ? 0.12 : undefined,
    stroke,
    'stroke-width': 1.2,
    'stroke-dasharray': kept ? undefined : '3 2',
  });
  const state = kept ? 'kept' : 'removed';
  return element('g', { class: `adder ${kind} ${state}` }, frame, ...dots);
}

interface Frame {
  readonly columns: number;
  readonly width: number;
  readonly columnX: (column: number) => number;
}

function columnNumbers(frame: Frame, y: number): string {
  const labels = Array.from({ length: frame.columns }, (_, column) =>
    text(frame.columnX(column), y, String(column), { 'text-anchor': 'middle', fill: colours.muted }),
  );
  return text(leftMargin - 16, y, 'column', { 'text-anchor': 'end', fill: colours.muted }) + labels.join('');
}

/** The bold lines and the plain lines at the left of a band. */
function bandTitle(y: number, bold: readonly string[], plain: readonly string[] = []): string {
  const line = (weight: string, first: number) => (content: string, k: number) =>
    text(leftMargin - 16, y + (first + k) * 14, content, { 'text-anchor': 'end', 'font-weight': weight });
  return [...bold.map(line('bold', 0)), ...plain.map(line('normal', bold.length))].join('');
}

function separator(frame: Frame, y: number): string {
  return element('line', { x1: 12, x2: frame.width - 12, y1: y, y2: y, stroke: colours.grid, 'stroke-width': 1 });
}

/** The parallelogram: one row per activation bit, each shifted one column to the left of the row above. */
function productBand(diagram: DotDiagram, frame: Frame, top: number): { markup: string; bottom: number } {
  const dots = diagram.partialProducts.map(({ i, j, kept }) =>
    dot(
      frame.columnX(i + j),
      top + (j + 0.5) * rowHeight,
      kept ? keptDot : removedDot,
      kept ? 'product kept' : 'product removed',
    ),
  );
  const names = Array.from({ length: diagram.activationBits }, (_, j) =>
    text(frame.columnX(j) + pitch * 0.55, top + (j + 0.5) * rowHeight + 4, `x${subscript(j)}`, { fill: colours.muted }),
  );
  const title = bandTitle(top + 14, ['partial', 'products']);
  const rows = diagram.activationBits;
  const ones = (diagram.constants ?? []).map((column) =>
    one(frame.columnX(column), top + (rows + 0.5) * rowHeight, colours.blue, 'one'),
  );
  const label = ones.length > 0 ? bandTitle(top + (rows + 0.5) * rowHeight + 4, [], ['constants']) : '';
  const bottom = top + (rows + (ones.length > 0 ? 1 : 0)) * rowHeight;
  return { markup: title + names.join('') + dots.join('') + label + ones.join(''), bottom };
}

const subscript = (number: number) =>
  [...String(number)].map((digit) => String.fromCharCode(0x2080 + Number(digit))).join('');

function stageBand(
  adders: readonly DiagramAdder[],
  stage: number,
  frame: Frame,
  top: number,
): { markup: string; bottom: number } {
  const fill = new Map<number, number>();
  const boxes = adders.map((adder) => {
    const y = fill.get(adder.column) ?? top;
    fill.set(adder.column, y + boxHeight(adder.kind) + boxGap);
    return adderBox(frame.columnX(adder.column), y, adder);
  });
  const bottom = Math.max(...fill.values()) - boxGap;
  const kept = adders.filter((adder) => adder.kept).length;
  const count = kept === adders.length ? `${kept} adder${kept === 1 ? '' : 's'}` : `${kept} of ${adders.length}`;
  return {
    markup: bandTitle(top + 14, [`stage ${stage + 1}`], [count]) + boxes.join(''),
    bottom,
  };
}

interface LegendEntry {
  readonly symbol: (x: number, y: number) => string;
  readonly label: string;
}

/** The legend, broken into lines that fit; each entry's symbol is centred on its line. */
function legend(entries: readonly LegendEntry[], frame: Frame, top: number): { markup: string; bottom: number } {
  const lineHeight = 26;
  let x = 24;
  let y = top + lineHeight / 2;
  const parts = entries.map(({ symbol, label }) => {
    const width = 18 + textWidth(label, fontSize.label) + 22;
    if (x > 24 && x + width > frame.width - 12) {
      x = 24;
      y += lineHeight;
    }
    const part = symbol(x, y) + text(x + 16, y + 4, label, { 'font-size': fontSize.label });
    x += width;
    return part;
  });
  return { markup: element('g', { class: 'legend' }, ...parts), bottom: y + lineHeight / 2 };
}

/** Adders arranged anew may be more of a kind than there were. */
function adderCount(kept: number, before: number, kind: 'full' | 'half'): string {
  return kept <= before ? `kept ${kept} of ${before} ${kind} adders` : `${kept} ${kind} adders instead of ${before}`;
}

function legendEntries({ partialProducts, adders, before, constants = [] }: DotDiagram): LegendEntry[] {
  const entries: LegendEntry[] = [];
  const keptProducts = partialProducts.filter(({ kept }) => kept).length;
  entries.push({
    symbol: (x, y) => dot(x, y, keptDot, 'key'),
    label: `kept ${keptProducts} of ${partialProducts.length} partial products`,
  });
  for (const kind of ['full', 'half'] as const) {
    const all = adders.filter((adder) => adder.kind === kind);
    if (all.length === 0) continue;
    const colour = kind === 'half' ? colours.green : colours.orange;
    entries.push({
      symbol: (x, y) =>
        element('rect', {
          x: x - 6,
          y: y - 8,
          width: 12,
          height: 16,
          rx: 4,
          fill: colour,
          'fill-opacity': 0.2,
          stroke: colour,
          'stroke-width': 1.2,
        }),
      label: adderCount(all.filter(({ kept }) => kept).length, before?.[kind] ?? all.length, kind),
    });
  }
  if (keptProducts < partialProducts.length || adders.some(({ kept }) => !kept)) {
    entries.push({ symbol: (x, y) => dot(x, y, removedDot, 'key'), label: 'removed' });
  }
  if (constants.length > 0) {
    entries.push({
      symbol: (x, y) => one(x, y, colours.blue, 'key'),
      label: `constant 1 (${constants.length})`,
    });
  }
  return entries;
}

/** The diagram as one SVG; 8×8 bits are about 700 pixels wide. */
export function dotDiagramSvg(diagram: DotDiagram): string {
  const { weightBits, activationBits, adders } = diagram;
  for (const { i, j } of diagram.partialProducts) {
    invariant(
      i >= 0 && i < weightBits && j >= 0 && j < activationBits,
      `partial product (${i}, ${j}) of ${weightBits}×${activationBits} bits`,
    );
  }
  const columns = Math.max(weightBits + activationBits, ...adders.map(({ column }) => column + 1));
  const width = leftMargin + columns * pitch + rightMargin;
  const frame: Frame = { columns, width, columnX: (column) => leftMargin + (columns - 1 - column + 0.5) * pitch };
  const parts = [columnNumbers(frame, 24)];
  let band = productBand(diagram, frame, 36);
  parts.push(band.markup);
  const stages = [...new Set(adders.map(({ stage }) => stage))].sort((a, b) => a - b);
  for (const stage of stages) {
    parts.push(separator(frame, band.bottom + bandGap / 2));
    band = stageBand(
      adders.filter((adder) => adder.stage === stage),
      stage,
      frame,
      band.bottom + bandGap,
    );
    parts.push(band.markup);
  }
  parts.push(separator(frame, band.bottom + bandGap / 2));
  const key = legend(legendEntries(diagram), frame, band.bottom + bandGap);
  parts.push(key.markup);
  const height = key.bottom + 8;
  const ground = element('rect', { width, height, fill: colours.background });
  return element(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg',
      width,
      height,
      viewBox: `0 0 ${width} ${Math.round(height)}`,
      'font-family': fontFamily,
    },
    ground,
    ...parts,
  );
}
