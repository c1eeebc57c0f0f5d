// Swin transformers (Liu et al., 2021) with the parameter names of timm: attention within windows, which every second
// block shifts by half their size; the scores get a bias by the distance of two tokens; between stages, 2×2 tokens
// become one with twice the channels. Where an image of another size does not fill its windows, they are filled with
// zeros; where it is smaller than one, the window is as small.

import type { Value } from '../../engine/graph/graph.ts';
import { sum, sumOfThree } from '../../engine/operations/arithmetic.ts';
import { UserError } from '../../tensor/errors.ts';
import { f32 } from '../../tensor/tensor.ts';
import type { Layers } from '../layers.ts';
import type { Model, ModelCard } from './model.ts';
import { attention, DEVIATION, dropPathOf, feedForward } from './transformer.ts';

export interface SwinSpec {
  readonly name: string;
  readonly description: string;
  readonly card: ModelCard;
  readonly patch: number;
  /** Height and width of a window, in tokens. */
  readonly window: number;
  /** Channels of the first stage; each further stage doubles them. */
  readonly width: number;
  /** Blocks per stage. */
  readonly depths: readonly number[];
  /** Heads per stage. */
  readonly heads: readonly number[];
  /** Rate of drop-path in the last block, rising from 0 in the first; default 0: none. */
  readonly dropPath?: number;
}

const MLP_RATIO = 4;
/** Added to the scores of tokens that are neighbours only because the shift is cyclic. */
const APART = -100;

type Image = readonly [n: number, h: number, w: number, c: number];

/** Windows of a stage: height and width of one, the shift, and how many fill the image. */
interface Windows {
  readonly size: number;
  readonly shift: number;
  readonly down: number;
  readonly across: number;
}

function windowsOf([, h, w]: Image, window: number, shifted: boolean): Windows {
  const size = Math.min(window, h, w);
  const shift = shifted && size === window && Math.min(h, w) > window ? Math.floor(window / 2) : 0;
  return { size, shift, down: Math.ceil(h / size), across: Math.ceil(w / size) };
}

/** [N, H, W, C] → [N, windows, T, C], the image shifted by the windows' shift and filled up. */
function partition(nn: Layers, x: Value, { size, shift, down, across }: Windows): Value {
  const [n, h, w, c] = x.shape as unknown as Image;
  let y = shift > 0 ? nn.roll(x, [-shift, -shift], [1, 2]) : x;
  if (down * size > h) y = nn.pad(y, 1, 0, down * size - h);
  if (across * size > w) y = nn.pad(y, 2, 0, across * size - w);
  const cut = nn.permute(nn.reshape(y, [n, down, size, across, size, c]), [0, 1, 3, 2, 4, 5]);
  return nn.reshape(cut, [n, down * across, size * size, c]);
}

/** The way back, to an image of this shape. */
function join(nn: Layers, windows: Value, { size, shift, down, across }: Windows, [n, h, w, c]: Image): Value {
  const whole = nn.permute(nn.reshape(windows, [n, down, across, size, size, c]), [0, 1, 3, 2, 4, 5]);
  let y = nn.reshape(whole, [n, down * size, across * size, c]);
  if (down * size > h) y = nn.slice(y, 1, 0, h);
  if (across * size > w) y = nn.slice(y, 2, 0, w);
  return shift > 0 ? nn.roll(y, [shift, shift], [1, 2]) : y;
}

/** For each pair of tokens of a window the row of the table for their distance. */
export function distances(size: number): number[] {
  const tokens = Array.from({ length: size * size }, (_, at) => ({ y: Math.floor(at / size), x: at % size }));
  return tokens.flatMap((a) => tokens.map((b) => (a.y - b.y + size - 1) * (2 * size - 1) + (a.x - b.x + size - 1)));
}

/** [windows, 1, T, T]: 0 for tokens that are neighbours in the image, `APART` for those that only the shift joins. */
export function shiftMask({ size, shift, down, across }: Windows): Float32Array {
  const regionOf = (at: number, extent: number) => (at < extent - size ? 0 : at < extent - shift ? 1 : 2);
  const tokens = size * size;
  const mask = new Float32Array(down * across * tokens * tokens);
  for (let window = 0; window < down * across; window++) {
    const regions = Array.from({ length: tokens }, (_, at) => {
      const y = Math.floor(window / across) * size + Math.floor(at / size);
      const x = (window % across) * size + (at % size);
      return 3 * regionOf(y, down * size) + regionOf(x, across * size);
    });
    for (let a = 0; a < tokens; a++)
      for (let b = 0; b < tokens; b++) {
        if (regions[a] !== regions[b]) mask[(window * tokens + a) * tokens + b] = APART;
      }
  }
  return mask;
}

function windowAttention(nn: Layers, name: string, x: Value, heads: number, windows: Windows): Value {
  const { size, shift, down, across } = windows;
  const [n, tokens, count] = [x.shape[0]!, size * size, down * across];
  const table = nn.parameter(`${name}.relative_position_bias_table`, [(2 * size - 1) ** 2, heads]);
  return attention(nn, name, x, heads, (scores) => {
    const rows = nn.gatherRows(table, distances(size));
    const bias = nn.reshape(nn.permute(rows, [1, 0]), [heads, tokens, tokens]);
    if (shift === 0) return sum(scores, bias);
    const mask = nn.graph.constant(f32([count, 1, tokens, tokens], shiftMask(windows)));
    return sumOfThree(nn.reshape(scores, [n, count, heads, tokens, tokens]), bias, mask);
  });
}

function block(nn: Layers, name: string, x: Value, heads: number, windows: Windows, dropPath: number): Value {
  const inWindows = partition(nn, nn.layerNorm(`${name}.norm1`, x), windows);
  const mixed = windowAttention(nn, `${name}.attn`, inWindows, heads, windows);
  const y = nn.add(x, nn.dropPath(join(nn, mixed, windows, x.shape as unknown as Image), dropPath));
  const fed = feedForward(nn, `${name}.mlp`, nn.layerNorm(`${name}.norm2`, y), MLP_RATIO);
  return nn.add(y, nn.dropPath(fed, dropPath));
}

/** 2×2 tokens as one, [N, H, W, C] → [N, H/2, W/2, 2C]; an odd edge is filled with zeros. */
function merge(nn: Layers, name: string, x: Value): Value {
  let y = x;
  if (y.shape[1]! % 2 === 1) y = nn.pad(y, 1, 0, 1);
  if (y.shape[2]! % 2 === 1) y = nn.pad(y, 2, 0, 1);
  const [n, h, w, c] = y.shape as unknown as Image;
  // Of the four, the one below comes before the one beside.
  const four = nn.permute(nn.reshape(y, [n, h / 2, 2, w / 2, 2, c]), [0, 1, 3, 4, 2, 5]);
  const merged = nn.layerNorm(`${name}.norm`, nn.reshape(four, [n, h / 2, w / 2, 4 * c]));
  return nn.linear(`${name}.reduction`, merged, 2 * c, { bias: false, deviation: DEVIATION });
}

/** A Swin transformer from its sizes. */
export function swin(spec: SwinSpec): Model {
  const { name, description, card, patch, window, width, depths, heads, dropPath = 0 } = spec;
  const blocks = depths.reduce((sum, depth) => sum + depth, 0);
  return {
    ...{ name, description, card, minimumSize: patch },
    build: (nn, image, classes) => {
      const [n, h, w] = image.shape as unknown as Image;
      if (h % patch !== 0 || w % patch !== 0) {
        throw new UserError(`${name}: an image of ${h}×${w}; expected multiples of the patches of ${patch}×${patch}`);
      }
      const patches = nn.conv('patch_embed.proj', image, { out: width, kernel: patch, stride: patch, bias: true });
      let x = nn.layerNorm('patch_embed.norm', patches);
      let before = 0;
      depths.forEach((depth, stage) => {
        if (stage > 0) x = merge(nn, `layers.${stage}.downsample`, x);
        for (let index = 0; index < depth; index++) {
          const [label, input] = [`layers.${stage}.blocks.${index}`, x];
          const windows = windowsOf(x.shape as unknown as Image, window, index % 2 === 1);
          const dropped = dropPathOf(dropPath, before++, blocks);
          x = nn.block(label, () => block(nn, label, input, heads[stage]!, windows, dropped));
        }
      });
      const channels = x.shape[3]!;
      const pooled = nn.globalAveragePool(nn.layerNorm('norm', x));
      return nn.linear('head.fc', nn.reshape(pooled, [n, channels]), classes);
    },
  };
}

function entry(size: string, width: number, depths: readonly number[], heads: readonly number[]): Model {
  return swin({
    ...{ name: `swin_${size}_patch4_window7_224`, patch: 4, window: 7, width, depths, heads },
    description: `Swin transformer, ${size}: windows of 7×7, ${width} channels at first, for 224×224`,
    card: {
      ...{ imageSize: 224, classes: 1000, classifier: 'head.fc' },
      source: 'Liu et al., 2021; timm (swin_*_patch4_window7_224)',
      normalization: { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] },
      // Linear layers of attention and feed-forward blocks are what the paper approximates.
      exact: ['patch_embed.proj', 'layers.*.downsample.reduction', 'head.fc'],
    },
  });
}

export const swinTransformers: readonly Model[] = [
  entry('tiny', 96, [2, 2, 6, 2], [3, 6, 12, 24]),
  entry('small', 96, [2, 2, 18, 2], [3, 6, 12, 24]),
  entry('base', 128, [2, 2, 18, 2], [4, 8, 16, 32]),
];
