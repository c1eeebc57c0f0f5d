// What of a network at rest no image changes: variables, constants and all that is computed of them, such as codes of
// weights that were exchanged, or a table of positions. Each is computed once, by the reference's operations.

import type { Value } from '../../engine/graph/graph.ts';
import { computeOperation } from '../../engine/reference/backend.ts';
import type { FrozenNetwork } from '../../integer/frozen.ts';
import { invariant } from '../../tensor/errors.ts';
import type { HostTensor } from '../../tensor/tensor.ts';

export class Statics {
  readonly #values = new Map<number, HostTensor>();

  constructor({ graph, variables }: Pick<FrozenNetwork, 'graph' | 'variables'>) {
    for (const { id, source } of graph.constants) {
      if (source.kind === 'constant') this.#values.set(id, source.tensor);
    }
    for (const [name, value] of graph.variables) {
      const known = variables.get(name);
      invariant(known, `a network at rest without its variable ${name}`);
      this.#values.set(value.id, { ...known, shape: value.shape });
    }
    // Constants are values of their own; a graph lists them in any case before the nodes that read them.
    for (const { op, attributes, inputs, outputs } of graph.nodes) {
      const operands = inputs.map(({ id }) => this.#values.get(id));
      if (!operands.every((one) => one !== undefined)) continue;
      computeOperation(op, attributes, operands, outputs).forEach((made, at) => {
        this.#values.set(outputs[at]!.id, made);
      });
    }
  }

  /** Undefined where an image decides. */
  find({ id }: Value): HostTensor | undefined {
    return this.#values.get(id);
  }

  of(value: Value): HostTensor {
    const found = this.find(value);
    invariant(found, 'a value that an image changes, taken for one that is known');
    return found;
  }
}
