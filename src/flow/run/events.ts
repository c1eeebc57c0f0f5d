// What a run tells while it works. The flow never prints: the command line draws a bar from these, a page a curve, a pipe plain lines.

import type { EpochRecord, StepEvent } from '../../train/loop.ts';

/** The phases of a run in their order. */
export const phases = ['train', 'quantize', 'explore', 'map', 'recover', 'report'] as const;
export type Phase = (typeof phases)[number];

/** The phases that train for epochs; each line of metrics.jsonl names one of them. */
export type TrainingPhase = 'train' | 'quantize' | 'explore' | 'recover';

/** One line of metrics.jsonl: what an epoch came to. */
export interface MetricRecord extends EpochRecord {
  readonly phase: TrainingPhase;
}

export type RunEvent =
  | { readonly kind: 'phase-start'; readonly phase: Phase; readonly title: string; readonly resumed: boolean }
  | ({ readonly kind: 'step'; readonly phase: TrainingPhase } & StepEvent)
  | { readonly kind: 'epoch'; readonly record: MetricRecord; readonly epochs: number }
  | { readonly kind: 'note'; readonly text: string }
  | { readonly kind: 'phase-end'; readonly phase: Phase; readonly summary: string }
  | { readonly kind: 'phase-skip'; readonly phase: Phase; readonly reason: string };

export type Listener = (event: RunEvent) => void;
