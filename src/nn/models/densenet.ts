// DenseNets (Huang et al., 2017) with PyTorch's parameter names: in a dense block each layer reads what all layers
// before it wrote, and adds `growth` channels; a transition between two blocks halves channels and image. Batch norm
// comes before the convolution. The published program's for CIFAR-10 have a 3×3 stem at stride 1.

import type { Value } from '../../engine/graph/graph.ts';
import type { Layers } from '../layers.ts';
import { published } from './cards.ts';
import type { Model } from './model.ts';

interface DenseNetSpec {
  /** Layers per block. */
  readonly depths: readonly number[];
  /** Channels that a layer adds. */
  readonly growth: number;
  /** Channels of the stem. */
  readonly width: number;
}

const specs = {
  121: { depths: [6, 12, 24, 16], growth: 32, width: 64 },
  161: { depths: [6, 12, 36, 24], growth: 48, width: 96 },
  169: { depths: [6, 12, 32, 32], growth: 32, width: 64 },
  201: { depths: [6, 12, 48, 32], growth: 32, width: 64 },
} as const satisfies Record<number, DenseNetSpec>;

/** Channels between the two convolutions of a layer, over its growth. */
const BOTTLENECK = 4;

function denseLayer(nn: Layers, name: string, x: Value, growth: number): Value {
  let y = nn.relu(nn.batchNorm(`${name}.norm1`, x));
  y = nn.conv(`${name}.conv1`, y, { out: BOTTLENECK * growth, kernel: 1 });
  y = nn.relu(nn.batchNorm(`${name}.norm2`, y));
  y = nn.conv(`${name}.conv2`, y, { out: growth, kernel: 3, padding: 1 });
  return nn.concat([x, y], -1);
}

function transition(nn: Layers, name: string, x: Value): Value {
  const y = nn.relu(nn.batchNorm(`${name}.norm`, x));
  return nn.averagePool(nn.conv(`${name}.conv`, y, { out: x.shape[3]! / 2, kernel: 1 }), 2, 2);
}

function densenet(collection: 'cifar' | 'torchvision', layers: keyof typeof specs): Model {
  const { depths, growth, width } = specs[layers];
  const stem =
    collection === 'cifar' ? { out: width, kernel: 3, padding: 1 } : { out: width, kernel: 7, stride: 2, padding: 3 };
  return published(collection, {
    name: `densenet${layers}`,
    description: `DenseNet-${layers}${collection === 'cifar' ? ' with a 3×3 stem' : ''}`,
    paper: 'Huang et al., 2017',
    classifier: 'classifier',
    minimumSize: collection === 'cifar' ? 16 : 32,
    build: (nn, image, classes) => {
      let x = nn.relu(nn.batchNorm('features.norm0', nn.conv('features.conv0', image, stem)));
      x = nn.maxPool(x, 3, 2, 1);
      depths.forEach((depth, block) => {
        for (let layer = 1; layer <= depth; layer++) {
          const [name, input] = [`features.denseblock${block + 1}.denselayer${layer}`, x];
          x = nn.block(name, () => denseLayer(nn, name, input, growth));
        }
        if (block + 1 < depths.length) x = transition(nn, `features.transition${block + 1}`, x);
      });
      x = nn.relu(nn.batchNorm('features.norm5', x));
      return nn.linear('classifier', nn.globalAveragePool(x), classes);
    },
  });
}

export const denseNetworks: readonly Model[] = [
  ...([121, 161, 169] as const).map((layers) => densenet('cifar', layers)),
  ...([121, 161, 169, 201] as const).map((layers) => densenet('torchvision', layers)),
];
