// Pictures of a multiplier's error, product − w·x, over all operand pairs: a heat map (one pixel per pair, embedded as
// a palette PNG, so that 65 536 pairs cost a few kilobytes) and a histogram. Colours are centred at zero.

import { invariant } from '../tensor/errors.ts';
import { grouped, significant } from '../tensor/numbers.ts';
import { encodePalettePng } from './png.ts';
import { colours, diverging, divergingColour, figureWidth } from './theme.ts';
import { renderSpec } from './vega.ts';

export interface ErrorTable {
  /** Error of each operand pair, [2^weightBits, 2^activationBits]: row w, column x. */
  readonly errors: Int32Array;
  readonly weightBits: number;
  readonly activationBits: number;
}

export interface ErrorStatistics {
  readonly pairs: number;
  /** Pairs with error zero. */
  readonly exact: number;
  readonly mean: number;
  readonly least: number;
  readonly greatest: number;
}

/** Summary of an error table over uniform operands. */
export function errorStatistics(errors: Int32Array): ErrorStatistics {
  let [exact, sum, least, greatest] = [0, 0, 0, 0];
  for (const error of errors) {
    if (error === 0) exact++;
    sum += error;
    least = Math.min(least, error);
    greatest = Math.max(greatest, error);
  }
  return { pairs: errors.length, exact, mean: sum / errors.length, least, greatest };
}

/** Palette of the embedded picture: index 127 is zero, 0 and 254 are the extremes. */
const palette = Array.from({ length: 255 }, (_, index) => divergingColour((index - 127) / 127));

function picture({ errors, weightBits, activationBits }: ErrorTable, extreme: number): string {
  const height = 2 ** weightBits;
  const width = 2 ** activationBits;
  invariant(
    errors.length === height * width,
    `${errors.length} errors for ${weightBits}×${activationBits}-bit operands`,
  );
  const indices = new Uint8Array(errors.length);
  for (let w = 0; w < height; w++) {
    const row = (height - 1 - w) * width;
    for (let x = 0; x < width; x++) indices[row + x] = 127 + Math.round((errors[w * width + x]! / extreme) * 127);
  }
  const png = encodePalettePng(width, height, indices, palette);
  return `data:image/png;base64,${Buffer.from(png).toString('base64')}`;
}

/** Axis values of a B-bit operand: multiples of a power of two, and the greatest operand. */
function operandTicks(bits: number): number[] {
  const step = Math.max(1, 2 ** (bits - 2));
  const greatest = 2 ** bits - 1;
  return [...new Set([...Array.from({ length: Math.ceil(greatest / step) }, (_, k) => k * step), greatest])];
}

function operandAxis(name: string, bits: number) {
  return {
    type: 'quantitative',
    scale: { domain: [-0.5, 2 ** bits - 0.5], nice: false, zero: false },
    axis: { title: name, values: operandTicks(bits), grid: false },
  };
}

/** "exact for 35.21 % of 65 536 pairs · mean −391.7 · from −1 500 to 0". */
export function errorSummary({ errors }: Pick<ErrorTable, 'errors'>): string {
  const { pairs, exact, mean, least, greatest } = errorStatistics(errors);
  return `exact for ${significant((100 * exact) / pairs)} % of ${grouped(pairs)} pairs · mean ${significant(mean)} · from ${grouped(least)} to ${grouped(greatest)}`;
}

/** Title and summary inside a picture that stands alone; none where a caption says both. */
function heading(title: string | null, table: Pick<ErrorTable, 'errors'>) {
  return title === null ? {} : { title: { text: title, subtitle: errorSummary(table) } };
}

/** Heat map of the error over the operand plane; without a title where it is null. */
export function errorHeatmapSvg(table: ErrorTable, title: string | null = 'Error of the product'): Promise<string> {
  const { weightBits, activationBits } = table;
  const statistics = errorStatistics(table.errors);
  const extreme = Math.max(-statistics.least, statistics.greatest, 1);
  const side = 480;
  const stops = diverging.map((_, k) => extreme * ((2 * k) / (diverging.length - 1) - 1));
  return renderSpec({
    ...heading(title, table),
    width: side,
    height: side,
    layer: [
      {
        data: { values: [{ url: picture(table, extreme) }] },
        mark: {
          type: 'image',
          width: side,
          height: side,
          aspect: false,
          smooth: false,
          aria: false,
          x: side / 2,
          y: side / 2,
        },
        encoding: { url: { field: 'url', type: 'nominal' } },
      },
      {
        data: { values: [-extreme, extreme].map((error) => ({ error, w: 0, x: 0 })) },
        mark: { type: 'point', opacity: 0 },
        encoding: {
          x: { field: 'x', ...operandAxis('Operand x (activation)', activationBits) },
          y: { field: 'w', ...operandAxis('Operand w (weight)', weightBits) },
          color: {
            field: 'error',
            type: 'quantitative',
            scale: { domain: stops, range: [...diverging], interpolate: 'rgb' },
            legend: {
              title: 'Product − w·x',
              gradientLength: side - 40,
              gradientThickness: 16,
              values: ticksWithin(-extreme, extreme, roundStep(extreme / 4)),
              format: ',d',
              gradientOpacity: 1,
            },
          },
        },
      },
    ],
  });
}

/** A round number of at least `least`: 1, 2 or 5 times a power of ten. */
function roundStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(least, 1)));
  return power * ([1, 2, 5].find((factor) => factor * power >= least) ?? 10);
}

/** The multiples of `step` from `low` to `high`. */
function ticksWithin(low: number, high: number, step: number): number[] {
  const first = Math.ceil(low / step);
  const count = Math.floor(high / step) - first + 1;
  return Array.from({ length: Math.max(count, 0) }, (_, k) => (first + k) * step);
}

interface Bin {
  readonly from: number;
  readonly to: number;
  readonly share: number;
}

/** Shares (%) of non-zero errors in bins (0, s], (s, 2s], … and their mirror images; zero itself is in none. */
export function errorBins(errors: Int32Array, most = 60): Bin[] {
  const { least, greatest, pairs } = errorStatistics(errors);
  const step = roundStep((greatest - least) / most);
  const counts = new Map<number, number>();
  for (const error of errors) {
    if (error === 0) continue;
    const bin = Math.sign(error) * Math.ceil(Math.abs(error) / step);
    counts.set(bin, (counts.get(bin) ?? 0) + 1);
  }
  return [...counts]
    .sort(([a], [b]) => a - b)
    .map(([bin, count]) => {
      const far = bin * step;
      const near = far - Math.sign(bin) * step;
      return { from: Math.min(near, far), to: Math.max(near, far), share: (100 * count) / pairs };
    });
}

/**
 * Histogram of the non-zero errors; the share of exact products is in the subtitle. Without a title where it is null.
 */
export function errorHistogramSvg(
  { errors }: ErrorTable,
  title: string | null = 'Distribution of the error',
): Promise<string> {
  const bins = errorBins(errors);
  const step = bins[0] ? bins[0].to - bins[0].from : 1;
  const domain: [number, number] = [
    Math.min(0, ...bins.map(({ from }) => from)),
    Math.max(0, ...bins.map(({ to }) => to)),
  ];
  return renderSpec({
    ...heading(title, { errors }),
    width: figureWidth - 90,
    height: 240,
    data: { values: bins },
    mark: { type: 'bar', color: colours.blue, binSpacing: 1 },
    encoding: {
      x: {
        field: 'from',
        type: 'quantitative',
        bin: { binned: true, step },
        scale: { domain, nice: false },
        axis: {
          title: `Product − w·x (bins of ${grouped(step)})`,
          values: ticksWithin(...domain, roundStep((domain[1] - domain[0]) / 8)),
          format: ',d',
        },
      },
      x2: { field: 'to' },
      y: { field: 'share', type: 'quantitative', axis: { title: 'Share of operand pairs (%)', tickCount: 5 } },
    },
  });
}
