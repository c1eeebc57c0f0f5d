// The view as it is shown now, saved as one document that needs no server: the answers that components on the page
// hold, asked for anew so that they are whole, and the pictures of runs that are shown.

import { routeOf } from '../report/route.ts';
import { keyOf, standalone } from '../report/standalone.ts';
import type { Address, Query } from '../serve/api.ts';
import { keptOf } from './kept.ts';
import type { Source } from './source.ts';

/** The questions whose answers are on the page, with how many components hold each. */
const shown = new Map<string, { readonly address: Address; readonly query: Query; holders: number }>();

/** Notes that a component shows an answer, until the returned function is called. */
export function showing(address: Address, query: Query): () => void {
  const key = keyOf(address, query);
  const question = shown.get(key) ?? { address, query, holders: 0 };
  question.holders++;
  shown.set(key, question);
  return () => {
    question.holders--;
    if (question.holders === 0) shown.delete(key);
  };
}

export async function saveCopy(source: Source): Promise<void> {
  const answers = await Promise.all(
    [...shown].map(async ([key, { address, query }]) => [key, await source.get(address, query)] as const),
  );
  const [html, script, style] = await Promise.all(['./', 'main.js', 'main.css'].map(textOf));
  const text = standalone(
    { html: html!, script: script!, style: style! },
    {
      view: location.hash || '#/runs',
      answers: Object.fromEntries(answers),
      files: await pictures(),
      kept: keptOf(routeOf(location.hash).view),
    },
  );
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob([text], { type: 'text/html' }));
  const name = document.title.replaceAll(/[^\p{L}\p{N}._+-]+/gu, '-').replace(/^-+|-+$/g, '');
  link.download = `${name || 'TRAM'}.html`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

async function textOf(path: string): Promise<string> {
  const response = await fetch(path);
  if (!response.ok) throw new Error('the server does not give the page any more');
  return response.text();
}

/** Files of runs that are on the page, as data: addresses by their paths. */
async function pictures(): Promise<Record<string, string>> {
  const prefix = 'file/';
  const paths = [...document.images]
    .map((image) => image.getAttribute('src') ?? '')
    .filter((src) => src.startsWith(prefix));
  const found = await Promise.all(
    [...new Set(paths)].map(async (path) => {
      const blob = await (await fetch(path)).blob();
      const name = path.slice(prefix.length).split('/').map(decodeURIComponent).join('/');
      return [name, await dataAddress(blob)] as const;
    }),
  );
  return Object.fromEntries(found);
}

function dataAddress(blob: Blob): Promise<string> {
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result as string);
    reader.onerror = () => fail(reader.error);
    reader.readAsDataURL(blob);
  });
}
