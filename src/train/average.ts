// Moving averages of a network's weights and running statistics, in a variable beside each: what is evaluated after an
// epoch and what a phase ends with, where averages are asked for. θ is not averaged (its way is the result of
// exploration), nor are zero points, which are integers.
// Invariant: the first step takes the weights as they are, so averages need no start of their own.

import type { Session } from '../engine/backend.ts';
import type { Graph } from '../engine/graph/graph.ts';
import { isTrainingState } from './optimizer.ts';

const SUFFIX = '#average';
/** The program input that says what is kept of the averages at a step, []. */
export const KEEP = 'averageKept';

/** Appends the averages of all variables that a step assigns, but for those of the given names. */
export function appendAverages(graph: Graph, without: ReadonlySet<string>): void {
  const keep = graph.input(KEEP, []);
  for (const [name, value] of [...graph.assignments]) {
    if (isTrainingState(name) || without.has(name) || name.endsWith('.input_zero_point')) continue;
    if (name.endsWith('.weight_zero_point')) continue;
    const average = graph.variable(`${name}${SUFFIX}`, value.shape);
    const next = graph.labelled('optimiser', () => graph.apply1('movingAverage', [average, value, keep], {}));
    graph.assign(average, next);
  }
}

/** The variable that a network is evaluated with: its average where there is one. */
export function averagedNames(session: Session): (name: string) => string {
  const known = new Set(session.variableNames());
  return (name) => (known.has(`${name}${SUFFIX}`) ? `${name}${SUFFIX}` : name);
}

/** The averages take the place of the variables. */
export async function adoptAverages(session: Session): Promise<void> {
  for (const name of session.variableNames()) {
    if (name.endsWith(SUFFIX)) session.write(name.slice(0, -SUFFIX.length), await session.read(name));
  }
}
