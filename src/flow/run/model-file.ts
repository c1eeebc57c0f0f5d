// A model from a file of the user's own: a module whose default export is a function (nn, image, classes) → logits, or
// a Model; or an ONNX file, which brings its weights. A module's code is run, as any program that the user starts.
// Invariant: a run has one such file for its whole life, known by its hash; what a module imports is not part of it,
// data of an ONNX file that lie beside it are. Whatever goes wrong in it is the user's to mend, so it is said in one
// line with the file's.

import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { Value } from '../../engine/graph/graph.ts';
import { Layers } from '../../nn/layers.ts';
import type { Model, ModelBuilder } from '../../nn/models/model.ts';
import { modelOf, type OnnxModel } from '../../nn/onnx/model.ts';
import { type OnnxGraph, readGraph } from '../../onnx/graph.ts';
import { UserError } from '../../tensor/errors.ts';
import { readBytes, sha256 } from '../../tensor/files.ts';
import { nearestName } from '../../tensor/names.ts';
import { formatShape, sameShape } from '../../tensor/tensor.ts';
import { isOnnxFile } from '../settings/model-name.ts';

/** Where a model of a run was found, absolute, and the hash of its text. */
export interface ModelSource {
  readonly path: string;
  readonly sha256: string;
}

export interface ModelFile extends ModelSource {
  readonly model: Model;
  /** The same where the file brings weights too. */
  readonly withWeights?: OnnxModel;
}

/** Runs the file, or reads it, and checks what it has; `known` is the one that the run was made with. */
export async function loadModelFile(name: string, known?: ModelSource): Promise<ModelFile> {
  if (isOnnxFile(name)) return openOnnx(name, known);
  const source = findFile(name, known, (path) => sha256(readBytes(path)));
  // Node keeps a module by its address: a changed file gets another.
  const address = `${pathToFileURL(source.path)}?${source.sha256.slice(0, 12)}`;
  const file: Place = { name, path: source.path, address };
  const module = await import(address).catch((error: unknown) => {
    throw mistake(file, error);
  });
  return { ...source, model: checked(modelIn(file, module.default), file) };
}

/** An ONNX file as a model; its mistakes begin with its name. */
function openOnnx(name: string, known: ModelSource | undefined): ModelFile {
  const graphs = new Map<string, OnnxGraph>();
  const source = findFile(name, known, (path) => {
    const graph = readGraph(path);
    graphs.set(path, graph);
    return graph.sha256;
  });
  const label = basename(name).replace(/\.[^.]*$/, '');
  const told = <T>(work: () => T): T => {
    try {
      return work();
    } catch (error) {
      throw error instanceof UserError ? new UserError(`${name}: ${error.message}`) : error;
    }
  };
  const graph = graphs.get(source.path)!;
  const read = told(() => modelOf(graph, label));
  const model: OnnxModel = {
    ...read,
    build: (nn, image, classes) =>
      told(() => {
        const logits = read.build(nn, image, classes);
        requireWhole(nn, logits);
        return logits;
      }),
    weights: (image) => told(() => read.weights(image)),
  };
  return { ...source, model, withWeights: model };
}

function findFile(name: string, known: ModelSource | undefined, hashOf: (path: string) => string): ModelSource {
  const places = [resolve(name), ...(known ? [known.path] : [])].filter((place) => existsSync(place));
  const found = [...new Set(places)].map((path) => ({ path, sha256: hashOf(path) }));
  if (!known) return found[0] ?? { path: resolve(name), sha256: hashOf(resolve(name)) };
  const same = found.find((file) => file.sha256 === known.sha256);
  if (same) return same;
  const state = found[0] ? 'is not as it was when the run was made with it' : 'is not there';
  throw new UserError(
    `the model file ${name} ${state} (the run's has SHA-256 ${known.sha256.slice(0, 12)}…); bring it back, or use another folder`,
  );
}

/** How the user calls the file, and how the errors of its code do. */
interface Place {
  readonly name: string;
  readonly path: string;
  readonly address: string;
}

const FORM = 'a function (nn, image, classes) => logits, or an object with it as build';

function modelIn({ name }: Place, exported: unknown): Model {
  const label = basename(name).replace(/\.[^.]*$/, '');
  const usual = { name: label, description: `a model from ${basename(name)}`, minimumSize: 1 };
  if (typeof exported === 'function') return { ...usual, build: exported as ModelBuilder };
  if (typeof exported !== 'object' || exported === null || !('build' in exported)) {
    throw new UserError(`${name}: no model is its default export: expected export default ${FORM}`);
  }
  const model = { ...usual, ...(exported as Partial<Model>) };
  if (typeof model.build !== 'function')
    throw new UserError(`${name}: build is ${told(model.build)}: expected ${FORM}`);
  if (!Number.isInteger(model.minimumSize) || model.minimumSize < 1) {
    throw new UserError(`${name}: minimumSize is ${told(model.minimumSize)}: expected a whole number of pixels`);
  }
  return { ...model, build: model.build };
}

/** The model with its mistakes told as the user's. */
function checked(model: Model, file: Place): Model {
  const build: ModelBuilder = (nn, image, classes) => {
    let logits: Value;
    try {
      logits = model.build(nn, image, classes);
    } catch (error) {
      throw mistake(file, error);
    }
    const wanted = [image.shape[0]!, classes];
    const form = `${formatShape(wanted)}, a row of ${classes} logits for each image`;
    if (typeof logits !== 'object' || logits?.graph !== nn.graph) {
      throw new UserError(`${file.name}: the model returns ${told(logits)}: expected a value of shape ${form}`);
    }
    if (!sameShape(logits.shape, wanted)) {
      throw new UserError(`${file.name}: the model returns the shape ${formatShape(logits.shape)}: expected ${form}`);
    }
    try {
      requireWhole(nn, logits);
    } catch (error) {
      throw error instanceof UserError ? new UserError(`${file.name}: ${error.message}`) : error;
    }
    return logits;
  };
  return { ...model, build };
}

/** Throws where what was built is no network that a run could count, quantise and store. */
function requireWhole(nn: Layers, logits: Value): void {
  if (nn.multiplying.length === 0) {
    throw new UserError('the model has no layer that multiplies; use nn.conv or nn.linear');
  }
  const read = readBy(logits);
  const idle = nn.multiplying.find(({ name }) => {
    const weight = nn.parameters.find((parameter) => parameter.name === `${name}.weight`);
    return weight && !read.has(weight.value);
  });
  if (idle) {
    throw new UserError(
      `nothing of the layer ${idle.name} reaches the logits, but its multiplications would be counted; leave it out`,
    );
  }
  const names = nn.parameters.map(({ name }) => name);
  const twice = names.find((name, at) => names.indexOf(name) !== at);
  if (twice !== undefined) {
    throw new UserError(`two layers have the tensor ${twice}; give each layer a name of its own`);
  }
}

/** All that a value is computed from. */
function readBy(value: Value): ReadonlySet<Value> {
  const read = new Set([value]);
  // A set is walked together with what is added meanwhile.
  for (const { source } of read) if (source.kind === 'node') for (const input of source.node.inputs) read.add(input);
  return read;
}

function told(value: unknown): string {
  if (value instanceof Promise) return 'a promise (it must not be async)';
  if (value === null || value === undefined) return 'nothing';
  return typeof value === 'object' ? 'an object' : `${typeof value} ${String(value).slice(0, 40)}`;
}

/** An error of the file's code, with the line of the file that it came from. */
function mistake({ name, path, address }: Place, error: unknown): UserError {
  if (error instanceof Error && 'code' in error && error.code === 'ERR_UNKNOWN_FILE_EXTENSION') {
    return new UserError(
      `${name}: Node.js ${process.version} reads no TypeScript; use 22.18 or later, or give the compiled .js or .mjs`,
    );
  }
  const { message, stack = '', name: kind } = error instanceof Error ? error : new Error(String(error));
  const at = stack.split(address.slice(address.lastIndexOf('/')))[1];
  const line = /^:\d+/.exec(at ?? '')?.[0] ?? (error instanceof SyntaxError ? lineOfSyntaxError(path) : '');
  return new UserError(`${name}${line}: ${unknownMethod(message) ?? textOf(error, kind, message)}`);
}

/** Node keeps the place of a syntax error from the program that imports the file, and prints it to a person. */
function lineOfSyntaxError(path: string): string {
  const { stderr } = spawnSync(process.execPath, ['--check', path], { encoding: 'utf8', timeout: 10_000 });
  return /^\S.*(:\d+)$/m.exec(stderr)?.[1] ?? '';
}

function textOf(error: unknown, kind: string, message: string): string {
  if (error instanceof UserError) return error.message;
  // What the graph takes for a fault of a definition is the user's here.
  const own = message.replace(/^internal: /, '');
  return own === message ? `${kind}: ${message}` : own;
}

/** Of a call that no method of the layer library answers: which was meant. */
function unknownMethod(message: string): string | undefined {
  const [, object, method] = /^(\w+)\.(\w+) is not a function$/.exec(message) ?? [];
  if (object === undefined || method === undefined) return undefined;
  const methods = Object.getOwnPropertyNames(Layers.prototype).filter((one) => one !== 'constructor');
  const nearest = nearestName(method, methods);
  const question = nearest === undefined ? '' : `; did you mean '${nearest}'?`;
  return `${object} has no method '${method}'${question}${question === '' ? ';' : ''} docs/models.md lists those of the layer library`;
}
