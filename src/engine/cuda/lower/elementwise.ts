// Element-wise operations, and the tables with which many tensors share one launch. See kernels/elementwise.cu.

import type { Node } from '../../graph/graph.ts';
import type { OpName } from '../../graph/ops.ts';
import type { Address, KernelSource } from './launch.ts';
import { type Arguments, addresses, floats, integers, type KernelLaunch, launch } from './launch.ts';
import {
  elementsOf,
  type Lowering,
  type Lowerings,
  launchOverElements,
  noChoice,
  overElements,
  type ProgramMemory,
  pathOverElements,
  tensors,
  theOnlyPath,
  type WaysOf,
} from './lowering.ts';

const SOURCE: KernelSource = { file: 'elementwise.cu', defines: {} };

type Elementwise = 'add' | 'affine' | 'imageToFloat' | 'bias' | 'sgd';

export const elementwiseWays: WaysOf<Elementwise> = {
  add: overElements,
  affine: overElements,
  imageToFloat: overElements,
  bias: overElements,
  sgd: noChoice,
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

  /** Alone; neighbours share a launch (program.ts). */
  sgd: (node) => ({
    path: theOnlyPath,
    launches: ({ inputs, outputs, memory }) => [sgdLaunch([{ node, inputs, outputs }], memory)],
  }),
};

/** Elements that one block of a shared launch works on. */
const PIECE = 4096;

/** (tensor, first element) of every piece, as pairs of i32. */
function piecesOf(counts: readonly number[]): Int32Array {
  const pieces = counts.flatMap((count, tensor) =>
    Array.from({ length: Math.ceil(count / PIECE) }, (_, piece) => [tensor, piece * PIECE]),
  );
  return Int32Array.from(pieces.flat());
}

interface SharedLaunch {
  readonly tables: Arguments;
  readonly launch: (args: Arguments) => KernelLaunch;
}

/**
 * One launch for several records of addresses and an element count each; the kernel finds them in a table called
 * `records`.
 */
function sharedLaunch(
  name: string,
  records: string,
  given: readonly { readonly addresses: readonly Address[]; readonly count: number }[],
  memory: ProgramMemory,
): SharedLaunch {
  const table = BigUint64Array.from(given.flatMap(({ addresses, count }) => [...addresses, BigInt(count)]));
  const pieces = piecesOf(given.map(({ count }) => count));
  return {
    tables: addresses({ [records]: memory.place(table), pieces: memory.place(pieces) }),
    launch: (args) => launch(SOURCE, name, { grid: pieces.length / 2, block: 256 }, args),
  };
}

export interface SgdStep {
  readonly node: Node<'sgd'>;
  readonly inputs: readonly Address[];
  readonly outputs: readonly Address[];
}

/** The update of several tensors with one learning rate and the same attributes. */
export function sgdLaunch(steps: readonly SgdStep[], memory: ProgramMemory): KernelLaunch {
  const { momentum, weightDecay: decay } = steps[0]!.node.attributes;
  const given = steps.map(({ node, inputs: [p, dp, v], outputs: [pNew, vNew] }) => ({
    addresses: [p!, dp!, v!, pNew!, vNew!],
    count: elementsOf(node),
  }));
  const { tables, launch } = sharedLaunch('sgd', 'tensors', given, memory);
  return launch({ ...tables, ...addresses({ rate: steps[0]!.inputs[3]! }), ...floats({ momentum, decay }) });
}

export interface Transfer {
  readonly from: Address;
  readonly to: Address;
  /** Of 4 bytes. */
  readonly words: number;
}

/** Copies of whole words: the assignments that could not be produced in place. */
export function copyLaunch(transfers: readonly Transfer[], memory: ProgramMemory): KernelLaunch {
  const given = transfers.map(({ from, to, words }) => ({ addresses: [from, to], count: words }));
  const { tables, launch } = sharedLaunch('copy', 'transfers', given, memory);
  return launch(tables);
}
