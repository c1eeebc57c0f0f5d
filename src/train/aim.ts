// The controller of λ in a session (control.ts says how): between two steps it reads θ, measures what is lost of the
// accuracy where that is limited, and sets λ for the steps that follow.

import type { Split } from '../data/split.ts';
import type { Session } from '../engine/backend.ts';
import {
  type Aim,
  type ControlState,
  fallOf,
  gainOf,
  nextControl,
  type Pace,
  paceOf,
  returned,
  startControl,
} from './control.ts';
import type { Evaluation, Evaluator } from './evaluation.ts';
import { hardTheta } from './hardening.ts';
import type { Rule } from './optimizer.ts';
import {
  boundOfTheta,
  linearisePower,
  type PowerTerm,
  powerAt,
  readStructures,
  savings,
  writeStructures,
} from './step.ts';

/** The wanted power has come down to the target when it is this near. */
const REACHED = 0.01;
/** Powers between the present one and the exact multiplier's at which hard θ are tried. */
const HARDENINGS = 32;

/** A target in the place of λ. */
export interface Target<M extends string = string> {
  readonly aim: Aim;
  /** Where a loss of accuracy is limited: the examples that it is measured on, and what is lost there, a share. */
  readonly measured?: { readonly split: Split; readonly lossOf: (evaluation: Evaluation<M>) => number };
}

export interface ControllerOptions<M extends string> {
  readonly session: Session;
  readonly power: PowerTerm;
  readonly target: Target<M>;
  /** Steps before θ is pushed to 0 and 1, and those before it is fixed. */
  readonly steps: { readonly soft: number; readonly learning: number };
  /** Examples of a step. */
  readonly batchSize: number;
  readonly rule: Rule;
  /** Measures the examples of the target with the network as it is. */
  readonly evaluate: Evaluator<M> | undefined;
}

export class Controller<M extends string> {
  readonly #options: ControllerOptions<M>;
  readonly #pace: Pace;
  #state: ControlState;

  private constructor(options: ControllerOptions<M>, pace: Pace, state: ControlState) {
    this.#options = options;
    this.#pace = pace;
    this.#state = state;
  }

  /** From where a phase goes on; without a state at its beginning. `thetaRate`: the learning rate of θ. */
  static async open<M extends string>(options: ControllerOptions<M>, thetaRate: number, state?: ControlState) {
    const { steps, batchSize, target, rule } = options;
    const sample = target.measured?.split.count ?? 1;
    const pace = paceOf(steps.soft, { batchSize, sample, momentum: rule.momentum });
    if (state) return new Controller(options, pace, state);
    const measured = await read(options, pace, thetaRate, 1);
    return new Controller(options, pace, startControl(target.aim, pace, { ...measured, loss: await lossOf(options) }));
  }

  get state(): ControlState {
    return this.#state;
  }

  /** Whether λ is to be set behind so many steps of the phase. */
  isDue(done: number): boolean {
    return done % this.#pace.every === 0 && done <= this.#options.steps.learning;
  }

  /** Sets λ by what is measured now. */
  async set(done: number, thetaRate: number): Promise<void> {
    const { target } = this.#options;
    const measured = await read(this.#options, this.#pace, thetaRate, this.#state.lambda);
    const measures = (done / this.#pace.every) % this.#pace.lossEvery === 0;
    const loss = measures ? await lossOf(this.#options) : undefined;
    this.#state = nextControl(this.#state, target.aim, this.#pace, { ...measured, loss });
    await linearisePower(this.#options.session, this.#options.power);
  }

  /**
   * Sets θ to 0 and 1: at the target, where the wanted power has come down to it. Where a loss did not let it, or there
   * is none, at the lowest power from the present one up at which no more is lost than may be; at the present one where
   * that is not to be had at any. `choose` sets hard θ at or below a power, without one near the present, by what the
   * network loses with them.
   */
  async harden(choose: (limit?: number) => Promise<void>): Promise<void> {
    const { session, power, target } = this.#options;
    const { power: least, isLimit, maxLoss } = target.aim;
    const soft = await readSoft(session, power);
    const write = (limit?: number) =>
      writeStructures(
        session,
        power,
        hardTheta(
          soft.map(({ theta }) => theta),
          (thetas) => powerAt(power, thetas),
          limit,
        ),
      );
    const isReached = isLimit && this.#state.wanted <= least + REACHED;
    if (isReached || maxLoss === undefined) return await choose(isReached ? least : undefined);
    write();
    const from = (await readStructures(session, power)).power;
    const isAllowed = async (level: number) => {
      write(level === 0 ? undefined : from + (1 - from) * (level / HARDENINGS));
      return (await lossOf(this.#options))! <= maxLoss;
    };
    if (await isAllowed(0)) return;
    if (!(await isAllowed(HARDENINGS))) return write();
    let [low, high] = [0, HARDENINGS];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (await isAllowed(middle)) high = middle;
      else low = middle;
    }
    await isAllowed(high);
  }

  async dispose(): Promise<void> {
    await this.#options.evaluate?.dispose();
  }
}

/** What is lost of the accuracy now, where that is limited. */
async function lossOf<M extends string>({ target: { measured }, evaluate }: ControllerOptions<M>) {
  return measured && evaluate ? measured.lossOf(await evaluate()) : undefined;
}

/**
 * Power, and what λ does to it (see Measured); θ that have left their range are brought back to its edge. Adam moves a
 * θ by its rate whatever the gradient, which is as much for each 1 of λ as λ is small; else θ moves by its gradient, up
 * to a bound.
 */
async function read<M extends string>(
  { session, power, rule }: ControllerOptions<M>,
  { every }: Pace,
  thetaRate: number,
  lambda: number,
) {
  const soft = await readSoft(session, power);
  if (soft.some(({ moved }) => moved)) {
    writeStructures(
      session,
      power,
      soft.map(({ theta }) => theta),
    );
  }
  const bound = boundOfTheta(power, rule);
  const rate = every * (bound === undefined ? thetaRate : thetaRate / (1 - rule.momentum));
  const most = fallOf(soft, rate * (bound ?? 1));
  const gain = bound === undefined ? most / lambda : gainOf(soft, rate);
  return { power: (await readStructures(session, power)).power, gain, most };
}

/** θ at the edge of its range where it has left it, with what each saves. */
function readSoft(session: Session, power: PowerTerm) {
  return Promise.all(
    power.structures.map(async (learned) => {
      const { values, moved } = returned((await session.read(learned.theta)).data);
      return { theta: values, moved, savings: savings(power, learned, values) };
    }),
  );
}
