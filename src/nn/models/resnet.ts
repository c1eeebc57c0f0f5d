// Residual networks (He et al., 2016), and those with grouped or wider 3×3 convolutions: ResNeXt (Xie et al., 2017) and
// Wide ResNet (Zagoruyko and Komodakis, 2016), with PyTorch's parameter names. The published program's for CIFAR-10
// have a 3×3 stem and the max pool; `resnet8` and `resnet20` are the small ones of the original paper: basic blocks,
// three stages, no max pool.

import type { Value } from '../../engine/graph/graph.ts';
import type { Layers } from '../layers.ts';
import { type Collection, published } from './cards.ts';
import type { Model } from './model.ts';

interface ResNetSpec {
  readonly name: string;
  readonly description: string;
  readonly block: 'basic' | 'bottleneck';
  /** Blocks per stage. */
  readonly depths: readonly number[];
  /** Channels of the first stage; each further stage doubles them. */
  readonly width?: number;
  /** Of a bottleneck's 3×3 convolution: its groups, and its channels over the stage's width. */
  readonly groups?: number;
  readonly widening?: number;
}

/** What comes before the blocks: a 3×3 convolution, or 7×7 at stride 2; then the max pool at stride 2, or nothing. */
interface Stem {
  readonly kernel: 3 | 7;
  readonly maxPool: boolean;
}

interface Block extends Required<Pick<ResNetSpec, 'groups' | 'widening'>> {
  readonly name: string;
  readonly width: number;
  readonly stride: number;
}

const EXPANSION = 4;

function basicBlock(nn: Layers, x: Value, { name, width, stride }: Block): Value {
  let y = nn.conv(`${name}.conv1`, x, { out: width, kernel: 3, stride, padding: 1 });
  y = nn.relu(nn.batchNorm(`${name}.bn1`, y));
  y = nn.conv(`${name}.conv2`, y, { out: width, kernel: 3, padding: 1 });
  y = nn.batchNorm(`${name}.bn2`, y);
  return nn.relu(nn.add(y, shortcut(nn, name, x, width, stride)));
}

function bottleneckBlock(nn: Layers, x: Value, { name, width, stride, groups, widening }: Block): Value {
  const [inner, out] = [width * widening, width * EXPANSION];
  let y = nn.relu(nn.batchNorm(`${name}.bn1`, nn.conv(`${name}.conv1`, x, { out: inner, kernel: 1 })));
  y = nn.conv(`${name}.conv2`, y, { out: inner, kernel: 3, stride, padding: 1, groups });
  y = nn.relu(nn.batchNorm(`${name}.bn2`, y));
  y = nn.batchNorm(`${name}.bn3`, nn.conv(`${name}.conv3`, y, { out, kernel: 1 }));
  return nn.relu(nn.add(y, shortcut(nn, name, x, out, stride)));
}

/** The identity, or a 1×1 projection where the shape changes. */
function shortcut(nn: Layers, name: string, x: Value, out: number, stride: number): Value {
  if (stride === 1 && x.shape[3] === out) return x;
  return nn.batchNorm(`${name}.downsample.1`, nn.conv(`${name}.downsample.0`, x, { out, kernel: 1, stride }));
}

function resnet(collection: Collection, spec: ResNetSpec, { kernel, maxPool }: Stem): Model {
  const { name, description, depths, width: first = 64, groups = 1, widening = 1 } = spec;
  const block = spec.block === 'basic' ? basicBlock : bottleneckBlock;
  const stem = { out: first, kernel, stride: kernel === 7 ? 2 : 1, padding: (kernel - 1) / 2 };
  return published(collection, {
    name,
    description,
    paper: paperOf(spec),
    classifier: 'fc',
    minimumSize: 2 ** (depths.length - 1) * (maxPool ? 2 : 1) * stem.stride,
    build: (nn, image, classes) => {
      let x = nn.relu(nn.batchNorm('bn1', nn.conv('conv1', image, stem)));
      if (maxPool) x = nn.maxPool(x, 3, 2, 1);
      depths.forEach((depth, stage) => {
        for (let index = 0; index < depth; index++) {
          const stride = stage > 0 && index === 0 ? 2 : 1;
          const [blockName, width, input] = [`layer${stage + 1}.${index}`, first * 2 ** stage, x];
          x = nn.block(blockName, () => block(nn, input, { name: blockName, width, stride, groups, widening }));
        }
      });
      return nn.linear('fc', nn.globalAveragePool(x), classes);
    },
  });
}

function paperOf({ groups = 1, widening = 1 }: ResNetSpec): string {
  if (groups > 1) return 'Xie et al., 2017';
  return widening > 1 ? 'Zagoruyko and Komodakis, 2016' : 'He et al., 2016';
}

const small: readonly ResNetSpec[] = [
  {
    name: 'resnet8',
    description: 'three basic blocks of 16, 32 and 64 channels: small images',
    block: 'basic',
    depths: [1, 1, 1],
    width: 16,
  },
  {
    name: 'resnet20',
    description: 'nine basic blocks of 16, 32 and 64 channels: CIFAR-10 on a laptop',
    block: 'basic',
    depths: [3, 3, 3],
    width: 16,
  },
];

const resnet18: ResNetSpec = { name: 'resnet18', description: 'ResNet-18', block: 'basic', depths: [2, 2, 2, 2] };
const resnet34: ResNetSpec = { name: 'resnet34', description: 'ResNet-34', block: 'basic', depths: [3, 4, 6, 3] };
const resnet50: ResNetSpec = { name: 'resnet50', description: 'ResNet-50', block: 'bottleneck', depths: [3, 4, 6, 3] };
const deep: ResNetSpec = { name: 'resnet101', description: 'ResNet-101', block: 'bottleneck', depths: [3, 4, 23, 3] };

const large: readonly ResNetSpec[] = [
  ...[resnet18, resnet34, resnet50, deep],
  { ...deep, name: 'resnet152', description: 'ResNet-152', depths: [3, 8, 36, 3] },
  { ...resnet50, name: 'resnext50_32x4d', description: 'ResNeXt-50 of 32 groups', groups: 32, widening: 2 },
  { ...resnet50, name: 'wide_resnet50_2', description: 'ResNet-50 with twice the inner width', widening: 2 },
];

const withSmallStem = (spec: ResNetSpec): ResNetSpec => ({
  ...spec,
  description: `${spec.description} with a 3×3 stem`,
});

export const residualNetworks: readonly Model[] = [
  ...small.map((spec) => resnet('cifar', spec, { kernel: 3, maxPool: false })),
  ...[resnet18, resnet34, resnet50].map((spec) => resnet('cifar', withSmallStem(spec), { kernel: 3, maxPool: true })),
  ...(['imagenet', 'torchvision'] as const).flatMap((collection) =>
    large.map((spec) => resnet(collection, spec, { kernel: 7, maxPool: true })),
  ),
];
