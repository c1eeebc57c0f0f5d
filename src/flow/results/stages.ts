// The stages of a run as its manifest has them, in the order of its phases, with one model of power for all: a network
// that was quantised for a run with another model (--from, the trials of a sweep) has that one's figure in its record.

import { networkExactPower } from '../multipliers/multipliers.ts';
import { type Manifest, stageResultOf } from '../run/manifest.ts';
import type { StageResult } from '../run/stages.ts';
import { phasesOf } from '../settings/phases.ts';

interface Finished extends Pick<Manifest, 'configuration' | 'phases'> {
  readonly inputs: Pick<Manifest['inputs'], 'layers'>;
}

export function stagesOf({ configuration, inputs, phases: done }: Finished): StageResult[] {
  return phasesOf(configuration).flatMap((phase) =>
    (done[phase]?.stages ?? [])
      .map(stageResultOf)
      .map((stage) =>
        phase === 'quantize' && stage.power !== undefined
          ? { ...stage, power: networkExactPower(configuration, inputs.layers) }
          : stage,
      ),
  );
}
