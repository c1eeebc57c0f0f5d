// The multipliers that the page explores: generators, netlists and tables of the served folder, and files that were
// dropped on the page, which are stored nowhere. Each is read and measured in a thread of its own with a limit of time
// and memory, so that whatever a file holds, the server goes on answering.

import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { Worker } from 'node:worker_threads';
import { generators } from '../netlist/generators/registry.ts';
import { invariant, UserError } from '../tensor/errors.ts';
import { type ExploredMultiplier, isGenerator } from '../workbench/explore.ts';
import { multiplierFiles } from '../workbench/files.ts';
import type { KnownMultiplier } from './api.ts';
import { servedFile } from './files.ts';
import type { Library } from './library.ts';

/** The largest file that is taken from a page: 8 MiB. */
export const MOST_DROPPED = 8 << 20;
const MOST_SECONDS = 30;
const MOST_MEGABYTES = 2048;
/** Multipliers that are kept as they were read, by what they are. */
const MOST_KEPT = 16;
/** Threads at once; what is asked for beyond waits. */
const MOST_AT_ONCE = 2;

/** What a thread is to do: a generator, or a file that is on disk or not. */
export type Exploration =
  | { readonly kind: 'generator'; readonly spec: string }
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'bytes'; readonly file: string; readonly bytes: Uint8Array; readonly signed: boolean };

export type Explored =
  | { readonly kind: 'explored'; readonly multiplier: ExploredMultiplier }
  | { readonly kind: 'refused'; readonly message: string };

const worker = [
  new URL('./explore-worker.js', import.meta.url),
  new URL('../../dist/serve/explore-worker.js', import.meta.url),
];

/** Threads that are at work, and those that wait for one to end. */
let atWork = 0;
const waiting: (() => void)[] = [];

async function inThread(task: Exploration, name: string): Promise<ExploredMultiplier> {
  const file = worker.find((url) => existsSync(url));
  invariant(file, 'the program is not built; run npm run build');
  if (atWork >= MOST_AT_ONCE) await new Promise<void>((go) => waiting.push(go));
  atWork++;
  const limits = { maxOldGenerationSizeMb: MOST_MEGABYTES };
  const thread = new Worker(file, { workerData: task, resourceLimits: limits, argv: [] });
  let clock: NodeJS.Timeout | undefined;
  try {
    return await new Promise<ExploredMultiplier>((done, fail) => {
      clock = setTimeout(() => {
        fail(
          new UserError(`${name}: not read within ${MOST_SECONDS} seconds; tram simulate takes as long as it needs`),
        );
      }, 1000 * MOST_SECONDS);
      thread.on('message', (message: Explored) => {
        if (message.kind === 'explored') done(message.multiplier);
        else fail(new UserError(message.message));
      });
      thread.on('error', (error: NodeJS.ErrnoException) => {
        const isFull = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
        fail(isFull ? new UserError(`${name}: reading it needs more than ${MOST_MEGABYTES} MiB of memory`) : error);
      });
      thread.on('exit', () => fail(new Error(`internal: the thread that read ${name} ended without an answer`)));
    });
  } finally {
    clearTimeout(clock);
    await thread.terminate();
    atWork--;
    waiting.shift()?.();
  }
}

/** Answers of files and generators that were asked for last. */
const kept = new Map<string, ExploredMultiplier>();

/** What `of` names: a generator, or a file of the served folder. */
export async function multiplierOf(library: Library, of: string): Promise<ExploredMultiplier> {
  if (isGenerator(of)) return remembered(of, () => inThread({ kind: 'generator', spec: of }, of));
  const { path, stamp } = servedFile(library, of);
  const found = await remembered(`${path} ${stamp}`, () => inThread({ kind: 'file', path }, basename(of)));
  return { ...found, spec: of };
}

/** A file from the page. */
export function droppedMultiplier(file: string, bytes: Uint8Array, signed: boolean): Promise<ExploredMultiplier> {
  // A name may come with folders; only its end tells the form.
  const name = file.replaceAll('\\', '/').split('/').at(-1)!;
  return inThread({ kind: 'bytes', file: name, bytes, signed }, name);
}

async function remembered(key: string, make: () => Promise<ExploredMultiplier>): Promise<ExploredMultiplier> {
  const known = kept.get(key) ?? (await make());
  kept.delete(key);
  kept.set(key, known);
  while (kept.size > MOST_KEPT) kept.delete(kept.keys().next().value!);
  return known;
}

/** Those of the folder's runs, then a generator of each kind. */
export function knownMultipliers(library: Library): KnownMultiplier[] {
  const ofRuns = library.runs().runs.flatMap(({ name }) => {
    const found = Object.entries(multipliersOfRun(library, name));
    return found.map(([multiplier, of]) => ({ of, title: `${multiplier} of ${name}` }));
  });
  const ofKinds = Object.entries(generators).map(([kind, { name, summary }]) => ({
    of: `${kind}:8x8`,
    title: `${name}: ${summary}`,
  }));
  return [...ofRuns, ...ofKinds];
}

/** What `multiplierOf` takes, by the names of a run's multipliers: the netlist, or the table where there is none. */
export function multipliersOfRun(library: Library, run: string): Readonly<Record<string, string>> {
  if (library.runRow(run).state === 'damaged') return {};
  const { map } = library.manifest(run).phases;
  const prefix = run === '.' ? '' : `${run}/`;
  return Object.fromEntries(
    (map?.multipliers ?? []).map(({ name }) => {
      const { verilog, table } = multiplierFiles(name);
      return [name, `${prefix}${map!.files[verilog] === undefined ? table : verilog}`];
    }),
  );
}
