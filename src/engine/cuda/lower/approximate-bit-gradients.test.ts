import { expect, test } from 'vitest';
import { columnStructure } from '../../../multiplier/structure.ts';
import { Graph, type Node } from '../../graph/graph.ts';
import { type PerAxis, square } from '../../graph/window.ts';
import { dotGroups } from './approximate-bit-form.ts';
import { planeGradients } from './approximate-plane-gradients.ts';
import type { Address, Target } from './launch.ts';

const widths = { weightBits: 8, activationBits: 8 };
const hopper: Target = { multiprocessors: 132, sharedBytesPerBlock: 232_448, precision: 'tf32', warpgroups: true };

interface Layer {
  readonly channels?: number;
  readonly outputs?: number;
  readonly groups?: number;
  readonly stride?: PerAxis;
  readonly index?: readonly number[];
}

function gradientsOf({ channels = 64, outputs = 64, groups = 1, stride = 1, index }: Layer, target: Target) {
  const graph = new Graph();
  const geometry = square({ padding: 1, stride, groups });
  const size = stride === 1 ? 8 : 4;
  const [dw] = graph.apply(
    'axmConv2dGradients',
    [
      graph.input('g', [4, size, size, outputs]),
      graph.input('x', [4, 8, 8, channels], 'u8'),
      graph.input('w', [3, 3, channels / groups, outputs], 'u8'),
      ...['xScale', 'xZero'].map((name) => graph.input(name, [])),
      graph.input('wScale', [outputs]),
    ],
    { ...geometry, ...widths, ...(index && { index }) },
  );
  const { source } = dw!;
  if (source.kind !== 'node') throw new Error('no node');
  return planeGradients(source.node as Node as Node<'axmConv2dGradients'>, target);
}

const kernelsOf = (layer: Layer, target = hopper): string[] => {
  let next = 1n << 40n;
  const take = (): Address => {
    next += 1n << 32n;
    return next;
  };
  const memory = { counters: take, place: take };
  const lowered = gradientsOf(layer, target);
  const at = { inputs: Array.from({ length: 6 }, take), outputs: [take(), take()], workspace: take(), memory };
  return lowered.launches(at).map(({ name }) => name);
};

test('the gradient of a structure is counted where the device and the layer let bits be counted', () => {
  const { index } = columnStructure(widths, 8);
  const way = (layer: Layer, target = hopper) => gradientsOf({ index, ...layer }, target).path.way;
  expect(way({})).toBe('bits');
  expect(way({ channels: 128, outputs: 67, stride: 2 })).toBe('bits');
  expect(way({}, { ...hopper, precision: 'bf16' })).toBe('bits');
  expect(way({}, { ...hopper, precision: 'fp32' })).toBe('by warpgroups');
  expect(way({}, { ...hopper, warpgroups: false })).toBe('by warps');
  expect(way({ channels: 3, outputs: 10, stride: 2 })).toBe('bits');
  expect(way({ channels: 28 })).toBe('bits');
  // Windows of more than 256 codes, and of several groups, are not packed.
  expect(way({ channels: 29 })).toBe('by warpgroups');
  expect(way({ channels: 6, groups: 2 })).toBe('by warpgroups');
  expect(way({ channels: 128, outputs: 128, groups: 2 })).toBe('by warpgroups');
  expect(way({ index: index.map(() => -1) })).toBe('by warpgroups');
});

test('the weights have the gradient of an ordinary convolution, over values where that cannot read codes', () => {
  const { index } = columnStructure(widths, 8);
  const kernels = kernelsOf({ index });
  expect(kernels).toContain('weight_gradient');
  expect(kernels).not.toContain('tensor_dequantize');
  const fewChannels = kernelsOf({ index, channels: 8 });
  expect(fewChannels.slice(fewChannels.indexOf('tensor_dequantize'))).toEqual(['tensor_dequantize', 'convolve']);
});

test('sums of columns take one launch, and so do products of each pair of bits', () => {
  const counted = (index?: readonly number[]) =>
    kernelsOf({ ...(index && { index }) }).filter((name) => name === 'structure_dots').length;
  expect([counted(columnStructure(widths, 8).index), counted(columnStructure(widths, 15).index), counted()]).toEqual([
    1, 1, 1,
  ]);
});

test('pairs of one parameter and one power are a group; without an index each pair is one', () => {
  const columns = dotGroups(widths, columnStructure(widths, 8).index);
  expect(columns.map(({ shift, pairs }) => [shift, pairs.length])).toEqual(
    [8, 7, 6, 5, 4, 3, 2, 1].map((count) => [count - 1, count]),
  );
  expect(columns.every(({ entry, pairs: [first] }) => entry === first!.i * 8 + first!.j)).toBe(true);
  const all = dotGroups(widths, undefined);
  expect(new Set(all.map(({ entry }) => entry)).size).toBe(64);
  // One parameter for all entries of 2×2: three powers.
  expect(dotGroups({ weightBits: 2, activationBits: 2 }, [0, 0, 0, 0]).map(({ pairs }) => pairs.length)).toEqual([
    1, 2, 1,
  ]);
  expect(dotGroups({ weightBits: 2, activationBits: 2 }, [0, 1, 2, -1]).map(({ entry }) => entry)).toEqual([2, 1, 0]);
});
