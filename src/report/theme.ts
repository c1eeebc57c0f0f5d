// The look of every figure and page, in one place: fonts, sizes, colours, and the Vega configuration made from them.
// Colours are those of Okabe and Ito (2008), distinguishable with every common colour vision deficiency; ordered
// quantities use a viridis ramp without its pale end; signed quantities diverge from white, blue below and orange above
// zero.

// Unquoted on purpose: resvg does not find a family whose name is in quotes.
export const fontFamily = 'Helvetica, Arial, Liberation Sans, DejaVu Sans, Noto Sans, sans-serif';

/** Width of a full figure in pixels; figures are laid out to be read at this width. */
export const figureWidth = 800;

export const fontSize = { small: 11, label: 12, title: 13, heading: 15 } as const;

export const colours = {
  ink: '#222222',
  muted: '#666666',
  faint: '#bdbdbd',
  grid: '#e6e6e6',
  background: '#ffffff',
  blue: '#0072b2',
  orange: '#d55e00',
  green: '#009e73',
  purple: '#cc79a7',
  amber: '#e69f00',
  sky: '#56b4e9',
} as const;

/** Colours of unordered series, most used first. */
export const categories = [
  colours.blue,
  colours.orange,
  colours.green,
  colours.purple,
  colours.amber,
  colours.sky,
  colours.muted,
] as const;

const ramp = ['#440154', '#46307e', '#365c8d', '#277f8e', '#1fa187', '#4ac16d', '#a0da39'].map(parseColour);

/** Stops of the diverging scale from the most negative to the most positive value; the middle one is zero. */
export const diverging = ['#053061', '#2166ac', '#67a9cf', '#f7f7f7', '#f4a261', '#d55e00', '#7f2704'] as const;

export type Colour = readonly [red: number, green: number, blue: number];

function parseColour(hex: string): Colour {
  return [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16)) as unknown as Colour;
}

/** The colour at `t` in 0 … 1 along equidistant stops, linear in RGB as Vega interpolates. */
function interpolate(stops: readonly Colour[], t: number): Colour {
  const position = Math.min(Math.max(t, 0), 1) * (stops.length - 1);
  const first = Math.min(Math.floor(position), stops.length - 2);
  const mixed = stops[first]!.map((a, k) => Math.round(a + (stops[first + 1]![k]! - a) * (position - first)));
  return mixed as unknown as Colour;
}

/** `count` colours for an ordered quantity, dark to light. */
export function orderedColours(count: number): string[] {
  return Array.from({ length: count }, (_, k) => {
    const [red, green, blue] = interpolate(ramp, count < 2 ? 0.25 : k / (count - 1));
    return `rgb(${red},${green},${blue})`;
  });
}

const divergingStops = diverging.map(parseColour);

/** The diverging colour of `t` in −1 … 1. */
export function divergingColour(t: number): Colour {
  return interpolate(divergingStops, (t + 1) / 2);
}

/**
 * Estimated width in pixels of a text in a Helvetica-like face; a little generous, for layout without a font at hand.
 */
export function textWidth(text: string, size: number, bold = false): number {
  let ems = 0;
  for (const character of text) {
    if (/[ijl.,:;'|!()[\]/ ft]/.test(character)) ems += 0.33;
    else if (/[mwMW%@—=+−<>]/.test(character)) ems += 0.9;
    else if (/[A-Z]/.test(character)) ems += 0.7;
    else ems += 0.59;
  }
  return ems * size * (bold ? 1.08 : 1);
}

/** Configuration of every Vega-Lite figure. */
export const vegaConfig = {
  background: colours.background,
  font: fontFamily,
  padding: 8,
  view: { stroke: null },
  axis: {
    domainColor: colours.muted,
    tickColor: colours.muted,
    tickSize: 4,
    gridColor: colours.grid,
    labelColor: colours.ink,
    labelFontSize: fontSize.label,
    labelPadding: 4,
    titleColor: colours.ink,
    titleFontSize: fontSize.title,
    titleFontWeight: 'normal',
    titlePadding: 8,
  },
  axisX: { grid: false, labelFlush: false },
  legend: {
    labelColor: colours.ink,
    labelFontSize: fontSize.label,
    titleColor: colours.ink,
    titleFontSize: fontSize.label,
    titleFontWeight: 'normal',
    symbolStrokeWidth: 2,
  },
  header: { labelColor: colours.ink, labelFontSize: fontSize.label, labelFontWeight: 'bold', title: null },
  title: {
    anchor: 'start',
    color: colours.ink,
    fontSize: fontSize.heading,
    fontWeight: 'bold',
    subtitleColor: colours.muted,
    subtitleFontSize: fontSize.label,
    subtitlePadding: 4,
    offset: 12,
  },
  range: { category: [...categories] },
  line: { strokeWidth: 2 },
  // Numbers as tensor/numbers.ts writes them.
  locale: { number: { decimal: '.', thousands: ' ', grouping: [3], currency: ['', ''], minus: '−' } },
} as const;
