// Follows a run or a sweep that other processes work on, until the work has ended or the user has seen enough: on a
// terminal a picture that is drawn again where something is new, anywhere else a line for each epoch. Changes nothing
// in the folder.

import { basename, resolve } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import type { MetricRecord } from '../flow/run/events.ts';
import { isWorkedOn } from '../flow/sweep/folder.ts';
import type { Library } from '../serve/library.ts';
import { UserError } from '../tensor/errors.ts';
import { isLive, type Output, type Style } from './style.ts';
import { epochText, runView, stateText, sweepView, type WatchedTrial } from './watch-view.ts';

/** Milliseconds between two frames, and without anyone at work until the work counts as ended. */
const FRAME = 500;
const IDLE = 3000;

export interface WatchOptions {
  readonly folder: string;
  readonly stream: Output;
  readonly style: Style;
  /** Waits for work to begin instead of ending where there is none. */
  readonly wait: boolean;
  /** One picture, or what is there as lines, and no more. */
  readonly once: boolean;
  readonly signal: AbortSignal;
  /** Default: those of a person who looks on. */
  readonly idle?: number;
  readonly frame?: number;
}

export async function watch(options: WatchOptions): Promise<void> {
  const { Library } = await import('../serve/library.ts');
  const library = new Library(options.folder);
  try {
    await library.open();
    const view = isLive(options.stream) ? new Picture(library, options) : new Lines(library, options);
    await follow(library, view, options);
  } finally {
    library.close();
  }
}

interface View {
  show(): Promise<void>;
  /** The last look, and how the work stands. */
  end(): Promise<void>;
}

async function follow(library: Library, view: View, options: WatchOptions): Promise<void> {
  const { folder, signal, wait, once, idle = IDLE, frame = FRAME } = options;
  const { stream } = options;
  const isThere = () => library.runs().runs.length > 0 || library.sweeps().length > 0;
  if (!isThere()) {
    if (!wait) {
      throw new UserError(
        `${folder}: there is no run and no sweep; say which to watch, or --wait for one that is about to begin`,
      );
    }
    stream.write(`waiting for a run in ${folder}\n`);
  }
  let lastWork = wait ? Number.POSITIVE_INFINITY : performance.now() - idle;
  for (;;) {
    await view.show();
    if (isAtWork(library)) lastWork = performance.now();
    const isIdle = performance.now() - lastWork >= idle;
    if (once || signal.aborted || isEnded(library) || isIdle) break;
    await setTimeout(frame, undefined, { signal }).catch(() => {});
    if (!isThere()) await library.scan();
  }
  await library.scan();
  await view.end();
}

/** A run trains, or one of a sweep is about to. */
function isAtWork(library: Library): boolean {
  if (library.runs().runs.some(({ state }) => state === 'running')) return true;
  return library.sweeps().some(({ name }) => isWorkedOn(library.sweepFolder(name)));
}

/** Every run is done, and every trial of the sweeps has ended. */
function isEnded(library: Library): boolean {
  const { runs } = library.runs();
  const sweeps = library.sweeps();
  const own = sweeps.length > 0 ? [] : runs;
  if (sweeps.length + own.length === 0) return false;
  const isOver = sweeps.every(({ done, failed, trials }) => done + failed >= trials);
  return isOver && own.every(({ state }) => state === 'done') && !runs.some(({ state }) => state === 'running');
}

const nameIn = (folder: string) => (name: string) => (name === '.' ? basename(resolve(folder)) : name);

/** A picture in the place of the one before. */
class Picture implements View {
  readonly #library: Library;
  readonly #options: WatchOptions;
  #height = 0;
  #shown = '';

  constructor(library: Library, options: WatchOptions) {
    this.#library = library;
    this.#options = options;
  }

  async show(): Promise<void> {
    const { stream, style, folder } = this.#options;
    const columns = stream.columns || 80;
    const rows = (stream as { rows?: number }).rows ?? (stream.bare as { rows?: number } | undefined)?.rows ?? 40;
    const { runs } = this.#library.runs();
    const nameOf = nameIn(folder);
    const lines: string[] = [];
    const sweeps = this.#library.sweeps();
    if (sweeps.length === 0 && runs.length === 1) {
      const row = runs[0]!;
      lines.push(...runView(row, nameOf(row.name), (await this.#library.metrics(row.name)).epochs, columns, style));
    } else {
      const trials: WatchedTrial[] = [];
      for (const row of runs) trials.push({ row, records: (await this.#library.metrics(row.name)).epochs });
      const of = (sweep: string | undefined) => trials.filter(({ row }) => row.sweep === sweep);
      for (const sweep of sweeps) {
        const most = Math.max(3, Math.floor(rows / sweeps.length) - 4);
        lines.push(...sweepView(sweep, nameOf(sweep.name), of(sweep.name), most, columns, style));
      }
      for (const { row, records } of of(undefined)) {
        const last = records.at(-1);
        lines.push(
          `${style.bold(nameOf(row.name))}  ${stateText(row)}${last ? `  ${epochText(last, undefined)}` : ''}`.slice(
            0,
            columns - 1,
          ),
        );
      }
    }
    // What does not fit would scroll away, and could not be drawn over.
    const fitting = lines.slice(0, Math.max(1, rows - 1));
    const text = fitting.join('\n');
    if (text === this.#shown) return;
    const bare = stream.bare ?? stream;
    if (this.#height > 0) bare.write(`\u001b[${this.#height}A\r\u001b[J`);
    stream.write(`${text}\n`);
    this.#height = fitting.length;
    this.#shown = text;
  }

  async end(): Promise<void> {
    await this.show();
    tellEnd(this.#library, this.#options);
  }
}

/** A line for each epoch, those that are there first. */
class Lines implements View {
  readonly #library: Library;
  readonly #options: WatchOptions;
  readonly #told = new Map<string, { records: readonly MetricRecord[]; count: number; state: string }>();

  constructor(library: Library, options: WatchOptions) {
    this.#library = library;
    this.#options = options;
  }

  async show(): Promise<void> {
    const { stream, folder } = this.#options;
    const { runs } = this.#library.runs();
    const isOne = runs.length === 1 && this.#library.sweeps().length === 0;
    for (const row of runs) {
      const { epochs } = await this.#library.metrics(row.name);
      const prefix = isOne ? '' : `${nameIn(folder)(row.name)}: `;
      const told = this.#told.get(row.name) ?? { records: [], count: 0, state: '' };
      // A run that went on from an earlier point has a shorter log; its epochs come to the same.
      const from = Math.min(told.count, epochs.length);
      for (const record of epochs.slice(from)) {
        const { progress } = row;
        stream.write(`${prefix}${epochText(record, progress?.phase === record.phase ? progress.epochs : undefined)}\n`);
      }
      if (told.state !== row.state) stream.write(`${prefix}${row.state === 'running' ? 'at work' : stateText(row)}\n`);
      this.#told.set(row.name, { records: epochs, count: epochs.length, state: row.state });
    }
  }

  async end(): Promise<void> {
    await this.show();
    tellEnd(this.#library, this.#options);
  }
}

/** Why it ends. */
function tellEnd(library: Library, { folder, signal, stream, once }: WatchOptions): void {
  if (once || signal.aborted) return;
  const { runs } = library.runs();
  const sweeps = library.sweeps();
  const open =
    sweeps.length > 0
      ? sweeps.some(({ done, failed, trials }) => done + failed < trials)
      : runs.some(({ state }) => state !== 'done');
  if (!open) return;
  const command = sweeps.length > 0 ? 'tram sweep' : 'tram run';
  stream.write(`nobody works on it; ${command} ${folder} goes on, and tram watch --wait waits for that\n`);
}
