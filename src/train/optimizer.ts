// The optimiser's part of a training step: which variables learn, by which rule, and how the learning rate moves over
// the epochs.

import { type GradientOptions, gradients } from '../engine/graph/gradients.ts';
import type { Value } from '../engine/graph/graph.ts';

/** Stochastic gradient descent with momentum and weight decay, as PyTorch defines it. */
export interface SgdOptions {
  readonly momentum: number;
  readonly weightDecay: number;
}

/** Variables that learn together; their learning rate is the program input `rate`. */
export interface ParameterGroup extends SgdOptions {
  readonly variables: readonly Value[];
  readonly rate: string;
}

/** The variable that holds a variable's momentum. */
export const velocityName = (name: string): string => `${name}#velocity`;
export const isVelocity = (name: string): boolean => name.endsWith('#velocity');

/**
 * Appends the SGD update of every group by the gradient of the scalar loss; the updates take effect at the end of the
 * run.
 */
export function appendSgd(loss: Value, groups: readonly ParameterGroup[], options: GradientOptions = {}): void {
  const { graph } = loss;
  const variables = groups.flatMap((group) => group.variables);
  const derivatives = gradients(loss, variables, options);
  let at = 0;
  for (const { variables: own, rate, momentum, weightDecay } of groups) {
    const learningRate = graph.input(rate, []);
    for (const variable of own) {
      const gradient = derivatives[at++];
      if (!gradient || variable.source.kind !== 'variable') continue;
      const velocity = graph.variable(velocityName(variable.source.name), variable.shape);
      const updated = graph.labelled('optimiser', () =>
        graph.apply('sgd', [variable, gradient, velocity, learningRate], { momentum, weightDecay }),
      );
      graph.assign(variable, updated[0]!);
      graph.assign(velocity, updated[1]!);
    }
  }
}

export type Schedule = 'constant' | 'cosine';

/** The learning rate of an epoch (0 … epochs − 1); cosine falls from the full rate towards 0 after the last epoch. */
export function scheduledRate(rate: number, schedule: Schedule, epoch: number, epochs: number): number {
  return schedule === 'constant' ? rate : (rate * (1 + Math.cos((Math.PI * epoch) / epochs))) / 2;
}
