// How training images are changed in a phase: as its settings say, else as suits the data set.

import type { AugmentOptions } from '../../data/augment.ts';
import { parseTransforms } from '../../data/transforms.ts';
import { invariant } from '../../tensor/errors.ts';
import type { Configuration } from './config.ts';
import type { TrainingPhase } from './phases.ts';

export function augmentationOf(
  {
    configuration,
    dataset,
  }: { readonly configuration: Configuration; readonly dataset: { readonly augment: AugmentOptions } },
  phase: TrainingPhase,
): AugmentOptions {
  const { augment } = configuration[phase];
  if (augment === undefined) return dataset.augment;
  const read = parseTransforms(augment);
  invariant('options' in read, 'the configuration was checked');
  return read.options;
}
