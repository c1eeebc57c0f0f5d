// What the blocks of vision transformers have in common (Vaswani et al., 2017; Dosovitskiy et al., 2021): attention
// with queries, keys and values of one linear layer, and the feed-forward layers, with the names that timm gives them.

import type { Value } from '../../engine/graph/graph.ts';
import { invariant } from '../../tensor/errors.ts';
import { sizeOf } from '../../tensor/tensor.ts';
import type { Layers } from '../layers.ts';

/** Linear layers and embeddings of transformers start normal with this deviation. */
export const DEVIATION = 0.02;

/**
 * Attention among the tokens of each group, x [..., T, C] → [..., T, C]. `biased`: what is added to the scores [groups,
 * heads, T, T] before the softmax.
 */
export function attention(
  nn: Layers,
  name: string,
  x: Value,
  heads: number,
  biased: (scores: Value) => Value = (scores) => scores,
): Value {
  const [tokens, channels] = x.shape.slice(-2) as [number, number];
  invariant(channels % heads === 0, `${channels} channels in ${heads} heads`);
  const groups = sizeOf(x.shape.slice(0, -2));
  const projected = nn.linear(`${name}.qkv`, x, 3 * channels, { deviation: DEVIATION });
  const mixed = nn.graph.labelled(name, () => {
    const flat = nn.reshape(projected, [groups, tokens, 3 * channels]);
    const [query, key, value] = nn.splitHeads(flat, 3, heads) as [Value, Value, Value];
    const scores = nn.matrixProduct(query, key, 'second', 1 / Math.sqrt(channels / heads));
    const weights = nn.softmax(biased(scores));
    const perHead = nn.matrixProduct(nn.reshape(weights, scores.shape), value);
    return nn.reshape(nn.permute(perHead, [0, 2, 1, 3]), x.shape);
  });
  return nn.linear(`${name}.proj`, mixed, channels, { deviation: DEVIATION });
}

/** Drop-path in block `index` of `count`: a rate from 0 in the first to `last` in the last (Huang et al., 2016). */
export const dropPathOf = (last: number, index: number, count: number): number =>
  (last * index) / Math.max(1, count - 1);

/** The feed-forward layers, x [..., C] → [..., C] over `ratio` times as many channels. */
export function feedForward(nn: Layers, name: string, x: Value, ratio: number): Value {
  const channels = x.shape.at(-1)!;
  const hidden = nn.gelu(nn.linear(`${name}.fc1`, x, ratio * channels, { deviation: DEVIATION }));
  return nn.linear(`${name}.fc2`, hidden, channels, { deviation: DEVIATION });
}
