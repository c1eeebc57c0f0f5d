// The stages at which a run measures its network, in order, and what a measurement says.

export const stages = ['float', 'quantized', 'approximated', 'explored', 'mapped', 'recovered'] as const;
export type Stage = (typeof stages)[number];

export const stageTitles: Record<Stage, string> = {
  float: 'float model',
  quantized: 'quantised, exact multiplier',
  approximated: 'approximate, before exploration',
  explored: 'after exploration (trained θ)',
  mapped: 'mapped multiplier, before recovery',
  recovered: 'recovered',
};

export interface StageResult {
  readonly stage: Stage;
  /** On the test split, 0…1. */
  readonly accuracy: number;
  readonly loss: number;
  /**
   * Power of the network's multiplications in the analytic model of θ (paper, Eq. 3), relative to exact 8×8 array
   * multipliers: what the training sees. Only of stages before the mapping; an exact multiplier of fewer bits has less
   * than 1.
   */
  readonly power?: number;
  /**
   * Unit gates of the network's multipliers relative to the cheapest exact 8×8 multiplier (400 unit gates). Only of
   * stages with a mapped or imported netlist.
   */
  readonly gateCost?: number;
}
