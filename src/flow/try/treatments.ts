// What is done to a network under a multiplier before it is measured, and what a measurement says.

/** What is done to the network before it is measured, in this order. */
export const treatments = ['plain', 'folded', 'reestimated', 'recovered'] as const;
export type Treatment = (typeof treatments)[number];

export interface Measured {
  /** On the test images, 0 … 1. */
  readonly accuracy: number;
  /** Mean cross-entropy on the test images. */
  readonly loss: number;
}
