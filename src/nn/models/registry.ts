// The registry of model definitions: add one by writing a function from an image to logits in terms of Layers and
// listing it here. Definitions are plain facts and functions; nothing is built before it is asked for.

import { similarNames, unknownName } from '../../tensor/names.ts';
import { denseNetworks } from './densenet.ts';
import { googleNetworks } from './googlenet.ts';
import { inceptionNetworks } from './inception.ts';
import { mnasNetworks } from './mnasnet.ts';
import { mobileNetworks } from './mobilenet.ts';
import type { Model } from './model.ts';
import { regularNetworks } from './regnet.ts';
import { residualNetworks } from './resnet.ts';
import { swinTransformers } from './swin.ts';
import { vggNetworks } from './vgg.ts';
import { visionTransformers } from './vit.ts';

export type { Model } from './model.ts';

/** The models that settings name; a model of your own needs no listing (see FlowOptions.model). */
export const models: readonly Model[] = [
  ...residualNetworks,
  ...vggNetworks,
  ...denseNetworks,
  ...googleNetworks,
  ...inceptionNetworks,
  ...mobileNetworks,
  ...mnasNetworks,
  ...regularNetworks,
  ...visionTransformers,
  ...swinTransformers,
];

/** Names that an error proposes: all would fill the screen. */
const PROPOSED = 6;

export function findModel(name: string): Model {
  const model = models.find((candidate) => candidate.name === name);
  if (model) return model;
  const names = models.map((candidate) => candidate.name);
  const others = `and ${names.length - PROPOSED} more that tram models lists, or a .mjs or .onnx file`;
  throw unknownName('model', name, names, [...similarNames(name, names, PROPOSED), others]);
}
