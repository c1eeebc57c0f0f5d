// What cards say of published weights: a checkpoint is measured on images normalised by them, unless a run says how.

import { expect, test } from 'vitest';
import { findModel } from './registry.ts';

const imagenet = { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };
const half = { mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] };

test.each([
  ['torchvision/resnet18', imagenet],
  ['imagenet/regnetx_600m', imagenet],
  ['deit_small_patch16_224', imagenet],
  ['swin_tiny_patch4_window7_224', imagenet],
  // torchvision's are used with transform_input, timm's are those of "How to train your ViT".
  ['torchvision/inception_v3', half],
  ['vit_tiny_patch16_224', half],
  // None are published for small images: those of the data set's own statistics.
  ['resnet18', undefined],
  ['inception_v3', undefined],
  ['deit_tiny_patch4_32', undefined],
])('the published weights of %s expect their normalisation', (name, normalization) => {
  expect(findModel(name).card?.normalization).toEqual(normalization);
});
