// Which runs may be compared: accuracy over power says something where both are of the same thing.

import { sha256 } from '../../tensor/files.ts';
import type { Manifest } from '../run/manifest.ts';
import { approximateLayers } from '../settings/layers.ts';

/**
 * A hash of what has to be the same for two runs' accuracies and powers to be comparable: data, model, and the layers
 * that run on the approximate multiplier.
 */
export function taskOf({ configuration, inputs }: Pick<Manifest, 'configuration' | 'inputs'>): string {
  const layers = approximateLayers(configuration, inputs.layers).map(({ name }) => name);
  return sha256(JSON.stringify([inputs.data.sha256, configuration.model, inputs.model?.sha256, layers]));
}
