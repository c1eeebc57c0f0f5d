// The two small transformers of the reference, which no run would choose: a ViT and a Swin for images of 32×32.

import type { Model } from '../../src/nn/models/model.ts';
import { swin } from '../../src/nn/models/swin.ts';
import { visionTransformer } from '../../src/nn/models/vit.ts';

const card = { imageSize: 32, classes: 10, source: 'a test' } as const;

export const smallTransformers: readonly Model[] = [
  visionTransformer({
    ...{ name: 'vit-small-test', description: 'two blocks of 48 channels', patch: 4, width: 48, depth: 2, heads: 3 },
    card: { ...card, classifier: 'head', exact: ['patch_embed.proj', 'head'] },
  }),
  swin({
    ...{ name: 'swin-small-test', description: 'two stages of two blocks', patch: 2, window: 4, width: 24 },
    ...{ depths: [2, 2], heads: [2, 4] },
    card: { ...card, classifier: 'head.fc', exact: ['patch_embed.proj', 'layers.*.downsample.reduction', 'head.fc'] },
  }),
];
