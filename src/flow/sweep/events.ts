// What a sweep tells while it works.

import type { RunEvent } from '../run/events.ts';

export type SweepEvent =
  /** The plan as it stands: trials that are there already, and epochs that are left. */
  | {
      readonly kind: 'plan';
      readonly trials: number;
      readonly done: number;
      readonly shared: number;
      readonly epochs: number;
      readonly jobs: number;
    }
  | { readonly kind: 'begin'; readonly job: string; readonly device: string | undefined; readonly epochs: number }
  /** What the run of a trial, or of shared phases, tells. */
  | { readonly kind: 'run'; readonly job: string; readonly event: RunEvent }
  | { readonly kind: 'done'; readonly job: string; readonly accuracy: number | undefined; readonly seconds: number }
  | { readonly kind: 'failed'; readonly job: string; readonly reason: string }
  /** It was dropped because others are better at no more cost. */
  | { readonly kind: 'dropped'; readonly job: string; readonly reason: string }
  /** Another process works on it, or has ended it. */
  | { readonly kind: 'elsewhere'; readonly job: string }
  | { readonly kind: 'ended-elsewhere'; readonly job: string; readonly epochs: number }
  | { readonly kind: 'note'; readonly text: string };

export type SweepListener = (event: SweepEvent) => void;
