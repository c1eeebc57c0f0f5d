// What a run tells while it works. The flow never prints: the command line draws a bar from these, a page a curve, a
// pipe plain lines.

import type { Phase, TrainingPhase } from '../settings/phases.ts';

/** One line of metrics.jsonl: what an epoch came to. */
export interface MetricRecord {
  readonly phase: TrainingPhase;
  /** 1 … epochs. */
  readonly epoch: number;
  /**
   * What training lowers, as a mean over the training images as the steps met them: cross-entropy, or with a teacher
   * (1 − a)·cross-entropy + a·T²·KL, and λ · power where structures learn.
   */
  readonly loss: number;
  readonly crossEntropy: number;
  readonly trainAccuracy: number;
  readonly testLoss: number;
  readonly testAccuracy: number;
  /** Modelled power, exact 8×8 = 1, after the epoch, where structures learn. */
  readonly power?: number;
  /** θ of each structure after the epoch, clamped to [0, 1]. */
  readonly theta?: Readonly<Record<string, readonly number[]>>;
  /** With a target: λ after the epoch, and the power that is wanted there, on the way to the target. */
  readonly lambda?: number;
  readonly wantedPower?: number;
  /** The accuracy lost against the quantised network, as training images told last; where a loss is the target. */
  readonly estimatedLoss?: number;
  readonly learningRate: number;
}

/** A training step. */
export interface StepProgress {
  readonly epoch: number;
  readonly epochs: number;
  readonly step: number;
  readonly steps: number;
  /** Loss of the step; accuracy of the epoch so far. */
  readonly loss: number;
  readonly accuracy: number;
  readonly power: number | undefined;
  /** Images of this step: what a rate counts. */
  readonly images: number;
}

export type RunEvent =
  | { readonly kind: 'phase-start'; readonly phase: Phase; readonly title: string; readonly resumed: boolean }
  | ({ readonly kind: 'step'; readonly phase: TrainingPhase } & StepProgress)
  | { readonly kind: 'epoch'; readonly record: MetricRecord; readonly epochs: number }
  /** Of what a phase measures, one after the other, so much is known; the first tells what was known before. */
  | { readonly kind: 'measured'; readonly phase: Phase; readonly done: number; readonly of: number }
  | { readonly kind: 'note'; readonly text: string }
  | { readonly kind: 'phase-end'; readonly phase: Phase; readonly summary: string }
  | { readonly kind: 'phase-skip'; readonly phase: Phase; readonly reason: string };

export type Listener = (event: RunEvent) => void;
