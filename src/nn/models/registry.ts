// The registry of model definitions: add one by writing a function from an image to logits in terms of Layers and
// listing it here.

import { unknownName } from '../../tensor/names.ts';
import type { Model } from './model.ts';
import { residualNetworks } from './resnet.ts';

export type { Model } from './model.ts';

/** The models that settings name; a model of your own needs no listing (see FlowOptions.model). */
export const models: readonly Model[] = [...residualNetworks];

export function findModel(name: string): Model {
  const model = models.find((candidate) => candidate.name === name);
  if (model) return model;
  throw unknownName(
    'model',
    name,
    models.map((candidate) => candidate.name),
  );
}
