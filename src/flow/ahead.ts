// Everything that could stop a run and can be known before its first epoch is looked at here, before anything in the
// folder changes: the checkpoint, the multiplier, the layers, the space on the disk. What was read on the way is handed
// on, so that it is read once.

import { existsSync, readdirSync, statfsSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import type { Device } from '../engine/backend.ts';
import type { EmulationName } from '../multiplier/error.ts';
import type { Parameter } from '../nn/layers.ts';
import { StorageError, UserError } from '../tensor/errors.ts';
import { sizeOf } from '../tensor/tensor.ts';
import { rowsTogether } from '../train/images.ts';
import { requireDivisible } from '../train/replicas.ts';
import { buildNetwork } from '../train/task.ts';
import { type ImportedMultiplier, importMultiplier, inOrder } from '../workbench/import.ts';
import { multiplierInRun } from './multipliers/mapped.ts';
import { quantizersWanted } from './multipliers/multipliers.ts';
import { requireTimeForTheta } from './multipliers/targets.ts';
import { requireFloatTeacher } from './phases/teacher.ts';
import { requireLayerCost } from './phases/widths.ts';
import { devicesOfResumePoint } from './run/checkpoint.ts';
import { type FloatModel, type FloatModelOptions, floatModelIn, readFloatModel } from './run/float-model.ts';
import { files } from './run/folder.ts';
import type { OpenTask } from './run/inputs.ts';
import { LOCK_FILE } from './run/lock.ts';
import { type Manifest, manifestPath, type RunInputs, refuseSweep } from './run/manifest.ts';
import { isInMemory, type Material, multiplierInMemory } from './run/material.ts';
import { augmentationOf } from './settings/augmentation.ts';
import { type Configuration, refuseStructures } from './settings/config.ts';
import { refuseContradictions } from './settings/effects.ts';
import { approximateLayers, EXACT } from './settings/layers.ts';
import { isTraining, type Phase, settingsOf } from './settings/phases.ts';

export interface Ahead {
  readonly folder: string;
  readonly configuration: Configuration;
  readonly opened: OpenTask;
  readonly inputs: RunInputs;
  /** The phases that will be done. */
  readonly toDo: readonly Phase[];
  readonly emulation: EmulationName;
  /** Over how many devices training goes (see Device). */
  readonly device: Pick<Device, 'replicas'>;
  /** Records of the phases that are done. */
  readonly done: Manifest['phases'];
}

export interface Given {
  readonly imported: ImportedMultiplier | undefined;
  readonly floatModel: FloatModel | undefined;
}

/** Reads and checks what the phases to do were given; throws a UserError for the first thing that is not right. */
export async function lookAhead({
  folder,
  configuration,
  opened,
  inputs,
  toDo,
  emulation,
  device,
  done,
}: Ahead): Promise<Given> {
  const { layers, task } = opened;
  for (const phase of toDo) {
    if (!isTraining(phase) || configuration[phase].epochs === 0) continue;
    const together = rowsTogether(augmentationOf({ configuration, dataset: opened.dataset }, phase));
    requireDivisible(
      configuration[phase].batchSize,
      device,
      { together },
      `settings: ${phase}.batchSize (--${phase}-batch-size)`,
    );
  }
  const point = { phase: 'explore', settings: settingsOf(configuration, 'explore', inputs) } as const;
  const hasBegun = () => devicesOfResumePoint(join(folder, files.resume), point).length > 0;
  requireFeasible({ configuration, layers, images: opened.dataset.train.count, toDo }, hasBegun);
  const { parameters } = buildNetwork(task, { kind: 'float' }, 'evaluate', 1).layers;
  const floatModel = toDo.includes('train') ? givenFloatModel(configuration, inputs, opened, parameters) : undefined;
  const isQuantized = floatModel ? floatModel.quantizers : done.train?.files[files.quantizers];
  requireFloatTeacher(configuration, toDo, isQuantized !== undefined);
  const imported = toDo.includes('map') ? await givenMultiplier(configuration, inputs, opened.material) : undefined;
  if (imported) multiplierInRun({ configuration, emulation }, imported.table);
  if (toDo.includes('map')) requireOwnZero(configuration, !!isQuantized);
  requireSpace(folder, bytesToWrite(parameters, toDo), freeBytes(folder));
  return { imported, floatModel };
}

/**
 * Throws a UserError for settings that phases to do cannot have with these layers, or with so many images to train on.
 * `hasBegun`: whether exploration goes on, which its rates do not keep from that.
 */
export function requireFeasible(
  {
    configuration,
    layers,
    images,
    toDo,
  }: Pick<Ahead, 'configuration' | 'toDo'> & Pick<OpenTask, 'layers'> & { readonly images: number },
  hasBegun = () => false,
): void {
  approximateLayers(configuration, layers);
  for (const phase of toDo) refuseContradictions(configuration, 'settings', phase);
  if (toDo.includes('explore')) refuseStructures(configuration, 'settings');
  // Widths that are searched first are not known here.
  if (toDo.includes('explore') && configuration.quantize.layerCost === undefined && !hasBegun()) {
    requireTimeForTheta(configuration, layers, images);
  }
  if (toDo.includes('quantize')) requireLayerCost({ configuration, layers });
}

/** Quantisers that are given have zero points of their own. */
function requireOwnZero({ map }: Configuration, isQuantized: boolean): void {
  if (map.zeroProduct === 'exact' || !isQuantized) return;
  throw new UserError(
    '--zero-product own needs quantisers of this run: those of the checkpoint have zero points of their own; start from a float network, or give --zero-product exact',
  );
}

/** The network that the run begins with: that of a checkpoint, or the one that came with the model. */
function givenFloatModel(
  configuration: Configuration,
  { checkpoint }: RunInputs,
  opened: OpenTask,
  parameters: readonly Parameter[],
): FloatModel | undefined {
  const options = floatModelOptions(configuration, opened, parameters);
  if (checkpoint) return readFloatModel(checkpoint.path, options);
  const { withWeights, dataset } = opened;
  if (!withWeights) return undefined;
  const { model, train } = configuration;
  if (withWeights.classes !== dataset.classes && !train.newClassifier) {
    throw new UserError(
      `${model} tells ${withWeights.classes} classes apart, ${dataset.name} has ${dataset.classes}; --new-classifier begins its classifier anew and trains from there`,
    );
  }
  const { tensors, notes } = withWeights.weights([dataset.height, dataset.width, dataset.channels]);
  const found = floatModelIn(
    {
      ...{ name: model, format: 'ONNX', facts: new Map(), close: () => {} },
      dictionaries: [{ path: '', tensors, others: new Map() }],
    },
    options,
  );
  return { ...found, notes: [...notes.map((note) => `${model}: ${note}`), ...found.notes] };
}

function floatModelOptions(
  configuration: Configuration,
  { layers, model }: OpenTask,
  parameters: readonly Parameter[],
): FloatModelOptions {
  const { train, seed } = configuration;
  const classifier = model.card?.classifier ?? layers.at(-1)!.name;
  return {
    ...{ parameters, layers, key: train.checkpointKey },
    fresh: train.newClassifier ? { layer: classifier, seed } : undefined,
    quantizers: quantizersWanted({ configuration, layers }),
  };
}

async function givenMultiplier(
  { map, bits }: Configuration,
  { multiplier }: RunInputs,
  material: Material,
): Promise<ImportedMultiplier | undefined> {
  if (map.multiplier === undefined || map.multiplier === EXACT || !multiplier) return undefined;
  const { signed, operandOrder, tableOrder, top, liberty } = map;
  if (isInMemory(map.multiplier)) {
    return inOrder(multiplierInMemory(map.multiplier, signed, material), bits, operandOrder);
  }
  const imported = await importMultiplier(multiplier.source, bits, {
    ...(signed ? { signed } : {}),
    ...(operandOrder === undefined ? {} : { operandOrder }),
    ...(tableOrder === undefined ? {} : { order: tableOrder }),
    ...(top === undefined ? {} : { top }),
    ...(liberty === undefined ? {} : { liberty }),
  });
  return { ...imported, source: map.multiplier };
}

/**
 * A checkpoint for each phase, the resume point with the optimiser's state and its copy while it is written, and what
 * is small.
 */
function bytesToWrite(parameters: readonly Parameter[], toDo: readonly Phase[]): number {
  const model = parameters.reduce((sum, { value }) => sum + 4 * sizeOf(value.shape), 0);
  const trained = toDo.filter(isTraining).length;
  return trained === 0 ? 0 : (trained + 4) * model + 2 ** 23;
}

/** Undefined where the file system does not say. */
function freeBytes(folder: string): number | undefined {
  let place = resolve(folder);
  while (!existsSync(place)) place = dirname(place);
  const { bavail, bsize, blocks } = statfsSync(place);
  return blocks === 0 ? undefined : bavail * bsize;
}

export function requireSpace(folder: string, bytes: number, free: number | undefined): void {
  if (free === undefined || free >= bytes) return;
  const megabytes = (count: number) => `${Math.ceil(count / 1e6)} MB`;
  throw new StorageError(
    `${folder}: the run writes about ${megabytes(bytes)}, but only ${megabytes(free)} are free there; free some space or choose another --out`,
  );
}

/**
 * A new run is made in a folder that does not exist or is empty, and begins with its first phase; nobody's files are
 * written over.
 */
export function requireNewFolder(folder: string, first: Phase | undefined): void {
  refuseSweep(folder);
  if (first !== 'train') {
    throw new UserError(
      `${folder} is not a run folder (no ${manifestPath(folder)}); start one with tram run or tram train`,
    );
  }
  if (!existsSync(folder)) return;
  if (!statSync(folder).isDirectory()) throw new UserError(`${folder} is a file; a folder for the run was expected`);
  const found = foreignFiles(folder);
  if (found.length === 0) return;
  const more = found.length > 4 ? ` and ${found.length - 4} more` : '';
  throw new UserError(
    `${folder} is not a run folder (no manifest.json), but ${found.slice(0, 4).join(', ')}${more} stand there; choose a new or empty folder with --out, or put the manifest back if this was a run`,
  );
}

/**
 * What stands in a folder beside the empty folders and the temporary files of a run that was killed before its manifest
 * was written.
 */
function foreignFiles(folder: string, path = ''): string[] {
  return readdirSync(join(folder, path), { withFileTypes: true }).flatMap((entry) => {
    const name = path + entry.name;
    if (name === LOCK_FILE || /^\..*\.tmp$/.test(entry.name)) return [];
    if (entry.isDirectory() && ['checkpoints', 'figures'].includes(name)) return foreignFiles(folder, `${name}/`);
    return [entry.isDirectory() ? `${name}/` : name];
  });
}
