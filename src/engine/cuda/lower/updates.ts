// Updates of variables by an optimiser or a moving average, and copies: many tensors in one launch, whose kernel finds
// them in a table. See kernels/updates.cu.

import type { Node } from '../../graph/graph.ts';
import type { OpAttributes } from '../../graph/ops.ts';
import type { Address, KernelSource } from './launch.ts';
import { type Arguments, addresses, floats, integers, type KernelLaunch, launch } from './launch.ts';
import {
  elementsOf,
  type Lowering,
  type Lowerings,
  noChoice,
  type ProgramMemory,
  theOnlyPath,
  type WaysOf,
} from './lowering.ts';

const SOURCE: KernelSource = { file: 'updates.cu', defines: {} };

const updateOps = ['sgd', 'adam', 'movingAverage'] as const;
export type UpdateOp = (typeof updateOps)[number];

export const isUpdate = (node: { readonly op: string }): node is Node<UpdateOp> =>
  (updateOps as readonly string[]).includes(node.op);

export const updateWays: WaysOf<UpdateOp> = { sgd: noChoice, adam: noChoice, movingAverage: noChoice };

/** The inputs behind the tensors of a variable's shape, which all updates of a launch share. */
const shared = {
  sgd: ['rate'],
  adam: ['rate', 'corrections'],
  movingAverage: ['keep'],
} as const satisfies Record<UpdateOp, readonly string[]>;

const constants: { readonly [K in UpdateOp]: (attributes: OpAttributes[K]) => Arguments } = {
  sgd: ({ momentum, weightDecay: decay, nesterov = false }) => ({
    ...floats({ momentum, decay }),
    ...integers({ nesterov: nesterov ? 1 : 0 }),
  }),
  adam: ({ beta1, beta2, epsilon, weightDecay, decoupled }) =>
    floats({
      ...{ beta1, rest1: 1 - beta1, beta2, rest2: 1 - beta2, epsilon },
      ...{ decay: decoupled ? 0 : weightDecay, ownDecay: decoupled ? weightDecay : 0 },
    }),
  movingAverage: () => ({}),
};

export interface Update {
  readonly node: Node<UpdateOp>;
  readonly inputs: readonly Address[];
  readonly outputs: readonly Address[];
}

/** Whether two updates can share a launch: one operation, the same attributes, and the same inputs for all tensors. */
export function goTogether(a: Node<UpdateOp>, b: Node<UpdateOp>): boolean {
  return (
    a.op === b.op &&
    JSON.stringify(a.attributes) === JSON.stringify(b.attributes) &&
    shared[a.op].every((_, at) => a.inputs.at(-1 - at) === b.inputs.at(-1 - at))
  );
}

/** The update of several tensors that go together. */
export function updateLaunch(updates: readonly Update[], memory: ProgramMemory): KernelLaunch {
  const { node, inputs } = updates[0]!;
  const names = shared[node.op];
  const own = inputs.length - names.length;
  const given = updates.map((one) => ({
    addresses: [...one.inputs.slice(0, own), ...one.outputs],
    count: elementsOf(one.node),
  }));
  const { tables, launch } = sharedLaunch(kernels[node.op], 'tensors', given, memory);
  const common = addresses(Object.fromEntries(names.map((name, at) => [name, inputs[own + at]!])));
  return launch({ ...tables, ...common, ...constantsOf(node) });
}

const kernels = { sgd: 'sgd', adam: 'adam', movingAverage: 'moving_average' } as const satisfies Record<
  UpdateOp,
  string
>;

function constantsOf<K extends UpdateOp>({ op, attributes }: Node<K>): Arguments {
  return constants[op](attributes);
}

/** Alone; neighbours share a launch (program.ts). */
const alone: Lowering<UpdateOp> = (node) => ({
  path: theOnlyPath,
  launches: ({ inputs, outputs, memory }) => [updateLaunch([{ node, inputs, outputs }], memory)],
});

export const updates: Lowerings<UpdateOp> = {
  sgd: alone as Lowering<'sgd'>,
  adam: alone as Lowering<'adam'>,
  movingAverage: alone as Lowering<'movingAverage'>,
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
