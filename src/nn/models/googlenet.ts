// GoogLeNet (Szegedy et al., 2015) with batch norm and PyTorch's parameter names, as the published program has it for
// CIFAR-10: one 3×3 convolution in place of the stem, no auxiliary heads, and 3×3 convolutions in the third branch,
// where the paper has 5×5.

import type { Value } from '../../engine/graph/graph.ts';
import type { ConvSpec, Layers } from '../layers.ts';
import { published } from './cards.ts';
import type { Model } from './model.ts';

/** Channels of a module: 1×1; 3×3 reduced and full; the third branch reduced and full; behind the pool. */
type Widths = readonly [number, number, number, number, number, number];

const unit = (nn: Layers, name: string, x: Value, spec: ConvSpec): Value =>
  nn.relu(nn.batchNorm(`${name}.bn`, nn.conv(`${name}.conv`, x, spec), { epsilon: 1e-3 }));

function inception(nn: Layers, name: string, x: Value, [one, reduced3, full3, reduced5, full5, pool]: Widths): Value {
  const pointwise = (branch: string, input: Value, out: number) =>
    unit(nn, `${name}.${branch}`, input, { out, kernel: 1 });
  const wide = (branch: string, input: Value, out: number) =>
    unit(nn, `${name}.${branch}`, input, { out, kernel: 3, padding: 1 });
  const branches = [
    pointwise('branch1', x, one),
    wide('branch2.1', pointwise('branch2.0', x, reduced3), full3),
    wide('branch3.1', pointwise('branch3.0', x, reduced5), full5),
    pointwise('branch4.1', nn.maxPool(x, 3, 1, 1), pool),
  ];
  return nn.concat(branches, -1);
}

/** Modules by stage; between two stages is a max pool. */
const stages: readonly (readonly (readonly [string, Widths])[])[] = [
  [
    ['inception3a', [64, 96, 128, 16, 32, 32]],
    ['inception3b', [128, 128, 192, 32, 96, 64]],
  ],
  [
    ['inception4a', [192, 96, 208, 16, 48, 64]],
    ['inception4b', [160, 112, 224, 24, 64, 64]],
    ['inception4c', [128, 128, 256, 24, 64, 64]],
    ['inception4d', [112, 144, 288, 32, 64, 64]],
    ['inception4e', [256, 160, 320, 32, 128, 128]],
  ],
  [
    ['inception5a', [256, 160, 320, 32, 128, 128]],
    ['inception5b', [384, 192, 384, 48, 128, 128]],
  ],
];

const googlenet = published('cifar', {
  name: 'googlenet',
  description: 'GoogLeNet with a 3×3 stem and batch norm',
  paper: 'Szegedy et al., 2015',
  classifier: 'fc',
  minimumSize: 4,
  build: (nn, image, classes) => {
    let x = unit(nn, 'conv1', image, { out: 192, kernel: 3, padding: 1 });
    stages.forEach((modules, stage) => {
      if (stage > 0) x = nn.maxPool(x, 3, 2, 1);
      for (const [name, widths] of modules) {
        const input = x;
        x = nn.block(name, () => inception(nn, name, input, widths));
      }
    });
    return nn.linear('fc', nn.dropout(nn.globalAveragePool(x), 0.2), classes);
  },
});

export const googleNetworks: readonly Model[] = [googlenet];
