// The documentation as a site of static pages that opens from a file: npm run docs:site [-- FOLDER]
// The pages and their order are those of docs/index.md; a page of docs/ that it does not name stands at the end. Two
// pages of the reference are made here, from the settings' schema and from the declarations of the library. Texts and
// sources outside of docs/ that a page links to come along.
// Invariant: every relative link of the site leads to a file in it, and nothing is loaded from elsewhere.

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, posix, relative, resolve } from 'node:path';
import { libraryPage } from './site/library-page.mjs';
import { escaped, render } from './site/markdown.mjs';
import { settingsPage } from './site/settings-page.mjs';

const root = join(import.meta.dirname, '..');
const folder = resolve(process.argv[2] ?? join(root, 'build/site'));
if (existsSync(folder) && !existsSync(join(folder, 'index.html')) && readdirSync(folder).length > 0) {
  console.error(`docs:site: ${folder} holds something else; expected a folder that is empty or of the site`);
  process.exit(2);
}
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

const read = (name) => readFileSync(join(root, name), 'utf8');
const OWN_REFERENCE = `- [Settings](settings.md): every key of a configuration, from the schema
- [Library](library.md): everything that the package exports, from its declarations
`;
/** Pages that are made here, by the name that they would have in docs/. */
const made = {
  'docs/settings.md': settingsPage(),
  'docs/library.md': libraryPage(),
  'docs/index.md': read('docs/index.md').replace('## Reference\n', (heading) => `${heading}${OWN_REFERENCE}`),
};
const textOf = (source) => made[source] ?? read(source);

/** Where a text or a source of the repository stands in the site: pages of docs/ at the top, others by their path. */
const placeOf = (source) =>
  (source.startsWith('docs/') ? source.slice(5) : `repository/${source}`).replace(/\.md$/, '.html');

/** Groups of the navigation: headings of docs/index.md with the pages linked below them. */
function groupsOf(index) {
  const groups = index
    .split(/^## /m)
    .slice(1)
    .map((part) => ({
      title: part.split('\n')[0].trim(),
      pages: [...part.matchAll(/^- \[([^\]]*)\]\(([^)#]+\.md)\)/gm)].map(([, label, link]) => ({
        label,
        source: posix.normalize(posix.join('docs', link)),
      })),
    }));
  const known = new Set(groups.flatMap(({ pages }) => pages.map(({ source }) => source)));
  const others = readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md') && name !== 'index.md')
    .map((name) => `docs/${name}`)
    .filter((name) => !known.has(name));
  const more = others.map((source) => ({ label: /^# (.*)$/m.exec(read(source))?.[1] ?? source, source }));
  return others.length === 0 ? groups : [...groups, { title: 'More', pages: more }];
}

const groups = groupsOf(textOf('docs/index.md'));
const listed = groups.flatMap(({ pages: of }) => of.map(({ source }) => source));
const waiting = ['docs/index.md', ...listed];
const pages = new Map();

/** A link of a page: to another page, or to a file that comes along. */
function followed(source, target) {
  const [path, anchor] = target.split('#');
  const file = posix.normalize(posix.join(posix.dirname(source), decodeURI(path)));
  const place = (name) => relative(dirname(placeOf(source)), placeOf(name)) + (anchor ? `#${anchor}` : '');
  if (made[file] !== undefined || (file.endsWith('.md') && existsSync(join(root, file)))) {
    if (!waiting.includes(file)) waiting.push(file);
    return place(file);
  }
  if (!existsSync(join(root, file)) || file.startsWith('..')) throw new Error(`${source}: no file ${target}`);
  if (statSync(join(root, file)).isDirectory()) return copied(join(root, file), source, `repository/${file}`);
  return copied(join(root, file), source, placeOf(file));
}

function copied(from, source, to) {
  mkdirSync(dirname(join(folder, to)), { recursive: true });
  cpSync(from, join(folder, to), { recursive: true });
  return relative(dirname(placeOf(source)), to);
}

// Links add to the list while it is gone through.
for (let at = 0; at < waiting.length; at++) {
  const source = waiting[at];
  pages.set(
    source,
    render(textOf(source), (target) => followed(source, target)),
  );
}

function navigation(current) {
  const here = dirname(placeOf(current));
  const link = ({ label, source }) => {
    const { headings } = pages.get(source);
    const isHere = source === current;
    const parts = isHere ? headings.filter(({ level }) => level === 2).slice(0, 40) : [];
    const below = parts.map(({ text, anchor }) => `<li><a href="#${anchor}">${escaped(text)}</a></li>`).join('');
    return (
      `<li><a href="${relative(here, placeOf(source))}"${isHere ? ' aria-current="page"' : ''}>${escaped(label)}</a>` +
      `${below && `<ul>${below}</ul>`}</li>`
    );
  };
  return groups.map(({ title, pages: of }) => `<h2>${escaped(title)}</h2><ul>${of.map(link).join('')}</ul>`).join('\n');
}

function document(source) {
  const { html, title } = pages.get(source);
  const place = placeOf(source);
  const up = relative(dirname(place), '.');
  const own = (name) => posix.join(up, name);
  const at = listed.indexOf(source);
  const step = (other, words) =>
    other
      ? `<a href="${relative(dirname(place), placeOf(other))}">${words(escaped(pages.get(other).title))}</a>`
      : '<span></span>';
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escaped(title)} · TRAM</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${own('site.css')}">
<body data-up="${escaped(up)}">
<a class="skip" href="#text">to the text</a>
<div class="frame">
<aside>
<div class="top"><a class="home" href="${own('index.html')}">TRAM</a>
<span><button type="button" class="menu" aria-expanded="false" aria-controls="pages">Pages</button>
<button type="button" id="ground">Auto</button></span></div>
<input id="search" type="search" placeholder="Search ( / )" aria-label="search the documentation" autocomplete="off">
<ul id="found" aria-live="polite"></ul>
<nav id="pages" aria-label="pages">
${navigation(source)}
</nav>
</aside>
<main id="text">
${html}
<footer>${step(listed[at - 1], (words) => `← ${words}`)}${step(at < 0 ? undefined : listed[at + 1], (words) => `${words} →`)}</footer>
</main>
</div>
<script src="${own('index.js')}"></script>
<script src="${own('site.js')}"></script>
</body>
</html>
`;
}

for (const source of pages.keys()) {
  const file = join(folder, placeOf(source));
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, document(source));
}
const index = [...pages].flatMap(([source, { title, sections }]) =>
  sections.map(({ heading, anchor, text }) => ({
    ...{ page: placeOf(source), title, heading, anchor },
    text: text.replace(/\s+/g, ' ').slice(0, 3000),
  })),
);
writeFileSync(join(folder, 'index.js'), `window.tramIndex = ${JSON.stringify(index)};\n`);
for (const name of ['site.css', 'site.js']) cpSync(join(root, 'scripts/site', name), join(folder, name));
console.log(`${basename(folder)}: ${pages.size} pages in ${folder}`);
