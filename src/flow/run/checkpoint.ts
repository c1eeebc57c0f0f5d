// Checkpoints: the variables of a session as a safetensors file with PyTorch's names and layouts, so that they load
// elsewhere too.
// A phase's result holds the model and its quantisers; the resume point adds the optimiser's velocities and the place
// in the epoch.

import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import type { Session } from '../../engine/backend.ts';
import type { MultiplyingLayer } from '../../nn/layers.ts';
import { fromStored, storedInPlace } from '../../nn/parameters.ts';
import { UserError } from '../../tensor/errors.ts';
import { readBytes, removeFile, sha256, writeInside } from '../../tensor/files.ts';
import { decodeAll, encodeSafetensors, inFileOrder } from '../../tensor/safetensors.ts';
import type { HostTensor } from '../../tensor/tensor.ts';
import { isTeachers } from '../../train/distillation.ts';
import type { Position } from '../../train/loop.ts';
import { isTrainingState } from '../../train/optimizer.ts';
import { describeDifference, type TrainingPhase, trainingPhases } from '../settings/phases.ts';
import { type TypesRecord, typesRecord } from './manifest.ts';
import type { WrittenModels } from './written.ts';

type Layers = readonly MultiplyingLayer[];

/** Whose models are saved. */
interface Saving {
  readonly folder: string;
  readonly layers: Layers;
  readonly written?: WrittenModels;
}

/** Writes the session's variables, without the state of optimisers and averages, to a path in the folder of the run. */
export async function saveModel({ folder, layers, written }: Saving, path: string, session: Session): Promise<void> {
  const names = session.variableNames().filter((name) => !isTrainingState(name));
  const tensors = await collect(session, names);
  const stored = new Map([...tensors].map(([name, tensor]) => [name, storedInPlace(name, tensor, layers)]));
  const bytes = encodeSafetensors(stored, { format: 'pt' });
  const state = save(join(folder, path), bytes);
  if (!written || state === undefined) return;
  // As reading the file would give them, their order too.
  written.keep(path, { state, sha256: sha256(bytes), tensors: new Map(inFileOrder(tensors)) });
}

async function collect(session: Session, names: readonly string[]): Promise<Map<string, HostTensor>> {
  const tensors = new Map<string, HostTensor>();
  for (const name of names) tensors.set(name, await session.read(name));
  return tensors;
}

/** Writes every tensor of a checkpoint into the session. */
export function loadModel(bytes: Uint8Array, path: string, session: Session, layers: Layers): void {
  for (const [name, tensor] of readModel(bytes, path, layers)) session.write(name, tensor);
}

/** The tensors of a checkpoint in the engine's layouts. */
export function readModel(bytes: Uint8Array, path: string, layers: Layers): ReadonlyMap<string, HostTensor> {
  const { tensors } = decodeAll(bytes, path);
  return new Map([...tensors].map(([name, stored]) => [name, engineTensor(name, stored, layers)]));
}

function engineTensor(name: string, stored: HostTensor, layers: Layers): HostTensor {
  const layer = layers.find((candidate) => `${candidate.name}.weight` === name);
  return layer ? fromStored(name, stored, layer.weightShape, layers) : stored;
}

/** The state of quantisers that were given with a network, and what they are for. */
export interface GivenQuantizers {
  readonly states: ReadonlyMap<string, HostTensor>;
  /** Operand widths by layer, and whether weights have a scale for each channel, as JSON text. */
  readonly arithmetic: string;
}

/** Keeps the quantisers that came with a network, for the phase that would calibrate them. */
export function saveQuantizers(path: string, { states, arithmetic }: GivenQuantizers): void {
  save(path, encodeSafetensors(states, { arithmetic }));
}

/** Reads what `saveQuantizers` wrote. */
export function loadQuantizers(bytes: Uint8Array, path: string): GivenQuantizers {
  const { tensors, metadata } = decodeAll(bytes, path);
  return { states: tensors, arithmetic: metadata.arithmetic ?? '' };
}

const sumsSchema = z.strictObject({
  objective: z.number(),
  loss: z.number(),
  metrics: z.strictObject({ accuracy: z.number() }),
  targets: z.number(),
});

/** As versions until 0.2 wrote them. */
const sumsOfImages = z
  .strictObject({ loss: z.number(), crossEntropy: z.number(), correct: z.number(), images: z.number() })
  .transform(({ loss, crossEntropy, correct, images }) => ({
    ...{ objective: loss, loss: crossEntropy, metrics: { accuracy: correct }, targets: images },
  }));

const controlSchema = z.strictObject({
  lambda: z.number().positive(),
  price: z.number().positive(),
  wanted: z.number(),
  power: z.number(),
  above: z.number(),
  loss: z.number().exactOptional(),
});

const resumeSchema = z.strictObject({
  phase: z.enum(trainingPhases),
  settings: z.string(),
  types: typesRecord.exactOptional(),
  devices: z.array(z.int().min(1)).exactOptional(),
  position: z.strictObject({
    epoch: z.int().min(0),
    step: z.int().min(0),
    sums: z.union([sumsSchema, sumsOfImages]).exactOptional(),
    control: controlSchema.exactOptional(),
    began: z.number().exactOptional(),
  }),
});

export interface ResumePoint {
  readonly phase: TrainingPhase;
  /** The settings of the phase (see settingsOf): a resume point of other settings is not used. */
  readonly settings: string;
  readonly position: Position<'accuracy'>;
  /** Where layers were put together before it: which. */
  readonly types?: TypesRecord;
  /** On how many devices the phase has come there, one number after the other, where it was not one throughout. */
  readonly devices?: readonly number[];
}

/** What a phase expects of its resume point. */
export interface ResumeOptions extends Omit<ResumePoint, 'position' | 'types' | 'devices'> {
  readonly epochs: number;
  /** Steps of an epoch. */
  readonly steps: number;
}

/** Writes everything that the loop needs to go on from `position` to the same bits, with a digest of it all. */
export async function saveResumePoint(path: string, session: Session, point: ResumePoint): Promise<void> {
  const tensors = await collect(session, resumed(session));
  const resume = JSON.stringify(point);
  save(path, encodeSafetensors(tensors, { resume, digest: digestOf(resume, tensors) }));
}

/** What a phase changes: all variables but a teacher's, which stand in the checkpoint of another phase. */
function resumed(session: Session): readonly string[] {
  return session.variableNames().filter((name) => !isTeachers(name));
}

/** SHA-256 of a resume point: of its place, and of every tensor with its name, type and shape. */
function digestOf(resume: string, tensors: ReadonlyMap<string, HostTensor>): string {
  const ordered = [...tensors].sort(([a], [b]) => (a < b ? -1 : 1));
  const parts = ordered.flatMap(([name, { dtype, shape, data }]) => [
    JSON.stringify([name, dtype, shape]),
    new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  ]);
  return sha256(resume, ...parts);
}

/**
 * The resume point of this phase and these settings, with its tensors written into the session; undefined when there is
 * none. One that is damaged is a UserError, and so is one that does not fit: training on from it would end in other
 * weights.
 */
export function loadResumePoint(
  path: string,
  session: Session,
  expected: ResumeOptions,
): Position<'accuracy'> | undefined {
  if (!existsSync(path)) return undefined;
  const wrong = (detail: string) =>
    new UserError(`${path} is damaged: ${detail}; remove it, and the phase ${expected.phase} starts again`);
  const { point, tensors } = readResumePoint(path, wrong);
  if (point.phase !== expected.phase || describeDifference(point.settings, expected.settings) !== '') return undefined;
  const { epoch, step, sums } = point.position;
  const images = sums?.targets ?? 0;
  const { epochs, steps } = expected;
  if (epoch > epochs || step >= steps || (epoch === epochs && step > 0)) {
    throw wrong(`it stands in epoch ${epoch + 1}, step ${step}, but the phase has ${epochs} epochs of ${steps} steps`);
  }
  if ((step === 0) !== (images === 0)) throw wrong(`${images} images in ${step} steps of the epoch`);
  const missing = resumed(session).find((name) => !tensors.has(name));
  if (missing !== undefined) throw wrong(`it lacks the variable ${missing}`);
  for (const [name, tensor] of tensors) session.write(name, tensor);
  return point.position;
}

/** Reads a resume point as it was written; `wrong` makes the error for anything else. */
export function readResumePoint(path: string, wrong: (detail: string) => UserError) {
  const bytes = readBytes(path);
  let stored: ReturnType<typeof decodeAll>;
  let point: ResumePoint;
  try {
    stored = decodeAll(bytes, path);
    point = resumeSchema.parse(JSON.parse(stored.metadata.resume ?? 'null'));
  } catch (error) {
    throw wrong(error instanceof UserError ? error.message : 'it does not say where training stood');
  }
  const { tensors, metadata } = stored;
  if (metadata.digest !== digestOf(metadata.resume!, tensors)) throw wrong('it is not what was saved (SHA-256)');
  return { point, tensors };
}

/** On how many devices a phase of these settings has come to its resume point; none where there is no such point. */
export function devicesOfResumePoint(path: string, { phase, settings }: Omit<ResumePoint, 'position'>): number[] {
  let point: ResumePoint;
  try {
    point = resumeSchema.parse(JSON.parse(decodeAll(readBytes(path), path).metadata.resume ?? 'null'));
  } catch {
    // There is none, or it is damaged, which the phase says.
    return [];
  }
  if (point.phase !== phase || describeDifference(point.settings, settings) !== '') return [];
  return [...(point.devices ?? [1])];
}

export function removeResumePoint(path: string): void {
  removeFile(path);
}

/** Replaces what is at the path, not what a link there leads to. */
function save(path: string, bytes: Uint8Array): string | undefined {
  return writeInside(dirname(path), basename(path), bytes);
}
