// The controller of λ on a network that is only its θ: each is worth something to the loss, more the more of it is
// gone, and learns by SGD with momentum. Power comes down to the target as wanted and stays there, whatever the θ are
// worth, how many there are, and how long the training is; a loss that is limited stops the descent.

import { describe, expect, test } from 'vitest';
import { Random } from '../tensor/random.ts';
import { type Aim, type ControlState, fallOf, gainOf, nextControl, paceOf, returned, startControl } from './control.ts';

interface Plant {
  readonly thetas?: number;
  readonly steps?: number;
  readonly rate?: number;
  /** How much a θ is worth, relative to its power: from the least to the dearest. */
  readonly worth?: number;
  /** Whether what is gone is worth less than what is there, so that θ stay at the ends of their range. */
  readonly sticks?: boolean;
  readonly aim?: Partial<Aim>;
  /** Accuracy that is lost at a power. */
  readonly lossAt?: (power: number) => number;
  /** By Adam, where gradients have so much noise, relative to what a θ is worth. */
  readonly adam?: { readonly noise: number };
}

function trained(plant: Plant) {
  const { thetas = 64, steps = 2000, rate = 0.02, worth = 3, sticks = false, aim = {}, lossAt, adam } = plant;
  const momentum = 0.9;
  const target: Aim = { power: 0.4, isLimit: true, from: 1, ...aim };
  const savings = Array.from({ length: thetas }, () => 1 / thetas);
  const theta = new Float64Array(thetas).fill(1 - target.from);
  const velocity = new Float64Array(thetas);
  const powerOf = () => 1 - savings.reduce((sum, saved, at) => sum + saved * Math.min(1, Math.max(0, theta[at]!)), 0);
  const pace = paceOf(steps, { batchSize: 64, sample: 256, momentum });
  const answer = (lambda: number) => {
    const structures = [{ theta, savings }];
    if (!adam)
      return { gain: gainOf(structures, (pace.every * rate) / (1 - momentum)), most: Number.POSITIVE_INFINITY };
    const most = fallOf(structures, pace.every * rate);
    return { gain: most / lambda, most };
  };
  const square = new Float64Array(thetas);
  const random = new Random(5);
  let state = startControl(target, pace, { ...answer(1), loss: lossAt?.(powerOf()) });
  const trace: { power: number; state: ControlState }[] = [];
  for (let done = 1; done <= steps; done++) {
    for (let at = 0; at < thetas; at++) {
      const value = Math.min(1, Math.max(0, theta[at]!));
      const slope = sticks ? 2 - 1.9 * value : 0.2 + 2 * value;
      const ofLoss = savings[at]! * worth * ((at + 1) / thetas) * slope;
      const gradient = ofLoss - state.lambda * savings[at]!;
      if (adam) {
        const noisy = gradient + savings[at]! * worth * adam.noise * random.normal();
        velocity[at] = momentum * velocity[at]! + (1 - momentum) * noisy;
        square[at] = 0.999 * square[at]! + 0.001 * noisy ** 2;
        theta[at]! -= (rate * velocity[at]!) / (1 - momentum ** done) / Math.sqrt(square[at]! / (1 - 0.999 ** done));
      } else {
        velocity[at] = momentum * velocity[at]! + gradient;
        theta[at]! -= rate * velocity[at]!;
      }
    }
    if (done % pace.every !== 0) continue;
    returned(theta).values.forEach((value, at) => {
      theta[at] = value;
    });
    const loss = lossAt && (done / pace.every) % pace.lossEvery === 0 ? lossAt(powerOf()) : undefined;
    state = nextControl(state, target, pace, { power: powerOf(), ...answer(state.lambda), loss });
    trace.push({ power: powerOf(), state });
  }
  return trace;
}

const last = (trace: ReturnType<typeof trained>) => trace.at(-1)!;

describe('a power', () => {
  test.each<[string, Plant]>([
    ['of few columns', { thetas: 8 }],
    ['of the products of many layers', { thetas: 1280, rate: 0.2 }],
    ['with θ that are dear', { worth: 100 }],
    ['with θ that are worth nothing', { worth: 0.01 }],
    ['in a short training', { steps: 300, rate: 0.1 }],
    ['in a long one', { steps: 20_000 }],
    ['near the start', { aim: { power: 0.95 } }],
    ['of almost nothing', { aim: { power: 0.05 } }],
    ['above the start', { aim: { power: 0.8, from: 0.5 } }],
  ])('%s is met and held', (_, plant) => {
    const trace = trained(plant);
    const target = plant.aim?.power ?? 0.4;
    for (const { power } of trace.slice(-trace.length / 10)) expect(Math.abs(power - target)).toBeLessThan(0.02);
  });

  test.each([0.1, 1, 10])('is met by Adam, whatever the noise, and λ stays what θ are worth: noise %d', (noise) => {
    const trace = trained({ rate: 0.005, adam: { noise } });
    for (const { power } of trace.slice(-trace.length / 10)) expect(Math.abs(power - 0.4)).toBeLessThan(0.02);
    for (const { power, state } of trace) {
      expect(power).toBeGreaterThan(0.35);
      expect(power).toBeLessThan(state.wanted + 0.2);
      expect(state.lambda).toBeLessThan(20);
    }
  });

  test('that Adam has hardly time for is come near to with a λ that does not run away', () => {
    // All θ together would need 600 of the 640 steps.
    const trace = trained({ steps: 640, rate: 0.001, adam: { noise: 1 } });
    for (const { state } of trace) expect(state.lambda).toBeLessThan(20);
    expect(last(trace).power).toBeLessThan(0.75);
  });

  test('comes down as wanted, not at once', () => {
    const trace = trained({});
    for (const { power, state } of trace) expect(Math.abs(power - state.wanted)).toBeLessThan(0.06);
    expect(trace[20]!.power).toBeGreaterThan(0.7);
    expect(Math.min(...trace.map(({ power }) => power))).toBeGreaterThan(0.37);
  });

  test.each([20, 64, 128])('λ does not swing around a power that %i θ cannot have exactly', (thetas) => {
    const held = trained({ thetas, sticks: true, aim: { power: 0.62 } }).slice(-60);
    const lambdas = held.map(({ state }) => state.lambda);
    expect(Math.max(...lambdas) / Math.min(...lambdas)).toBeLessThan(4);
    for (const { power } of held) expect(Math.abs(power - 0.62)).toBeLessThan(2 / thetas);
  });

  test('λ is the price of what is given up last: dearer θ, a larger λ', () => {
    const [cheap, dear] = [3, 30].map((worth) => last(trained({ worth })).state.lambda);
    expect(dear! / cheap!).toBeGreaterThan(5);
    expect(dear! / cheap!).toBeLessThan(20);
  });
});

describe('a loss', () => {
  const lossAt = (power: number) => 0.05 * (1 - power) ** 2;
  const lowest: Partial<Aim> = { power: 0, isLimit: false };

  test('that may be is used, not more', () => {
    const { power } = last(trained({ aim: { ...lowest, maxLoss: 0.01 }, lossAt }));
    expect(lossAt(power)).toBeLessThan(0.0115);
    expect(lossAt(power)).toBeGreaterThan(0.0085);
  });

  test('stops short of a power that it does not allow', () => {
    const { power, state } = last(trained({ aim: { power: 0.2, maxLoss: 0.01 }, lossAt }));
    expect(lossAt(power)).toBeLessThan(0.0115);
    expect(state.wanted).toBeGreaterThan(0.5);
  });

  test('that is not used up does not go below the power that is asked for', () => {
    const { power } = last(trained({ aim: { power: 0.6, maxLoss: 0.04 }, lossAt }));
    expect(Math.abs(power - 0.6)).toBeLessThan(0.02);
  });

  test('that is too large at the start is taken back', () => {
    const { power } = last(trained({ aim: { ...lowest, from: 0.3, maxLoss: 0.005 }, lossAt }));
    expect(lossAt(power)).toBeLessThan(0.006);
  });
});
