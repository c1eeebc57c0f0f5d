// The registry of model definitions: add one by writing a function from an image to logits in terms of Layers and listing it here.

import type { Value } from '../engine/graph.ts';
import { unknownName } from '../tensor/names.ts';
import type { Layers } from './layers.ts';
import { residualNetworks } from './resnet.ts';

export interface Model {
  readonly name: string;
  readonly description: string;
  /** Least height and width of an image. */
  readonly minimumSize: number;
  /** Image f32 [N,H,W,C] → logits [N, classes]. */
  readonly build: (layers: Layers, image: Value, classes: number) => Value;
}

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
