// What goes into a run: the data set, wherever it lies now, and the files that were given. The manifest keeps of them
// everything that a reader of the run or inference elsewhere needs, and their hashes. Invariant: a run has one data set
// for its whole life, known by its hash and not by its path.

import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import type { Dataset, DatasetOptions } from '../../data/dataset.ts';
import { openDataset, parseImageSize, relocate } from '../../data/registry.ts';
import type { Model } from '../../nn/models/model.ts';
import { type MatrixProducts, matrixProducts } from '../../nn/products.ts';
import { findBatchNorms } from '../../quant/fold.ts';
import { UserError } from '../../tensor/errors.ts';
import { readBytes, sha256 } from '../../tensor/files.ts';
import { given } from '../../tensor/given.ts';
import { sha256OfFile } from '../../tensor/source.ts';
import { type ImageTask, imageTask } from '../../train/images.ts';
import { buildNetwork, type Task } from '../../train/task.ts';
import type { Configuration, ConfigurationInput } from '../settings/config.ts';
import { EXACT, type LayerFacts, type RunLayer, usualLayers } from '../settings/layers.ts';
import { isModelFile } from '../settings/model-name.ts';
import type { Phase } from '../settings/phases.ts';
import type { Manifest, RunInputs } from './manifest.ts';
import { datasetInMemory, isInMemory, type Material, modelNamed, multiplierInMemory } from './material.ts';
import { loadModelFile, type ModelFile, type ModelSource } from './model-file.ts';

/** What of a run's inputs is opened again each time. */
export type KnownInputs = Pick<RunInputs, 'data' | 'model'>;

export interface OpenTask {
  readonly dataset: Dataset;
  /** The working directory from which a relative path to the data was found. */
  readonly directory: string;
  readonly model: Model;
  readonly task: ImageTask;
  readonly layers: readonly RunLayer[];
  /** What multiplies and is no layer. */
  readonly products: readonly MatrixProducts[];
  /** The file that the model came from, where it is one of the user's own. */
  readonly source: ModelSource | undefined;
  /** The model where its file brings weights too. */
  readonly withWeights?: ModelFile['withWeights'];
  /** What the caller brought in memory. */
  readonly material: Material;
}

/** Opens the data set, by `open`, and the model; others than those that the run knows are a UserError. */
export async function openTask(
  configuration: Configuration,
  known?: KnownInputs,
  material: Material = {},
  tell?: (text: string) => void,
  open = openDataset,
): Promise<OpenTask> {
  const { model, source, withWeights } = await openModel(configuration.model, known?.model, material);
  const facts = { ...optionsOfCard(configuration, model, known?.data), ...given({ known: known?.data, tell }) };
  const { dataset, directory } = await openData(configuration, known?.data, material, facts, open);
  const smallest = Math.min(dataset.height, dataset.width);
  if (smallest < model.minimumSize) {
    throw new UserError(
      `the model ${model.name} needs images of at least ${model.minimumSize}×${model.minimumSize} pixels; those of ${dataset.name} have ${dataset.height}×${dataset.width}`,
    );
  }
  const { train, test } = dataset;
  if (train.count === 0 || test.count === 0) {
    throw new UserError(
      `the data set ${configuration.data} has ${train.count} training and ${test.count} test images; at least one of each was expected`,
    );
  }
  const task = imageTask(model, dataset);
  return { dataset, directory, model, task, ...runLayers(model, task), source, ...given({ withWeights }), material };
}

/** The layers of a task's model that multiply, with what is known of them before a run chooses. */
export function runLayers({ card }: Pick<Model, 'card'>, task: Task): Pick<OpenTask, 'layers' | 'products'> {
  const { graph, layers } = buildNetwork(task, { kind: 'float' }, 'evaluate', 1);
  const { behind } = findBatchNorms(graph, new Set(layers.multiplying.map(({ name }) => name)));
  const usual = usualLayers(layers.multiplying, card);
  return {
    layers: usual.map((layer) => ({ ...layer, ...given({ batchNorm: behind.get(layer.name) }) })),
    products: matrixProducts(graph, 1),
  };
}

async function openModel(
  name: string,
  known: ModelSource | undefined,
  material: Material,
): Promise<Pick<OpenTask, 'model' | 'source' | 'withWeights'>> {
  if (!isModelFile(name) || isInMemory(name)) return { model: modelNamed(name, material), source: undefined };
  const { model, path, sha256, withWeights } = await loadModelFile(name, known);
  return { model, source: { path, sha256 }, ...given({ withWeights }) };
}

/**
 * A relative path is tried from where the user stands and from where the run found it before; the hash says which is
 * right.
 */
async function openData(
  configuration: Configuration,
  known: RunInputs['data'] | undefined,
  material: Material,
  facts: DatasetOptions,
  open: typeof openDataset,
): Promise<Pick<OpenTask, 'dataset' | 'directory'>> {
  const { data } = configuration;
  const places = new Map([[data, process.cwd()]]);
  if (known && known.directory !== process.cwd() && !isInMemory(data))
    places.set(relocate(data, known.directory), known.directory);
  let failure: unknown;
  let other: Dataset | undefined;
  for (const [spec, directory] of places) {
    try {
      const dataset = isInMemory(data)
        ? datasetInMemory(data, material)
        : await open(spec, {
            ...facts,
            ...datasetOptions(configuration, directory),
            ...(known ? movedTestFile(configuration, spec, directory) : {}),
          });
      if (!known || dataset.sha256 === known.sha256) return { dataset, directory };
      other ??= dataset;
    } catch (error) {
      failure ??= error;
    }
  }
  if (!other) throw known && failure instanceof UserError ? elsewhere(failure, places) : failure;
  throw new UserError(
    `the data set ${data} is not the one that the run was made with (SHA-256 ${other.sha256.slice(0, 12)}…, the run's ${known?.sha256.slice(0, 12)}…); name the right one with --data, or use another folder`,
  );
}

function elsewhere({ message }: UserError, places: ReadonlyMap<string, string>): UserError {
  return new UserError(
    `${message} (looked in ${[...places.values()].join(' and ')}); --data says where the data are now`,
  );
}

/** The options of a data set whose relative paths stand for places below `directory`. */
export function datasetOptions(configuration: Configuration, directory: string): DatasetOptions {
  const { image, maximum, label, classes, split, sample, sampleSeed, resize, badImages, mean, deviation } =
    configuration;
  const { testData, testLabels, sampleList, imageCache, classesOf } = configuration;
  const placed = (path: string | undefined) =>
    path === undefined || directory === process.cwd() ? path : relocate(path, directory);
  // Classes may be in a file, too.
  const isFile = classesOf !== undefined && existsSync(resolve(directory, classesOf));
  return given({
    ...{ image: image === undefined ? undefined : parseImageSize(image), maximum, label, classes, split },
    ...{ sample, sampleSeed, resize, badImages, mean, deviation },
    ...{ testFile: placed(testData), testLabels: placed(testLabels), sampleList: placed(sampleList) },
    ...{ imageCache: placed(imageCache), classesOf: isFile ? placed(classesOf) : classesOf },
  });
}

/**
 * What a model's card says of its images: their size, where files have several, and for a checkpoint from elsewhere the
 * normalisation that it was published with, unless the user gives one. A run that began without it goes on without it.
 */
function optionsOfCard(
  { train: { checkpoint }, mean, deviation }: Configuration,
  { card }: Model,
  known: RunInputs['data'] | undefined,
): DatasetOptions {
  if (!card) return {};
  const { normalization } = card;
  const isOwn = mean !== undefined || deviation !== undefined;
  const began = known && JSON.stringify(known.mean) !== JSON.stringify(normalization?.mean);
  const usesCard = normalization && checkpoint !== undefined && !isOwn && !began;
  return { usualSize: card.imageSize, ...(usesCard ? { ofCheckpoint: normalization } : {}) };
}

/**
 * The test images of a run whose data were moved: where they were is empty, and they lie beside the training images.
 */
function movedTestFile({ testData }: Configuration, spec: string, directory: string): DatasetOptions {
  if (testData === undefined || existsSync(resolve(directory, testData))) return {};
  const beside = join(dirname(spec.replace(/^(csv|npz|images):/, '')), basename(testData));
  return existsSync(beside) ? { testFile: beside } : {};
}

/**
 * The run's inputs as its manifest keeps them; a file that was given and cannot be read is a UserError. Files of
 * finished phases that are not named anew are not looked at, unless `toDo` says that they will be read again.
 */
export function inputsOf(
  configuration: Configuration,
  { dataset, directory, layers, products, source, material }: OpenTask,
  said: ConfigurationInput,
  old: Manifest | undefined,
  toDo: readonly Phase[] = [],
): RunInputs {
  const isRead = (phase: Phase) => !old?.phases[phase] || toDo.includes(phase);
  const checkpoint = fileInput(configuration.train.checkpoint, {
    isNamed: said.train?.checkpoint !== undefined,
    isRead: isRead('train'),
    known: old?.inputs.checkpoint,
  });
  const known = old?.inputs.multiplier;
  const given = multiplierInput(configuration, material, {
    isNamed: said.map?.multiplier !== undefined,
    isRead: isRead('map') || said.map?.liberty !== undefined,
    known: known && { path: known.source, sha256: known.sha256 },
  });
  const layersNow = layers.map(({ name, macs, kind, usual }) => ({ name, macs, kind, usual }));
  const workOf = (all: readonly LayerFacts[]) => JSON.stringify(all.map(({ name, macs }) => [name, macs]));
  // A model in memory has no file and no hash; its layers must be those of the run at the least.
  if (old && isInMemory(configuration.model) && workOf(layersNow) !== workOf(old.inputs.layers)) {
    throw new UserError(
      `the model ${modelNamed(configuration.model, material).name} has other layers than the one that the run was made with; give that one, or use another folder`,
    );
  }
  return {
    data: dataInputs(dataset, directory),
    layers: layersNow,
    ...(products.length > 0 ? { products: [...products] } : {}),
    ...(source ? { model: source } : {}),
    ...(checkpoint ? { checkpoint } : {}),
    ...(given ? { multiplier: { source: given.path, sha256: given.sha256 } } : {}),
  };
}

function multiplierInput(
  { map: { multiplier, signed, liberty = [] } }: Configuration,
  material: Material,
  use: FileUse,
): FileInput | undefined {
  if (multiplier === undefined) return undefined;
  if (isKnownEnough(use)) return use.known;
  if (isInMemory(multiplier)) {
    return { path: multiplier, sha256: multiplierInMemory(multiplier, signed, material).sha256 };
  }
  if (isGenerator(multiplier)) return { path: multiplier, sha256: sha256(multiplier) };
  const file = fileInput(multiplier, use);
  if (!file || liberty.length === 0) return file;
  // What its cells do is part of what it is.
  return { ...file, sha256: sha256(file.sha256, ...liberty.map((path) => readBytes(path))) };
}

/** Names of generators have no file, nor has the exact multiplier of whatever widths. */
function isGenerator(multiplier: string): boolean {
  return multiplier === EXACT || (!existsSync(multiplier) && /^[a-z-]+:/.test(multiplier));
}

interface FileInput {
  readonly path: string;
  readonly sha256: string;
}

/** What a command wants of a file that a run was given. */
interface FileUse {
  /** The command names it: then it is the file at that place, whatever the run has read before. */
  readonly isNamed: boolean;
  /** What it is for is not done yet, or is to be done again. */
  readonly isRead: boolean;
  /** The one that the run has read. */
  readonly known: FileInput | undefined;
}

/** Once what needed a file is done and the user does not name it again, it need not be there any more. */
const isKnownEnough = ({ isNamed, isRead, known }: FileUse) => known !== undefined && !isNamed && !isRead;

/** The file that counts: the one named, else the one that the run has read, wherever it is found. */
function fileInput(path: string | undefined, use: FileUse): FileInput | undefined {
  if (path === undefined) return undefined;
  const { isNamed, known } = use;
  if (isKnownEnough(use)) return known;
  const before = known && !isNamed ? [known.path] : [];
  const places = [resolve(path), ...before].filter((place) => existsSync(place));
  const found = places.map((place) => ({ path: place, sha256: sha256OfFile(place) }));
  return found.find((file) => file.sha256 === known?.sha256) ?? found[0] ?? { path, sha256: sha256OfFile(path) };
}

function dataInputs(dataset: Dataset, directory: string): RunInputs['data'] {
  const { name, height, width, channels, classes, train, test, mean, deviation, scale } = dataset;
  return {
    ...{ name, sha256: dataset.sha256, directory, trainImages: train.count, testImages: test.count, classes },
    image: { height, width, channels },
    mean: [...mean],
    deviation: [...deviation],
    scale,
    classCounts: [...dataset.classCounts],
    split: dataset.split,
    labels: dataset.labels,
    ...(dataset.classNames ? { classNames: [...dataset.classNames] } : {}),
    ...(dataset.badImages ? { badImages: [...dataset.badImages] } : {}),
  };
}
