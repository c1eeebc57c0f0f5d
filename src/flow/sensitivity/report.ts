// Which layer hurts, as plain data: sensitivity.json is this, the command line's table and the picture are drawn from
// it.

import type { Measured } from '../try/treatments.ts';

/** What one layer at a time is given; all others stay as they are. */
export type Treated =
  /** Its operands become codes of these widths; the others multiply in float32. */
  | { readonly kind: 'quantized' }
  /** It multiplies with this multiplier; the others with exact ones, in the quantised network. */
  | { readonly kind: 'approximated'; readonly multiplier: string };

export interface LayerSensitivity extends Measured {
  readonly name: string;
  readonly kind: 'convolution' | 'linear';
  readonly weightBits: number;
  readonly activationBits: number;
  /** Multiplications per image, and their share of those of all layers. */
  readonly macs: number;
  readonly share: number;
  /** Against the network in which no layer is treated: below 0 is a loss of accuracy. */
  readonly accuracyChange: number;
  /** Above 0 is a larger loss. */
  readonly lossChange: number;
}

export interface SensitivityReport {
  readonly format: 'tram-sensitivity';
  readonly version: 1;
  readonly program: { readonly tram: string; readonly node: string };
  readonly run: { readonly folder: string; readonly model: string; readonly data: string; readonly seed: number };
  readonly treated: Treated;
  /** Test images that were measured, and all that there are. */
  readonly images: number;
  readonly testImages: number;
  readonly device: { readonly name: string; readonly detail: string };
  /** The network in which no layer is treated. */
  readonly base: Measured;
  /** The one that hurts most first, by the change of the loss, which tells apart what the same accuracy does not. */
  readonly layers: readonly LayerSensitivity[];
  /** Whether all layers are in it: one that was stopped has what was measured, and the same command goes on. */
  readonly complete: boolean;
  /** SHA-256 of everything that decides the figures. */
  readonly facts: string;
}

/** By the change of the loss, the largest first; the order of the network among equals. */
export function byHarm(layers: readonly LayerSensitivity[]): readonly LayerSensitivity[] {
  return layers.toSorted((a, b) => b.lossChange - a.lossChange);
}

/** A row per layer, the one that hurts most first. */
export function sensitivityCsv({ layers }: SensitivityReport): string {
  const heads = [
    ...['layer', 'kind', 'weight_bits', 'activation_bits', 'macs', 'share'],
    ...['accuracy', 'loss', 'accuracy_change', 'loss_change'],
  ];
  const rows = layers.map(({ name, kind, weightBits, activationBits, macs, share, ...measured }) => [
    ...[
      /[",\r\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name,
      kind,
      weightBits,
      activationBits,
      macs,
      share,
    ],
    ...[measured.accuracy, measured.loss, measured.accuracyChange, measured.lossChange],
  ]);
  return `${[heads, ...rows].map((row) => row.join(',')).join('\n')}\n`;
}
