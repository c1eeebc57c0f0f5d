// What a run came to, as data: the table at the end of `tram run`, `--json`, the report page and library users all read this.

import type { ErrorMetrics } from '../netlist/metrics.ts';
import type { Phase } from './events.ts';

/** What `power` of a stage is: a footnote to every table of stages. */
export const powerNote =
  'power: analytic model of θ until exploration, gate cost of the mapped netlist after it; exact = 1';

/** The stages at which a network is measured, in order. */
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
  /** Normalised power of the network's multiplications at this stage (see powerNote): 1 for exact multipliers; absent for the float model. */
  readonly power?: number;
}

export interface MultiplierSummary {
  /** `multiplier`, or `multiplier-<layer>` where each layer has its own. */
  readonly name: string;
  readonly layers: readonly string[];
  readonly theta: readonly number[];
  /** Unit-gate cost of the netlist relative to the exact array multiplier; null where only a table is known. */
  readonly normalizedCost: number | null;
  /** Mean squared error to the products that θ asks for, over the operands it was mapped for; null for an imported multiplier. */
  readonly mseToTarget: number | null;
  readonly metrics: ErrorMetrics;
  /** Operand pairs over which netlist, BLIF, Verilog and table were proved equal. */
  readonly provedPairs: number;
}

export interface RunSummary {
  readonly folder: string;
  readonly data: string;
  readonly model: string;
  readonly seed: number;
  readonly weightBits: number;
  readonly activationBits: number;
  readonly stages: readonly StageResult[];
  readonly multipliers: readonly MultiplierSummary[];
  /** Layers that keep the exact multiplier, and their share of the multiplications. */
  readonly exactLayers: readonly string[];
  readonly exactShare: number;
  readonly donePhases: readonly Phase[];
  /** Files that exist, with what they are, in the order a reader wants them. */
  readonly files: readonly { readonly title: string; readonly path: string }[];
}

/** A multiplier's figures as label and text, in the order of the field's tables. */
export function metricRows({ metrics, normalizedCost, mseToTarget, provedPairs }: MultiplierSummary) {
  const digits = (value: number) => Number(value.toPrecision(6)).toString();
  return [
    { label: 'error rate', value: `${(100 * metrics.errorRate).toFixed(2)} %` },
    { label: 'NMED', value: `${(100 * metrics.normalizedMeanErrorDistance).toFixed(4)} %` },
    { label: 'MED', value: digits(metrics.meanErrorDistance) },
    { label: 'MSE', value: digits(metrics.meanSquareError) },
    { label: 'MaxED', value: digits(metrics.maxErrorDistance) },
    { label: 'MRED', value: `${(100 * metrics.meanRelativeErrorDistance).toFixed(3)} %` },
    { label: 'mean error', value: digits(metrics.meanError) },
    { label: 'MSE to the products of θ', value: mseToTarget === null ? '–' : digits(mseToTarget) },
    { label: 'gate cost, exact = 1', value: normalizedCost === null ? '–' : normalizedCost.toFixed(4) },
    { label: 'proved equal in all forms', value: `${provedPairs} operand pairs` },
  ];
}
