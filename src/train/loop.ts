// The training loop: compiled steps over batches, an evaluation after each epoch. It knows nothing of phases or files: progress is an event,
// saving is a callback at points from which the loop can go on to the same bits (batches are a function of seed, epoch and step).

import { setImmediate } from 'node:timers/promises';
import { type Batch, batchesPerEpoch, createBatch, evaluationBatches, trainingBatches } from '../data/batches.ts';
import type { Dataset, Split } from '../data/dataset.ts';
import type { Program, Session } from '../engine/backend.ts';
import { clipVariables } from '../quant/quantized.ts';
import { UserError } from '../tensor/errors.ts';
import { f32 } from '../tensor/tensor.ts';
import { descend, type ParameterGroup, type Schedule, scheduledRate } from './optimizer.ts';
import { type Arithmetic, type BuiltNetwork, buildNetwork, clampedTheta, type Task } from './task.ts';

/** λ · power as part of the loss: power = 1 − Σ over the structures of Σ_c share_c · clamp(θ_c). */
export interface PowerTerm {
  readonly lambda: number;
  readonly structures: readonly { readonly theta: string; readonly shares: readonly number[] }[];
}

export interface RateOptions {
  readonly learningRate: number;
  readonly weightDecay: number;
}

export interface LoopOptions extends RateOptions {
  readonly session: Session;
  readonly task: Task;
  readonly dataset: Dataset;
  readonly arithmetic: Arithmetic;
  readonly epochs: number;
  readonly batchSize: number;
  readonly seed: number;
  /** Number of this loop's first epoch in the run as a whole: it chooses the order of the images and their augmentation. */
  readonly firstEpoch: number;
  readonly momentum: number;
  readonly schedule: Schedule;
  /** Structures that learn, with a learning rate and a weight decay of their own. */
  readonly structure?: { readonly power: PowerTerm } & RateOptions;
  /** Where to go on. */
  readonly start: Position;
  readonly onStep?: (event: StepEvent) => void;
  readonly onEpoch: (record: EpochRecord, next: Position) => Promise<void>;
  /** Called between steps; saves if it finds it is time to. */
  readonly onSave?: (next: Position) => Promise<void>;
  /** Checked between steps: stops the loop early when it says so. */
  readonly signal?: AbortSignal;
}

/** A place between two steps, with the sums of the running epoch's steps so far. */
export interface Position {
  readonly epoch: number;
  readonly step: number;
  readonly sums: StepSums;
}

export interface StepSums {
  readonly loss: number;
  readonly crossEntropy: number;
  readonly correct: number;
  readonly images: number;
}

export const noSums: StepSums = { loss: 0, crossEntropy: 0, correct: 0, images: 0 };
export const atStart: Position = { epoch: 0, step: 0, sums: noSums };

export interface StepEvent {
  readonly epoch: number;
  readonly epochs: number;
  readonly step: number;
  readonly steps: number;
  /** Loss of the step; accuracy of the epoch so far. */
  readonly loss: number;
  readonly accuracy: number;
  readonly power: number | undefined;
  /** Images of this step: what a rate counts. */
  readonly images: number;
}

export interface EpochRecord {
  /** 1 … epochs. */
  readonly epoch: number;
  readonly loss: number;
  readonly crossEntropy: number;
  readonly trainAccuracy: number;
  readonly testLoss: number;
  readonly testAccuracy: number;
  /** Normalised analytic power after the epoch, where structures learn. */
  readonly power?: number;
  /** θ of each structure after the epoch, clamped to [0, 1]. */
  readonly theta?: Readonly<Record<string, readonly number[]>>;
  readonly learningRate: number;
}

const RATE = 'learningRate';
const THETA_RATE = 'thetaLearningRate';

/** Trains from `start` to the last epoch; a loss that is not finite stops it with a UserError that names the step. */
export async function trainEpochs(options: LoopOptions): Promise<void> {
  const { session, task, dataset, arithmetic, epochs, batchSize, structure } = options;
  const trainer = new StepPrograms(options);
  const evaluate = await evaluator(session, task, arithmetic);
  const batch = createBatch(dataset, batchSize);
  const steps = batchesPerEpoch(dataset.train.count, batchSize, false);
  let position = options.start;
  while (position.epoch < epochs) {
    const { epoch } = position;
    const rate = scheduledRate(options.learningRate, options.schedule, epoch, epochs);
    const thetaRate = structure && scheduledRate(structure.learningRate, options.schedule, epoch, epochs);
    const batches = trainingBatches(dataset, {
      seed: options.seed,
      epoch: options.firstEpoch + epoch,
      batchSize,
      dropLast: false,
      firstStep: position.step,
      into: batch,
    });
    let { step, sums } = position;
    for (const filled of batches) {
      const result = await trainer.run(filled, rate, thetaRate);
      if (!Number.isFinite(result.loss)) {
        throw new UserError(
          `the loss became ${result.loss} in epoch ${epoch + 1}, step ${step + 1} of ${steps}; lower the learning rate (${rate}) or λ`,
        );
      }
      step++;
      sums = {
        loss: sums.loss + result.loss * filled.count,
        crossEntropy: sums.crossEntropy + result.crossEntropy * filled.count,
        correct: sums.correct + result.correct,
        images: sums.images + filled.count,
      };
      options.onStep?.({
        epoch: epoch + 1,
        epochs,
        step,
        steps,
        loss: result.loss,
        accuracy: sums.correct / sums.images,
        power: result.power,
        images: filled.count,
      });
      // Lets timers, signals and sockets of the host program have their turn: a backend may never wait.
      await setImmediate();
      if (step === steps) continue;
      await options.onSave?.({ epoch, step, sums });
      options.signal?.throwIfAborted();
    }
    position = { epoch: epoch + 1, step: 0, sums: noSums };
    const test = await evaluate(dataset.test);
    const learned = structure && (await readStructures(session, structure.power));
    await options.onEpoch(
      {
        epoch: epoch + 1,
        loss: sums.loss / sums.images,
        crossEntropy: sums.crossEntropy / sums.images,
        trainAccuracy: sums.correct / sums.images,
        testLoss: test.loss,
        testAccuracy: test.accuracy,
        ...(learned ? { power: learned.power, theta: learned.theta } : {}),
        learningRate: rate,
      },
      position,
    );
    options.signal?.throwIfAborted();
  }
}

interface StepResult {
  readonly loss: number;
  readonly crossEntropy: number;
  readonly correct: number;
  readonly power: number | undefined;
}

/** The compiled training step, one program per batch size (the last batch of an epoch may be short). */
class StepPrograms {
  readonly #options: LoopOptions;
  readonly #programs = new Map<number, Promise<Program>>();

  constructor(options: LoopOptions) {
    this.#options = options;
  }

  async run(batch: Batch, rate: number, thetaRate: number | undefined): Promise<StepResult> {
    const program = await this.#program(batch.count);
    const imageLength = batch.images.length / batch.labels.length;
    program.write('images', batch.images.subarray(0, batch.count * imageLength));
    program.write('labels', batch.labels.subarray(0, batch.count));
    program.write(RATE, Float32Array.of(rate));
    if (thetaRate !== undefined) program.write(THETA_RATE, Float32Array.of(thetaRate));
    await program.run();
    const scalar = async (name: string) => (await program.read(name))[0]!;
    return {
      loss: await scalar('loss'),
      crossEntropy: await scalar('crossEntropy'),
      correct: await scalar('correct'),
      power: thetaRate === undefined ? undefined : await scalar('power'),
    };
  }

  #program(size: number): Promise<Program> {
    const known = this.#programs.get(size);
    if (known) return known;
    const program = this.#options.session.compile(trainingStep(this.#options, size));
    this.#programs.set(size, program);
    return program;
  }
}

function trainingStep({ task, arithmetic, momentum, weightDecay, structure }: LoopOptions, batchSize: number) {
  const network = buildNetwork(task, arithmetic, 'train', batchSize);
  const { graph, layers, crossEntropy, correct } = network;
  const parameters = layers.parameters.filter(({ trainable }) => trainable).map(({ value }) => value);
  const weights = [...parameters, ...clipVariables(graph, layers.multiplying)];
  const groups: ParameterGroup[] = [{ variables: weights, rate: RATE, momentum, weightDecay }];
  let loss = crossEntropy;
  if (structure) {
    const { lambda, structures } = structure.power;
    const power = powerOf(network, structure.power);
    graph.output('power', power);
    loss = graph.apply1('add', [crossEntropy, power], { alpha: 1, beta: lambda });
    const thetas = structures.map(({ theta, shares }) => graph.variable(theta, [shares.length]));
    groups.push({ variables: thetas, rate: THETA_RATE, momentum, weightDecay: structure.weightDecay });
  }
  graph.output('loss', loss);
  graph.output('crossEntropy', crossEntropy);
  graph.output('correct', correct);
  descend(loss, groups);
  return graph;
}

/** 1 − Σ shares · clamp(θ), a scalar of the graph. */
function powerOf({ graph }: BuiltNetwork, { structures }: PowerTerm) {
  const saved = structures.map(({ theta, shares }) => {
    const columns = clampedTheta(graph, theta, shares.length);
    return graph.apply1('dot', [columns, graph.constant(f32([shares.length], shares))], {});
  });
  const total = saved.reduce((sum, term) => graph.apply1('add', [sum, term], { alpha: 1, beta: 1 }));
  return graph.apply1('affine', [total], { scale: -1, offset: 1 });
}

/** θ of each structure as the network uses it, and the power they give. */
export async function readStructures(session: Session, { structures }: PowerTerm) {
  const theta: Record<string, number[]> = {};
  let power = 1;
  for (const { theta: name, shares } of structures) {
    const { data } = await session.read(name);
    theta[name] = Array.from(data, (value) => Math.min(1, Math.max(0, value)));
    power -= theta[name].reduce((sum, value, c) => sum + value * shares[c]!, 0);
  }
  return { theta, power };
}

export interface Evaluation {
  readonly loss: number;
  readonly accuracy: number;
  readonly images: number;
}

const EVALUATION_BATCH = 128;

/** Compiles the evaluation of a network once; the result evaluates splits with the session's current weights. */
export async function evaluator(
  session: Session,
  task: Task,
  arithmetic: Arithmetic,
): Promise<(split: Split, onBatch?: (images: number) => void) => Promise<Evaluation>> {
  const { graph, crossEntropy, correct } = buildNetwork(task, arithmetic, 'evaluate', EVALUATION_BATCH);
  graph.output('crossEntropy', crossEntropy);
  graph.output('correct', correct);
  const program = await session.compile(graph);
  return async (split, onBatch) => {
    let loss = 0;
    let hits = 0;
    for (const batch of evaluationBatches(split, EVALUATION_BATCH)) {
      program.write('images', batch.images);
      program.write('labels', batch.labels);
      await program.run();
      loss += (await program.read('crossEntropy'))[0]! * batch.count;
      hits += (await program.read('correct'))[0]!;
      onBatch?.(batch.count);
      await setImmediate();
    }
    return { loss: loss / split.count, accuracy: hits / split.count, images: split.count };
  };
}
