// Element-wise operations, structures, and the tables with which many tensors share one launch.

import { sizeOf } from '../../../tensor/tensor.ts';
import type { Node } from '../../graph/graph.ts';
import { pathOf } from '../../graph/paths.ts';
import type { Address } from '../runtime/driver.ts';
import { type Argument, address, f32, i32, launch } from './launch.ts';
import {
  alwaysTheSame,
  elementwise,
  type Lowerings,
  type Operands,
  overElements,
  type ProgramMemory,
} from './lowering.ts';

const countOf = (node: Pick<Node, 'outputs'>): number => sizeOf(node.outputs[0]!.shape);
const channelsOf = (shape: readonly number[]): number => shape.at(-1) ?? 1;
const levels = (bits: number): Argument => f32(2 ** bits - 1);
const all = ({ inputs, outputs }: Operands): Argument[] => [...inputs, ...outputs].map(address);

/** Inputs, outputs, element count, and what else the kernel takes. */
function plain(name: string, node: Node, operands: Operands, ...more: Argument[]) {
  const count = countOf(node);
  return [elementwise(name, count, [...all(operands), i32(count), ...more])];
}

const perChannel = (granularity: 'tensor' | 'channel', shape: readonly number[]): Argument =>
  i32(granularity === 'tensor' ? 1 : channelsOf(shape));

/** Vectors of four elements, where one scale serves all of a tensor that is made of them; else 0. */
const vectorsOf = (node: Node<never> | Node, granularity: 'tensor' | 'channel'): number =>
  granularity === 'tensor' && countOf(node) % 4 === 0 ? countOf(node) / 4 : 0;

const cut = overElements(countOf);

const quantiserWays = { 'vectors of four': {}, elements: { scales: ['one', 'per channel'] } } as const;
const quantiser = {
  ways: quantiserWays,
  path: (node: Node<'quantize'> | Node<'dequantize'>) => {
    const { granularity } = node.attributes;
    if (vectorsOf(node as Node, granularity)) return pathOf(quantiserWays, 'vectors of four', {});
    return pathOf(quantiserWays, 'elements', { scales: granularity === 'tensor' ? 'one' : 'per channel' });
  },
};

const indexTable = (index: readonly number[], memory: ProgramMemory): Address =>
  memory.table(new Uint8Array(Int32Array.from(index).buffer));

export const elementwiseLowerings: Lowerings<
  | 'add'
  | 'affine'
  | 'scaleBy'
  | 'broadcast'
  | 'relu'
  | 'reluGradient'
  | 'clampStraightThrough'
  | 'imageToFloat'
  | 'bias'
  | 'divide'
  | 'quantize'
  | 'dequantize'
  | 'rangeToScale'
  | 'clipScale'
  | 'clipScaleGradient'
  | 'structureMatrix'
  | 'structureMatrixGradient'
> = {
  add: {
    ...cut,
    launches: (node, operands) => plain('add', node, operands, f32(node.attributes.alpha), f32(node.attributes.beta)),
  },
  affine: {
    ...cut,
    launches: (node, operands) =>
      plain('affine', node, operands, f32(node.attributes.scale), f32(node.attributes.offset)),
  },
  scaleBy: { ...cut, launches: (node, operands) => plain('scale_by', node, operands) },
  broadcast: { ...cut, launches: (node, operands) => plain('broadcast', node, operands) },
  relu: { ...cut, launches: (node, operands) => plain('relu', node, operands) },
  reluGradient: { ...cut, launches: (node, operands) => plain('relu_gradient', node, operands) },
  clampStraightThrough: {
    ...cut,
    launches: (node, operands) => plain('clamp', node, operands, f32(node.attributes.low), f32(node.attributes.high)),
  },
  divide: { ...cut, launches: (node, operands) => plain('divide', node, operands) },
  imageToFloat: {
    ...cut,
    launches: (node, { inputs, outputs }, _, memory) => {
      const { scale, offset } = node.attributes;
      const tables = [scale, offset].map((values) => memory.table(new Uint8Array(Float32Array.from(values).buffer)));
      const count = countOf(node);
      return [
        elementwise('image_to_float', count, [
          ...[inputs[0]!, ...tables, outputs[0]!].map(address),
          i32(count),
          i32(scale.length),
        ]),
      ];
    },
  },
  bias: {
    ...cut,
    launches: (node, operands) => plain('bias', node, operands, i32(channelsOf(node.outputs[0]!.shape))),
  },
  quantize: {
    ...quantiser,
    launches: (node, operands) => {
      const { bits, granularity } = node.attributes;
      const vectors = vectorsOf(node, granularity);
      if (vectors) return [elementwise('tensor_quantize', vectors, [...all(operands), i32(vectors), levels(bits)])];
      return plain('quantize', node, operands, perChannel(granularity, node.outputs[0]!.shape), levels(bits));
    },
  },
  dequantize: {
    ...quantiser,
    launches: (node, operands) => {
      const { granularity } = node.attributes;
      const vectors = vectorsOf(node, granularity);
      if (vectors) return [elementwise('tensor_dequantize', vectors, [...all(operands), i32(vectors)])];
      return plain('dequantize', node, operands, perChannel(granularity, node.outputs[0]!.shape));
    },
  },
  rangeToScale: {
    ...alwaysTheSame,
    launches: (node, operands) => plain('range_to_scale', node, operands, levels(node.attributes.bits)),
  },
  clipScale: {
    ...alwaysTheSame,
    launches: (node, operands) => plain('clip_scale', node, operands, levels(node.attributes.bits)),
  },
  clipScaleGradient: {
    ...alwaysTheSame,
    launches: (node, operands) => plain('clip_scale_gradient', node, operands, levels(node.attributes.bits)),
  },
  structureMatrix: {
    ...alwaysTheSame,
    launches: (node, { inputs, outputs }, _, memory) => {
      const count = countOf(node);
      const index = indexTable(node.attributes.index, memory);
      return [elementwise('structure_matrix', count, [...[inputs[0]!, index, outputs[0]!].map(address), i32(count)])];
    },
  },
  structureMatrixGradient: {
    ...alwaysTheSame,
    launches: (node, { inputs, outputs }, _, memory) => {
      const { index, count } = node.attributes;
      const table = indexTable(index, memory);
      const args = [...[inputs[0]!, table, outputs[0]!].map(address), i32(count), i32(index.length)];
      return [elementwise('structure_matrix_gradient', count, args)];
    },
  },
};

/** Elements that one block of a shared launch works on. */
const PIECE = 4096;

/** (tensor, first element) of every piece, as pairs of i32. */
export function piecesOf(counts: readonly number[]): Int32Array {
  const pieces = counts.flatMap((count, tensor) =>
    Array.from({ length: Math.ceil(count / PIECE) }, (_, piece) => [tensor, piece * PIECE]),
  );
  return Int32Array.from(pieces.flat());
}

/** One launch for several records of addresses and an element count each. */
function sharedLaunch(
  name: string,
  records: readonly { readonly addresses: readonly Address[]; readonly count: number }[],
  memory: ProgramMemory,
  more: readonly Argument[],
) {
  const table = BigUint64Array.from(records.flatMap(({ addresses, count }) => [...addresses, BigInt(count)]));
  const pieces = piecesOf(records.map(({ count }) => count));
  const tables = [memory.table(new Uint8Array(table.buffer)), memory.table(new Uint8Array(pieces.buffer))];
  return launch({ file: 'elementwise.cu', defines: {} }, name, pieces.length / 2, 256, [
    ...tables.map(address),
    ...more,
  ]);
}

export interface SgdStep {
  readonly node: Node<'sgd'>;
  readonly inputs: readonly Address[];
  readonly outputs: readonly Address[];
}

/** The update of several tensors with one learning rate and the same attributes. */
export function sgdLaunch(steps: readonly SgdStep[], memory: ProgramMemory) {
  const { momentum, weightDecay } = steps[0]!.node.attributes;
  const records = steps.map(({ node, inputs: [p, dp, v], outputs: [pNew, vNew] }) => ({
    addresses: [p!, dp!, v!, pNew!, vNew!],
    count: countOf(node),
  }));
  return sharedLaunch('sgd', records, memory, [address(steps[0]!.inputs[3]!), f32(momentum), f32(weightDecay)]);
}

export interface Transfer {
  readonly from: Address;
  readonly to: Address;
  /** Of 4 bytes. */
  readonly words: number;
}

/** Copies of whole words: the assignments that could not be produced in place. */
export function copyLaunch(transfers: readonly Transfer[], memory: ProgramMemory) {
  const records = transfers.map(({ from, to, words }) => ({ addresses: [from, to], count: words }));
  return sharedLaunch('copy', records, memory, []);
}
