// Residual networks (He et al., 2016) with PyTorch's parameter names. `resnet18`, `resnet34`, `resnet50` have the 3×3
// stem and the max pool that the published program uses on CIFAR-10; `resnet8` is the small one of the embedded
// default: one basic block per stage, no max pool.

import type { Value } from '../../engine/graph/graph.ts';
import type { Layers } from '../layers.ts';
import type { Model } from './model.ts';

interface ResNetSpec {
  readonly name: string;
  readonly description: string;
  readonly block: 'basic' | 'bottleneck';
  /** Blocks per stage. */
  readonly depths: readonly number[];
  /** Channels of the first stage; each further stage doubles them. */
  readonly width: number;
  readonly maxPool: boolean;
}

const EXPANSION = { basic: 1, bottleneck: 4 } as const;

function basicBlock(nn: Layers, name: string, x: Value, width: number, stride: number): Value {
  let y = nn.conv(`${name}.conv1`, x, { out: width, kernel: 3, stride, padding: 1 });
  y = nn.relu(nn.batchNorm(`${name}.bn1`, y));
  y = nn.conv(`${name}.conv2`, y, { out: width, kernel: 3, padding: 1 });
  y = nn.batchNorm(`${name}.bn2`, y);
  return nn.relu(nn.add(y, shortcut(nn, name, x, width, stride)));
}

function bottleneckBlock(nn: Layers, name: string, x: Value, width: number, stride: number): Value {
  const out = width * EXPANSION.bottleneck;
  let y = nn.relu(nn.batchNorm(`${name}.bn1`, nn.conv(`${name}.conv1`, x, { out: width, kernel: 1 })));
  y = nn.conv(`${name}.conv2`, y, { out: width, kernel: 3, stride, padding: 1 });
  y = nn.relu(nn.batchNorm(`${name}.bn2`, y));
  y = nn.batchNorm(`${name}.bn3`, nn.conv(`${name}.conv3`, y, { out, kernel: 1 }));
  return nn.relu(nn.add(y, shortcut(nn, name, x, out, stride)));
}

/** The identity, or a 1×1 projection where the shape changes. */
function shortcut(nn: Layers, name: string, x: Value, out: number, stride: number): Value {
  if (stride === 1 && x.shape[3] === out) return x;
  return nn.batchNorm(`${name}.downsample.1`, nn.conv(`${name}.downsample.0`, x, { out, kernel: 1, stride }));
}

function resnet(spec: ResNetSpec): Model {
  const block = spec.block === 'basic' ? basicBlock : bottleneckBlock;
  return {
    name: spec.name,
    description: spec.description,
    minimumSize: 2 ** (spec.depths.length - 1) * (spec.maxPool ? 2 : 1),
    build: (nn, image, classes) => {
      let x = nn.relu(nn.batchNorm('bn1', nn.conv('conv1', image, { out: spec.width, kernel: 3, padding: 1 })));
      if (spec.maxPool) x = nn.maxPool(x, 3, 2, 1);
      spec.depths.forEach((depth, stage) => {
        for (let index = 0; index < depth; index++) {
          const stride = stage > 0 && index === 0 ? 2 : 1;
          const [name, width, input] = [`layer${stage + 1}.${index}`, spec.width * 2 ** stage, x];
          x = nn.block(name, () => block(nn, name, input, width, stride));
        }
      });
      return nn.linear('fc', nn.globalAveragePool(x), classes);
    },
  };
}

export const residualNetworks: readonly Model[] = [
  resnet({
    name: 'resnet8',
    description: 'three basic blocks of 16, 32 and 64 channels: small images',
    block: 'basic',
    depths: [1, 1, 1],
    width: 16,
    maxPool: false,
  }),
  resnet({
    name: 'resnet20',
    description: 'nine basic blocks of 16, 32 and 64 channels: CIFAR-10 on a laptop',
    block: 'basic',
    depths: [3, 3, 3],
    width: 16,
    maxPool: false,
  }),
  resnet({
    name: 'resnet18',
    description: 'ResNet-18 with a 3×3 stem',
    block: 'basic',
    depths: [2, 2, 2, 2],
    width: 64,
    maxPool: true,
  }),
  resnet({
    name: 'resnet34',
    description: 'ResNet-34 with a 3×3 stem',
    block: 'basic',
    depths: [3, 4, 6, 3],
    width: 64,
    maxPool: true,
  }),
  resnet({
    name: 'resnet50',
    description: 'ResNet-50 with a 3×3 stem',
    block: 'bottleneck',
    depths: [3, 4, 6, 3],
    width: 64,
    maxPool: true,
  }),
];
