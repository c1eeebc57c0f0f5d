// How the training phases behind the float one can begin: what is done to the network for the multiplier that it is to
// train with, before the first step. What the two treatments are is in start/; here they have names and an order.

/** A treatment of a network before it is trained or measured, in the order in which they are done. */
export const startTreatments = ['biases', 'statistics'] as const;
export type StartTreatment = (typeof startTreatments)[number];

/** What a phase may begin with; under an exact multiplier there is no mean error to take out. */
export const starts = ['none', 'biases', 'statistics', 'biases,statistics'] as const;
export const exactStarts = ['none', 'statistics'] as const satisfies readonly Start[];
export type Start = (typeof starts)[number];

/**
 * What becomes of the mean of what θ takes out of a layer, while θ trains, where a bias is all that follows: the bias
 * follows θ, or it stays and learns.
 */
export const constantsChoices = ['follow', 'leave'] as const;

export function treatmentsOf(start: Start): readonly StartTreatment[] {
  return startTreatments.filter((treatment) => start.split(',').includes(treatment));
}
