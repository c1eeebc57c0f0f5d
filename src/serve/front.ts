// The front of a sweep for the page, as far as it has come: gates of what is done now, and synthesised power of the
// last `front.json`, where it is of the same trials. Nothing is synthesised for a look, and nothing written.
// Invariant: a synthesised power is shown only with the trials that it is the mean of.

import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { readSweep, sweepFiles } from '../flow/sweep/folder.ts';
import { frontOf, type SweepPoint, type SweepReport } from '../flow/sweep/front.ts';
import { questionOfPlan } from '../flow/sweep/sweep.ts';
import { given } from '../tensor/given.ts';
import type { SweepView } from './api.ts';
import { multipliersOfRun } from './explore.ts';
import type { Library } from './library.ts';

const kept = new WeakMap<Library, Map<string, { readonly stamp: string; readonly report: Promise<SweepReport> }>>();

export async function sweepView(library: Library, name: string): Promise<SweepView> {
  const folder = library.sweepFolder(name);
  const fronts = kept.get(library) ?? new Map();
  kept.set(library, fronts);
  const stamp = stampOf(folder);
  const known = fronts.get(name);
  const report = known?.stamp === stamp ? known.report : reportOf(library, folder, name);
  fronts.set(name, { stamp, report });
  const found: SweepReport = await report;
  const row = library.sweeps().find((sweep) => sweep.name === name)!;
  return { row, report: found, multipliers: linksOf(library, name, found.points) };
}

async function reportOf(library: Library, folder: string, name: string): Promise<SweepReport> {
  const written = writtenReport(folder);
  const plan = readSweep(folder);
  const { loss, power, goal } = written ?? {};
  const question = { ...questionOfPlan(plan), ...given({ loss, goal, power: power ?? undefined }) };
  const report = await frontOf({ folder, plan, ...question, technology: null, damaged: 'tell' });
  const points = report.points.map((point) => withSynthesised(point, written));
  const isSame = written?.kind === 'synthesised' && points.every(({ power }) => !power.gates || power.synthesised);
  const failed = report.failed.map((trial) => ({ ...trial, reason: library.withoutPaths(trial.reason) }));
  // What was written is the front over synthesised power; it holds as long as no point is new.
  const marks = new Map(isSame ? written.points.map((point) => [point.name, point.isOnFront]) : []);
  return {
    ...report,
    ...(isSame ? { kind: 'synthesised' as const, library: written.library, answers: written.answers } : {}),
    ...{ folder: name, failed, library: written?.library ?? null },
    points: points.map((point) => ({ ...point, isOnFront: marks.get(point.name) ?? point.isOnFront })),
  };
}

/** What the sweep wrote of itself last; undefined where there is nothing that can be read. */
function writtenReport(folder: string): SweepReport | undefined {
  try {
    const found = JSON.parse(readFileSync(join(folder, sweepFiles.json), 'utf8')) as Partial<SweepReport> | null;
    return found?.format === 'tram-front' && found.version === 1 && Array.isArray(found.points)
      ? (found as SweepReport)
      : undefined;
  } catch {
    return undefined;
  }
}

function withSynthesised(point: SweepPoint, written: SweepReport | undefined): SweepPoint {
  const same = written?.points.find(
    ({ name, trials }) => name === point.name && JSON.stringify(trials) === JSON.stringify(point.trials),
  );
  if (!same) return point;
  return { ...point, power: { ...point.power, synthesised: same.power.synthesised }, family: same.family };
}

/** The multiplier of each point's most accurate trial; where a run has several, the first. */
function linksOf(library: Library, sweep: string, points: readonly SweepPoint[]): SweepView['multipliers'] {
  const prefix = sweep === '.' ? '' : `${sweep}/`;
  return Object.fromEntries(
    points.flatMap(({ name, trials, accuracy }) => {
      const best = trials[accuracy.values.indexOf(Math.max(...accuracy.values))];
      const run = `${prefix}${sweepFiles.trials}/${best}`;
      const [of] = library.hasRun(run) ? Object.values(multipliersOfRun(library, run)) : [];
      return of === undefined ? [] : [[name, of]];
    }),
  );
}

/** What changes when a trial has ended or the sweep has written its front. */
function stampOf(folder: string): string {
  const trials = join(folder, sweepFiles.trials);
  const ended = existsSync(trials) ? readdirSync(trials).filter((name) => name.endsWith('.json')) : [];
  const stamps = [...ended.map((name) => join(trials, name)), join(folder, sweepFiles.json)].map((path) => {
    try {
      return statSync(path).mtimeMs;
    } catch {
      return 0;
    }
  });
  return `${ended.sort().join()} ${stamps.join()}`;
}
