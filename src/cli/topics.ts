// `tram help TOPIC`: the terms of docs/glossary.md and what docs/formats.md says of a file. The pages are the one
// source: an entry here is a section of theirs, or the lines about a file, as text for a terminal.

import { readFileSync } from 'node:fs';
import { unknownName } from '../tensor/names.ts';
import { type Output, type Style, textWidth, wrapped } from './style.ts';

export interface Topic {
  readonly name: string;
  /** Other names for it. */
  readonly aliases: readonly string[];
  readonly kind: 'term' | 'format';
  /** Markdown. */
  readonly text: string;
}

const page = (name: string): string => readFileSync(new URL(`../../docs/${name}`, import.meta.url), 'utf8');

/** Sections of the second level: their titles and what stands below. */
function sections(markdown: string): readonly { readonly title: string; readonly body: string }[] {
  return markdown
    .split(/^## /m)
    .slice(1)
    .map((section) => {
      const end = section.indexOf('\n');
      return { title: section.slice(0, end).trim(), body: section.slice(end).trim() };
    });
}

/** Every topic, those of the glossary first. */
export function topics(): readonly Topic[] {
  const terms = sections(page('glossary.md')).map(({ title, body }): Topic => {
    const [, names = '', text = body] = /^\*([^*\n]+)\*\n+([\s\S]*)$/.exec(body) ?? [];
    return { name: title, aliases: names.split(',').map((name) => name.trim()), kind: 'term', text };
  });
  return [...terms, ...formats(page('formats.md'))];
}

function formats(markdown: string): Topic[] {
  const parts = sections(markdown);
  const whole = parts.map(({ title, body }): Topic => {
    const files = title.startsWith('Checkpoint') ? ['.safetensors'] : [];
    // There is a command of that name.
    const name = title === 'Data' ? 'image data' : title.toLowerCase();
    return { name, aliases: files, kind: 'format', text: body };
  });
  // "- `NAME.npy`: …" and "`metrics.jsonl`: …": what is said of one file or a few, until the next or a blank line.
  const blocks = parts.flatMap(({ body }) => body.split(/\n\n|\n(?=- `)/));
  const ofFiles = blocks.flatMap((block): Topic[] => {
    const [, lead] = /^(?:- )?((?:`[\w.-]+\.\w+`(?:, )?)+):/.exec(block) ?? [];
    if (!lead) return [];
    const names = Array.from(lead.matchAll(/`([^`]+)`/g), ([, name]) => name!);
    const short = names.map((name) => name.replace(/^NAME/, 'multiplier'));
    const endings = names.filter((name) => name.startsWith('NAME')).map((name) => name.slice('NAME'.length));
    return [
      { name: short[0]!, aliases: [...short.slice(1), ...endings], kind: 'format', text: block.replace(/^- /, '') },
    ];
  });
  const [about] = markdown.split(/^## /m);
  const overview = about!.replace(/^# .*\n+/, '').trim();
  return [{ name: 'formats', aliases: ['files', 'run folder'], kind: 'format', text: overview }, ...whole, ...ofFiles];
}

const spelt = (name: string): string =>
  name
    .toLowerCase()
    .replaceAll(/[\s_-]+/g, ' ')
    .trim();

/** The topic of a name, however it is spelt; the nearest names are told where there is none. */
export function findTopic(name: string, all: readonly Topic[] = topics(), commands: readonly string[] = []): Topic {
  const wanted = spelt(name);
  const found =
    all.find((topic) => spelt(topic.name) === wanted) ?? all.find(({ aliases }) => aliases.map(spelt).includes(wanted));
  if (found) return found;
  const names = all.flatMap((topic) => [topic.name, ...topic.aliases]);
  throw unknownName('command or topic', name, [...commands, ...names], ['tram help topics lists them']);
}

/** The text of a topic for a stream, or the list of all. */
export function topicText(name: string, stream: Output, style: Style, commands: readonly string[]): string {
  const all = topics();
  const width = Math.min(textWidth(stream), 100);
  if (['topics', 'glossary', 'topic'].includes(spelt(name))) return listText(all, width, style);
  const topic = findTopic(name, all, commands);
  const also = topic.aliases.length === 0 ? '' : style.dim(`  (${topic.aliases.join(', ')})`);
  return `${style.bold(topic.name)}${also}\n\n${plainText(topic.text, width, style)}\n`;
}

function listText(all: readonly Topic[], width: number, style: Style): string {
  const list = (kind: Topic['kind']) =>
    wrapped(
      all.flatMap((one) => (one.kind === kind ? [one.name.replaceAll(' ', '\u00a0')] : [])).join(', '),
      width - 2,
      '  ',
    );
  return `${style.bold('Terms:')}\n  ${list('term')}\n\n${style.bold('File formats:')}\n  ${list('format')}\n\ntram help TOPIC tells of one, tram help COMMAND of a command.\n`.replaceAll(
    '\u00a0',
    ' ',
  );
}

/** Paragraphs are filled to the width; tables, lists of code and indented lines stay as they are. */
function plainText(markdown: string, width: number, style: Style): string {
  const inline = (text: string) =>
    text
      .replaceAll(/\[([^\]]+)\]\(([^)]+)\)/g, (_, label: string, to: string) => (label === to ? `docs/${to}` : label))
      .replaceAll(/\*\*([^*]+)\*\*/g, '$1')
      .replaceAll(/(?<![\w*])\*([^*\s][^*]*)\*(?![\w*])/g, '$1');
  const coded = (text: string) => text.replaceAll(/`([^`]+)`/g, (_, code: string) => style.cyan(code));
  let isCode = false;
  return markdown
    .split(/\n\n+/)
    .map((block) => {
      const wasCode = isCode;
      if ((block.match(/^```/gm) ?? []).length % 2 === 1) isCode = !isCode;
      if (wasCode || block.startsWith('```') || block.startsWith('    ')) return block;
      if (block.startsWith('|')) return tableText(block, width, (text) => coded(inline(text)));
      const items = block.split(/\n(?=- )/);
      return items
        .map((item) =>
          coded(
            wrapped(
              inline(item).replaceAll('\n', ' ').replaceAll(/ +/g, ' '),
              width,
              item.startsWith('- ') ? '  ' : '',
            ),
          ),
        )
        .join('\n');
    })
    .join('\n\n');
}

/** A row of a table as its first cell, and the others below it, further in. */
function tableText(block: string, width: number, shown: (text: string) => string): string {
  const rows = block.split('\n').map((line) =>
    line
      .slice(1)
      .replace(/\|\s*$/, '')
      .split('|')
      .map((cell) => cell.trim()),
  );
  return rows
    .slice(2)
    .map(([first = '', ...others]) => {
      const rest = others.filter((cell) => cell !== '').map((cell) => wrapped(cell, width - 4, '    '));
      return [`  ${shown(first)}`, ...rest.map((text) => shown(`    ${text}`))].join('\n');
    })
    .join('\n');
}
