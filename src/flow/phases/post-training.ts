// A network quantised after training at widths that are not the run's own, treated as the run treats its own: what an
// exact multiplier of fewer bits has to show beside it.

import type { Session } from '../../engine/backend.ts';
import { exactMultiplier } from '../../multiplier/multiplier.ts';
import type { QuantizedArithmetic } from '../../train/task.ts';
import { quantizedArithmetic } from '../multipliers/multipliers.ts';
import type { OpenRun } from '../run/context.ts';
import { startUnder } from '../start/start.ts';
import { loadToQuantize } from './calibrate.ts';
import { calibrateToBear } from './ranges.ts';

/** Writes the float model into a session, with quantisers for the widths of the configuration, and starts it. */
export async function quantizeAfterTraining(
  run: Pick<OpenRun, 'configuration' | 'layers' | 'folder' | 'dataset' | 'task'>,
  float: Uint8Array,
  session: Session,
): Promise<QuantizedArithmetic> {
  const arithmetic = quantizedArithmetic(run, exactMultiplier);
  loadToQuantize(run, float, session);
  await calibrateToBear(run, session, arithmetic);
  await startUnder(run, session, { from: arithmetic, to: arithmetic }, 'quantize');
  return arithmetic;
}
