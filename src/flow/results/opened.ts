// A run's network as it is at one of its stages, in a session on a device: what the stage multiplies with, and the
// weights of the checkpoint that it reads. The run is only read.

import type { Session } from '../../engine/backend.ts';
import { exactMultiplier } from '../../multiplier/multiplier.ts';
import { UserError } from '../../tensor/errors.ts';
import type { Arithmetic } from '../../train/task.ts';
import { mappedArithmetic, readTables } from '../multipliers/mapped.ts';
import {
  arithmeticToMap,
  quantizedArithmetic,
  structuredArithmetic,
  writeInitialTheta,
} from '../multipliers/multipliers.ts';
import { chooseWeightCodes } from '../multipliers/weight-codes.ts';
import { networkToMap, type OpenRun, requirePhase, sessionFrom } from '../run/context.ts';
import { type DeviceOptions, openBackend } from '../run/device.ts';
import { files } from '../run/folder.ts';
import { openTask } from '../run/inputs.ts';
import { requireIntact } from '../run/integrity.ts';
import { type Manifest, readManifest } from '../run/manifest.ts';
import type { Material } from '../run/material.ts';
import { isKept, type KeptStage, keptStages, type Stage, type StageResult } from '../run/stages.ts';
import type { Configuration } from '../settings/config.ts';
import type { Phase } from '../settings/phases.ts';
import { asMeant } from '../settings/phases.ts';
import { stagesOf } from './stages.ts';

export interface StageOptions extends Material {
  readonly folder: string;
  /** One of `keptStages`; default: the last of them that the run has reached. */
  readonly stage?: Stage;
  /** Where the run's data are now; default: where the run or the working directory has them. */
  readonly data?: string;
  readonly device?: DeviceOptions;
}

export interface OpenStage {
  readonly run: OpenRun;
  readonly stage: KeptStage;
  readonly arithmetic: Arithmetic;
  /** To be disposed of, and then the run's backend to be closed. */
  readonly session: Session;
  /** What the run has recorded of its stages. */
  readonly recorded: readonly StageResult[];
}

/** The phase whose checkpoint a stage reads. */
const checkpoints: Record<Exclude<KeptStage, 'mapped'>, readonly [Phase, string]> = {
  float: ['train', files.float],
  quantized: ['quantize', files.quantized],
  approximated: ['quantize', files.quantized],
  explored: ['explore', files.explored],
  recovered: ['recover', files.recovered],
};

/** Opens a run at a stage. Throws a UserError. */
export async function openStage(options: StageOptions): Promise<OpenStage> {
  const { folder } = options;
  const manifest = readManifest(folder);
  requireIntact(folder, manifest.phases);
  const recorded = stagesOf(manifest);
  const stage = options.stage ?? keptStages.findLast((name) => recorded.some((result) => result.stage === name));
  if (!stage) throw new UserError(`no phase of ${folder} is done; run tram train ${folder} first`);
  if (!isKept(stage)) {
    throw new UserError(`the network of the stage ${stage} is not kept; expected one of ${keptStages.join(', ')}`);
  }
  const data = options.data ?? manifest.configuration.data;
  const configuration = { ...manifest.configuration, data, ...exploredWith(manifest, stage) };
  const { dataset, task, layers } = await openTask(configuration, manifest.inputs, options);
  const backend = await openBackend(options.device);
  const run: OpenRun = {
    folder,
    manifest,
    configuration,
    dataset,
    task,
    layers,
    backend,
    emulation: options.device?.emulation ?? 'auto',
    recompute: false,
  };
  const arithmetic = arithmeticOf(run, stage);
  const session = await sessionFrom(run, ...(stage === 'mapped' ? networkToMap(configuration) : checkpoints[stage]));
  try {
    if (stage === 'approximated') writeInitialTheta(session, run);
    if ((stage === 'approximated' || stage === 'mapped') && arithmetic.kind === 'quantized') {
      const from = stage === 'mapped' ? arithmeticToMap(run) : quantizedArithmetic(run, exactMultiplier);
      await chooseWeightCodes(run, session, { from, to: arithmetic });
    }
    return { run, stage, arithmetic, session, recorded };
  } catch (error) {
    await session.dispose();
    await backend.close?.();
    throw error;
  }
}

/** Under a given multiplier an exploration stays as it was done, whatever the run's settings have become since. */
function exploredWith({ phases }: Manifest, stage: KeptStage): Partial<Configuration> {
  if (!phases.explore || !['approximated', 'explored'].includes(stage)) return {};
  const { approximate, exactLayers, explore } = asMeant(JSON.parse(phases.explore.settings) as Configuration);
  return { approximate, exactLayers, explore };
}

function arithmeticOf(run: OpenRun, stage: KeptStage): Arithmetic {
  const { folder } = run;
  switch (stage) {
    case 'float':
      return { kind: 'float' };
    case 'quantized':
      return quantizedArithmetic(run, exactMultiplier);
    case 'approximated':
    case 'explored':
      return structuredArithmetic(run);
    case 'mapped':
    case 'recovered':
      return mappedArithmetic(run, readTables(folder, requirePhase(run, 'map')));
  }
}
