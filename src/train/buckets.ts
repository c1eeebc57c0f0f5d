// Gradients summed over devices while the backward pass goes on: as each becomes whole it joins the open bucket, and a
// full bucket is reduced at that place of the schedule, so that what travels hides behind what is still computed.
// Small gradients share a bucket, since each reduction costs its latency; a large one is a bucket of its own. What else
// is summed and not needed before the end (figures, running statistics) goes with the first of them.
// Invariant: every value is in one bucket, in the order in which they come, which is the same on all devices.
// Source: Li et al., PyTorch Distributed, 2020, section 3.2.

import type { Graph, Value } from '../engine/graph/graph.ts';
import { invariant } from '../tensor/errors.ts';
import { byteSize } from '../tensor/tensor.ts';

/** A bucket is reduced when it has so many bytes, and holds no more than MOST unless a single gradient does. */
const FULL = 8 * 2 ** 20;
const MOST = 25 * 2 ** 20;

export class GradientBuckets {
  readonly #graph: Graph;
  readonly #sums = new Map<Value, Value>();
  #open = new Set<Value>();
  #bytes = 0;

  constructor(graph: Graph) {
    this.#graph = graph;
  }

  add(value: Value): void {
    if (this.#sums.has(value) || this.#open.has(value)) return;
    const bytes = byteSize(value);
    if (this.#bytes + bytes > MOST) this.close();
    this.#open.add(value);
    this.#bytes += bytes;
    if (this.#bytes >= FULL) this.close();
  }

  /** Reduces what is left; nothing is added behind it. */
  close(): void {
    const values = [...this.#open];
    const sums = this.#graph.labelled('gradients', () => this.#graph.reduced('sum', values));
    for (const [at, value] of values.entries()) this.#sums.set(value, sums[at]!);
    this.#open = new Set();
    this.#bytes = 0;
  }

  sumOf(value: Value): Value {
    const sum = this.#sums.get(value);
    invariant(sum, 'a value is in no bucket');
    return sum;
  }
}
