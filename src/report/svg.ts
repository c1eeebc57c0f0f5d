// Small helpers for SVG and HTML text: escaping, elements, and making several figures live in one document.

import { invariant } from '../tensor/errors.ts';

/** Text with the five characters that mean something in markup replaced; safe in content and in quoted attributes. */
export function escapeText(text: string): string {
  const entities: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
  return text.replace(/[&<>"']/g, (character) => entities[character]!);
}

export type Attributes = Readonly<Record<string, string | number | undefined>>;

/** One element; attributes that are undefined are left out, numbers rounded to 0.01. Children are markup, not text. */
export function element(name: string, attributes: Attributes, ...children: readonly string[]): string {
  const written = Object.entries(attributes).flatMap(([key, value]) => {
    if (value === undefined) return [];
    const text = typeof value === 'number' ? String(Math.round(value * 100) / 100) : escapeText(value);
    return [` ${key}="${text}"`];
  });
  const open = `<${name}${written.join('')}`;
  return children.length === 0 ? `${open}/>` : `${open}>${children.join('')}</${name}>`;
}

/** Renames every id of a figure and every reference to one. */
function renameIds(svg: string, rename: (id: string) => string): string {
  return svg
    .replace(/ id="([^"]+)"/g, (_, id) => ` id="${rename(id)}"`)
    .replace(/url\((["']?)#([^)"']+)\1\)/g, (_, _quote, id) => `url(#${rename(id)})`)
    .replace(/((?:xlink:)?href)="#([^"]+)"/g, (_, attribute, id) => `${attribute}="#${rename(id)}"`);
}

/** Gives every id a prefix, so that figures in one page cannot share clip paths or gradients. */
export function prefixIds(svg: string, prefix: string): string {
  return renameIds(svg, (id) => prefix + id);
}

/** Numbers the ids from 0 in their order of appearance, so that a figure does not depend on those drawn before it. */
export function numberIds(svg: string): string {
  const numbers = new Map<string, number>();
  return renameIds(svg, (id) => {
    if (!numbers.has(id)) numbers.set(id, numbers.size);
    return `id${numbers.get(id)}`;
  });
}

/** Width and height in pixels that a figure's root element states. */
export function svgSize(svg: string): { readonly width: number; readonly height: number } {
  const root = /^<svg[^>]*>/.exec(svg)?.[0] ?? '';
  const side = (name: string) => Number(new RegExp(` ${name}="([\\d.]+)"`).exec(root)?.[1] ?? Number.NaN);
  const size = { width: side('width'), height: side('height') };
  invariant(size.width > 0 && size.height > 0, 'a figure without width and height');
  return size;
}

/** Says what a figure shows to those who do not see it; what the root said of itself before is replaced. */
export function describeSvg(svg: string, label: string): string {
  return svg.replace(
    /^<svg([^>]*)>/,
    (_, attributes: string) => `<svg role="img" aria-label="${escapeText(label)}"${withoutAria(attributes)}>`,
  );
}

/** Without the roles and labels that a chart gives to each of its marks: one figure has one description. */
export function withoutAria(svg: string): string {
  return svg.replace(/ (?:role|aria-[a-z]+)="[^"]*"/g, '');
}
