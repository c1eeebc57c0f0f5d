// Element-wise operations. See kernels/elementwise.cu.

import type { Node } from '../../graph/graph.ts';
import type { OpName } from '../../graph/ops.ts';
import { type Arguments, addresses, floats, integers, type KernelSource } from './launch.ts';
import {
  elementsOf,
  type Lowering,
  type Lowerings,
  launchOverElements,
  overElements,
  pathOverElements,
  tensors,
  type WaysOf,
} from './lowering.ts';

const SOURCE: KernelSource = { file: 'elementwise.cu', defines: {} };

type Elementwise = 'add' | 'affine' | 'imageToFloat' | 'bias' | 'lookUp';

export const elementwiseWays: WaysOf<Elementwise> = {
  add: overElements,
  affine: overElements,
  imageToFloat: overElements,
  bias: overElements,
  lookUp: overElements,
};

/**
 * A kernel over the elements of the only output; its parameters: the operands by these names, `count`, what else it
 * takes.
 */
function plain<K extends OpName>(
  name: string,
  operands: readonly string[],
  more: (node: Node<K>) => Arguments = () => ({}),
): Lowering<K> {
  return (node) => {
    const count = elementsOf(node);
    const rest = more(node);
    return {
      path: pathOverElements(count),
      launches: (at) => [
        launchOverElements(SOURCE, name, count, { ...tensors(at, ...operands), ...integers({ count }), ...rest }),
      ],
    };
  };
}

export const elementwise: Lowerings<Elementwise> = {
  add: plain('add', ['a', 'b', 'y'], ({ attributes: { alpha, beta } }) => floats({ alpha, beta })),
  affine: plain('affine', ['x', 'y'], ({ attributes: { scale, offset } }) => floats({ scale, offset })),
  bias: plain('bias', ['x', 'b', 'y'], ({ outputs: [y] }) => integers({ channels: y!.shape.at(-1) ?? 1 })),

  lookUp: plain('look_up', ['codes', 'table', 'y']),

  imageToFloat: (node) => {
    const { scale, offset } = node.attributes;
    const count = elementsOf(node);
    return {
      path: pathOverElements(count),
      launches: ({ inputs: [x], outputs: [y], memory }) => {
        const [factors, offsets] = [scale, offset].map((values) => memory.place(Float32Array.from(values)));
        return [
          launchOverElements(SOURCE, 'image_to_float', count, {
            ...addresses({ x: x!, factors: factors!, offsets: offsets!, y: y! }),
            ...integers({ count, channels: scale.length }),
          }),
        ];
      },
    };
  },
};
