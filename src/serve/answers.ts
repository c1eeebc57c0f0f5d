// What is found for each address (api.ts), from the library. Each answer is a function of the folder and the query
// alone, so that a page that is stored holds the same as one that is live.

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { summarize } from '../flow/results/summarize.ts';
import { glanceAt } from '../flow/run/lock.ts';
import { optionsOf } from '../flow/settings/flags.ts';
import { UserError } from '../tensor/errors.ts';
import { given } from '../tensor/given.ts';
import { shellWord } from '../tensor/names.ts';
import { version } from '../version.ts';
import type { Address, Answers, Query, RunDetail, RunRow, ServedFolder } from './api.ts';
import { type Control, isLive, runForm } from './control.ts';
import { knownMultipliers, multiplierOf, multipliersOfRun } from './explore.ts';
import { isServedType } from './files.ts';
import { sweepView } from './front.ts';
import { type Library, NotFound, withoutTheta } from './library.ts';
import { networkView } from './network.ts';
import { settingTexts } from './settings.ts';

export interface Answering {
  readonly library: Library;
  readonly folder: Omit<ServedFolder, 'version'>;
  /** What starts and stops runs, where that is allowed. */
  readonly control: Control | undefined;
}

type Answer<A extends Address> = (served: Answering, query: Query) => Answers[A] | Promise<Answers[A]>;

export const answers: { readonly [A in Address]: Answer<A> } = {
  folder: ({ folder }) => ({ ...folder, version }),
  runs: ({ library }) => library.runs(),
  run: (served, query) => begun(served, query) ?? runDetail(served.library, nameIn(query)),
  metrics: async (served, query) => {
    const { library } = served;
    if (begun(served, query)) return { epochs: [] };
    const { epochs, faults } = await library.metrics(nameIn(query));
    const problem =
      faults === 0 ? undefined : `${faults} ${faults === 1 ? 'line is' : 'lines are'} no record of an epoch`;
    return { epochs: epochs.map(withoutTheta), ...given({ problem }) };
  },
  theta: async (served, query) => {
    const { library } = served;
    if (begun(served, query)) return { steps: [] };
    const { epochs } = await library.metrics(nameIn(query));
    return { steps: epochs.flatMap(({ epoch, theta }) => (theta ? [{ epoch, theta }] : [])) };
  },
  sweeps: ({ library }) => library.sweeps(),
  form: ({ control }) => {
    if (!control) throw new NotFound('runs are started with tram serve --control alone');
    return runForm();
  },
  jobs: ({ control }) => control?.jobs() ?? [],
  sweep: ({ library }, query) => sweepView(library, nameIn(query)),
  network: ({ library }, query) => networkView(library, nameIn(query)),
  multiplier: ({ library }, query) => multiplierOf(library, textIn(query, 'of')),
  multipliers: ({ library }) => knownMultipliers(library),
};

export const isAddress = (name: string): name is Address => Object.hasOwn(answers, name);

/** A text that the query must have. */
export function textIn(query: Query, key: string): string {
  const text = query[key];
  if (text === undefined || text === '') throw new UserError(`the query has no ${key}`);
  return text;
}

export const nameIn = (query: Query): string => textIn(query, 'name');

/** What is there of a run that was started here and has no manifest yet, or never got one: what it says. */
function begun({ library, control }: Answering, query: Query): RunDetail | undefined {
  const name = nameIn(query);
  const job = library.hasRun(name) ? undefined : control?.jobs().find((one) => one.name === name);
  if (!job) return undefined;
  const row: RunRow = {
    ...{ name, data: '', model: '', created: '', changed: '', settings: {}, stages: [], donePhases: [] },
    ...(isLive(job)
      ? { state: 'running' }
      : { state: 'damaged', problem: 'it ended before there was anything to keep' }),
  };
  return { row, multipliers: {}, settings: {}, command: job.command, files: [] };
}

function runDetail(library: Library, name: string): RunDetail {
  const folder = library.runFolder(name);
  const row = library.runRow(name);
  if (row.state === 'damaged') {
    return { row, multipliers: {}, settings: {}, command: '', files: filesOf(folder, name) };
  }
  const { configuration } = library.manifest(name);
  const glance = glanceAt(folder);
  const { pid, host, since, command } = glance?.owner ?? {};
  return {
    ...summaryOf(library, name, folder),
    ...{ row, multipliers: multipliersOfRun(library, name) },
    settings: settingTexts(configuration),
    command: ['tram', 'run', name, ...optionsOf(configuration)].map(shellWord).join(' '),
    ...(row.state === 'running' && pid !== undefined
      ? { owner: { pid, host: host!, since: since!, command: command! } }
      : {}),
    files: filesOf(folder, name),
  };
}

/** Without it, where a file of a finished phase is damaged; the row says why. */
function summaryOf(library: Library, name: string, folder: string): Pick<RunDetail, 'summary' | 'problem'> {
  try {
    return { summary: { ...summarize(folder), folder: name } };
  } catch (error) {
    return { problem: library.withoutPaths(error) };
  }
}

/** The files of a run that can be asked for, those of its folders among them. */
function filesOf(folder: string, name: string, below = ''): RunDetail['files'] {
  const prefix = name === '.' ? '' : `${name}/`;
  return readdirSync(join(folder, below), { withFileTypes: true }).flatMap((entry) => {
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.name.startsWith('.')) return [];
    if (entry.isDirectory()) return below === '' ? filesOf(folder, name, path) : [];
    if (!entry.isFile() || !isServedType(path)) return [];
    return [{ path: prefix + path, bytes: statSync(join(folder, path)).size }];
  });
}
