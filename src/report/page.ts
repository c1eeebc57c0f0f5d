// A run as one HTML file: sections of tables, notes, figures and links, some folded. Self-contained (no script, no
// font, no request) and built from plain values; every text is escaped, the SVGs are our own. Light or dark as the
// reader's system is; figures stay on a light card. On a narrow screen tables and figures scroll sideways, so that no
// text of a figure becomes smaller than nine pixels.

import { describeSvg, escapeText, prefixIds, svgSize, withoutAria } from './svg.ts';
import { colours, fontFamily, fontSize } from './theme.ts';

export interface Column {
  readonly title: string;
  /** Set to the right, with figures of equal width. */
  readonly numeric?: boolean;
}

export interface Figure {
  readonly title: string;
  readonly caption?: string;
  readonly svg: string;
  /** The same for a narrow screen, where the other would be too small to read. */
  readonly narrow?: string;
}

export interface FileLink {
  /** Path relative to the page. */
  readonly path: string;
  readonly description?: string;
}

export type Block =
  | { readonly kind: 'note' | 'code'; readonly text: string }
  /** The first cell of a row is its head; without columns the table has no head. */
  | { readonly kind: 'table'; readonly columns: readonly Column[]; readonly rows: readonly (readonly string[])[] }
  | ({ readonly kind: 'figure' } & Figure)
  | { readonly kind: 'links'; readonly links: readonly FileLink[] }
  | { readonly kind: 'folded'; readonly title: string; readonly blocks: readonly Block[] };

export interface Section {
  readonly title: string;
  /** A section without any is left out. */
  readonly blocks: readonly Block[];
}

export interface RunPage {
  readonly title: string;
  /** What it came to, in a sentence or two. */
  readonly summary: string;
  readonly sections: readonly Section[];
}

const style = `
  :root { color-scheme: light dark; --ink: ${colours.ink}; --muted: ${colours.muted}; --grid: ${colours.grid}; --ground: #fafafa;
    --card: ${colours.background}; --link: ${colours.blue}; }
  @media (prefers-color-scheme: dark) { :root { --ink: #e4e4e4; --muted: #a3a3a3; --grid: #3a3a3a; --ground: #161616; --card: #202020;
    --link: ${colours.sky}; } }
  body { font: 15px/1.5 ${fontFamily}; color: var(--ink); background: var(--ground); margin: 0; overflow-wrap: break-word; }
  main { max-width: 960px; margin: 0 auto; padding: 32px 24px 64px; }
  h1 { font-size: 26px; line-height: 1.25; margin: 0 0 8px; }
  h2 { font-size: 18px; margin: 40px 0 12px; }
  p { margin: 0 0 12px; }
  p.note { color: var(--muted); font-size: 14px; margin-top: 8px; }
  .lead { font-size: 17px; }
  .scroll { overflow-x: auto; }
  table { border-collapse: collapse; background: var(--card); min-width: 50%; margin-bottom: 12px; }
  th, td { padding: 6px 10px; text-align: left; border-bottom: 1px solid var(--grid); vertical-align: top; }
  thead th { border-bottom: 2px solid var(--muted); white-space: nowrap; }
  tbody th { font-weight: normal; color: var(--muted); }
  td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
  figure { margin: 0 0 28px; padding: 16px; background: var(--card); border: 1px solid var(--grid); border-radius: 6px; }
  figure .scroll { background: ${colours.background}; border-radius: 4px; }
  figure svg { width: 100%; height: auto; display: block; margin: 0 auto; }
  figcaption { margin-bottom: 8px; }
  figcaption span { color: var(--muted); }
  pre { background: var(--card); border: 1px solid var(--grid); border-radius: 6px; padding: 10px 12px; overflow-x: auto; font-size: 13px;
    margin: 0 0 12px; }
  details { border: 1px solid var(--grid); border-radius: 6px; padding: 8px 12px; margin: 0 0 8px; }
  details > summary { cursor: pointer; }
  details[open] > summary { margin-bottom: 12px; }
  .narrow { display: none; }
  ul { padding-left: 20px; margin: 0 0 12px; }
  a { color: var(--link); }
  @media screen and (max-width: 600px) { .wide { display: none; } .narrow { display: block; } }
  @media (max-width: 600px) { main { padding: 20px 12px 48px; } figure { padding: 8px; } table { font-size: 13px; } th, td { padding: 5px 6px; } }
  @media print { body { background: none; } figure { break-inside: avoid; } }
`;

/** Smallest size in pixels at which the text of a figure may appear. */
const SMALLEST_TEXT = 9;

function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  if (rows.length === 0) return '';
  const cell = (tag: 'th' | 'td', text: string, at: number, scope?: string) =>
    `<${tag}${scope ? ` scope="${scope}"` : ''}${columns[at]?.numeric ? ' class="number"' : ''}>${escapeText(text)}</${tag}>`;
  const head = columns.map(({ title }, at) => cell('th', title, at, 'col')).join('');
  const body = rows.map(
    (row) =>
      `<tr>${row.map((text, at) => (at === 0 ? cell('th', text, at, 'row') : cell('td', text, at))).join('')}</tr>`,
  );
  const header = columns.length === 0 ? '' : `<thead><tr>${head}</tr></thead>`;
  return `<div class="scroll" tabindex="0"><table>${header}<tbody>${body.join('\n')}</tbody></table></div>`;
}

/**
 * Running text, in which a number stays on its line: neither a group of its digits nor its per cent sign begins
 * another.
 */
const pageText = (text: string): string => escapeText(text).replace(/(?<=\d) (?=\d{3}(?!\d)|%)/g, '\u00a0');

function figureBlock({ title, caption, svg, narrow }: Figure, id: string): string {
  const note = caption === undefined ? '' : `<br><span>${pageText(caption)}</span>`;
  const label = caption === undefined ? title : `${title}: ${caption}`;
  const drawn =
    narrow === undefined
      ? inlineSvg(svg, id, label)
      : `${inlineSvg(svg, id, label, 'wide')}${inlineSvg(narrow, `${id}n`, label, 'narrow')}`;
  return `<figure>\n<figcaption><b>${escapeText(title)}</b>${note}</figcaption>\n${drawn}\n</figure>`;
}

function inlineSvg(svg: string, id: string, label: string, screen?: 'wide' | 'narrow'): string {
  const { width } = svgSize(svg);
  const least = Math.ceil((width * SMALLEST_TEXT) / fontSize.small);
  const inline = describeSvg(prefixIds(withoutAria(svg), `${id}-`), label).replace(
    '<svg ',
    `<svg style="min-width:${least}px;max-width:${Math.ceil(width)}px" `,
  );
  return `<div class="scroll${screen === undefined ? '' : ` ${screen}`}" tabindex="0">${inline}</div>`;
}

/**
 * A link to a file beside the page: each part of the path is encoded, so no path can become another kind of address.
 */
function fileItem({ path, description }: FileLink): string {
  const address = path.split(/[/\\]/).map(encodeURIComponent).join('/');
  const note = description === undefined ? '' : ` – ${escapeText(description)}`;
  return `<li><a href="${escapeText(`./${address}`)}">${escapeText(path)}</a>${note}</li>`;
}

/** The HTML text of a run's report. */
export function runPageHtml({ title, summary, sections }: RunPage): string {
  let figures = 0;
  const markup = (block: Block): string => {
    switch (block.kind) {
      case 'note':
        return `<p class="note">${pageText(block.text)}</p>`;
      case 'code':
        return `<pre tabindex="0">${escapeText(block.text)}</pre>`;
      case 'table':
        return table(block.columns, block.rows);
      case 'figure':
        figures++;
        return figureBlock(block, `figure${figures}`);
      case 'links':
        return block.links.length === 0 ? '' : `<ul>\n${block.links.map(fileItem).join('\n')}\n</ul>`;
      case 'folded':
        return `<details>\n<summary>${escapeText(block.title)}</summary>\n${block.blocks.map(markup).join('\n')}\n</details>`;
    }
  };
  const written = sections.flatMap((section) => {
    const content = section.blocks.map(markup).filter((text) => text !== '');
    if (content.length === 0) return [];
    return [`<section>\n<h2>${escapeText(section.title)}</h2>\n${content.join('\n')}\n</section>`];
  });
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeText(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${escapeText(title)}</h1>
<p class="lead">${escapeText(summary)}</p>
${written.join('\n')}
</main>
</body>
</html>
`;
}
