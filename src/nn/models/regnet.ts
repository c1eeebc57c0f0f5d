// RegNets (Radosavovic et al., 2020): bottlenecks of grouped convolutions whose widths follow a line, w0 + wa · block,
// rounded to powers of wm and to multiples of 8; blocks of one width are a stage. RegNetY has a gate on the channels
// behind each 3×3 convolution (squeeze and excitation). Parameters are the paper's, by floating-point multiplications
// per image; names are the published program's.

import type { Value } from '../../engine/graph/graph.ts';
import type { Layers } from '../layers.ts';
import { published } from './cards.ts';
import type { Model } from './model.ts';

export interface RegNetParameters {
  /** Blocks. */
  readonly depth: number;
  /** The line of widths: of the first block, and its slope. */
  readonly w0: number;
  readonly wa: number;
  /** Ratio of two neighbouring widths, before they are rounded. */
  readonly wm: number;
  /** Channels of a group, at most the width. */
  readonly groupWidth: number;
}

type Row = readonly [name: string, depth: number, w0: number, wa: number, wm: number, groupWidth: number];

const rows: Readonly<Record<'x' | 'y', readonly Row[]>> = {
  x: [
    ['200m', 13, 24, 36.44, 2.49, 8],
    ['400m', 22, 24, 24.48, 2.54, 16],
    ['600m', 16, 48, 36.97, 2.24, 24],
    ['800m', 16, 56, 35.73, 2.28, 16],
    ['1.6g', 18, 80, 34.01, 2.25, 24],
    ['3.2g', 25, 88, 26.31, 2.25, 48],
    ['4.0g', 23, 96, 38.65, 2.43, 40],
    ['6.4g', 17, 184, 60.83, 2.07, 56],
    ['8.0g', 23, 80, 49.56, 2.88, 120],
    ['12g', 19, 168, 73.36, 2.37, 112],
    ['16g', 22, 216, 55.59, 2.1, 128],
    ['32g', 23, 320, 69.86, 2.0, 168],
  ],
  y: [
    ['200m', 13, 24, 36.44, 2.49, 8],
    ['400m', 16, 48, 27.89, 2.09, 8],
    ['600m', 15, 48, 32.54, 2.32, 16],
    ['800m', 14, 56, 38.84, 2.4, 16],
    ['1.6g', 27, 48, 20.71, 2.65, 24],
    ['3.2g', 21, 80, 42.63, 2.66, 24],
    ['4.0g', 22, 96, 31.41, 2.24, 64],
    ['6.4g', 25, 112, 33.22, 2.27, 72],
    ['8.0g', 17, 192, 76.82, 2.19, 56],
    ['12g', 19, 168, 73.36, 2.37, 112],
    ['16g', 18, 200, 106.23, 2.48, 112],
    ['32g', 20, 232, 115.89, 2.53, 232],
  ],
};

/** The paper's parameters of a RegNet by its kind and size. */
export function regnetParameters(kind: 'x' | 'y', size: string): RegNetParameters {
  const [, depth, w0, wa, wm, groupWidth] = rows[kind].find(([name]) => name === size)!;
  return { depth, w0, wa, wm, groupWidth };
}

export interface RegNetStage {
  readonly width: number;
  readonly depth: number;
  readonly groupWidth: number;
}

/** To the nearest whole number, halves to the even one: several of the paper's widths lie in the middle. */
function rounded(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** The stages that the paper's parameters mean. */
export function regnetStages({ depth, w0, wa, wm, groupWidth }: RegNetParameters): readonly RegNetStage[] {
  const widths = Array.from({ length: depth }, (_, block) => {
    const power = rounded(Math.log((w0 + wa * block) / w0) / Math.log(wm));
    return rounded((w0 * wm ** power) / 8) * 8;
  });
  return [...new Set(widths)].map((width) => {
    // A width is brought to a multiple of its group's.
    const group = Math.min(groupWidth, width);
    return {
      width: rounded(width / group) * group,
      depth: widths.filter((one) => one === width).length,
      groupWidth: group,
    };
  });
}

const STEM = 32;

function block(nn: Layers, name: string, x: Value, { width, groupWidth }: RegNetStage, stride: number, gated: boolean) {
  const input = x.shape[3]!;
  const projected =
    stride === 1 && input === width
      ? x
      : nn.batchNorm(`${name}.bn`, nn.conv(`${name}.proj`, x, { out: width, kernel: 1, stride }));
  let y = nn.relu(nn.batchNorm(`${name}.f.a_bn`, nn.conv(`${name}.f.a`, x, { out: width, kernel: 1 })));
  y = nn.conv(`${name}.f.b`, y, { out: width, kernel: 3, stride, padding: 1, groups: width / groupWidth });
  y = nn.relu(nn.batchNorm(`${name}.f.b_bn`, y));
  if (gated) y = gate(nn, `${name}.f.se.f_ex`, y, rounded(input / 4));
  y = nn.batchNorm(`${name}.f.c_bn`, nn.conv(`${name}.f.c`, y, { out: width, kernel: 1 }));
  return nn.relu(nn.add(projected, y));
}

/** Squeeze and excitation: a factor from 0 to 1 per image and channel, from the image's means. */
function gate(nn: Layers, name: string, x: Value, inner: number): Value {
  const [n, , , c] = x.shape as [number, number, number, number];
  const means = nn.graph.apply1('reshape', [nn.globalAveragePool(x)], { shape: [n, 1, 1, c] });
  const squeezed = nn.relu(nn.conv(`${name}.0`, means, { out: inner, kernel: 1, bias: true }));
  return nn.gate(x, nn.sigmoid(nn.conv(`${name}.2`, squeezed, { out: c, kernel: 1, bias: true })));
}

function regnet(kind: 'x' | 'y', size: string): Model {
  return published('imagenet', {
    name: `regnet${kind}_${size}`,
    description: `RegNet${kind.toUpperCase()}-${size.toUpperCase()}F`,
    paper: 'Radosavovic et al., 2020',
    classifier: 'head.fc',
    minimumSize: 32,
    build: (nn, image, classes) => {
      const stem = nn.conv('stem.conv', image, { out: STEM, kernel: 3, stride: 2, padding: 1 });
      let x = nn.relu(nn.batchNorm('stem.bn', stem));
      regnetStages(regnetParameters(kind, size)).forEach((stage, at) => {
        for (let index = 0; index < stage.depth; index++) {
          const [name, input] = [`s${at + 1}.b${index + 1}`, x];
          x = nn.block(name, () => block(nn, name, input, stage, index === 0 ? 2 : 1, kind === 'y'));
        }
      });
      return nn.linear('head.fc', nn.globalAveragePool(x), classes);
    },
  });
}

export const regularNetworks: readonly Model[] = (['x', 'y'] as const).flatMap((kind) =>
  rows[kind].map(([size]) => regnet(kind, size)),
);
