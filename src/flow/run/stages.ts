// The stages at which a run measures its network, in order, and what a measurement says.

export const stages = [
  ...(['float', 'calibrated', 'quantization-started', 'quantized'] as const),
  ...(['approximated', 'exploration-started', 'explored', 'mapped', 'recovery-started', 'recovered'] as const),
] as const;
export type Stage = (typeof stages)[number];

export const stageTitles: Record<Stage, string> = {
  float: 'float model',
  calibrated: 'calibrated, exact multiplier',
  'quantization-started': 'after the start of quantisation-aware training',
  quantized: 'quantised, exact multiplier',
  approximated: 'approximate, before exploration',
  'exploration-started': 'after the start of exploration',
  explored: 'after exploration (trained θ)',
  mapped: 'mapped multiplier, before recovery',
  'recovery-started': 'after the start of recovery',
  recovered: 'recovered',
};

/**
 * The stages whose network a run keeps, or can make of what it keeps. The others are on the way: they are there where
 * a phase begins with a start, and are measured as it begins.
 */
export const keptStages = ['float', 'quantized', 'approximated', 'explored', 'mapped', 'recovered'] as const;
export type KeptStage = (typeof keptStages)[number];

export const isKept = (stage: Stage): stage is KeptStage => (keptStages as readonly Stage[]).includes(stage);

export interface StageResult {
  readonly stage: Stage;
  /** On the test split, 0…1. */
  readonly accuracy: number;
  readonly loss: number;
  /**
   * Power of the network's multiplications in the run’s model of θ (by default the paper’s, Eq. 3), relative to exact
   * 8×8 array multipliers: what the training sees. Only of stages before the mapping; an exact multiplier of fewer bits
   * has less than 1.
   */
  readonly power?: number;
  /**
   * Unit gates of the network's multipliers relative to the cheapest exact 8×8 multiplier (400 unit gates). Only of
   * stages with a mapped or imported netlist.
   */
  readonly gateCost?: number;
}
