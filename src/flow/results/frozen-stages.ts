// Which stages of a run have a network whose layers all multiply codes with a multiplier that is there, and the widths
// of values between its layers: facts that the command line needs before anything is computed.

import type { KeptStage } from '../run/stages.ts';

export const frozenStages = ['quantized', 'mapped', 'recovered'] as const satisfies readonly KeptStage[];
export type FrozenStage = (typeof frozenStages)[number];

export const isFrozenStage = (stage: KeptStage): stage is FrozenStage =>
  (frozenStages as readonly KeptStage[]).includes(stage);

export { STREAM_BITS } from '../../integer/stream-bits.ts';
