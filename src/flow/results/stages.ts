// The stages of a run as its manifest has them, in the order of its phases, with one model of power for all: a network
// that was quantised for a run with another model (--from, the trials of a sweep) has that one's figure in its record.

import { exactPowerOf } from '../multipliers/multipliers.ts';
import { type Manifest, stageResultOf } from '../run/manifest.ts';
import type { StageResult } from '../run/stages.ts';
import { phasesOf } from '../settings/phases.ts';

export function stagesOf({ configuration, phases: done }: Pick<Manifest, 'configuration' | 'phases'>): StageResult[] {
  return phasesOf(configuration).flatMap((phase) =>
    (done[phase]?.stages ?? [])
      .map(stageResultOf)
      .map((stage) =>
        phase === 'quantize' && stage.power !== undefined ? { ...stage, power: exactPowerOf(configuration) } : stage,
      ),
  );
}
