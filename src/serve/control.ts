// Starting, stopping and resuming runs from the page (`tram serve --control`). A run that is started is a process of
// its own, as those of a sweep are, and ends when the server does: first it saves, then the same command goes on.
// Invariant: a run's folder lies in the served one, by names that are checked one by one, and what is done is what the
// command says that the page shows.

import { existsSync, realpathSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { z } from 'zod';
import type { runFlow } from '../flow/flow.ts';
import type { RunEvent } from '../flow/run/events.ts';
import { fileName, hasManifest } from '../flow/run/manifest.ts';
import { type ConfigurationInput, parseConfiguration } from '../flow/settings/config.ts';
import { fields, namedChoices, readFields } from '../flow/settings/fields.ts';
import { refuseIdle, saidIn } from '../flow/settings/said.ts';
import { UserError } from '../tensor/errors.ts';
import { shellWord } from '../tensor/names.ts';
import type { Job, Planned, RunForm } from './api.ts';
import type { Library } from './library.ts';

const MOST_JOBS = 8;
const DEEPEST = 4;
/** Jobs that have ended and are still told of. */
const MOST_KEPT = 50;
/** Milliseconds between two steps that are told. */
const STEP = 250;

const table = fields();

const runName = z
  .string()
  .max(200)
  .refine(
    (name) => name.split('/').length <= DEEPEST && name.split('/').every((part) => fileName.safeParse(part).success),
    'expected a name of letters, digits, _, . and -, with / between folders',
  );

export const planSchema = z.strictObject({
  name: runName,
  fields: z
    .record(z.string(), z.string().max(2000))
    .refine(
      (texts) => Object.keys(texts).every((name) => table.some((field) => field.name === name)),
      'unknown setting',
    ),
});
export type Plan = z.output<typeof planSchema>;
/** A run that is there may be the served folder itself. */
export const namedSchema = z.strictObject({ name: z.union([runName, z.literal('.')]) });

interface Work {
  job: Job;
  readonly controller: AbortController;
  readonly ended: Promise<void>;
  told: number;
}

export interface ControlOptions {
  /** The served folder as its user has written it, which the commands that are shown begin with. */
  readonly folder: string;
  readonly library: Library;
  readonly perform: typeof runFlow;
}

export class Control {
  readonly #options: ControlOptions;
  readonly #works = new Map<string, Work>();

  constructor(options: ControlOptions) {
    this.#options = options;
  }

  jobs(): Job[] {
    return [...this.#works.values()].map(({ job }) => job);
  }

  /** What a form says, as a command, with what is wrong in it. */
  plan({ name, fields: texts }: Plan): Planned {
    const { settings, problems } = readFields(texts);
    const words = Object.entries(texts).flatMap(([field, text]) => wordsOf(field, text));
    const all = {
      ...problems,
      ...this.#problemOf(name),
      ...(Object.keys(problems).length > 0 ? {} : togetherOf(settings)),
    };
    return { command: this.#command(name, words), problems: all };
  }

  /** Starts a new run; a UserError says what is wrong with it. */
  start(plan: Plan): Job {
    const { command, problems } = this.plan(plan);
    const problem = Object.values(problems)[0];
    if (problem !== undefined) throw new UserError(problem);
    return this.#begin(plan.name, command, readFields(plan.fields).settings);
  }

  /** Goes on with a run that is there. */
  resume(name: string): Job {
    const { library } = this.#options;
    const { state, sweep, isShared } = library.runRow(name);
    if (state === 'running') throw new UserError(`${name} is running already`);
    if (isShared) throw new UserError(`${name} is what trials of ${sweep} share; tram sweep ${sweep} goes on with it`);
    return this.#begin(name, this.#command(name, []), {});
  }

  /** Asks a run that was started here to save and stop; it answers at once, and tells when it has ended. */
  stop(name: string): Job {
    const work = this.#works.get(name);
    if (work && !isLive(work.job)) throw new UserError(`${name} has ended already: ${work.job.said}`);
    if (!work) {
      throw new UserError(`${name} was not started from this page; stop it where it was started, with Ctrl-C`);
    }
    work.controller.abort();
    return this.#say(work, { state: 'stopping' });
  }

  /** Has all runs save and stop, and waits for them. */
  async close(): Promise<void> {
    for (const { job, controller } of this.#works.values()) if (isLive(job)) controller.abort();
    await Promise.all([...this.#works.values()].map(({ ended }) => ended));
  }

  #command(name: string, words: readonly string[]): string {
    return ['tram', 'run', join(this.#options.folder, name), ...words].map(shellWord).join(' ');
  }

  #problemOf(name: string): Readonly<Record<string, string>> {
    const folder = join(this.#options.library.root, name);
    if (existsSync(folder)) return { name: `${name} is there already; choose another name, or resume that run` };
    const runs = [...this.#works.values()].filter(({ job }) => isLive(job)).map(({ job }) => job.name);
    const above = name.split('/').map((_, count, parts) => parts.slice(0, count).join('/') || '.');
    const around = above.find((one) => this.#options.library.hasRun(one) || runs.includes(one));
    if (around !== undefined) return { name: `${around} is a run, whose folder holds no other; choose another name` };
    const inside = runs.find((one) => one.startsWith(`${name}/`));
    if (inside !== undefined) return { name: `${inside} is a run that begins in this folder; choose another name` };
    return isBelow(this.#options.library.root, folder) ? {} : { name: `${name} leads out of the served folder` };
  }

  #begin(name: string, command: string, settings: ConfigurationInput): Job {
    const { library, perform } = this.#options;
    const folder = join(library.root, name);
    if (!isBelow(library.root, folder)) throw new UserError(`${name} leads out of the served folder`);
    const live = [...this.#works.values()].filter(({ job }) => isLive(job));
    if (live.some(({ job }) => job.name === name)) throw new UserError(`${name} is being worked on already`);
    if (live.length >= MOST_JOBS) throw new UserError(`${MOST_JOBS} runs work already; wait until one has ended`);
    const controller = new AbortController();
    const work: Work = {
      job: { name, command, state: 'working', said: 'starting' },
      controller,
      // Not at once: what it tells first is of this work already.
      ended: Promise.resolve()
        .then(() =>
          perform({
            ...{ folder, settings, command, signal: controller.signal },
            listener: (event) => this.#follow(work, event),
          }),
        )
        .then(
          ({ verdict }) => void this.#end(work, { state: 'done', said: verdict }),
          (error: unknown) => void this.#fail(work, error),
        ),
      told: 0,
    };
    this.#works.delete(name);
    this.#works.set(name, work);
    for (const [old, { job }] of this.#works) {
      if (this.#works.size > MOST_KEPT && !isLive(job)) this.#works.delete(old);
    }
    return this.#say(work, {});
  }

  #follow(work: Work, event: RunEvent): void {
    const { library } = this.#options;
    if (event.kind === 'step') {
      const now = Date.now();
      if (now - work.told < STEP && event.step < event.steps) return;
      work.told = now;
      const { phase, epoch, epochs, step, steps, loss, accuracy } = event;
      this.#say(work, { step: { phase, epoch, epochs, step, steps, loss, accuracy } });
    } else if (event.kind === 'note') this.#say(work, { said: event.text });
    else if (event.kind === 'phase-start') this.#say(work, { said: event.title });
    else if (event.kind === 'phase-end') this.#say(work, { said: event.summary });
    if (event.kind !== 'step' && event.kind !== 'measured' && hasManifest(join(library.root, work.job.name))) {
      void (library.hasRun(work.job.name) ? library.lookAt(work.job.name) : library.scan());
    }
  }

  #fail(work: Work, error: unknown): void {
    const { library } = this.#options;
    const isStopped = work.controller.signal.aborted && error === work.controller.signal.reason;
    if (isStopped) this.#end(work, { state: 'stopped', said: 'stopped; the work so far is saved' });
    else this.#end(work, { state: 'failed', said: library.withoutPaths(error) });
  }

  #end(work: Work, last: Pick<Job, 'state' | 'said'>): void {
    this.#say(work, last);
    void this.#options.library.scan();
  }

  #say(work: Work, news: Partial<Job>): Job {
    // What is asked to stop is not working again because of its last steps.
    work.job = { ...work.job, ...news };
    this.#options.library.tell({ kind: 'job', job: work.job });
    return work.job;
  }
}

export const isLive = ({ state }: Job): boolean => state === 'working' || state === 'stopping';

/** Every setting as a form needs it. */
export function runForm(): RunForm {
  return { fields: table, choices: namedChoices() };
}

/** A switch is an option alone; an empty text is none. */
function wordsOf(name: string, text: string): readonly string[] {
  const field = table.find((one) => one.name === name);
  if (text === '' || !field) return [];
  if (field.value !== undefined) return text === 'true' ? [`--${name}`] : [];
  return [`--${name}`, text];
}

/** What the settings mean together, where that contradicts itself. */
function togetherOf(settings: ConfigurationInput): Readonly<Record<string, string>> {
  try {
    refuseIdle(saidIn(settings), parseConfiguration(settings, 'settings'));
    return {};
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return { together: error.message };
  }
}

/** Whether a path lies below a folder, once the symbolic links of what is there of it are followed. */
function isBelow(root: string, path: string): boolean {
  let there = path;
  while (!existsSync(there)) there = dirname(there);
  const [real, top] = [realpathSync(there), realpathSync(root)];
  return real === top || real.startsWith(top.endsWith(sep) ? top : top + sep);
}
