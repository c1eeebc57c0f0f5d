// What a phase hands to the run: the files it wrote, the accuracies it measured, and what to tidy once the manifest
// says that it is done.

import type { MultiplierRecord, TargetOutcome, TypesRecord, WidthsRecord } from '../run/manifest.ts';
import type { StageResult } from '../run/stages.ts';

export interface PhaseResult {
  /** Paths in the run folder. */
  readonly files: readonly string[];
  readonly stages: readonly StageResult[];
  /** Nothing was trained or calibrated: the result came with the checkpoint that the run was given. */
  readonly from?: 'checkpoint';
  /** What came of the targets that the phase had. */
  readonly targets?: TargetOutcome;
  /** Layers that share multipliers, and what that costs, where that was asked for. */
  readonly types?: TypesRecord;
  /** Widths that were searched for layers. */
  readonly widths?: WidthsRecord;
  readonly multipliers?: readonly MultiplierRecord[];
  readonly finish?: () => void;
}
