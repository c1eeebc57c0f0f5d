// The documentation as a site: it is built, every link and picture of it leads to a file and an anchor that are there,
// nothing is loaded from elsewhere, every page of docs/ is reached, and the reference has what the program has.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { fields } from '../src/flow/settings/fields.ts';
import * as library from '../src/index.ts';
import { pages, root } from './documented.ts';

const site = mkdtempSync(join(tmpdir(), 'tram-site-'));
afterAll(() => rmSync(site, { recursive: true }));
beforeAll(() => {
  execFileSync(process.execPath, [join(root, 'scripts/docs-site.mjs'), site]);
});

const read = (name: string) => readFileSync(join(site, name), 'utf8');
const documents = () =>
  readdirSync(site, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.html'));

test('every link and picture leads to what is there', () => {
  const anchors = new Map<string, Set<string>>();
  const anchorsOf = (name: string) => {
    const known = anchors.get(name) ?? new Set([...read(name).matchAll(/ id="([^"]*)"/g)].map(([, id]) => id!));
    anchors.set(name, known);
    return known;
  };
  let links = 0;
  const dead = documents().flatMap((name) =>
    [...read(name).matchAll(/ (?:href|src)="([^"]*)"/g)].flatMap(([, link]) => {
      if (/^(https?|mailto|data):/.test(link!)) return [];
      links++;
      const [path = '', anchor] = decodeURI(link!.replaceAll('&amp;', '&')).split('#');
      const target = path === '' ? name : relative(site, join(site, dirname(name), path));
      if (!existsSync(join(site, target))) return [`${name} → ${link}`];
      return anchor === undefined || !target.endsWith('.html') || anchorsOf(target).has(anchor)
        ? []
        : [`${name} → ${link}`];
    }),
  );
  expect(links).toBeGreaterThan(1000);
  expect(dead).toEqual([]);
});

test('nothing is loaded from elsewhere, and no text becomes a script', () => {
  const foreign = documents().flatMap((name) =>
    [...read(name).matchAll(/<(?:script|link|img|iframe)\b[^>]*(?:src|href)="(https?:|\/\/)[^"]*"/g)].map(
      ([tag]) => `${name}: ${tag}`,
    ),
  );
  expect(foreign).toEqual([]);
  for (const name of documents()) expect(read(name).match(/<script/g)).toHaveLength(2);
  expect(read('site.css')).not.toMatch(/@import|url\(/);
});

test('every page of docs/ and the overview stand in the navigation, each once', () => {
  const navigation = /<nav[\s\S]*<\/nav>/.exec(read('index.html'))![0];
  const named = [...navigation.matchAll(/href="([^"#]*)"/g)].map(([, link]) => link!);
  expect(named).toHaveLength(new Set(named).size);
  const expected = pages
    .map((page) => (page === 'README.md' ? 'repository/README.html' : page.slice(5).replace(/\.md$/, '.html')))
    .filter((page) => page !== 'index.html');
  expect(named).toEqual(expect.arrayContaining([...expected, 'settings.html', 'library.html']));
});

test('the reference has every setting and everything that the package exports', () => {
  const settings = read('settings.html');
  for (const { paths, name } of fields()) {
    for (const path of paths) expect(settings).toContain(`<code>${path}</code>`);
    expect(settings).toContain(`<code>--${name}</code>`);
  }
  const page = read('library.html');
  const missing = Object.keys(library).filter((name) => !page.includes(`<h3 id="${name.toLowerCase()}`));
  expect(missing).toEqual([]);
  expect(page).toContain('Does the phases and returns what the run has come to.');
});

test('the index of the search has the text of every page', () => {
  const index = JSON.parse(read('index.js').replace(/^window\.tramIndex = |;\n$/g, '')) as {
    page: string;
    text: string;
  }[];
  expect(new Set(index.map(({ page }) => page)).size).toBe(documents().length);
  expect(index.some(({ text }) => text.includes('greedy'))).toBe(true);
});
