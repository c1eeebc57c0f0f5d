// Values that the backward pass computes again instead of keeping them (Chen et al., 2016: training with sublinear
// memory cost). A block is a part of the forward pass by its label. What lies inside a block is not kept for the
// backward pass: when that comes to the block, the block's nodes are appended once more, over what is kept, and the
// gradient rules read those. Same operations on the same values give the same bits; assignments (running statistics)
// are made by the first time alone. Nodes that turn out not to be read are dropped by the plan. What costs much to
// compute and little to keep can be excepted: results of `kept` operations are not computed again.

import { byteSize } from '../../tensor/tensor.ts';
import type { Graph, Node, Value } from './graph.ts';
import type { OpName } from './ops.ts';

/** Values up to this size are kept: scales, ranges and statistics are worth less than the time to find them again. */
const SMALL_BYTES = 65_536;

export class Recomputation {
  readonly #graph: Graph;
  readonly #kept: ReadonlySet<OpName>;
  /** The nodes of each block. */
  readonly #blocks = new Map<string, Node[]>();
  readonly #blockOf = new Map<Node, string>();
  /** Values that are read outside of the block that computes them, or when the program has run. */
  readonly #leaving = new Set<Value>();
  /** The nodes of blocks that have been appended once more. */
  readonly #again = new Map<Node, Node>();

  /**
   * Over the graph as it is now, the forward pass; `blocks`: labels, each for itself and all labels beneath it
   * (`name.…`); `kept`: operations whose results are kept all the same.
   */
  constructor(graph: Graph, blocks: readonly string[], kept: readonly OpName[] = []) {
    this.#graph = graph;
    this.#kept = new Set(kept);
    for (const node of graph.nodes) {
      const block = blocks.find((name) => node.label === name || node.label.startsWith(`${name}.`));
      if (block === undefined) continue;
      this.#blockOf.set(node, block);
      this.#blocks.set(block, [...(this.#blocks.get(block) ?? []), node]);
    }
    for (const value of [...graph.outputs.values(), ...graph.assignments.values()]) this.#leaving.add(value);
    for (const node of graph.nodes) {
      for (const input of node.inputs) {
        const { source } = input;
        if (source.kind === 'node' && this.#blockOf.get(source.node) !== this.#blockOf.get(node))
          this.#leaving.add(input);
      }
    }
  }

  /**
   * A node of the forward pass as its gradient rule is to see it: itself, or the same node over values that are
   * computed again.
   */
  seenBackward(node: Node): Node {
    const block = this.#blockOf.get(node);
    const nodes = block === undefined ? undefined : this.#blocks.get(block);
    if (nodes) {
      this.#blocks.delete(block!);
      for (const one of nodes) this.#append(one);
    }
    const again = this.#again.get(node);
    // What is kept all the same is read as it is, but what it was computed from is there only for the second time.
    return again ?? (this.#kept.has(node.op) ? { ...node, inputs: this.#inputsAgain(node) } : node);
  }

  #append(node: Node): void {
    if (this.#kept.has(node.op)) return;
    if (node.outputs.every((value) => this.#leaving.has(value) || byteSize(value) <= SMALL_BYTES)) return;
    const inputs = this.#inputsAgain(node);
    const [first] = this.#graph.labelled(node.label, () => this.#graph.apply(node.op, inputs, node.attributes));
    const { source } = first!;
    if (source.kind === 'node') this.#again.set(node, source.node);
  }

  /** The operands of a node as they are computed again, where they are. */
  #inputsAgain({ inputs }: Node): Value[] {
    return inputs.map((value) => {
      const { source } = value;
      return source.kind === 'node' ? (this.#again.get(source.node)?.outputs[source.index] ?? value) : value;
    });
  }
}
