// Successive halving on two measures: of the points of a task that have come to a rung, those stay that no other beats
// in both accuracy and cost, and of the rest the better ones until half of all are left. A decision is a function of
// what stands at the rung, so that every process comes to the same one.

import { UserError } from '../../tensor/errors.ts';
import { parseConfiguration } from '../settings/config.ts';
import type { Trial } from './grid.ts';

/** Epochs of the recovery, said as such or as usual: a quarter and a half of the shortest one. */
export type Rungs = readonly number[] | 'usual';

/**
 * The rungs of these trials: as they were asked for, or a quarter and a half of the shortest recovery, as far as these
 * are whole epochs before its end. A UserError where they are no rising numbers of epochs from 1 on, or where no trial
 * would come to one before its end.
 */
export function rungsOf(asked: Rungs, trials: readonly Trial[]): readonly number[] {
  if (asked !== 'usual' && !asked.every((rung, at) => Number.isSafeInteger(rung) && rung > (asked[at - 1] ?? 0))) {
    throw new UserError(`halving is after ${asked.join(', ')}; rising whole numbers of epochs from 1 on were expected`);
  }
  if (asked.length === 0) return [];
  const epochs = trials.map(({ name, settings }) => parseConfiguration(settings, `the trial ${name}`).recover.epochs);
  const [shortest, longest] = [Math.min(...epochs), Math.max(...epochs)];
  const usual = [4, 2].map((part) => Math.ceil(shortest / part)).filter((rung) => rung < shortest);
  const rungs = asked === 'usual' ? [...new Set(usual)] : asked;
  const last = rungs.at(-1);
  if (last !== undefined && last < longest) return rungs;
  const reason = last === undefined ? `a recovery has ${shortest} epoch` : `no recovery is longer than ${longest}`;
  throw new UserError(
    `halving${last === undefined ? '' : ` after ${last} epochs`} has no effect: ${reason}; leave it out, or give recoveries more epochs (--recover-epochs)`,
  );
}

export interface AtRung {
  readonly point: string;
  /** Points of different tasks (taskOf) are not compared. */
  readonly task: string;
  readonly accuracy: number;
  /** Relative to the cheapest exact 8×8 multiplier; null where it is not known, which is never dropped. */
  readonly gateCost: number | null;
}

interface Mean {
  readonly point: string;
  readonly accuracy: number;
  readonly cost: number;
}

/** Points that go on; seeds of a point stay or go together, by their means. */
export function survivors(reached: readonly AtRung[]): ReadonlySet<string> {
  const tasks = [...new Set(reached.map(({ task }) => task))];
  return new Set(tasks.flatMap((task) => [...survivorsOf(reached.filter((one) => one.task === task))]));
}

function survivorsOf(reached: readonly AtRung[]): ReadonlySet<string> {
  const points = new Map<string, AtRung[]>();
  for (const one of reached) points.set(one.point, [...(points.get(one.point) ?? []), one]);
  const kept = new Set<string>();
  const ranked: Mean[] = [];
  for (const [point, all] of points) {
    if (all.some(({ gateCost }) => gateCost === null)) kept.add(point);
    else
      ranked.push({
        point,
        accuracy: mean(all.map((one) => one.accuracy)),
        cost: mean(all.map((one) => one.gateCost!)),
      });
  }
  let rest: readonly Mean[] = ranked;
  while (rest.length > 0) {
    const front = rest.filter((one) => !rest.some((other) => beats(other, one)));
    const room = Math.ceil(points.size / 2) - kept.size;
    const isFirst = rest === ranked;
    const taken = isFirst
      ? front
      : front.toSorted((a, b) => b.accuracy - a.accuracy || a.cost - b.cost).slice(0, Math.max(0, room));
    for (const { point } of taken) kept.add(point);
    if (taken.length < front.length || kept.size >= Math.ceil(points.size / 2)) break;
    rest = rest.filter((one) => !front.includes(one));
  }
  return kept;
}

function beats(a: Mean, b: Mean): boolean {
  return a.accuracy >= b.accuracy && a.cost <= b.cost && (a.accuracy > b.accuracy || a.cost < b.cost);
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
