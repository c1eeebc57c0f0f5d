// Texts and comments lead where they say: every relative link of a text, every file or folder of the program that a
// text names, and every source file that a comment names, is there.

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect, test } from 'vitest';

const root = join(import.meta.dirname, '..');
const rooms = ['src', 'test', 'docs', 'examples', 'bench', 'scripts', 'data'];
const below = rooms.flatMap((room) =>
  readdirSync(join(root, room), { recursive: true, encoding: 'utf8' }).map((name) => `${room}/${name}`),
);
const places = new Set([...readdirSync(root), ...rooms, ...below]);
const texts = [...places].filter((name) => name.endsWith('.md'));
const sources = below.filter((name) => /\.(ts|mjs|cuh?)$/.test(name));
const read = (name: string) => readFileSync(join(root, name), 'utf8');

/** A name that a reader starts to look for in one of these folders. */
const isPlace = (name: string, from: readonly string[]) =>
  from.some((folder) => places.has(normalize(join(folder, name)).replace(/\/$/, '')));

/** The folders that a file stands in, from its own to the root. */
function foldersOf(file: string): string[] {
  const folder = dirname(file);
  return folder === '.' ? ['.'] : [folder, ...foldersOf(folder)];
}

/** What a run folder and a data set hold, the published program's, and files of a reader's own. */
const elsewhere = [
  ...['figures/', 'lib/', 'runs/', 'checkpoints/', 'val/', 'main_qat.py', 'mynet.mjs', './mynet.mjs'],
  // Of a sweep.
  ...['best/', 'trials/', 'trials/NAME/', 'shared/', 'shared/PHASE-HASH/', 'cluster/', 'cluster/ray_jobs.py'],
  // Of an export.
  ...[
    'mine-export/integer/',
    'digits/rtl/report.md',
    'digits/rtl/streams.md',
    'report.md',
    'streams.md',
    'network.py',
    'test_NAME.py',
  ],
];

const SOURCE = /[\w./-]*\w\.(?:tsx?|mjs|cuh?|py|md)\b/g;

test('every relative link of a text leads to a file', () => {
  const dead = texts.flatMap((text) =>
    [...read(text).matchAll(/\]\((?!https?:|#|mailto:)([^)#\s]+)/g)]
      .map(([, link]) => link!)
      .filter((link) => !existsSync(join(root, dirname(text), link)))
      .map((link) => `${text} → ${link}`),
  );
  expect(dead).toEqual([]);
});

test('every file of the program that a text names is there, and every folder', () => {
  // A folder or a file of that name anywhere: a text says before which part of the program it is about.
  const known = (name: string) => [...places].some((place) => `/${place}`.endsWith(`/${name.replace(/\/$/, '')}`));
  const named = texts.flatMap((text) =>
    [...read(text).matchAll(/`([^`\n]+)`/g)].flatMap(([, code]) => {
      const files = [...code!.matchAll(SOURCE)].map(([file]) => file.replace('FAMILY', 'pooling'));
      const folder = /^[a-z][\w-]*(\/[\w-]+)*\/$/.exec(code!)?.[0];
      return [...files, ...(folder === undefined ? [] : [folder])].map((name) => ({ text, name }));
    }),
  );
  expect(named.length).toBeGreaterThan(80);
  expect(named.filter(({ name }) => !elsewhere.includes(name) && !known(name))).toEqual([]);
});

test('every source file that a comment names is there, seen from the file or from a folder above it', () => {
  const named = sources.flatMap((source) =>
    read(source)
      .split('\n')
      .map((line) => /(?:^|\s)(?:\/\/|\/?\*+) (.*)/.exec(line)?.[1] ?? '')
      .flatMap((comment) => [...comment.matchAll(SOURCE)])
      .map(([name]) => ({ source, name })),
  );
  expect(named.length).toBeGreaterThan(100);
  const from = (source: string) => [...foldersOf(source), ...foldersOf(source).map((folder) => join(folder, 'src'))];
  const lost = named.filter(({ source, name }) => !elsewhere.includes(name) && !isPlace(name, from(source)));
  expect(lost).toEqual([]);
});
