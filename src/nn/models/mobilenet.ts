// MobileNetV2 (Sandler et al., 2018): blocks that widen the image's channels, filter each channel by itself (depthwise
// 3×3) and narrow them again without an activation, the narrow ends joined by residual connections. The two ways of
// naming a block's layers are torchvision's, which the published program follows for CIFAR-10, and the numbering of one
// flat sequence in its ImageNet models, which have no dropout.

import type { Value } from '../../engine/graph/graph.ts';
import type { ConvSpec, Layers } from '../layers.ts';
import { type Collection, published } from './cards.ts';
import type { Model } from './model.ts';

/** Widening, channels, blocks, stride of the first block. */
type Stage = readonly [expansion: number, out: number, depth: number, stride: number];

const stages: readonly Stage[] = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
];

/** Names of the convolution and the batch norm of a block's unit: the last has no activation. */
type Naming = (unit: number, isLast: boolean) => readonly [conv: string, norm: string];

/** Each unit with an activation is a sequence of its own in the block's. */
const nested: Naming = (unit, isLast) => (isLast ? [`${unit}`, `${unit + 1}`] : [`${unit}.0`, `${unit}.1`]);
/** All stand in the block's sequence, activations counted. */
const flat: Naming = (unit) => [`${3 * unit}`, `${3 * unit + 1}`];

function invertedResidual(
  nn: Layers,
  name: string,
  x: Value,
  { out, expansion, stride, naming }: { out: number; expansion: number; stride: number; naming: Naming },
): Value {
  const input = x.shape[3]!;
  const inner = input * expansion;
  const units: ConvSpec[] = [
    ...(expansion === 1 ? [] : [{ out: inner, kernel: 1 }]),
    { out: inner, kernel: 3, stride, padding: 1, groups: inner },
    { out, kernel: 1 },
  ];
  const y = units.reduce((value, spec, at) => {
    const isLast = at === units.length - 1;
    const [conv, norm] = naming(at, isLast);
    const normed = nn.batchNorm(`${name}.conv.${norm}`, nn.conv(`${name}.conv.${conv}`, value, spec));
    return isLast ? normed : nn.relu6(normed);
  }, x);
  return stride === 1 && input === out ? nn.add(x, y) : y;
}

interface MobileNetSpec {
  readonly name: string;
  readonly naming: Naming;
  /** Strides of the stem and of the second stage; the others have the paper's. */
  readonly early: 1 | 2;
  /** Rate of dropout before the classifier; default 0.2. */
  readonly dropout?: number;
}

function mobilenet(collection: Collection, { name, naming, early, dropout = 0.2 }: MobileNetSpec): Model {
  return published(collection, {
    name,
    description: `MobileNetV2${early === 1 ? ' that halves the image three times' : ''}`,
    paper: 'Sandler et al., 2018',
    classifier: 'classifier.1',
    minimumSize: early === 1 ? 8 : 32,
    build: (nn, image, classes) => {
      const unit = (at: number, x: Value, spec: ConvSpec) =>
        nn.relu6(nn.batchNorm(`features.${at}.1`, nn.conv(`features.${at}.0`, x, spec)));
      let x = unit(0, image, { out: 32, kernel: 3, stride: early, padding: 1 });
      let at = 1;
      stages.forEach(([expansion, out, depth, first], stage) => {
        for (let index = 0; index < depth; index++, at++) {
          const stride = index > 0 ? 1 : stage === 1 ? early : first;
          const [block, input] = [`features.${at}`, x];
          x = nn.block(block, () => invertedResidual(nn, block, input, { out, expansion, stride, naming }));
        }
      });
      x = unit(at, x, { out: 1280, kernel: 1 });
      return nn.linear('classifier.1', nn.dropout(nn.globalAveragePool(x), dropout), classes);
    },
  });
}

export const mobileNetworks: readonly Model[] = [
  mobilenet('cifar', { name: 'mobilenet_v2', naming: nested, early: 1 }),
  mobilenet('imagenet', { name: 'mobilenetv2', naming: flat, early: 2, dropout: 0 }),
  mobilenet('torchvision', { name: 'mobilenet_v2', naming: nested, early: 2 }),
];
