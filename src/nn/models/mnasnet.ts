// MNASNet-B1 (Tan et al., 2019) at twice its width, as the published program has it for ImageNet: MobileNetV2's blocks
// with 3×3 and 5×5 depthwise convolutions as a search chose them, and ReLU; without dropout.
// Layers are numbered through, activations counted.

import type { Value } from '../../engine/graph/graph.ts';
import type { ConvSpec, Layers } from '../layers.ts';
import { published } from './cards.ts';
import type { Model } from './model.ts';

interface Stage {
  readonly out: number;
  readonly kernel: 3 | 5;
  readonly stride: 1 | 2;
  readonly expansion: number;
  readonly depth: number;
}

const stages: readonly Stage[] = [
  { out: 48, kernel: 3, stride: 2, expansion: 3, depth: 3 },
  { out: 80, kernel: 5, stride: 2, expansion: 3, depth: 3 },
  { out: 160, kernel: 5, stride: 2, expansion: 6, depth: 3 },
  { out: 192, kernel: 3, stride: 1, expansion: 6, depth: 2 },
  { out: 384, kernel: 5, stride: 2, expansion: 6, depth: 4 },
  { out: 640, kernel: 3, stride: 1, expansion: 6, depth: 1 },
];

/** Convolutions with batch norm from `layers.first` on, each with an activation unless it is the narrow end. */
function chain(nn: Layers, prefix: string, first: number, x: Value, units: readonly (ConvSpec & { narrow?: true })[]) {
  return units.reduce((value, { narrow, ...spec }, unit) => {
    const at = first + 3 * unit;
    const y = nn.batchNorm(`${prefix}.${at + 1}`, nn.conv(`${prefix}.${at}`, value, spec));
    return narrow ? y : nn.relu(y);
  }, x);
}

const depthwise = (channels: number, kernel: number, stride: number): ConvSpec => ({
  ...{ out: channels, kernel, stride, padding: (kernel - 1) / 2, groups: channels },
});

function block(nn: Layers, name: string, x: Value, { out, kernel, stride, expansion }: Stage): Value {
  const inner = x.shape[3]! * expansion;
  const y = chain(nn, `${name}.layers`, 0, x, [
    { out: inner, kernel: 1 },
    depthwise(inner, kernel, stride),
    { out, kernel: 1, narrow: true },
  ]);
  return stride === 1 && x.shape[3] === out ? nn.add(y, x) : y;
}

const mnasnet = published('imagenet', {
  name: 'mnasnet',
  description: 'MNASNet-B1 of twice the width',
  paper: 'Tan et al., 2019',
  classifier: 'classifier.1',
  minimumSize: 32,
  build: (nn, image, classes) => {
    let x = chain(nn, 'layers', 0, image, [
      { out: 64, kernel: 3, stride: 2, padding: 1 },
      depthwise(64, 3, 1),
      { out: 32, kernel: 1, narrow: true },
    ]);
    stages.forEach((stage, at) => {
      for (let index = 0; index < stage.depth; index++) {
        const [name, input, stride] = [`layers.${8 + at}.${index}`, x, index === 0 ? stage.stride : 1];
        x = nn.block(name, () => block(nn, name, input, { ...stage, stride }));
      }
    });
    x = chain(nn, 'layers', 14, x, [{ out: 1280, kernel: 1 }]);
    return nn.linear('classifier.1', nn.globalAveragePool(x), classes);
  },
});

export const mnasNetworks: readonly Model[] = [mnasnet];
