// One run as one HTML file: facts, accuracy of each stage, metrics of the multipliers, figures inline, links to the artefacts.
// Self-contained (no script, no font, no request) and built from plain values; every text is escaped, the SVGs are our own.

import { escapeText, prefixIds } from './svg.ts';
import { colours, fontFamily } from './theme.ts';

export interface Fact {
  readonly label: string;
  readonly value: string;
}

export interface StageRow {
  readonly stage: string;
  /** Share of correctly classified test images, 0 … 1. */
  readonly accuracy?: number;
  /** Power of the multipliers relative to exact ones. */
  readonly power?: number;
}

export interface MultiplierColumn {
  readonly name: string;
  readonly metrics: readonly Fact[];
}

export interface Figure {
  readonly title: string;
  readonly caption?: string;
  readonly svg: string;
}

export interface FileLink {
  /** Path relative to the page. */
  readonly path: string;
  readonly description: string;
}

export interface RunPage {
  readonly title: string;
  readonly summary: string;
  readonly facts: readonly Fact[];
  readonly stages: readonly StageRow[];
  readonly multipliers: readonly MultiplierColumn[];
  readonly figures: readonly Figure[];
  readonly files: readonly FileLink[];
}

const style = `
  body { font: 15px/1.5 ${fontFamily}; color: ${colours.ink}; background: #fafafa; margin: 0; }
  main { max-width: 860px; margin: 0 auto; padding: 32px 24px 64px; }
  h1 { font-size: 26px; line-height: 1.25; margin: 0 0 8px; }
  h2 { font-size: 18px; margin: 40px 0 12px; }
  p { margin: 0 0 12px; }
  .scroll { overflow-x: auto; }
  table { border-collapse: collapse; background: ${colours.background}; min-width: 50%; }
  th, td { padding: 6px 14px; text-align: left; border-bottom: 1px solid ${colours.grid}; vertical-align: top; }
  thead th { border-bottom: 2px solid ${colours.muted}; }
  tbody th { font-weight: normal; color: ${colours.muted}; }
  td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
  figure { margin: 0 0 28px; padding: 16px; background: ${colours.background}; border: 1px solid ${colours.grid}; border-radius: 6px; }
  figure svg { max-width: 100%; height: auto; display: block; margin: 0 auto; }
  figcaption { margin-bottom: 8px; }
  figcaption span { color: ${colours.muted}; }
  a { color: ${colours.blue}; }
  @media print { body { background: none; } figure { break-inside: avoid; } }
`;

interface Cell {
  readonly text: string;
  readonly numeric?: boolean;
}

function table(head: readonly Cell[], rows: readonly (readonly Cell[])[]): string {
  const cell = (tag: 'th' | 'td', { text, numeric }: Cell, scope?: string) =>
    `<${tag}${scope ? ` scope="${scope}"` : ''}${numeric ? ' class="number"' : ''}>${escapeText(text)}</${tag}>`;
  const header =
    head.length === 0 ? '' : `<thead><tr>${head.map((entry) => cell('th', entry, 'col')).join('')}</tr></thead>`;
  const body = rows.map(
    (row) => `<tr>${row.map((entry, k) => (k === 0 ? cell('th', entry, 'row') : cell('td', entry))).join('')}</tr>`,
  );
  return `<div class="scroll"><table>${header}<tbody>${body.join('\n')}</tbody></table></div>`;
}

function section(title: string, content: string): string {
  return content === '' ? '' : `<section>\n<h2>${escapeText(title)}</h2>\n${content}\n</section>`;
}

function stageTable(stages: readonly StageRow[]): string {
  if (stages.length === 0) return '';
  const perCent = (value: number | undefined, digits: number) =>
    value === undefined ? '–' : (100 * value).toFixed(digits);
  return table(
    [{ text: 'Stage' }, { text: 'Test accuracy (%)', numeric: true }, { text: 'Power (% of exact)', numeric: true }],
    stages.map(({ stage, accuracy, power }) => [
      { text: stage },
      { text: perCent(accuracy, 2), numeric: true },
      { text: perCent(power, 1), numeric: true },
    ]),
  );
}

/** Metrics as rows, multipliers as columns; a metric that a multiplier lacks is a dash. */
function multiplierTable(multipliers: readonly MultiplierColumn[]): string {
  if (multipliers.length === 0) return '';
  const labels = [...new Set(multipliers.flatMap(({ metrics }) => metrics.map(({ label }) => label)))];
  return table(
    [{ text: 'Metric' }, ...multipliers.map(({ name }) => ({ text: name, numeric: true }))],
    labels.map((label) => [
      { text: label },
      ...multipliers.map(({ metrics }) => ({
        text: metrics.find((fact) => fact.label === label)?.value ?? '–',
        numeric: true,
      })),
    ]),
  );
}

function figureBlock({ title, caption, svg }: Figure, index: number): string {
  const note = caption === undefined ? '' : `<br><span>${escapeText(caption)}</span>`;
  const inline = prefixIds(svg, `figure${index + 1}-`);
  return `<figure>\n<figcaption><b>${escapeText(title)}</b>${note}</figcaption>\n${inline}\n</figure>`;
}

/** A link to a file beside the page: each part of the path is encoded, so no path can become another kind of address. */
function fileItem({ path, description }: FileLink): string {
  const address = path.split(/[/\\]/).map(encodeURIComponent).join('/');
  return `<li><a href="${escapeText(`./${address}`)}">${escapeText(path)}</a> – ${escapeText(description)}</li>`;
}

/** The HTML text of a run's report. */
export function runPageHtml(page: RunPage): string {
  const facts = page.facts.map(({ label, value }) => [{ text: label }, { text: value }]);
  const files = page.files.map(fileItem);
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeText(page.title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escapeText(page.title)}</h1>
<p>${escapeText(page.summary)}</p>
${[
  section('Stages', stageTable(page.stages)),
  section('Multipliers', multiplierTable(page.multipliers)),
  section('Figures', page.figures.map(figureBlock).join('\n')),
  section('Run', facts.length === 0 ? '' : table([], facts)),
  section('Files', files.length === 0 ? '' : `<ul>\n${files.join('\n')}\n</ul>`),
]
  .filter((part) => part !== '')
  .join('\n')}
</main>
</body>
</html>
`;
}
