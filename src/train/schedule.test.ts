import { describe, expect, test } from 'vitest';
import { keptAverage, rateShare, type Schedule } from './schedule.ts';

/** The shares of all steps of a phase. */
const course = (schedule: Schedule, epochs: number, steps: number) =>
  Array.from({ length: epochs * steps }, (_, at) =>
    rateShare(schedule, { epoch: Math.floor(at / steps), step: at % steps, epochs, steps }),
  );

function expectClose(shares: readonly number[], expected: readonly number[]): void {
  expect(shares).toHaveLength(expected.length);
  for (const [at, share] of shares.entries()) expect(share).toBeCloseTo(expected[at]!, 12);
}

describe('a schedule', () => {
  test('constant', () => expect(course({ schedule: 'constant' }, 2, 2)).toEqual([1, 1, 1, 1]));

  test('cosine: by epochs, from all of the rate towards none', () => {
    const half = Math.SQRT1_2 / 2;
    const expected = [1, 1, 0.5 + half, 0.5 + half, 0.5, 0.5, 0.5 - half, 0.5 - half];
    expectClose(course({ schedule: 'cosine' }, 4, 2), expected);
  });

  test('cosine by steps, towards a final share', () => {
    const shares = course({ schedule: 'cosine-steps', finalRate: 0.1 }, 1, 4);
    const expected = [1, 0.1 + 0.45 * (1 + Math.SQRT1_2), 0.55, 0.1 + 0.45 * (1 - Math.SQRT1_2)];
    expectClose(shares, expected);
  });

  test('step: smaller by the factor from each milestone on', () => {
    const shares = course({ schedule: 'step', milestones: [2, 3], scheduleFactor: 0.2 }, 4, 1);
    expect(shares).toEqual([1, 1, 0.2, 0.2 ** 2]);
  });

  // torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=10): its formula by hand.
  test('one-cycle', () => {
    const anneal = (from: number, to: number, part: number) => to + ((from - to) / 2) * (1 + Math.cos(Math.PI * part));
    const shares = course({ schedule: 'one-cycle' }, 2, 5);
    const expected = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map((at) =>
      at <= 2 ? anneal(1 / 25, 1, at / 2) : anneal(1, 1 / 25 / 1e4, (at - 2) / 7),
    );
    expectClose(shares, expected);
    expect(shares[2]).toBe(1);
    expect(shares[9]).toBeCloseTo(4e-6, 12);
    // Of one step it is the end, as there.
    expectClose(course({ schedule: 'one-cycle' }, 1, 1), [4e-6]);
  });

  test('behind a warm-up of epochs and steps', () => {
    const shares = course({ schedule: 'cosine-steps', warmup: 0.5, warmupSteps: 1 }, 2, 4);
    const expected = [1 / 4, 2 / 4, 3 / 4, ...[0, 1, 2, 3, 4].map((at) => (1 + Math.cos((Math.PI * at) / 5)) / 2)];
    expectClose(shares, expected);
    // By epochs: those of the schedule begin behind the warm-up.
    const byEpochs = course({ schedule: 'cosine', warmup: 1 }, 3, 2);
    expectClose(byEpochs, [1 / 3, 2 / 3, 1, 1, 0.5, 0.5]);
    expect(course({ schedule: 'constant', warmupSteps: 99 }, 1, 3)).toEqual([0.25, 0.5, 0.75]);
    // Milestones are epochs of the phase.
    expect(course({ schedule: 'step', milestones: [2], warmup: 1 }, 3, 1)).toEqual([0.5, 1, 0.1]);
  });
});

test('an average begins with the weights and forgets more slowly up to its decay', () => {
  expect([1, 2, 3, 4].map((t) => keptAverage(0.9, t))).toEqual([0, 1 / 10, 2 / 11, 3 / 12]);
  expect(keptAverage(0.9, 80)).toBeLessThan(0.9);
  expect(keptAverage(0.9, 1000)).toBe(0.9);
});
