// The course of the learning rate: linear warm-up over the first steps, then a schedule over those behind it. A
// function of the place in the phase alone, so that a resumed run goes on with the same rates. `cosine` and `step`
// change between epochs, `cosine-steps` and `one-cycle` at every step. PyTorch's classes of these names are meant
// (CosineAnnealingLR, MultiStepLR, OneCycleLR with its defaults and a rate alone).

export const scheduleNames = ['constant', 'cosine', 'cosine-steps', 'step', 'one-cycle'] as const;
export type ScheduleName = (typeof scheduleNames)[number];

export interface Schedule {
  readonly schedule: ScheduleName;
  /** step: epochs (0, 1, …) from which on the rate is `scheduleFactor` times the one before. */
  readonly milestones?: readonly number[];
  /** Default: 0.1. */
  readonly scheduleFactor?: number;
  /** Epochs of linear warm-up, also in part; default 0. */
  readonly warmup?: number;
  /** Steps of warm-up beside them; default 0. */
  readonly warmupSteps?: number;
  /** cosine, cosine-steps: the share of the rate that they fall towards, 0 … 1; default 0. */
  readonly finalRate?: number;
}

/** A step of a phase: of so many epochs of so many steps. */
export interface Place {
  readonly epoch: number;
  readonly step: number;
  readonly epochs: number;
  readonly steps: number;
}

/** The share of steps in which one-cycle rises, from 1/25 of the rate; it ends at 1/10000 of where it began. */
const ONE_CYCLE = { rise: 0.3, start: 1 / 25, end: 1e-4 } as const;

/** The rate at a step, as a share of the full one: 0 … 1. */
export function rateShare(schedule: Schedule, { epoch, step, epochs, steps }: Place): number {
  const { warmup = 0, warmupSteps = 0 } = schedule;
  const rising = Math.min(epochs * steps, Math.round(warmup * steps) + warmupSteps);
  const at = epoch * steps + step;
  if (at < rising) return (at + 1) / (rising + 1);
  // Behind a warm-up the epochs of the schedule begin where it ended.
  const [behind, left] = [at - rising, epochs * steps - rising];
  return after(schedule, behind, left, Math.floor(behind / steps), Math.ceil(left / steps), epoch);
}

function after(schedule: Schedule, at: number, steps: number, epoch: number, epochs: number, ofAll: number): number {
  const { milestones = [], scheduleFactor = 0.1, finalRate = 0 } = schedule;
  const falling = (done: number, of: number) =>
    finalRate + ((1 - finalRate) * (1 + Math.cos((Math.PI * done) / of))) / 2;
  switch (schedule.schedule) {
    case 'constant':
      return 1;
    case 'cosine':
      return falling(epoch, epochs);
    case 'cosine-steps':
      return falling(at, steps);
    case 'step':
      return scheduleFactor ** milestones.filter((milestone) => milestone <= ofAll).length;
    case 'one-cycle': {
      const top = ONE_CYCLE.rise * steps - 1;
      const { start } = ONE_CYCLE;
      if (at <= top) return between(start, 1, top > 0 ? at / top : 1);
      return between(1, start * ONE_CYCLE.end, Math.min(1, (at - top) / (steps - 1 - top)));
    }
  }
}

/** From one rate to another along half a cosine. */
const between = (from: number, to: number, share: number): number =>
  to + ((from - to) * (1 + Math.cos(Math.PI * share))) / 2;

/** What is kept of an average of the weights at step t = 1, 2, …: nothing, then (t − 1)/(t + 8) up to `decay`. */
export const keptAverage = (decay: number, t: number): number => Math.min(decay, (t - 1) / (t + 8));
