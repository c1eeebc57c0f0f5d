// Several multipliers side by side, as in the paper's Table 1 and beyond it: gate cost, errors and, where they were
// synthesised, area, delay and power; as aligned text, Markdown, CSV or LaTeX. Numbers in one place, layout in another.
// Invariant: what is estimated is marked (~, and ≥ for a largest error seen), in CSV by the number of samples; a figure
// that is not known is a dash, in CSV an empty cell; a multiplier that failed keeps its row, with the reason. Names are
// escaped for each format.

import type { ErrorMetrics } from '../multiplier/metrics.ts';

/** What was measured of a multiplier. */
export interface ComparedFigures {
  readonly weightBits: number;
  readonly activationBits: number;
  readonly signed: boolean;
  readonly metrics: Omit<ErrorMetrics, 'worst' | 'errorVariance'>;
  /** Random operand pairs behind the errors; absent where all pairs were counted. */
  readonly samples?: number;
  /** Unit gates relative to the cheapest exact 8×8 multiplier, whatever the widths; null for a table of products. */
  readonly gates: number | null;
}

export interface ComparedMultiplier {
  readonly name: string;
  /** Absent where the multiplier could not be read. */
  readonly figures?: ComparedFigures;
  /** In the units of the comparison, where it was synthesised. */
  readonly synthesis?: { readonly area: number; readonly delay: number; readonly power: number | null };
  /** Why something is missing. */
  readonly problem?: string;
}

/** µm², ps and mW of a cell library, or the gates of the built-in technology. */
export type ComparedUnits = 'library' | 'gates';

export const comparisonLayouts = ['markdown', 'text', 'csv', 'latex'] as const;
export type ComparisonLayout = (typeof comparisonLayouts)[number];

interface Column {
  readonly titles: Readonly<Record<'plain' | 'csv' | 'latex', string>>;
  /** Undefined: not known. */
  readonly cell: (multiplier: ComparedMultiplier) => string | undefined;
  readonly mark?: '~' | '≥ ';
}

/** A column of errors. `mark` stands before estimates. */
function error(
  plain: string,
  csv: string,
  latex: string,
  cell: (metrics: ComparedFigures['metrics']) => string,
  mark: '~' | '≥ ' = '~',
): Column {
  return { titles: { plain, csv, latex }, cell: ({ figures }) => figures && cell(figures.metrics), mark };
}

const short = (value: number) => String(Number(value.toPrecision(4)));
const percent = (value: number, decimals: number) => (100 * value).toFixed(decimals);

const errors: readonly Column[] = [
  error('ER %', 'er_percent', 'ER (\\%)', ({ errorRate }) => percent(errorRate, 1)),
  error('MED', 'med', 'MED', ({ meanErrorDistance }) => short(meanErrorDistance)),
  error('NMED %', 'nmed_percent', 'NMED (\\%)', (metrics) => percent(metrics.normalizedMeanErrorDistance, 3)),
  error('MSE', 'mse', 'MSE', ({ meanSquareError }) => short(meanSquareError)),
  error('MaxED', 'max_ed', 'MaxED', ({ maxErrorDistance }) => String(maxErrorDistance), '≥ '),
  error('MRED %', 'mred_percent', 'MRED (\\%)', (metrics) => percent(metrics.meanRelativeErrorDistance, 3)),
  error('MRED≠0 %', 'mred_nonzero_percent', 'MRED $\\neq 0$ (\\%)', (metrics) =>
    percent(metrics.meanRelativeErrorOfNonzero, 3),
  ),
  error('mean', 'mean', 'mean', ({ meanError }) => short(meanError)),
];

function column(plain: string, csv: string, latex: string, cell: Column['cell']): Column {
  return { titles: { plain, csv, latex }, cell };
}

const name = column('multiplier', 'multiplier', 'Multiplier', (multiplier) => multiplier.name);
const bits = column('bits', 'bits', 'Bits', ({ figures }) => {
  return figures && `${figures.weightBits}x${figures.activationBits}${figures.signed ? ' signed' : ''}`;
});
const gates = column('gates', 'gates', 'Gates', ({ figures }) => figures?.gates?.toFixed(4));
const samples = column('samples', 'samples', 'Samples', ({ figures }) => figures?.samples?.toString());
const problem = column('problem', 'problem', 'Problem', (multiplier) => multiplier.problem);

const synthesised: Readonly<Record<ComparedUnits, readonly Column[]>> = {
  library: [
    column('area µm²', 'area_um2', 'Area (\\si{\\um\\squared})', ({ synthesis }) => synthesis?.area.toFixed(1)),
    column('delay ps', 'delay_ps', 'Delay (ps)', ({ synthesis }) => synthesis?.delay.toFixed(1)),
    column('power mW', 'power_mw', 'Power (mW)', ({ synthesis }) => synthesis?.power?.toFixed(4)),
  ],
  gates: [
    column('area AND2', 'area_and2', 'Area (AND2)', ({ synthesis }) => synthesis?.area.toFixed(1)),
    column('delay FO4', 'delay_fo4', 'Delay (FO4)', ({ synthesis }) => synthesis?.delay.toFixed(2)),
    column('power AND2', 'power_and2', 'Power (AND2)', ({ synthesis }) => synthesis?.power?.toFixed(1)),
  ],
};

/**
 * Ends with a newline. With `units` there are columns of area, delay and power. LaTeX needs the packages booktabs and
 * siunitx.
 */
export function comparisonTable(
  multipliers: readonly ComparedMultiplier[],
  layout: ComparisonLayout,
  units?: ComparedUnits,
): string {
  const failed = multipliers.some((one) => one.problem !== undefined);
  const columns = [
    name,
    bits,
    ...(units === undefined ? [] : synthesised[units]),
    gates,
    ...errors,
    ...(layout === 'csv' ? [samples] : []),
    ...(failed ? [problem] : []),
  ];
  const titles = columns.map((one) => one.titles[layout === 'csv' || layout === 'latex' ? layout : 'plain']);
  const rows = multipliers.map((multiplier) =>
    columns.map(({ cell, mark }) => {
      const text = cell(multiplier);
      const estimated = multiplier.figures?.samples !== undefined && mark !== undefined && layout !== 'csv';
      return text !== undefined && estimated ? `${mark}${text}` : text;
    }),
  );
  return `${layouts[layout](titles, rows).join('\n')}\n`;
}

type Row = readonly (string | undefined)[];

const layouts: Readonly<Record<ComparisonLayout, (titles: readonly string[], rows: readonly Row[]) => string[]>> = {
  markdown: (titles, rows) => [
    `| ${titles.join(' | ')} |`,
    `|---|${'---:|'.repeat(titles.length - 1)}`,
    ...rows.map(
      (row) => `| ${row.map((cell) => oneLine(cell ?? '—').replaceAll(/[\\`*_<>|[\]]/g, '\\$&')).join(' | ')} |`,
    ),
  ],
  text: (titles, rows) => {
    const cells = [titles, ...rows.map((row) => row.map((cell) => oneLine(cell ?? '–')))];
    const widths = titles.map((_, n) => Math.max(...cells.map((row) => row[n]!.length)));
    const left = (n: number) => n === 0 || titles[n] === problem.titles.plain;
    const pad = (cell: string, n: number) => (left(n) ? cell.padEnd(widths[n]!) : cell.padStart(widths[n]!));
    return cells.map((row) => row.map(pad).join('  ').trimEnd());
  },
  csv: (titles, rows) => [titles.join(','), ...rows.map((row) => row.map((cell) => csvCell(cell ?? '')).join(','))],
  latex: (titles, rows) => [
    `\\begin{tabular}{l${'r'.repeat(titles.length - 1)}}`,
    '\\toprule',
    `${titles.join(' & ')} \\\\`,
    '\\midrule',
    ...rows.map((row) => `${row.map((cell) => latexCell(cell ?? '--')).join(' & ')} \\\\`),
    '\\bottomrule',
    '\\end{tabular}',
  ],
};

const oneLine = (text: string) => text.replaceAll(/\s+/g, ' ');

/** Quoted where it must be; a leading =, +, - or @ of a name is no formula for a spreadsheet. */
function csvCell(cell: string): string {
  const plain = /^[=+@-]/.test(cell) && !/^-?[\d.]+(e[+-]?\d+)?$/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(plain) ? `"${oneLine(plain).replaceAll('"', '""')}"` : plain;
}

const latexEscapes: Readonly<Record<string, string>> = {
  '\\': '\\textbackslash{}',
  '~': '\\textasciitilde{}',
  '^': '\\textasciicircum{}',
  '≥': '$\\geq$',
};

function latexCell(cell: string): string {
  return oneLine(cell).replaceAll(/[\\{}&%$#_~^≥]/g, (character) => latexEscapes[character] ?? `\\${character}`);
}
