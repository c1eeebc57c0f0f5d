// The training loop: compiled steps over batches, an evaluation after each epoch. It knows nothing of phases, files, or
// of what is learnt: progress is an event, saving is a callback at points from which the loop can go on to the same
// bits (batches are a function of seed, epoch and step), and a task says what its loss and its metrics are. The next
// batch is read while the device computes.

import { setImmediate } from 'node:timers/promises';
import { batchesPerEpoch, type TrainingData, trainingBatches } from '../data/batches.ts';
import { readAhead } from '../data/read-ahead.ts';
import type { Selection, Split } from '../data/split.ts';
import type { Session } from '../engine/backend.ts';
import type { BatchNormScope } from '../nn/layers.ts';
import { DivergedError, invariant } from '../tensor/errors.ts';
import { Controller, type Target } from './aim.ts';
import { adoptAverages, averagedNames } from './average.ts';
import type { ControlState } from './control.ts';
import type { Teacher } from './distillation.ts';
import { evaluator } from './evaluation.ts';
import { feedOf } from './feed.ts';
import { added, type Figures, meansOf, noSums, type Sums } from './figures.ts';
import { hardenMeasured } from './hard-choice.ts';
import { type Hardening, hardeningOf, pushAt } from './hardening.ts';
import { ResultsInFlight } from './pipeline.ts';
import { requireDivisible } from './replicas.ts';
import { rateShare, type Schedule } from './schedule.ts';
import {
  type Learning,
  linearisePower,
  type PowerTerm,
  type Recompute,
  readStructures,
  StepPrograms,
  type StepResult,
  stepKey,
} from './step.ts';
import type { Arithmetic, Task } from './task.ts';

export interface RateOptions {
  readonly learningRate: number;
  readonly weightDecay: number;
}

/** What is trained on and measured on. */
export interface Examples extends TrainingData {
  readonly train: Split;
  readonly test: Split;
}

export interface LoopOptions<M extends string = string> extends Learning, Schedule {
  /** Of the weights, before its schedule. */
  readonly learningRate: number;
  readonly session: Session;
  readonly task: Task<M>;
  readonly dataset: Examples;
  readonly arithmetic: Arithmetic;
  readonly epochs: number;
  /** Epochs behind which it stops for now, as if it went on; default: all. */
  readonly until?: number | undefined;
  readonly batchSize: number;
  /**
   * Fills the last batch of an epoch with its first examples, where it would be short and there are so many. A step of
   * few examples moves weights, statistics and θ as far as one of many, by what is mostly chance. Default: no, but
   * where λ is found while training it always is.
   */
  readonly fillLast?: boolean;
  readonly seed: number;
  /**
   * Number of this loop's first epoch in the run as a whole: it chooses the order of the examples and their
   * augmentation.
   */
  readonly firstEpoch: number;
  /**
   * Structures that learn, with a learning rate and a weight decay of their own; `harden`: the last share of the steps
   * in which every θ becomes 0 or 1 (hardening.ts), default 0.
   */
  readonly structure?: {
    readonly power: PowerTerm;
    readonly harden?: number | undefined;
    /** Where λ is not said. */
    readonly target?: Target<M> | undefined;
    /**
     * Sets what else of the session follows from θ: at the beginning of each epoch, and where θ becomes hard; from
     * there on `isFixed`, as it learns no more.
     */
    readonly follow?: ((isFixed: boolean) => Promise<void>) | undefined;
  } & RateOptions;
  /** Activations are computed again instead of being kept (see StepOptions); default: false. */
  readonly recompute?: Recompute;
  /** A network to learn from beside the targets (see StepOptions); default: none. */
  readonly teacher?: Teacher | undefined;
  /** Whose statistics batch norm takes on several devices (see LayersOptions); default: those of each device. */
  readonly batchNorm?: BatchNormScope | undefined;
  /**
   * Loss of a network that only guesses, such as the logarithm of the number of classes: an epoch whose mean loss is
   * far above it, and above that of the first step, has diverged. Default: only what is not finite has.
   */
  readonly guessing?: number | undefined;
  /** Where to go on. */
  readonly start: Position<M>;
  readonly onStep?: (event: StepEvent<M>) => void;
  readonly onEpoch: (record: EpochRecord<M>, next: Position<M>) => Promise<void>;
  /**
   * Asked between steps whether the position should be saved now; saving waits until the device has done all steps
   * before it.
   */
  readonly save?: { readonly due: () => boolean; readonly at: (next: Position<M>) => Promise<void> };
  /** Checked between steps: stops the loop early, saved, when it says so. */
  readonly signal?: AbortSignal;
}

/** A place between two steps, with the sums of the running epoch's steps so far; none at the beginning of one. */
export interface Position<M extends string = string> {
  readonly epoch: number;
  readonly step: number;
  readonly sums?: EpochSums<M>;
  /** Of λ, where it is found while training. */
  readonly control?: ControlState;
  /** Mean loss of the first step of all, before anything was learnt; absent before it. */
  readonly began?: number;
}

/** How many times what it began with, and what guessing has, the loss of an epoch is where training has diverged. */
const DIVERGED = 3;
/**
 * A network is lost that began with less than WELL of a guess's loss and has LOST of it, or more, over an epoch: it
 * answers whatever it is shown alike. Where structures learn it may be what was asked for, a power that is too low.
 */
const [WELL, LOST] = [0.5, 0.9];

export interface EpochSums<M extends string = string> extends Sums<M> {
  readonly objective: number;
}

export const atStart = { epoch: 0, step: 0 } as const satisfies Position;

export interface StepEvent<M extends string = string> {
  readonly epoch: number;
  readonly epochs: number;
  readonly step: number;
  readonly steps: number;
  /** What the step lowers (see StepResult). */
  readonly objective: number;
  /** Means over the epoch so far. */
  readonly soFar: Figures<M>;
  readonly power: number | undefined;
  /** Examples of this step: what a rate counts. */
  readonly examples: number;
}

export interface EpochRecord<M extends string = string> {
  /** 1 … epochs. */
  readonly epoch: number;
  readonly objective: number;
  /** As the training steps of the epoch met them. */
  readonly training: Figures<M>;
  /** On the test split after the epoch. */
  readonly test: Figures<M>;
  /** Modelled power, relative to exact multipliers of the same widths, after the epoch, where structures learn. */
  readonly power?: number;
  /** θ of each structure after the epoch, clamped to [0, 1]. */
  readonly theta?: Readonly<Record<string, readonly number[]>>;
  /** Of λ after the epoch, where it is found while training. */
  readonly control?: ControlState;
  /** Of the epoch's last step. */
  readonly learningRate: number;
}

/**
 * Trains from `start` to the last epoch, and leaves the averages in the weights' place where they are wanted; a loss
 * that is not finite stops it with a UserError that names the step.
 */
export async function trainEpochs<M extends string>(options: LoopOptions<M>): Promise<void> {
  const { session, task, dataset, arithmetic, epochs, batchSize, structure, signal } = options;
  const { until = epochs } = options;
  const feed = feedOf(session, task, dataset.train, dataset.augment);
  requireDivisible(batchSize, session.backend.device, feed);
  const trainer = new StepPrograms(options, feed);
  // The largest program comes first: the arena has its size then, and does not move under the others.
  if (options.start.epoch < until) await trainer.prepare(Math.min(batchSize, dataset.train.count));
  const aliasOf = options.average ? averagedNames(session) : undefined;
  const evaluate = await evaluator(session, task, arithmetic, dataset.test, aliasOf);
  const steps = batchesPerEpoch(dataset.train.count, batchSize, false);
  const hardening = hardeningOf(structure?.harden, epochs * steps);
  const thetaRateAt = (rate: number, at: number) => (hardening && at >= hardening.fixed ? 0 : rate);
  const control = await openController(options, steps, hardening, aliasOf);
  let position = options.start;
  let { began } = position;
  const beganAt = () => (began === undefined ? {} : { began });
  while (position.epoch < until) {
    const { epoch } = position;
    const rateAt = (rate: number, step: number) => rate * rateShare(options, { epoch, step, epochs, steps });
    const rate = rateAt(options.learningRate, steps - 1);
    let sums: EpochSums<M> = position.sums ?? { objective: 0, ...noSums(task) };
    const inFlight = new ResultsInFlight<Step<M>>(({ step, examples, targets, objective, power, ...figures }) => {
      if (!Number.isFinite(objective)) {
        const advice = `lower the learning rate (${options.learningRate})${structure ? ' or λ' : ''}`;
        throw new DivergedError(
          `the loss became ${objective} in epoch ${epoch + 1}, step ${step} of ${steps}: the weights have grown out of range; ${advice}`,
        );
      }
      if (epoch === 0 && step === 1) began = figures.loss;
      sums = { objective: sums.objective + objective * targets, ...added(sums, task, figures, targets) };
      options.onStep?.({ epoch: epoch + 1, epochs, step, steps, objective, soFar: meansOf(sums), power, examples });
    });
    let { step } = position;
    // In the middle of an epoch it is what it was at its beginning: a variable of the session, which saving keeps.
    if (structure && step === 0) await followTheta(session, structure, epoch * steps > (hardening?.fixed ?? Infinity));
    // Saves the position, and ends the loop there where that is wanted.
    const pause = async () => {
      await inFlight.settle();
      await session.checkReplicas();
      await options.save?.at({ epoch, step, ...(step === 0 ? {} : { sums }), ...controlOf(control), ...beganAt() });
      signal?.throwIfAborted();
    };
    const order = { seed: options.seed, epoch: options.firstEpoch + epoch };
    const last = { dropLast: false, fillLast: fillsLast(options) };
    const selections = trainingBatches(dataset, { ...order, ...last, batchSize, firstStep: step });
    const read = (selection: Selection, stop: AbortSignal) => feed.read(selection, selection.numbers.length, stop);
    const batches = readAhead(selections, read, { signal });
    try {
      for (;;) {
        const next = await batches.next().catch((error: unknown) => {
          if (!signal?.aborted) throw error;
        });
        if (next?.done) break;
        if (next) {
          const { request, result: batch } = next.value;
          const examples = request.numbers.length;
          const at = epoch * steps + step;
          if (structure && at === hardening?.fixed) {
            await inFlight.settle();
            const choice = {
              session,
              task,
              arithmetic,
              train: dataset.train,
              seed: options.seed,
              power: structure.power,
            };
            const harden = (limit?: number) => hardenMeasured(choice, limit);
            await (control ? control.harden(harden) : harden());
            await followTheta(session, structure, true);
          }
          const { result } = await trainer.start(batch, examples, {
            rate: rateAt(options.learningRate, step),
            thetaRate: structure && thetaRateAt(rateAt(structure.learningRate, step), at),
            push: hardening && pushAt(hardening, at),
            lambda: control?.state.lambda,
            number: at + 1,
            key: stepKey(order.seed, order.epoch, step),
          });
          step++;
          const counts = { step, examples, targets: batch.targets };
          await inFlight.add(result.then((values) => ({ ...counts, ...values })));
          if (structure && control?.isDue(at + 1)) {
            await inFlight.settle();
            await control.set(at + 1, rateAt(structure.learningRate, step - 1));
          }
          // Lets timers, signals and sockets of the host program have their turn: a backend may never wait.
          await setImmediate();
        }
        if (step < steps && (signal?.aborted || options.save?.due())) await pause();
      }
    } finally {
      await batches.return();
    }
    await inFlight.settle();
    // Before anything is made of it: what is saved is the same on all devices.
    await session.checkReplicas();
    requireConverging(meansOf(sums).loss, began, { ...options, epoch: epoch + 1, keepsWell: !structure });
    position = { epoch: epoch + 1, step: 0, ...controlOf(control), ...beganAt() };
    const test = await evaluate();
    const learned = structure && (await readStructures(session, structure.power));
    await options.onEpoch(
      {
        epoch: epoch + 1,
        objective: sums.objective / sums.targets,
        training: meansOf(sums),
        test: { loss: test.loss, metrics: test.metrics },
        ...(learned ? { power: learned.power, theta: learned.theta } : {}),
        ...controlOf(control),
        learningRate: rate,
      },
      position,
    );
    if (!signal?.aborted) continue;
    // The wish may have come after whoever was told of the epoch looked for it.
    await options.save?.at(position);
    signal.throwIfAborted();
  }
  await trainer.dispose();
  await evaluate.dispose();
  await control?.dispose();
  if (options.average && until === epochs) await adoptAverages(session);
}

/** An epoch may be worse than it began, and worse than a guess, but not by far, nor where the network was well. */
function requireConverging(
  loss: number,
  began: number | undefined,
  { guessing, epoch, learningRate, keepsWell }: Course,
): void {
  if (guessing === undefined || began === undefined) return;
  const isLost = keepsWell && began < WELL * guessing && loss >= LOST * guessing;
  if (!isLost && loss <= DIVERGED * Math.max(began, guessing)) return;
  throw new DivergedError(
    `the mean loss of epoch ${epoch} is ${loss.toPrecision(3)}, where training began with ${began.toPrecision(3)} and a guess has ${guessing.toPrecision(3)}; lower the learning rate (${learningRate})`,
  );
}

interface Course extends Pick<LoopOptions, 'guessing' | 'learningRate'> {
  readonly epoch: number;
  /** Whether a network that is well is to stay so. */
  readonly keepsWell: boolean;
}

interface Filling extends Pick<LoopOptions, 'fillLast'> {
  readonly structure?: { readonly power: PowerTerm };
}

/** Whether a short last batch of an epoch is filled up: where it is asked for, and where λ would be set by it. */
const fillsLast = ({ fillLast = false, structure }: Filling): boolean =>
  fillLast || (structure !== undefined && structure.power.lambda === undefined);

/** Examples of the steps of an epoch over `count` of them: of whole batches, and of a short last one. */
export function stepSizes(options: Filling & Pick<LoopOptions, 'batchSize'>, count: number): number[] {
  const whole = Math.min(options.batchSize, count);
  const last = fillsLast(options) ? 0 : count % whole;
  return last === 0 ? [whole] : [whole, last];
}

/** What the host takes from θ anew. */
async function followTheta(
  session: Session,
  { power, follow }: NonNullable<LoopOptions['structure']>,
  isFixed: boolean,
): Promise<void> {
  await linearisePower(session, power);
  await follow?.(isFixed);
}

const controlOf = (control: Controller<string> | undefined) => (control ? { control: control.state } : {});

/** What finds λ, where the power term does not say it. */
async function openController<M extends string>(
  options: LoopOptions<M>,
  steps: number,
  hardening: Hardening | undefined,
  aliasOf: ((variable: string) => string) | undefined,
): Promise<Controller<M> | undefined> {
  const { session, task, arithmetic, structure, epochs, start, dataset, batchSize } = options;
  if (!structure || structure.power.lambda !== undefined) return undefined;
  const { power, target, learningRate } = structure;
  invariant(target, 'a power term without λ, and no target to find it for');
  const all = epochs * steps;
  const { split } = target.measured ?? {};
  return await Controller.open<M>(
    {
      ...{ session, power, target, rule: options, batchSize: Math.min(batchSize, dataset.train.count) },
      steps: { soft: hardening?.pushed ?? all, learning: hardening?.fixed ?? all },
      evaluate: split && (await evaluator(session, task, arithmetic, split, aliasOf)),
    },
    learningRate * rateShare(options, { epoch: start.epoch, step: start.step, epochs, steps }),
    start.control,
  );
}

/** The result of a step, with its number (1 … steps) and what it was a mean over. */
interface Step<M extends string> extends StepResult<M> {
  readonly step: number;
  readonly examples: number;
  readonly targets: number;
}
