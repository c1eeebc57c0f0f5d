// Whether f32 variables have the same bits on all replicas, asked of the devices themselves: each element's least and
// greatest over all replicas are compared with the replica's own. That costs as much as reducing twice the variables
// (some milliseconds for a network), where a digest on the host takes longer than a second of training can spare.
// Invariant: nothing that differs goes unnoticed. A number is compared by its value, which has one spelling but for 0;
// the two zeros, and what is no number, are taken for values of their own, which no variable has.

import type { Shape } from '../../tensor/tensor.ts';
import { byteSize } from '../../tensor/tensor.ts';
import { absolute, constant, whereGreater } from '../graph/expression.ts';
import { Graph, type Value } from '../graph/graph.ts';
import { formula } from '../operations/formula.ts';

/** In place of 0, −0 and NaN: the three largest finite magnitudes. */
const MOST = 3.4028234663852886e38;
const [ZERO, NEGATIVE_ZERO, NO_NUMBER] = [MOST, -MOST, MOST * (1 - 2 ** -24)];

/** Variables that are reduced together have so many bytes, or are one; they take three times that of the arena. */
const TOGETHER = 16 * 2 ** 20;

/** A number for each spelling of a value, equal for equal bits. */
const spelling = formula('spelling of a value', (x) => {
  const inverse = constant(1).over(x);
  const zero = whereGreater(inverse, 0, ZERO, whereGreater(0, inverse, NEGATIVE_ZERO, NO_NUMBER));
  return whereGreater(absolute(x), 0, x, zero);
});

/** 1 where a replica has not what all have. */
const differs = formula('difference between replicas', (own, least, most) =>
  whereGreater(own, least, 1, whereGreater(most, own, 1, 0)),
);

/** The program: an output for each variable, by its name, that is 0 where all replicas have the same of it. */
export function equalityGraph(variables: ReadonlyMap<string, Shape>, replicas: number, together = TOGETHER): Graph {
  const graph = new Graph({ replicas });
  const counts: Value[] = [];
  let open: Value[] = [];
  const close = () => {
    const own = open.map((value) => spelling(value));
    const [least, most] = (['min', 'max'] as const).map((kind) => graph.reduced(kind, own));
    own.forEach((value, at) => {
      counts.push(graph.apply1('sum', [differs(value, least![at]!, most![at]!)], {}));
    });
    open = [];
  };
  let bytes = 0;
  for (const [name, shape] of variables) {
    const value = graph.variable(name, shape);
    if (open.length > 0 && bytes + byteSize(value) > together) {
      close();
      bytes = 0;
    }
    open.push(value);
    bytes += byteSize(value);
  }
  close();
  const names = [...variables.keys()];
  graph.reduced('sum', counts).forEach((count, at) => {
    graph.output(names[at]!, count);
  });
  return graph;
}
