// Where points of a front stand in a drawing: power to the right, by logarithms where it spans more than a factor of
// four, accuracy upwards from a floor under the better half. Pure; the print version is report/front-picture.ts.

import { type FrontPoint, floorOf, front } from '../../report/front.ts';

export interface Axis {
  readonly isLogarithmic: boolean;
  /** 0 … 1 along the axis. */
  readonly share: (value: number) => number;
  /** Round values inside it. */
  readonly ticks: readonly number[];
}

const LOGARITHMIC = 4;
const MARGIN = 0.07;

export function axisOf(values: readonly number[], mayBeLogarithmic: boolean): Axis {
  const [least, most] = [Math.min(...values), Math.max(...values)];
  const isLogarithmic = mayBeLogarithmic && least > 0 && most / least > LOGARITHMIC;
  const bend = isLogarithmic ? Math.log : (value: number) => value;
  const [low, high] = [bend(least), bend(most)];
  const room = (high - low) * MARGIN || Math.abs(high) * 0.1 || 0.1;
  const [from, to] = [low - room, high + room];
  const share = (value: number) => (bend(value) - from) / (to - from);
  const unbend = isLogarithmic ? Math.exp : (value: number) => value;
  const candidates = isLogarithmic ? logarithmicTicks() : linearTicks(unbend(from), unbend(to));
  return { isLogarithmic, share, ticks: candidates.filter((value) => share(value) >= 0 && share(value) <= 1) };
}

function logarithmicTicks(): number[] {
  return [-4, -3, -2, -1, 0, 1].flatMap((power) =>
    [1, 2, 5].map((digit) => Number((digit * 10 ** power).toPrecision(1))),
  );
}

/** Four to nine of them, 1, 2 or 5 times a power of ten apart. */
function linearTicks(from: number, to: number): number[] {
  const rough = (to - from) / 5;
  const magnitude = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((digit) => digit * magnitude).find((size) => size >= rough)!;
  const first = Math.ceil(from / step);
  const count = Math.floor(to / step) - first + 1;
  const decimals = Math.max(0, -Math.floor(Math.log10(step)));
  return Array.from({ length: count }, (_, at) => Number(((first + at) * step).toFixed(decimals)));
}

export interface FrontAxes {
  readonly power: Axis;
  readonly accuracy: Axis;
  /** Below this, points are drawn at it. */
  readonly floor: number;
}

/** `goal`: an accuracy that the drawing should show, where it is above the floor. */
export function frontAxes(points: readonly FrontPoint[], goal?: number): FrontAxes {
  const floor = floorOf(points.map(({ accuracy }) => accuracy));
  const powers = points.flatMap(({ power, powerSpread = 0 }) => [
    Math.max(power / 10, power - powerSpread),
    power + powerSpread,
  ]);
  const means = points.map(({ accuracy }) => Math.max(floor, accuracy));
  if (goal !== undefined && goal >= floor) means.push(goal);
  // The interval of two seeds may be far wider than all that is between the points: then it ends at the frame.
  const [least, most] = [Math.min(...means), Math.max(...means)];
  const room = Math.max(0.003, (most - least) / 2);
  const inside = (value: number) => Math.min(1, most + room, Math.max(floor, least - room, value));
  const accuracies = points.flatMap(({ accuracy, accuracySpread = 0 }) =>
    [accuracy - accuracySpread, accuracy + accuracySpread].map(inside),
  );
  accuracies.push(...means);
  return { power: axisOf(powers, true), accuracy: axisOf(accuracies, false), floor };
}

/** Corners of the staircase under which nothing cheaper is as accurate, one for each task. */
export function staircases(points: readonly FrontPoint[]): (readonly Pick<FrontPoint, 'power' | 'accuracy'>[])[] {
  const tasks = [...new Set(points.map(({ task }) => task))];
  return tasks.map((task) => {
    const best = front(points.filter((point) => point.task === task));
    return best.flatMap((point, at) => {
      const before = best[at - 1];
      return before ? [{ power: point.power, accuracy: before.accuracy }, point] : [point];
    });
  });
}
