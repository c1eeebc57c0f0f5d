// What a caller of the library brings in memory where a command line names a file: a data set, a model, a multiplier. The run keeps their
// names as `memory:NAME`, and the hash of what has one; whoever goes on with the run brings them again.

import type { Dataset } from '../data/dataset.ts';
import type { Model } from '../nn/model.ts';
import { findModel } from '../nn/models.ts';
import { UserError } from '../tensor/errors.ts';
import { type ConfigurationInput, mergeSettings } from './config.ts';

export interface Material {
  /** Images in memory (`datasetOf` makes one), in place of the setting `data`. */
  readonly dataset?: Dataset;
  /** A model of the caller's own, in place of the setting `model`. */
  readonly model?: Model;
}

const MEMORY = 'memory:';

export const isInMemory = (name: string): boolean => name.startsWith(MEMORY);

/** The settings, with the names of what is brought in memory; naming the same thing twice is a UserError. */
export function namedSettings(settings: ConfigurationInput, { dataset, model }: Material): ConfigurationInput {
  const refuse = (given: boolean, key: string, option: string) => {
    if (given) throw new UserError(`settings: ${key} is given, and a ${option} in memory too; leave one of them out`);
  };
  refuse(dataset !== undefined && settings.data !== undefined, 'data', 'data set');
  refuse(model !== undefined && settings.model !== undefined, 'model', 'model');
  return mergeSettings(settings, {
    ...(dataset ? { data: MEMORY + dataset.name } : {}),
    ...(model ? { model: MEMORY + model.name } : {}),
  });
}

/** The data set that was brought under a name of memory. */
export function datasetInMemory(name: string, { dataset }: Material): Dataset {
  if (dataset && MEMORY + dataset.name === name) return dataset;
  throw missing('data set', name, 'dataset');
}

/** The model of this name: the caller's own, or one of the program's. */
export function modelNamed(name: string, { model }: Material): Model {
  if (!isInMemory(name)) return findModel(name);
  if (model && MEMORY + model.name === name) return model;
  throw missing('model', name, 'model');
}

function missing(what: string, name: string, option: string): UserError {
  return new UserError(
    `the ${what} ${name.slice(MEMORY.length)} was given in memory by the program that made the run; give it again as the option ${option} of the library's call`,
  );
}
