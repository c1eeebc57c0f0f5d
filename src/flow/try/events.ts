// What trying multipliers tells while it works; the command line prints it, a library user may draw it.

import type { Measured, Treatment } from './treatments.ts';

export type TryEvent =
  /** `at` of `of` multipliers begins; `name` says in which operand order where both are tried. */
  | { readonly kind: 'begin'; readonly name: string; readonly at: number; readonly of: number }
  | ({ readonly kind: 'measured'; readonly name: string; readonly treatment: Treatment } & Measured)
  /** An epoch of its retraining. */
  | ({ readonly kind: 'epoch'; readonly name: string; readonly epoch: number; readonly epochs: number } & Measured)
  /** It was measured before, with the same run and settings. */
  | { readonly kind: 'kept'; readonly name: string }
  | { readonly kind: 'failed'; readonly name: string; readonly reason: string }
  | { readonly kind: 'note'; readonly text: string };

export type Listener = (event: TryEvent) => void;
