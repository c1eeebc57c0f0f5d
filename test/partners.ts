// Settings beside which others can have an effect that have none by themselves.

import type { ConfigurationInput } from '../src/flow/settings/settings.ts';

/** For each path, in turn, one of these is enough. */
export const partners: readonly ConfigurationInput[] = [
  {},
  { sample: 10 },
  { train: { checkpoint: 'm.pth' } },
  { map: { multiplier: 'm.v' } },
  { map: { search: 'descent' } },
  { quantize: { observer: 'percentile' } },
  { quantize: { quantizer: 'steps' } },
  { quantize: { layerCost: 0.25 }, explore: { power: 0.1 } },
  { recover: { gradient: 'difference' } },
  ...(['train', 'quantize', 'explore', 'recover'] as const).flatMap((phase) =>
    [{}, { optimizer: 'adam' as const }, { schedule: 'step' as const }].map((more) => ({
      [phase]: { epochs: 5, ...more },
    })),
  ),
];
