// Checkpoints: the variables of a session as a safetensors file with PyTorch's names and layouts, so that they load elsewhere too.
// A phase's result holds the model and its quantisers; the resume point adds the optimiser's velocities and the place in the epoch.

import { existsSync, rmSync } from 'node:fs';
import { z } from 'zod';
import type { Session } from '../engine/backend.ts';
import type { MultiplyingLayer, Parameter } from '../nn/layers.ts';
import { fromStored, toStored } from '../nn/parameters.ts';
import { UserError } from '../tensor/errors.ts';
import { readBytes } from '../tensor/files.ts';
import { decodeSafetensors, writeSafetensors } from '../tensor/safetensors.ts';
import type { HostTensor } from '../tensor/tensor.ts';
import type { Position } from '../train/loop.ts';
import { isVelocity } from '../train/optimizer.ts';
import type { TrainingPhase } from './events.ts';
import { describeDifference } from './manifest.ts';

type Layers = readonly MultiplyingLayer[];

/** Writes the session's variables, without velocities. */
export async function saveModel(path: string, session: Session, layers: Layers): Promise<void> {
  const names = session.variableNames().filter((name) => !isVelocity(name));
  writeSafetensors(path, await collect(session, names, layers), { format: 'pt' });
}

async function collect(session: Session, names: readonly string[], layers: Layers): Promise<Map<string, HostTensor>> {
  const tensors = new Map<string, HostTensor>();
  for (const name of names) tensors.set(name, toStored(name, await session.read(name), layers));
  return tensors;
}

/** Writes every tensor of a checkpoint into the session. */
export function loadModel(bytes: Uint8Array, path: string, session: Session, layers: Layers): void {
  for (const [name, stored] of decodeSafetensors(bytes, path).tensors)
    session.write(name, engineTensor(name, stored, layers));
}

function engineTensor(name: string, stored: HostTensor, layers: Layers): HostTensor {
  const layer = layers.find((candidate) => `${candidate.name}.weight` === name);
  return layer ? fromStored(name, stored, layer.weightShape, layers) : stored;
}

/** The parameters of a float model by name, in the engine's layout. */
export type FloatModel = ReadonlyMap<string, HostTensor>;

/**
 * Reads a float model made elsewhere: every parameter of the model must be there with its shape and finite values; what PyTorch adds
 * beside them (num_batches_tracked) is left out, anything else is refused by name.
 */
export function readFloatModel(path: string, parameters: readonly Parameter[], layers: Layers): FloatModel {
  const { tensors } = decodeSafetensors(readBytes(path), path);
  const model = new Map<string, HostTensor>();
  for (const { name, value } of parameters) {
    const stored = tensors.get(name);
    if (!stored) throw new UserError(`${path} has no tensor ${name}; was it made for another model?`);
    checkValues(path, name, stored);
    model.set(name, fromStored(name, stored, value.shape, layers));
  }
  const foreign = [...tensors.keys()].filter((name) => !model.has(name) && !name.endsWith('num_batches_tracked'));
  if (foreign.length > 0) {
    throw new UserError(
      `${path} has ${foreign.length} tensors that the model lacks, first ${foreign[0]}; was it made for another model?`,
    );
  }
  return model;
}

function checkValues(path: string, name: string, { dtype, data }: HostTensor): void {
  if (dtype !== 'f32') {
    throw new UserError(
      `${path}: the tensor ${name} holds whole numbers (${dtype}); floating-point values were expected`,
    );
  }
  const wrong = data.findIndex((value) => !Number.isFinite(value));
  if (wrong >= 0) {
    throw new UserError(
      `${path}: the tensor ${name} holds ${data[wrong]} (value ${wrong}); finite numbers were expected`,
    );
  }
  const negative = name.endsWith('.running_var') ? data.findIndex((value) => value < 0) : -1;
  if (negative >= 0) {
    throw new UserError(
      `${path}: the tensor ${name} holds the variance ${data[negative]} (value ${negative}); at least 0 was expected`,
    );
  }
}

const resumeSchema = z.object({
  phase: z.enum(['train', 'quantize', 'explore', 'recover']),
  settings: z.string(),
  position: z.strictObject({
    epoch: z.int(),
    step: z.int(),
    sums: z.strictObject({ loss: z.number(), crossEntropy: z.number(), correct: z.number(), images: z.number() }),
  }),
});

export interface ResumePoint {
  readonly phase: TrainingPhase;
  /** The settings of the phase (see settingsOf): a resume point of other settings is not used. */
  readonly settings: string;
  readonly position: Position;
}

/** Writes everything that the loop needs to go on from `position` to the same bits. */
export async function saveResumePoint(path: string, session: Session, point: ResumePoint): Promise<void> {
  writeSafetensors(path, await collect(session, session.variableNames(), []), { resume: JSON.stringify(point) });
}

/** The resume point of this phase and these settings, with its tensors written into the session; undefined when there is none. */
export function loadResumePoint(
  path: string,
  session: Session,
  phase: TrainingPhase,
  settings: string,
): Position | undefined {
  if (!existsSync(path)) return undefined;
  const { tensors, metadata } = decodeSafetensors(readBytes(path), path);
  const point = resumeSchema.safeParse(JSON.parse(metadata.resume ?? 'null'));
  if (!point.success)
    throw new UserError(`${path} is not a resume point of this program; remove it to start the phase again`);
  if (point.data.phase !== phase || describeDifference(point.data.settings, settings) !== '') return undefined;
  for (const [name, tensor] of tensors) session.write(name, tensor);
  return point.data.position;
}

export function removeResumePoint(path: string): void {
  rmSync(path, { force: true });
}
