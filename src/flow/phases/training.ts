// What the training phases share: the loop with its metrics log and its resume points. A run killed at any moment goes
// on from the last resume point to the same bits; the log is cut back to what that point has seen.

import { existsSync } from 'node:fs';
import { batchesPerEpoch } from '../../data/batches.ts';
import type { Session } from '../../engine/backend.ts';
import type { BatchNormScope } from '../../nn/layers.ts';
import { DivergedError, LostDeviceError, UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { sizeOf } from '../../tensor/tensor.ts';
import { feedOf } from '../../train/feed.ts';
import {
  atStart,
  type EpochRecord,
  type LoopOptions,
  type Position,
  type StepEvent,
  trainEpochs,
} from '../../train/loop.ts';
import { partsOf } from '../../train/replicas.ts';
import { recomputation } from '../../train/step.ts';
import { networkExactPower } from '../multipliers/multipliers.ts';
import { describeTraining, proveTraining } from '../multipliers/training-proof.ts';
import { loadResumePoint, readResumePoint, removeResumePoint, saveResumePoint } from '../run/checkpoint.ts';
import type { OpenRun, RunContext } from '../run/context.ts';
import type { MetricRecord, StepProgress } from '../run/events.ts';
import { files, inFolder } from '../run/folder.ts';
import type { TypesRecord } from '../run/manifest.ts';
import { openMetrics } from '../run/metrics.ts';
import { augmentationOf } from '../settings/augmentation.ts';
import type { Configuration } from '../settings/config.ts';
import { describeDifference, epochsBefore, settingsOf, type TrainingPhase } from '../settings/phases.ts';
import { loadTeacher, tellTeacher } from './teacher.ts';

/** Seconds between resume points within an epoch. */
const SAVE_INTERVAL = 20;
/** An epoch ends with a resume point if writing one takes at most this share of the time since the last one. */
const SAVE_SHARE = 0.01;

export interface TrainingJob {
  readonly phase: TrainingPhase;
  readonly session: Session;
  /** Which layers have been put together: what goes on from a point needs them too. */
  readonly types?: TypesRecord | undefined;
  readonly fit: Omit<
    LoopOptions<'accuracy'>,
    | 'session'
    | 'task'
    | 'dataset'
    | 'teacher'
    | 'seed'
    | 'firstEpoch'
    | 'start'
    | 'onStep'
    | 'onEpoch'
    | 'save'
    | 'signal'
  >;
}

/** The position of the phase's resume point, whose tensors are then in the session; undefined where there is none. */
export function resumePosition(
  context: RunContext,
  phase: TrainingPhase,
  session: Session,
): Position<'accuracy'> | undefined {
  const { configuration, manifest, dataset } = context;
  const { epochs, batchSize } = configuration[phase];
  return loadResumePoint(inFolder(context, files.resume), session, {
    phase,
    settings: settingsOf(configuration, phase, manifest.inputs),
    epochs,
    steps: batchesPerEpoch(dataset.train.count, batchSize, false),
  });
}

/** Layers that were put together before the phase's resume point; undefined where there is none, or they were not. */
export function resumedTypes({ configuration, manifest, ...context }: RunContext): TypesRecord | undefined {
  const path = inFolder(context, files.resume);
  if (!existsSync(path)) return undefined;
  const wrong = (detail: string) =>
    new UserError(`${path} is damaged: ${detail}; remove it, and the phase explore starts again`);
  const { phase, settings, types } = readResumePoint(path, wrong).point;
  const own = settingsOf(configuration, 'explore', manifest.inputs);
  return phase === 'explore' && describeDifference(settings, own) === '' ? types : undefined;
}

type LearntFrom = Pick<OpenRun, 'configuration' | 'dataset' | 'task'>;

/** What a phase learns from: the task with its labels smoothed, the images changed, as its settings say. */
export function learntFrom(run: LearntFrom, phase: TrainingPhase): Pick<LoopOptions<'accuracy'>, 'task' | 'dataset'> {
  return {
    task: run.task.smoothed(run.configuration[phase].labelSmoothing),
    dataset: { ...run.dataset, augment: augmentationOf(run, phase) },
  };
}

/** Whose statistics batch norm takes on several devices. */
export const batchNormOf = ({ syncBatchNorm }: Configuration): BatchNormScope => (syncBatchNorm ? 'batch' : 'device');

/** What a phase's section of the configuration says about how it trains. */
export function fitOf<S extends Configuration[TrainingPhase]>(section: S) {
  const { epochs, batchSize, learningRate, momentum, weightDecay, schedule } = section;
  const { optimizer, beta2, decayOf, rates, clipGradient, average } = section;
  const { milestones, scheduleFactor, warmup, warmupSteps, finalRate, lastBatch } = section;
  return {
    ...{ epochs, batchSize, learningRate, momentum, weightDecay, schedule },
    ...{ optimizer, beta2, decayOf, rates, clipGradient, average },
    ...{ milestones, scheduleFactor, warmup, warmupSteps, finalRate },
    fillLast: lastBatch === 'filled',
  };
}

/**
 * Trains to the end of the phase and returns where it stands there; the caller saves the result and then drops the
 * resume point.
 */
export async function trainPhase(
  context: RunContext,
  job: TrainingJob,
  start: Position<'accuracy'> | undefined,
): Promise<Position<'accuracy'>> {
  const { configuration, listener, signal, recompute, logs } = context;
  const { phase, session } = job;
  const { task, dataset } = learntFrom(context, phase);
  const teacher = loadTeacher(context, phase, session);
  const told = tellTeacher(context, phase, teacher);
  if (told !== undefined) listener({ kind: 'note', text: told });
  const common = {
    ...job.fit,
    teacher,
    stepRate: configuration.quantize.stepRate,
    batchNorm: batchNormOf(configuration),
    recompute,
    task,
    dataset,
    seed: configuration.seed,
    firstEpoch: epochsBefore(configuration, phase),
    // Float training begins with nothing that could be lost.
    ...(phase === 'train' ? {} : { guessing: Math.log(context.dataset.classes) }),
  };
  const { arithmetic } = job.fit;
  if (recompute) {
    const size = Math.min(job.fit.batchSize, dataset.train.count);
    const feed = feedOf(session, task, dataset.train, dataset.augment);
    const saved = recomputation(common, feed, size, partsOf(size, session.backend.device, feed));
    listener({ kind: 'note', text: describeRecomputation(saved, size) });
  }
  if (arithmetic.kind === 'quantized') {
    const proved = await proveTraining(session, { ...common, arithmetic });
    listener({ kind: 'note', text: describeTraining(proved) });
  }
  const decisive = settingsOf(configuration, phase, context.manifest.inputs);
  const relative = relativePower(context);
  const resumePath = inFolder(context, files.resume);
  const log = openMetrics(context.folder, phase, start ?? atStart);
  await logs.goOn(epochsBefore(configuration, phase) + (start ?? atStart).epoch);
  let saved = performance.now();
  let saving = expectedSaving(context);
  let last: Position<'accuracy'> = start ?? atStart;
  let resumable = start;
  const devices = devicesSoFar(context);
  const save = async (position: Position<'accuracy'>) => {
    if (position === resumable) return;
    const begun = performance.now();
    // What the point has behind it must not be lost when the point is not.
    log.sync();
    const more = given({ types: job.types, devices: severally(devices) });
    await saveResumePoint(resumePath, session, { phase, settings: decisive, position, ...more });
    saved = performance.now();
    saving = saved - begun;
    resumable = position;
  };
  const sinceSaved = () => performance.now() - saved;
  try {
    await trainEpochs({
      ...common,
      session,
      start: start ?? atStart,
      onStep: (event) => listener({ kind: 'step', phase, ...relative(progressOf(event)) }),
      onEpoch: async (record, next) => {
        requireFinite(record.test.loss, `the test loss after epoch ${record.epoch} of ${phase}`);
        const kept = relative(recordOf(phase, record));
        log.append(kept);
        last = next;
        if (signal?.aborted || saving <= SAVE_SHARE * sinceSaved()) await save(next);
        await logs.epoch(kept, session);
        listener({ kind: 'epoch', record: kept, epochs: job.fit.epochs });
      },
      save: { due: () => sinceSaved() > SAVE_INTERVAL * 1000, at: save },
      ...(signal ? { signal } : {}),
    });
  } catch (error) {
    if (!(error instanceof LostDeviceError)) throw error;
    throw new LostDeviceError(`${error.message}; ${describeResumePoint(phase, resumable)}`);
  } finally {
    log.close();
  }
  return last;
}

/** Milliseconds that a resume point takes, before one was written: weights and velocities at a gigabyte a second. */
const expectedSaving = ({ layers }: Pick<RunContext, 'layers'>): number =>
  (8 * layers.reduce((sum, { weightShape }) => sum + sizeOf(weightShape), 0)) / 1e6;

/** On how many devices a phase has run, one number after the other, with the present one. */
export function devicesSoFar({ earlierDevices, backend }: Pick<RunContext, 'earlierDevices' | 'backend'>): number[] {
  const { replicas } = backend.device;
  return earlierDevices.at(-1) === replicas ? [...earlierDevices] : [...earlierDevices, replicas];
}

/** Undefined where it was one throughout, as ever. */
const severally = (devices: readonly number[]): readonly number[] | undefined =>
  devices.every((count) => count === 1) ? undefined : devices;

/** Where a phase goes on that could not end. */
function describeResumePoint(phase: TrainingPhase, position: Position<'accuracy'> | undefined): string {
  if (position === undefined) return `${phase} had no resume point yet and begins anew`;
  const steps = position.step === 0 ? '' : ` and ${position.step} steps`;
  return `the last resume point of ${phase} is behind ${position.epoch} epochs${steps}`;
}

/** "activations of 8 blocks are computed again: 2.5 instead of 4.7 GiB of intermediate values for 64 images". */
function describeRecomputation({ blocks, kept, recomputed }: ReturnType<typeof recomputation>, images: number): string {
  if (blocks === 0) return 'the model has no blocks whose activations could be computed again: all are kept';
  const [unit, name] = kept >= 2 ** 30 ? [2 ** 30, 'GiB'] : [2 ** 20, 'MiB'];
  const [less, all] = [recomputed, kept].map((bytes) => (bytes / unit!).toFixed(1));
  if (recomputed >= kept) {
    return `activations of ${blocks} blocks are computed again, which saves no memory with ${images} images as small as these`;
  }
  return `activations of ${blocks} blocks are computed again: ${less} instead of ${all} ${name} of intermediate values for ${images} images`;
}

/** What a run keeps and tells of the image task: its loss is the cross-entropy, and "loss" is what training lowers. */
function recordOf(phase: TrainingPhase, record: EpochRecord<'accuracy'>): MetricRecord {
  const { epoch, objective, training, test, learningRate, control, ...learned } = record;
  return {
    ...{ phase, epoch, loss: objective, crossEntropy: training.loss, trainAccuracy: training.metrics.accuracy },
    ...{ testLoss: test.loss, testAccuracy: test.metrics.accuracy },
    ...learned,
    ...given({ lambda: control?.lambda, wantedPower: control?.wanted, estimatedLoss: control?.loss }),
    learningRate,
  };
}

function progressOf({ objective, soFar, examples, ...place }: StepEvent<'accuracy'>): StepProgress {
  return { ...place, loss: objective, accuracy: soFar.metrics.accuracy, images: examples };
}

/** What is not a number says nothing about the network, and no file could keep it. */
export function requireFinite(value: number, what: string): void {
  if (Number.isFinite(value)) return;
  throw new DivergedError(`${what} is ${value}: the weights have grown out of range; lower the learning rate`);
}

/**
 * The loss counts power relative to the exact multiplier of the same widths; what is shown and kept is relative to the
 * exact 8×8 one.
 */
function relativePower({ configuration, layers }: RunContext) {
  const exact = networkExactPower(configuration, layers);
  const scaled = (power: number | undefined) => (power === undefined ? undefined : power * exact);
  return <T extends { readonly power?: number | undefined; readonly wantedPower?: number | undefined }>(
    event: T,
  ): T => ({
    ...event,
    ...given({ power: scaled(event.power), wantedPower: scaled(event.wantedPower) }),
  });
}

export function finishTraining(context: RunContext): void {
  removeResumePoint(inFolder(context, files.resume));
}
