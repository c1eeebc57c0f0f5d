// What cards of a collection have in common. Names tell the collection: without a prefix the small forms for images of
// the size of CIFAR's, `imagenet/` the published program's for ImageNet, `torchvision/` that library's.

import { given } from '../../tensor/given.ts';
import type { Model, ModelCard } from './model.ts';

/** The collections whose definitions are here: their prefix, and what each takes its names and details from. */
export const collections = {
  cifar: { prefix: '', from: 'the published program (CIFAR-10)', imageSize: 32, classes: 10 },
  imagenet: { prefix: 'imagenet/', from: 'the published program (ImageNet)', imageSize: 224, classes: 1000 },
  torchvision: { prefix: 'torchvision/', from: 'torchvision', imageSize: 224, classes: 1000 },
} as const;

export type Collection = keyof typeof collections;

/** Of the ImageNet training images: what published weights were trained with, unless a definition says otherwise. */
const imagenetNormalization = {
  mean: [0.485, 0.456, 0.406],
  deviation: [0.229, 0.224, 0.225],
};

interface Definition extends Omit<Model, 'card'> {
  /** Name of the layer that gives the logits. */
  readonly classifier: string;
  /** The paper: authors, year. */
  readonly paper: string;
  /** Where it is not the collection's. */
  readonly imageSize?: number;
  readonly normalization?: ModelCard['normalization'];
  readonly unused?: readonly string[];
}

/** A model of a collection, with its card: `name` without the prefix, which is put before it. */
export function published(collection: Collection, definition: Definition): Model {
  const { prefix, from, classes } = collections[collection];
  const { name, classifier, paper, imageSize = collections[collection].imageSize, unused, ...others } = definition;
  const { normalization = collection === 'cifar' ? undefined : imagenetNormalization, ...rest } = others;
  const card: ModelCard = {
    ...{ imageSize, classes, classifier, source: `${paper}; names and details of ${from}` },
    ...given({ normalization, unused }),
  };
  return { name: prefix + name, ...rest, card };
}
