// What a trial would refuse before its first epoch is refused with the plan, in the same words: else all trials would
// refuse it one after the other, behind the float training that they share. What lies elsewhere, where the trials will
// be, is for these to look at: data, models and multipliers in files that are not here. A word that could be no path is
// a misspelt name, wherever the trials will be.

import { existsSync } from 'node:fs';
import { hasImageFiles, isHere, openDataset, refuseMisspelt } from '../../data/registry.ts';
import { generators, isGeneratorSpec, meantAsGenerator } from '../../netlist/generators/registry.ts';
import { findModel } from '../../nn/models/registry.ts';
import { UserError } from '../../tensor/errors.ts';
import { given } from '../../tensor/given.ts';
import { unknownName } from '../../tensor/names.ts';
import { importMultiplier } from '../../workbench/import.ts';
import { requireFeasible } from '../ahead.ts';
import { ownZero } from '../multipliers/mapped.ts';
import { datasetOptions, type OpenTask, openTask } from '../run/inputs.ts';
import { type Manifest, withoutSearchedWidths } from '../run/manifest.ts';
import { isInMemory } from '../run/material.ts';
import { type Configuration, parseConfiguration } from '../settings/config.ts';
import { EXACT } from '../settings/layers.ts';
import { isModelFile } from '../settings/model-name.ts';
import type { Trial } from './grid.ts';
import { phaseKeys } from './keys.ts';

/**
 * Throws a UserError, with the trial's name, for the first one that cannot run. Each data set is opened once, and each
 * network once for each of them. `source`: the run that trials branch from, whose finished phases are not looked at
 * again.
 */
export async function acceptTrials(trials: readonly Trial[], source: Manifest | undefined): Promise<void> {
  for (const { settings } of trials) requireModel(settings.model);
  const done = source ? phaseKeys(withoutSearchedWidths(source)).filter(({ phase }) => source.phases[phase]) : [];
  const taken = new Set(done.map(({ key }) => key));
  const opened = new Map<string, Pick<OpenTask, 'layers'> & { readonly images: number }>();
  const open = onceForEach(openDataset);
  const imported = new Set<string>();
  for (const { name, settings } of trials) {
    const configuration = parseConfiguration(settings, `the trial ${name}`);
    try {
      requireNames(configuration, source);
      await requireGenerator(configuration, imported);
      if (!isLocal(configuration)) continue;
      const looked = toLookAt(configuration, source);
      const { model, data, train } = looked;
      const asked = JSON.stringify([model, data, train.checkpoint, datasetOptions(looked, process.cwd())]);
      if (!opened.has(asked)) {
        const { layers, dataset } = await openTask(looked, source?.inputs, {}, undefined, open);
        opened.set(asked, { layers, images: dataset.train.count });
      }
      const toDo = phaseKeys(configuration).filter(({ key }) => !taken.has(key));
      requireFeasible({ configuration, ...opened.get(asked)!, toDo: toDo.map(({ phase }) => phase) });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      throw new UserError(`the trial ${name}: ${error.message}`);
    }
  }
}

/** A name that no model has. */
function requireModel(name: string | undefined): void {
  if (name !== undefined && !isModelFile(name)) findModel(name);
}

/** The same data set for the same text and options; an option of image files says nothing of others. */
function onceForEach(open: typeof openDataset): typeof openDataset {
  const opened = new Map<string, ReturnType<typeof openDataset>>();
  return (spec, { usualSize, ...rest } = {}) => {
    const options = hasImageFiles(spec) ? { ...rest, ...given({ usualSize }) } : rest;
    const asked = JSON.stringify([spec, options]);
    if (!opened.has(asked)) opened.set(asked, open(spec, options));
    return opened.get(asked)!;
  };
}

/** Names of data and of a multiplier that are none; what the run has that trials branch from was found there. */
function requireNames({ data, map: { multiplier } }: Configuration, source: Manifest | undefined): void {
  const before = source?.configuration;
  try {
    if (!isInMemory(data) && data !== before?.data) refuseMisspelt(data);
    if (multiplier !== undefined && multiplier !== before?.map.multiplier) refuseMisspeltMultiplier(multiplier);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(`${error.message} (one that is not here but where the trials will be: ./NAME)`);
  }
}

function refuseMisspeltMultiplier(name: string): void {
  if (name === EXACT || isInMemory(name) || isGenerated(name) || /[/\\.]/.test(name) || existsSync(name)) return;
  const usages = [EXACT, 'trained', 'a generator such as truncated:8x8:columns=6', 'or a path to a netlist or table'];
  throw unknownName('multiplier', name, [EXACT, 'trained', ...Object.keys(generators)], usages);
}

/** Whether model and data of a trial are here. */
const isLocal = ({ model, data }: Configuration): boolean => (!isModelFile(model) || existsSync(model)) && isHere(data);

/**
 * The settings with which layers are named and images counted: no image is decoded to fill a cache, nor, of a large
 * set, to measure a normalisation, which would take hours and minutes. What a run knows is not measured again anyway.
 */
function toLookAt({ imageCache: _, ...rest }: Configuration, source: Manifest | undefined): Configuration {
  return source ? rest : { ...rest, mean: rest.mean ?? [0], deviation: rest.deviation ?? [1] };
}

const isGenerated = (multiplier: string): boolean => isGeneratorSpec(multiplier) || meantAsGenerator(multiplier);

/** A generator that makes nothing, nothing of the trial's widths, or not what its weights' zero point needs. */
async function requireGenerator(configuration: Configuration, known: Set<string>): Promise<void> {
  const { bits, map, quantize } = configuration;
  const { multiplier, operandOrder, zeroProduct } = map;
  const asked = JSON.stringify([multiplier, bits, operandOrder, zeroProduct, quantize.quantizer, quantize.weightZero]);
  if (multiplier === undefined || !isGenerated(multiplier) || existsSync(multiplier) || known.has(asked)) return;
  known.add(asked);
  ownZero(configuration, (await importMultiplier(multiplier, bits, given({ operandOrder }))).table);
}
