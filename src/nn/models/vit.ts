// Vision transformers (Dosovitskiy et al., 2021) and DeiT (Touvron et al., 2021), with the parameter names of timm: an
// image is cut into patches, each a token; a class token before them collects what the head reads. The position
// embedding has a row for every token of the image size that the network is built for.

import type { Value } from '../../engine/graph/graph.ts';
import { UserError } from '../../tensor/errors.ts';
import type { Layers } from '../layers.ts';
import type { Model, ModelCard } from './model.ts';
import { attention, dropPathOf, feedForward } from './transformer.ts';

export interface VisionTransformerSpec {
  readonly name: string;
  readonly description: string;
  readonly card: ModelCard;
  /** Height and width of a patch. */
  readonly patch: number;
  /** Channels of a token. */
  readonly width: number;
  readonly depth: number;
  readonly heads: number;
  /** Rate of drop-path in the last block, rising from 0 in the first; default 0: none. */
  readonly dropPath?: number;
}

const MLP_RATIO = 4;
const EPSILON = 1e-6;

function block(nn: Layers, name: string, x: Value, heads: number, dropPath: number): Value {
  const mixed = attention(nn, `${name}.attn`, nn.layerNorm(`${name}.norm1`, x, EPSILON), heads);
  const y = nn.add(x, nn.dropPath(mixed, dropPath));
  const fed = feedForward(nn, `${name}.mlp`, nn.layerNorm(`${name}.norm2`, y, EPSILON), MLP_RATIO);
  return nn.add(y, nn.dropPath(fed, dropPath));
}

/** Patches as tokens [N, T, C], the class token first, each with the embedding of its position. */
function embed(nn: Layers, image: Value, { patch, width, name }: VisionTransformerSpec): Value {
  const [n, h, w] = image.shape as [number, number, number];
  if (h % patch !== 0 || w % patch !== 0) {
    throw new UserError(`${name}: an image of ${h}×${w}; expected multiples of the patches of ${patch}×${patch}`);
  }
  const token = nn.parameter('cls_token', [1, 1, width]);
  const count = 1 + (h * w) / patch ** 2;
  const positions = nn.parameter('pos_embed', [1, count, width]);
  const patches = nn.conv('patch_embed.proj', image, { out: width, kernel: patch, stride: patch, bias: true });
  // The class token is a zero row of the tokens and joins them with its position.
  const tokens = nn.pad(nn.reshape(patches, [n, count - 1, width]), 1, 1, 0);
  return nn.add(tokens, nn.add(positions, nn.pad(token, 1, 0, count - 1)));
}

/** A vision transformer from its sizes. */
export function visionTransformer(spec: VisionTransformerSpec): Model {
  const { name, description, card, patch, width, depth, heads, dropPath = 0 } = spec;
  return {
    ...{ name, description, card, minimumSize: patch },
    build: (nn, image, classes) => {
      let x = embed(nn, image, spec);
      for (let index = 0; index < depth; index++) {
        const [label, input] = [`blocks.${index}`, x];
        x = nn.block(label, () => block(nn, label, input, heads, dropPathOf(dropPath, index, depth)));
      }
      const first = nn.reshape(nn.slice(x, 1, 0, 1), [image.shape[0]!, width]);
      return nn.linear('head', nn.layerNorm('norm', first, EPSILON), classes);
    },
  };
}

/** The layers that the paper approximates are the linear ones of attention and feed-forward blocks. */
const exact = ['patch_embed.proj', 'head'];
const sources = {
  vit: 'Dosovitskiy et al., 2021; timm (vit_*_patch16_224)',
  deit: 'Touvron et al., 2021; timm (deit_*_patch16_224)',
};
const normalizations = {
  vit: { mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] },
  deit: { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] },
};
const sizes = {
  tiny: { width: 192, heads: 3 },
  small: { width: 384, heads: 6 },
  base: { width: 768, heads: 12 },
};
const kinds = { vit: 'vision transformer', deit: 'DeiT' };

function entry(kind: 'vit' | 'deit', size: keyof typeof sizes, patch: number, imageSize: number): Model {
  return visionTransformer({
    ...{ name: `${kind}_${size}_patch${patch}_${imageSize}`, patch, depth: 12, ...sizes[size] },
    description: `${kinds[kind]}, ${size}: patches of ${patch}×${patch}, ${sizes[size].width} channels, for ${imageSize}×${imageSize}`,
    card: {
      ...{ imageSize, classes: imageSize === 32 ? 10 : 1000, classifier: 'head', exact },
      source: sources[kind],
      // No weights are published for small images.
      ...(imageSize === 32 ? {} : { normalization: normalizations[kind] }),
    },
  });
}

export const visionTransformers: readonly Model[] = [
  entry('vit', 'tiny', 16, 224),
  entry('deit', 'tiny', 16, 224),
  entry('deit', 'small', 16, 224),
  entry('deit', 'base', 16, 224),
  entry('deit', 'tiny', 4, 32),
];
