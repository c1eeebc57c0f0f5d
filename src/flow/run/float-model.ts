// A network made elsewhere, as the start of a run: every parameter of the model found in a file of any kind, checked
// and brought to the engine's layout; and, where the file is a published quantised checkpoint, the state of its
// quantisers. Invariant: what is not taken is said, and what does not fit is refused by name, with all that is
// missing, unexpected or of another shape in one message.

import type { MultiplyingLayer, Parameter } from '../../nn/layers.ts';
import { fromStored, initialTensor, storedShape } from '../../nn/parameters.ts';
import { openTensorFile, type TensorDictionary, type TensorFile } from '../../tensor/checkpoint-file.ts';
import { isFloat } from '../../tensor/elements.ts';
import { quoted, UserError } from '../../tensor/errors.ts';
import { unknownName } from '../../tensor/names.ts';
import { readStored, type StoredTensor } from '../../tensor/stored.ts';
import { formatShape, type HostTensor, type Shape, sameShape } from '../../tensor/tensor.ts';
import { isOnnxFile } from '../settings/model-name.ts';
import { isQuantizerName, type QuantizersWanted, readQuantizers } from './published.ts';
import { findNames, type NamesFound } from './state-names.ts';

export interface FloatModel {
  /** Its parameters by name, in the engine's layout. */
  readonly parameters: ReadonlyMap<string, HostTensor>;
  /** The state of its quantisers, by the names of our variables, where the network is a quantised one. */
  readonly quantizers: ReadonlyMap<string, HostTensor> | undefined;
  /** What was done to read it, for people. */
  readonly notes: readonly string[];
}

export interface FloatModelOptions {
  readonly parameters: readonly Parameter[];
  readonly layers: readonly MultiplyingLayer[];
  /** The dictionary to take, as `tram inspect` names it; default: the one that holds most of the parameters. */
  readonly key?: string | undefined;
  /** The layer whose parameters begin anew, and the seed that they are drawn from. */
  readonly fresh?: { readonly layer: string; readonly seed: number } | undefined;
  /** How the run quantises; without it quantisers are left out with a note. */
  readonly quantizers?: Omit<QuantizersWanted, 'layers'> | undefined;
}

/** Reads a network made elsewhere. Throws a UserError for what is no such file, or one of another model. */
export function readFloatModel(path: string, options: FloatModelOptions): FloatModel {
  if (isOnnxFile(path)) {
    throw new UserError(`${path} is an ONNX file, which has the network with its weights; give it as --model ${path}`);
  }
  return floatModelIn(openTensorFile(path), options);
}

/** The same from a file that is open; it is closed. */
export function floatModelIn(file: TensorFile, options: FloatModelOptions): FloatModel {
  try {
    return new Reading(file, options).model();
  } finally {
    file.close();
  }
}

/** Names of parameters; what else a file holds (counters, masks, tables of indices) may be left out. */
const PARAMETER = /(weight|bias|running_mean|running_var|_token|pos_embed\w*|bias_table)$/;
/** Heads that are there for training alone; where the model has none, they are no part of it. */
const AUXILIARY = /^(aux\d*|aux_classifier|AuxLogits)\./;
const COUNTER = /(^|\.)(num_batches_tracked|n_averaged)$/;
const DISTILLED = /^(dist_token|head_dist\.)/;

class Reading {
  readonly #file: TensorFile;
  readonly #options: FloatModelOptions;
  readonly #wanted: readonly Parameter[];
  readonly #notes: string[] = [];

  constructor(file: TensorFile, options: FloatModelOptions) {
    const { parameters, fresh } = options;
    this.#file = file;
    this.#options = options;
    this.#wanted = parameters.filter(({ name }) => !fresh || !isOf(name, fresh.layer));
  }

  model(): FloatModel {
    const { name: path } = this.#file;
    const { dictionary, names } = this.#choose();
    const { prefix, renamedFrom, found, left } = names;
    if (prefix !== '') this.#notes.push(`${path}: the names begin with ${quoted(prefix)}, which is left out`);
    if (renamedFrom !== '') this.#notes.push(`${path}: the names are those of ${renamedFrom}, and were translated`);
    this.#requireFit(dictionary, names);
    const parameters = new Map<string, HostTensor>();
    for (const { name, value } of this.#wanted) {
      const stored = valuesOfParameter(path, name, dictionary.tensors.get(found.get(name)!)!);
      parameters.set(name, fromStored(name, stored, value.shape, this.#options.layers));
    }
    this.#beginAnew(parameters);
    const quantizers = this.#quantizers(dictionary, left);
    this.#noteLeft(left, quantizers !== undefined);
    return { parameters, quantizers, notes: this.#notes };
  }

  /** The dictionary of the file that holds the parameters: the one asked for, or the one with most of them. */
  #choose(): { readonly dictionary: TensorDictionary; readonly names: NamesFound } {
    const { name: path, dictionaries } = this.#file;
    const { key } = this.#options;
    const paths = dictionaries.map((dictionary) => dictionary.path);
    if (dictionaries.length === 0) throw new UserError(`${path} holds no tensors; a state dict was expected`);
    if (key !== undefined && !paths.includes(key)) {
      throw unknownName(
        `dictionary of ${path}`,
        key,
        paths.slice(0, 20).map((one) => one || '(the file itself)'),
      );
    }
    const wanted = new Set(this.#wanted.map(({ name }) => name));
    const asked = dictionaries.filter((dictionary) => key === undefined || dictionary.path === key);
    const read = asked.map((dictionary) => {
      const all = [...dictionary.tensors.keys(), ...(dictionary.path === '' ? dictionary.others.keys() : [])];
      return { dictionary, names: findNames(all, wanted, path) };
    });
    const most = Math.max(...read.map(({ names }) => names.found.size));
    const same = read.filter(({ names }) => names.found.size === most);
    // What was trained, not its average, unless the average is asked for.
    const chosen = same.find(({ dictionary }) => !/ema|avg|average/i.test(dictionary.path)) ?? same[0]!;
    if (dictionaries.length > 1 || chosen.dictionary.path !== '') {
      const others = same.filter((one) => one !== chosen).map(({ dictionary }) => `'${dictionary.path}'`);
      const also = others.length === 0 ? '' : `; ${others.slice(0, 5).join(', ')} would fit too (--checkpoint-key)`;
      this.#notes.push(`${path}: the parameters are those of ${quoted(chosen.dictionary.path)}${also}`);
    }
    return chosen;
  }

  /** All that does not fit, in one message. */
  #requireFit({ tensors, others }: TensorDictionary, { found, left }: NamesFound): void {
    const { name: path } = this.#file;
    const { layers, fresh } = this.#options;
    const distilled = left.find(({ name }) => DISTILLED.test(name));
    if (distilled) {
      throw new UserError(
        `${path} is a distilled transformer (${distilled.name}): it has two heads and a token more than the model; take the checkpoint of the one that is not distilled`,
      );
    }
    const unreadable = this.#wanted.find(({ name }) => others.has(found.get(name) ?? ''));
    if (unreadable) {
      throw new UserError(
        `${path}: the tensor ${unreadable.name} is ${others.get(found.get(unreadable.name)!)}, real numbers were expected`,
      );
    }
    const missing = this.#wanted.filter(({ name }) => !found.has(name)).map(({ name }) => name);
    const unexpected = left.filter(
      ({ name }) =>
        PARAMETER.test(name) && !isQuantizerName(name) && !AUXILIARY.test(name) && !(fresh && isOf(name, fresh.layer)),
    );
    const shapes = this.#wanted.flatMap(({ name, value }) => {
      const stored = tensors.get(found.get(name) ?? '');
      const expected = storedShape(name, value.shape, layers);
      if (!stored || sameShape(withoutTaps(expected), withoutTaps(stored.shape))) return [];
      return [`${name} ${formatShape(stored.shape)} instead of ${formatShape(expected)}`];
    });
    const faults = [
      listed('missing', missing),
      listed(
        'unexpected',
        unexpected.map(({ inFile }) => inFile),
      ),
      listed('of another shape', shapes),
    ].filter((fault) => fault !== '');
    if (faults.length > 0)
      throw new UserError(`${path} does not fit the model: ${faults.join('; ')}. ${this.#advice(missing, shapes)}`);
  }

  #advice(missing: readonly string[], shapes: readonly string[]): string {
    const last = this.#options.layers.at(-1)?.name ?? '';
    const isLast = (text: string) => isOf(text.split(' ')[0]!, last);
    if (missing.length + shapes.length > 0 && [...missing, ...shapes].every(isLast)) {
      return `If ${last} was made for other classes, --new-classifier begins it anew and trains from there`;
    }
    return 'Was it made for another model or data set? tram inspect lists what it holds';
  }

  #beginAnew(parameters: Map<string, HostTensor>): void {
    const { fresh, parameters: all } = this.#options;
    if (!fresh) return;
    const begun: string[] = [];
    all.forEach((parameter, position) => {
      if (!isOf(parameter.name, fresh.layer)) return;
      parameters.set(parameter.name, initialTensor(parameter, fresh.seed, position));
      begun.push(`${parameter.name} ${formatShape(parameter.value.shape)}`);
    });
    this.#notes.push(`${this.#file.name}: the classifier begins anew, drawn from the seed: ${begun.join(', ')}`);
  }

  #quantizers({ tensors }: TensorDictionary, left: NamesFound['left']): FloatModel['quantizers'] {
    const { quantizers, layers, fresh } = this.#options;
    const path = this.#file.name;
    const own = left.filter(({ name }) => isQuantizerName(name));
    if (!own.some(({ name }) => name.endsWith('_quantizer.scale')) || !quantizers) return undefined;
    if (fresh) {
      this.#notes.push(`${path}: its quantisers are left out, since the network is trained on`);
      return undefined;
    }
    const named = new Map(
      own.flatMap(({ name, inFile }) => (tensors.has(inFile) ? [[name, tensors.get(inFile)!]] : [])),
    );
    const read = readQuantizers({ path, tensors: named }, { ...quantizers, layers });
    this.#notes.push(`${path}: it is a quantised network; its ranges and scales are taken, and nothing is calibrated`);
    return read;
  }

  #noteLeft(left: NamesFound['left'], withQuantizers: boolean): void {
    const { fresh } = this.#options;
    const unused = left.filter(
      ({ name }) =>
        !COUNTER.test(name) && !(withQuantizers && isQuantizerName(name)) && !(fresh && isOf(name, fresh.layer)),
    );
    if (unused.length === 0) return;
    const also = unused.length > 1 ? ` and ${unused.length - 1} more` : '';
    this.#notes.push(
      `${this.#file.name}: the tensor ${quoted(unused[0]!.inFile)}${also} is no parameter and is left out`,
    );
  }
}

const isOf = (name: string, layer: string): boolean => name.startsWith(`${layer}.`);

/** A linear layer may be stored as a convolution of one tap, and the other way round. */
const withoutTaps = (shape: Shape): Shape =>
  shape.length === 4 && shape[2] === 1 && shape[3] === 1 ? shape.slice(0, 2) : shape;

/** "3 missing (a, b, …)"; nothing where there are none. */
function listed(what: string, names: readonly string[]): string {
  if (names.length === 0) return '';
  const shown = names.slice(0, 4).map((name) => (name.length > 90 ? `${name.slice(0, 90)}…` : name));
  return `${names.length} ${what} (${shown.join(', ')}${names.length > shown.length ? ', …' : ''})`;
}

/** Finite numbers, and variances of at least 0. */
function valuesOfParameter(path: string, name: string, stored: StoredTensor): HostTensor {
  const { type } = stored.storage;
  if (!isFloat(type)) {
    throw new UserError(`${path}: the tensor ${name} holds whole numbers (${type}), expected F32, F64, F16 or BF16`);
  }
  const tensor = readStored(stored) as HostTensor;
  const { data } = tensor;
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
  return tensor;
}
