// Inception-v3 (Szegedy et al., 2016) with PyTorch's parameter names. Five kinds of modules, each a list of branches
// that read the same input; a branch is a chain of convolutions, and their outputs stand side by side. torchvision's
// form takes images of 299×299; the published program's for CIFAR-10 has one 3×3 convolution in place of the stem. The
// auxiliary head, which only training with a second loss uses, is left out.

import type { Value } from '../../engine/graph/graph.ts';
import type { PerAxis } from '../../engine/graph/window.ts';
import type { Layers } from '../layers.ts';
import { published } from './cards.ts';
import type { Model } from './model.ts';

/** A convolution: its name in the module, channels, kernel; where it is not `same`, its stride (then no padding). */
type Unit = readonly [name: string, out: number, kernel: PerAxis, stride?: number];

function unit(nn: Layers, name: string, x: Value, out: number, kernel: PerAxis, stride?: number, padded = true): Value {
  const [height, width] = typeof kernel === 'number' ? [kernel, kernel] : kernel;
  const same = padded && stride === undefined ? [(height - 1) / 2, (width - 1) / 2] : [0, 0];
  const spec = { out, kernel, stride: stride ?? 1, padding: same as [number, number] };
  return nn.relu(nn.batchNorm(`${name}.bn`, nn.conv(`${name}.conv`, x, spec), { epsilon: 1e-3 }));
}

const chain = (nn: Layers, module: string, x: Value, units: readonly Unit[]): Value =>
  units.reduce((y, [name, ...rest]) => unit(nn, `${module}.${name}`, y, ...rest), x);

/** 1×1 behind a mean over 3×3 pixels, padding counted. */
const pooled = (nn: Layers, module: string, x: Value, out: number): Value =>
  chain(nn, module, nn.averagePool(x, 3, 1, 1), [['branch_pool', out, 1]]);

/** 1×1, 5×5, and 3×3 twice. */
function moduleA(nn: Layers, name: string, x: Value, pool: number): Value {
  const branches = [
    chain(nn, name, x, [['branch1x1', 64, 1]]),
    chain(nn, name, x, [
      ['branch5x5_1', 48, 1],
      ['branch5x5_2', 64, 5],
    ]),
    chain(nn, name, x, [
      ['branch3x3dbl_1', 64, 1],
      ['branch3x3dbl_2', 96, 3],
      ['branch3x3dbl_3', 96, 3],
    ]),
    pooled(nn, name, x, pool),
  ];
  return nn.concat(branches, -1);
}

/** Halves the image: 3×3, 3×3 twice, a max pool. */
function moduleB(nn: Layers, name: string, x: Value): Value {
  const branches = [
    chain(nn, name, x, [['branch3x3', 384, 3, 2]]),
    chain(nn, name, x, [
      ['branch3x3dbl_1', 64, 1],
      ['branch3x3dbl_2', 96, 3],
      ['branch3x3dbl_3', 96, 3, 2],
    ]),
    nn.maxPool(x, 3, 2),
  ];
  return nn.concat(branches, -1);
}

/** 7×7 as rows and columns, once and twice. */
function moduleC(nn: Layers, name: string, x: Value, inner: number): Value {
  const branches = [
    chain(nn, name, x, [['branch1x1', 192, 1]]),
    chain(nn, name, x, [
      ['branch7x7_1', inner, 1],
      ['branch7x7_2', inner, [1, 7]],
      ['branch7x7_3', 192, [7, 1]],
    ]),
    chain(nn, name, x, [
      ['branch7x7dbl_1', inner, 1],
      ['branch7x7dbl_2', inner, [7, 1]],
      ['branch7x7dbl_3', inner, [1, 7]],
      ['branch7x7dbl_4', inner, [7, 1]],
      ['branch7x7dbl_5', 192, [1, 7]],
    ]),
    pooled(nn, name, x, 192),
  ];
  return nn.concat(branches, -1);
}

/** Halves the image: 3×3, 7×7 and 3×3, a max pool. */
function moduleD(nn: Layers, name: string, x: Value): Value {
  const branches = [
    chain(nn, name, x, [
      ['branch3x3_1', 192, 1],
      ['branch3x3_2', 320, 3, 2],
    ]),
    chain(nn, name, x, [
      ['branch7x7x3_1', 192, 1],
      ['branch7x7x3_2', 192, [1, 7]],
      ['branch7x7x3_3', 192, [7, 1]],
      ['branch7x7x3_4', 192, 3, 2],
    ]),
    nn.maxPool(x, 3, 2),
  ];
  return nn.concat(branches, -1);
}

/** Branches that end in a row and a column of 3, side by side. */
function moduleE(nn: Layers, name: string, x: Value): Value {
  const fork = (y: Value, row: string, column: string) => [
    chain(nn, name, y, [[row, 384, [1, 3]]]),
    chain(nn, name, y, [[column, 384, [3, 1]]]),
  ];
  const reduced = chain(nn, name, x, [['branch3x3_1', 384, 1]]);
  const double = chain(nn, name, x, [
    ['branch3x3dbl_1', 448, 1],
    ['branch3x3dbl_2', 384, 3],
  ]);
  const branches = [
    chain(nn, name, x, [['branch1x1', 320, 1]]),
    ...fork(reduced, 'branch3x3_2a', 'branch3x3_2b'),
    ...fork(double, 'branch3x3dbl_3a', 'branch3x3dbl_3b'),
    pooled(nn, name, x, 192),
  ];
  return nn.concat(branches, -1);
}

const modules: readonly (readonly [string, (nn: Layers, name: string, x: Value) => Value])[] = [
  ['Mixed_5b', (nn, name, x) => moduleA(nn, name, x, 32)],
  ['Mixed_5c', (nn, name, x) => moduleA(nn, name, x, 64)],
  ['Mixed_5d', (nn, name, x) => moduleA(nn, name, x, 64)],
  ['Mixed_6a', moduleB],
  ['Mixed_6b', (nn, name, x) => moduleC(nn, name, x, 128)],
  ['Mixed_6c', (nn, name, x) => moduleC(nn, name, x, 160)],
  ['Mixed_6d', (nn, name, x) => moduleC(nn, name, x, 160)],
  ['Mixed_6e', (nn, name, x) => moduleC(nn, name, x, 192)],
  ['Mixed_7a', moduleD],
  ['Mixed_7b', moduleE],
  ['Mixed_7c', moduleE],
];

function largeStem(nn: Layers, image: Value): Value {
  let x = unit(nn, 'Conv2d_1a_3x3', image, 32, 3, 2);
  x = unit(nn, 'Conv2d_2a_3x3', x, 32, 3, 1);
  x = unit(nn, 'Conv2d_2b_3x3', x, 64, 3);
  x = unit(nn, 'Conv2d_3b_1x1', nn.maxPool(x, 3, 2), 80, 1);
  x = unit(nn, 'Conv2d_4a_3x3', x, 192, 3, 1);
  return nn.maxPool(x, 3, 2);
}

/**
 * The published weights take images of −1 … 1: torchvision normalises them as for its other networks and turns that
 * into this inside the network (`transform_input`).
 */
const FROM_MINUS_ONE = { mean: [0.5, 0.5, 0.5], deviation: [0.5, 0.5, 0.5] };

function inception(collection: 'cifar' | 'torchvision'): Model {
  const isSmall = collection === 'cifar';
  return published(collection, {
    name: 'inception_v3',
    description: `Inception-v3${isSmall ? ' with a 3×3 stem' : ''}`,
    paper: 'Szegedy et al., 2016',
    classifier: 'fc',
    ...(isSmall ? {} : { imageSize: 299, unused: ['AuxLogits.*'], normalization: FROM_MINUS_ONE }),
    minimumSize: isSmall ? 7 : 75,
    build: (nn, image, classes) => {
      let x = isSmall ? unit(nn, 'Conv2d_1a_3x3', image, 192, 3) : largeStem(nn, image);
      for (const [name, module] of modules) {
        const input = x;
        x = nn.block(name, () => module(nn, name, input));
      }
      return nn.linear('fc', nn.dropout(nn.globalAveragePool(x), 0.5), classes);
    },
  });
}

export const inceptionNetworks: readonly Model[] = [inception('cifar'), inception('torchvision')];
