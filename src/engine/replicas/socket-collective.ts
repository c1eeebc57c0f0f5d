// Reductions over replicas by way of rank 0, over sockets: for tests of several ranks where no device has a way of its
// own, and no more than that. Every element goes to rank 0 and back through the host.
// Invariant: contributions are summed in the order of their ranks, in double precision and rounded once; all replicas
// get the same bits, in every run.

import type { Socket } from 'node:net';
import { invariant, UserError } from '../../tensor/errors.ts';
import type { ReduceKind } from '../graph/ops.ts';
import type { Collective } from '../reference/collective.ts';
import { Connection, type Frame } from './protocol.ts';

type Floats = Float32Array | Float64Array;

/** What a replica has, or what was made of it. */
interface Contribution {
  readonly kind: ReduceKind;
  readonly lengths: readonly number[];
  readonly double: boolean;
}

const combine: { readonly [K in ReduceKind]: (a: number, b: number) => number } = {
  sum: (a, b) => a + b,
  mean: (a, b) => a + b,
  min: Math.min,
  max: Math.max,
};

/** `parts`: a tensor as each replica has it, by rank; the first of them becomes what is formed of all. */
export function reduceInto(kind: ReduceKind, parts: readonly Floats[]): void {
  const [into, ...others] = parts as [Floats, ...Floats[]];
  for (let at = 0; at < into.length; at++) {
    let value = into[at]!;
    for (const other of others) value = combine[kind](value, other[at]!);
    into[at] = kind === 'mean' ? value / parts.length : value;
  }
}

/** For rank 0: `sockets` are connected with the ranks 1, 2, … in this order. */
export function hubCollective(sockets: readonly Socket[]): Collective {
  const spokes = sockets.map((socket, at) => new End(socket, `rank ${at + 1}`));
  return {
    replicas: sockets.length + 1,
    rank: 0,
    allReduce: async (kind, tensors) => {
      const own = contributionOf(kind, tensors);
      const others = await Promise.all(spokes.map((spoke) => spoke.receive(own)));
      tensors.forEach((tensor, at) => {
        reduceInto(kind, [tensor, ...others.map((parts) => floatsOf(parts[at]!, own.double))]);
      });
      await Promise.all(spokes.map((spoke) => spoke.send(own, tensors)));
    },
  };
}

/** For another rank: `socket` is connected with rank 0. */
export function spokeCollective(socket: Socket, rank: number, replicas: number): Collective {
  const hub = new End(socket, 'rank 0');
  return {
    replicas,
    rank,
    allReduce: async (kind, tensors) => {
      const own = contributionOf(kind, tensors);
      const [reduced] = await Promise.all([hub.receive(own), hub.send(own, tensors)]);
      tensors.forEach((tensor, at) => {
        tensor.set(floatsOf(reduced[at]!, own.double));
      });
    },
  };
}

const contributionOf = (kind: ReduceKind, tensors: readonly Floats[]): Contribution => ({
  kind,
  lengths: tensors.map(({ length }) => length),
  double: tensors[0] instanceof Float64Array,
});

const floatsOf = ({ buffer, byteOffset, byteLength }: Uint8Array, double: boolean): Floats =>
  double ? new Float64Array(buffer, byteOffset, byteLength / 8) : new Float32Array(buffer, byteOffset, byteLength / 4);

/** One side of a socket between two replicas. */
class End {
  readonly #connection: Connection<Contribution, Contribution>;
  readonly #whose: string;
  readonly #frames: Frame<Contribution>[] = [];
  #lost: string | undefined;
  #wake: (() => void) | undefined;

  constructor(socket: Socket, whose: string) {
    this.#whose = whose;
    this.#connection = new Connection(socket, {
      receive: (frame) => {
        this.#frames.push(frame);
        this.#wake?.();
      },
    });
    this.#connection.keepProcess(false);
    this.#connection.closed.then((why) => {
      this.#lost = why;
      this.#wake?.();
    });
  }

  send(message: Contribution, tensors: readonly Floats[]): Promise<void> {
    const sections = tensors.map(
      ({ buffer, byteOffset, byteLength }) => new Uint8Array(buffer, byteOffset, byteLength),
    );
    return this.#connection.send(message, sections);
  }

  /** What the other side has for the same reduction. */
  async receive(expected: Contribution): Promise<readonly Uint8Array[]> {
    this.#connection.keepProcess(true);
    while (this.#frames.length === 0) {
      if (this.#lost !== undefined) throw new UserError(`a reduction waits for ${this.#whose}: ${this.#lost}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#connection.keepProcess(false);
    const { message, sections } = this.#frames.shift()!;
    const [given, wanted] = [JSON.stringify(message), JSON.stringify(expected)];
    invariant(given === wanted, `${this.#whose} reduces ${given} where ${wanted} was expected`);
    return sections;
  }
}
