// The row of the paper's Table 1 for several multipliers: area, delay, power, error rate, NMED and MaxED, as Markdown, CSV or LaTeX.
// Numbers in one place, layout in another; a figure that is not known is a dash (empty in CSV). Names are escaped for each format.

import type { ErrorMetrics } from '../netlist/metrics.ts';

export interface ComparedMultiplier {
  readonly name: string;
  readonly metrics: Pick<ErrorMetrics, 'errorRate' | 'normalizedMeanErrorDistance' | 'maxErrorDistance'>;
  /** µm². */
  readonly area?: number;
  /** ps. */
  readonly delay?: number;
  /** mW. */
  readonly power?: number;
}

export const comparisonFormats = ['markdown', 'csv', 'latex'] as const;
export type ComparisonFormat = (typeof comparisonFormats)[number];

const titles = {
  markdown: ['multiplier', 'area µm²', 'delay ps', 'power mW', 'ER %', 'NMED %', 'MaxED'],
  csv: ['multiplier', 'area_um2', 'delay_ps', 'power_mw', 'er_percent', 'nmed_percent', 'max_ed'],
  latex: ['Multiplier', 'Area (\\si{\\um\\squared})', 'Delay (ps)', 'Power (mW)', 'ER (\\%)', 'NMED (\\%)', 'MaxED'],
} as const satisfies Record<ComparisonFormat, readonly string[]>;

/** With the paper's number of decimals; ends with a newline. LaTeX needs the packages booktabs and siunitx. */
export function comparisonTable(multipliers: readonly ComparedMultiplier[], format: ComparisonFormat): string {
  const rows = multipliers.map(({ name, metrics, area, delay, power }) => [
    name,
    area?.toFixed(1),
    delay?.toFixed(1),
    power?.toFixed(4),
    (100 * metrics.errorRate).toFixed(1),
    (100 * metrics.normalizedMeanErrorDistance).toFixed(3),
    String(metrics.maxErrorDistance),
  ]);
  return `${layouts[format](titles[format], rows).join('\n')}\n`;
}

type Row = readonly (string | undefined)[];

const layouts: Readonly<Record<ComparisonFormat, (titles: readonly string[], rows: readonly Row[]) => string[]>> = {
  markdown: (titles, rows) => [
    `| ${titles.join(' | ')} |`,
    `|---|${'---:|'.repeat(titles.length - 1)}`,
    ...rows.map(
      (row) => `| ${row.map((cell) => oneLine(cell ?? '—').replaceAll(/[\\`*_<>|[\]]/g, '\\$&')).join(' | ')} |`,
    ),
  ],
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
  const plain = /^[=+@-]/.test(cell) && !/^-?[\d.]+$/.test(cell) ? `'${cell}` : cell;
  return /[",\r\n]/.test(plain) ? `"${oneLine(plain).replaceAll('"', '""')}"` : plain;
}

const latexEscapes: Readonly<Record<string, string>> = {
  '\\': '\\textbackslash{}',
  '~': '\\textasciitilde{}',
  '^': '\\textasciicircum{}',
};

function latexCell(cell: string): string {
  return oneLine(cell).replaceAll(/[\\{}&%$#_~^]/g, (character) => latexEscapes[character] ?? `\\${character}`);
}
