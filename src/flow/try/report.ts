// What trying multipliers came to, as plain data: try.json is this, the command line's table and the picture are drawn
// from it.

import type { ErrorMetrics } from '../../multiplier/metrics.ts';
import type { OperandOrder } from '../../multiplier/table.ts';
import type { WeightCodeChoice } from '../../multiplier/weight-codes.ts';
import type { OperandBits } from '../../workbench/import.ts';
import type { SynthesisedPower } from '../../workbench/synthesised-power.ts';
import type { Measured, Treatment } from './treatments.ts';

/** One multiplier in one order of its operands. */
export interface TriedMultiplier {
  /** Short and unique in the report. */
  readonly name: string;
  /** A file, or a generator. */
  readonly source: string;
  /** `exact`: the run's own widths, or fewer by post-training quantisation of its float model. */
  readonly group: 'exact' | 'tried';
  /** What it is known by: gates, or its products alone. */
  readonly form: 'netlist' | 'table';
  readonly bits: OperandBits;
  readonly signed: boolean;
  /** Which operand of the source is the first; null for an exact multiplier, to which it is the same. */
  readonly operandOrder: OperandOrder | null;
  /** Where both orders were measured: whether this is the one with the higher accuracy. */
  readonly better?: boolean;
  /** SHA-256 of its products as .npy, the weight first. */
  readonly sha256: string;
  /** Null where no netlist is known. */
  readonly unitGates: number | null;
  /** Unit gates relative to the cheapest exact 8×8 multiplier. */
  readonly gateCost: number | null;
  /**
   * Relative to the exact 8×8 multiplier in the same cells, where synthesis was asked for; null where no netlist is
   * known, or it could not be synthesised.
   */
  readonly synthesised?: SynthesisedPower['relative'] | null;
  /** Over all operand pairs alike. */
  readonly uniform: ErrorMetrics;
  /** Over the operands that the run's quantised network multiplies; null at other widths than the run's. */
  readonly measured: ErrorMetrics | null;
  /** Accuracy and loss as it is and after each treatment; `recovered` where it was asked for. */
  readonly results: Readonly<Record<Exclude<Treatment, 'recovered'>, Measured>> & { readonly recovered?: Measured };
  readonly notes: readonly string[];
}

/** A multiplier that could not be read or measured. */
export interface FailedMultiplier {
  readonly source: string;
  readonly reason: string;
}

/** What tryMultipliers returns and try.json holds. */
export interface TryReport {
  readonly format: 'tram-try';
  readonly version: 1;
  readonly program: { readonly tram: string; readonly node: string };
  readonly run: {
    readonly folder: string;
    readonly model: string;
    readonly data: string;
    readonly seed: number;
    /** Behind every accuracy. */
    readonly testImages: number;
    readonly bits: OperandBits;
    /** Layers that keep an exact multiplier whatever is tried, and their share of the multiplications. */
    readonly exactLayers: readonly string[];
    readonly exactShare: number;
    /** SHA-256 of the quantised network that the multipliers were tried in. */
    readonly quantized: string;
  };
  /** The library of synthesised figures, where there are any. */
  readonly library?: string;
  /** What weights were stored as under the multipliers that were tried; absent: the nearest codes. */
  readonly weightCodes?: WeightCodeChoice;
  /** Epochs of retraining; 0: none. */
  readonly recoverEpochs: number;
  /** Training images behind the operands and the statistics. */
  readonly images: number;
  readonly device: { readonly name: string; readonly detail: string };
  /**
   * The exact multiplier of the run's widths first, then those tried as they were named, then exact ones of fewer bits.
   */
  readonly multipliers: readonly TriedMultiplier[];
  readonly failed: readonly FailedMultiplier[];
  /** Whether all that was asked for is in here: a try that is under way or was stopped has written what it had. */
  readonly complete: boolean;
}

/** What was done last to the network before it was measured. */
export function lastTreatment({ results }: Pick<TriedMultiplier, 'results'>): Treatment {
  return results.recovered ? 'recovered' : 'reestimated';
}

/** Accuracy and loss after the last treatment. */
export function lastResult({ results }: Pick<TriedMultiplier, 'results'>): Measured {
  return results.recovered ?? results.reestimated;
}

const metricColumns = ['errorRate', 'normalizedMeanErrorDistance', 'meanErrorDistance'] as const;
const moreColumns = ['meanRelativeErrorDistance', 'meanError', 'maxErrorDistance'] as const;
const shortNames: Record<(typeof metricColumns)[number] | (typeof moreColumns)[number], string> = {
  errorRate: 'er',
  normalizedMeanErrorDistance: 'nmed',
  meanErrorDistance: 'med',
  meanRelativeErrorDistance: 'mred',
  meanError: 'mean_error',
  maxErrorDistance: 'max_ed',
};

/** One row per multiplier; a cell is empty where a figure is not known. Those that failed follow with their reason. */
export function tryCsv({ multipliers, failed }: TryReport): string {
  const metrics = [...metricColumns, ...moreColumns];
  const stages = ['plain', 'folded', 'reestimated', 'recovered'] as const;
  const heads = [
    ...['name', 'source', 'group', 'form', 'weight_bits', 'activation_bits', 'signed', 'operand_order', 'better'],
    ...['unit_gates', 'gate_cost', 'synthesised_power', 'synthesised_area', 'synthesised_delay'],
    ...metrics.map((metric) => shortNames[metric]),
    ...metrics.map((metric) => `measured_${shortNames[metric]}`),
    ...stages.flatMap((stage) => [`${stage}_accuracy`, `${stage}_loss`]),
    'reason',
  ];
  const rows = multipliers.map((one) => [
    ...[one.name, one.source, one.group, one.form, one.bits.weights, one.bits.activations, one.signed],
    ...[one.operandOrder, one.better, one.unitGates, one.gateCost],
    ...[one.synthesised?.power, one.synthesised?.area, one.synthesised?.delay],
    ...metrics.map((metric) => one.uniform[metric]),
    ...metrics.map((metric) => one.measured?.[metric]),
    ...stages.flatMap((stage) => [one.results[stage]?.accuracy, one.results[stage]?.loss]),
    '',
  ]);
  const lost = failed.map(({ source, reason }) => [
    ...['', source, 'tried'],
    ...new Array<string>(heads.length - 4).fill(''),
    reason,
  ]);
  return `${[heads, ...rows, ...lost].map((row) => row.map(cell).join(',')).join('\n')}\n`;
}

function cell(value: string | number | boolean | null | undefined): string {
  const text = value === null || value === undefined ? '' : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
