// A view of the page as one document that needs no server, made without a browser: what the view asks for is answered
// here and stored in the page. The button of the page makes the same document from what it shows.

import { existsSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { hashOf, type Route, routeOf } from '../report/route.ts';
import { keyOf, standalone } from '../report/standalone.ts';
import { invariant, UserError } from '../tensor/errors.ts';
import { type Answering, answers } from './answers.ts';
import type { Address, Query } from './api.ts';
import { Library } from './library.ts';
import { pageFolder } from './page-files.ts';

type Question = readonly [address: Address, query: Query];

/** Runs whose curves a copy of the list holds. */
const MOST_DRAWN = 100;

/** What each view asks for (test/serve/explorer.test.ts opens each and sees that nothing is missing). */
const questions: Readonly<Record<string, (route: Route, library: Library) => readonly Question[]>> = {
  // The list draws those that changed last, and others that its reader chooses.
  runs: (_, library) => {
    const rows = library.runs().runs.toSorted((a, b) => (a.changed < b.changed ? 1 : -1));
    const drawn = rows.slice(0, MOST_DRAWN).map(({ name }) => ['metrics', { name }] as const);
    return [['runs', {}], ...drawn];
  },
  run: ({ name }) => (['run', 'metrics', 'theta'] as const).map((address) => [address, { name }]),
  sweep: ({ name }) => [name === '' ? ['sweeps', {}] : ['sweep', { name }]],
  network: ({ name }) => [['network', { name }]],
  multiplier: ({ name, query: { beside } }) =>
    [name, beside].flatMap((of) => (of === undefined || of === '' ? [] : [['multiplier', { of }] as const])),
};

/** The document of a view: `multiplier/dadda:8x8`, `sweep/NAME`. Throws a UserError. */
export async function exportView(served: Answering, view: string): Promise<string> {
  const route = routeOf(view);
  const asked = Object.hasOwn(questions, route.view) ? questions[route.view]!(route, served.library) : undefined;
  if (!asked) {
    throw new UserError(
      `there is no view '${route.view}'; expected ${Object.keys(questions).join(', ')}, as in multiplier/dadda:8x8`,
    );
  }
  const found = await Promise.all(
    [['folder', {}] as const, ...asked].map(async ([address, query]) => [
      keyOf(address, query),
      await answers[address](served, query),
    ]),
  );
  invariant(pageFolder, 'the page is not built; run npm run build');
  const part = (name: string) => readFileSync(new URL(name, pageFolder), 'utf8');
  const parts = { html: part('index.html'), script: part('main.js'), style: part('main.css') };
  return standalone(parts, { view: hashOf(route), answers: Object.fromEntries(found), files: {}, kept: {} });
}

/** The same of a folder that is not served: it is looked through once. */
export async function exportFrom(folder: string, view: string): Promise<string> {
  if (!existsSync(folder)) throw new UserError(`${folder} is not there; give a folder that holds runs or sweeps`);
  const library = new Library(folder);
  try {
    await library.scan();
    return await exportView(
      { library, folder: { name: basename(library.root), control: false }, control: undefined },
      view,
    );
  } finally {
    library.close();
  }
}
