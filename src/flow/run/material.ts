// What a caller of the library brings in memory where a command line names a file: a data set, a model, a multiplier.
// The run keeps their names as `memory:NAME`, and the hash of what has one; whoever goes on with the run brings them
// again.

import type { Dataset } from '../../data/dataset.ts';
import type { ProductTable } from '../../multiplier/table.ts';
import { writeNpy } from '../../netlist/formats/npy.ts';
import { Network } from '../../netlist/network.ts';
import { simulate } from '../../netlist/simulate.ts';
import { writeVerilog } from '../../netlist/verilog/write.ts';
import type { Model } from '../../nn/models/model.ts';
import { findModel } from '../../nn/models/registry.ts';
import { UserError } from '../../tensor/errors.ts';
import { sha256 } from '../../tensor/files.ts';
import type { SourceMultiplier } from '../../workbench/import.ts';
import { type ConfigurationInput, overlay } from '../settings/config.ts';

export interface Material {
  /** Images in memory (`datasetOf` makes one), in place of the setting `data`. */
  readonly dataset?: Dataset;
  /** A model of the caller's own, in place of the setting `model`. */
  readonly model?: Model;
  /**
   * A multiplier, in place of the setting `map.multiplier`: it is measured on the quantised network, and nothing is
   * explored.
   */
  readonly multiplier?: MemoryMultiplier;
}

export interface MemoryMultiplier {
  /** Names it in the run and its report. */
  readonly name: string;
  /**
   * Its first operand is the weight, unless `map.operandOrder` says otherwise; a network is read as signed where
   * `map.signed` says so.
   */
  readonly products: ProductTable | Network;
}

const MEMORY = 'memory:';

export const isInMemory = (name: string): boolean => name.startsWith(MEMORY);

/** The settings, with the names of what is brought in memory; naming the same thing twice is a UserError. */
export function namedSettings(
  settings: ConfigurationInput,
  { dataset, model, multiplier }: Material,
): ConfigurationInput {
  const refuse = (given: boolean, key: string, option: string) => {
    if (given) throw new UserError(`settings: ${key} is given, and a ${option} in memory too; leave one of them out`);
  };
  refuse(dataset !== undefined && settings.data !== undefined, 'data', 'data set');
  refuse(model !== undefined && settings.model !== undefined, 'model', 'model');
  refuse(multiplier !== undefined && settings.map?.multiplier !== undefined, 'map.multiplier', 'multiplier');
  return overlay(settings, {
    ...(dataset ? { data: MEMORY + dataset.name } : {}),
    ...(model ? { model: MEMORY + model.name } : {}),
    ...(multiplier ? { map: { multiplier: MEMORY + multiplier.name } } : {}),
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

/** The multiplier that was brought under a name of memory, and the hash of its products or netlist. */
export function multiplierInMemory(
  name: string,
  signed: boolean,
  { multiplier }: Material,
): SourceMultiplier & { readonly sha256: string } {
  if (!multiplier || MEMORY + multiplier.name !== name) throw missing('multiplier', name, 'multiplier');
  const { products } = multiplier;
  const network = products instanceof Network ? products : null;
  const table = products instanceof Network ? simulate(products, { signed }) : products;
  const digest = sha256(network ? writeVerilog(network) : writeNpy(table));
  return { source: name, network, table, usual: 'weight-activation', notes: [], sha256: digest };
}

function missing(what: string, name: string, option: string): UserError {
  return new UserError(
    `the ${what} ${name.slice(MEMORY.length)} was given in memory by the program that made the run; give it again as the option ${option} of the library's call`,
  );
}
