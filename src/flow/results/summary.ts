// What a run came to, as data: the table at the end of `tram run`, `--json`, the report page and library users all read
// this.

import { type ErrorMetrics, NMED_TITLE } from '../../multiplier/metrics.ts';
import { type PowerModelName, powerModelTitles } from '../../multiplier/power-model.ts';
import { type Certificate, describeCertificate, isProof } from '../../netlist/certify.ts';
import { REFERENCE_GATES } from '../../netlist/structure.ts';
import type { MatrixProducts } from '../../nn/products.ts';
import { fixed, grouped, percent, significant } from '../../tensor/numbers.ts';
import type { RunInputs, TargetOutcome, TypesRecord } from '../run/manifest.ts';
import type { StageResult } from '../run/stages.ts';
import type { ChangedSetting } from '../settings/flags.ts';
import type { Phase } from '../settings/phases.ts';
import type { RunFront } from './rivals.ts';
import type { ThetaOf } from './theta-text.ts';

export { powerModelTitles };

/** What the two measures of a stage are, in one line: a footnote to tables on a terminal. */
export function measuresNote(model: PowerModelName): string {
  return `power: ${powerModelTitles[model]}, 1 = the exact 8×8 array; ${gateCostNote}`;
}

export const gateCostNote = `gate cost: unit gates of the netlist, 1 = the cheapest exact 8×8 multiplier (${REFERENCE_GATES})`;

export interface MultiplierSummary {
  /** `multiplier`, or `multiplier-<layer>` where each layer has its own. */
  readonly name: string;
  readonly layers: readonly string[];
  /** θ of the structure, as RunSummary.thetaOf says; empty for an imported multiplier. */
  readonly theta: readonly number[];
  /** What its θ are of where layers have widths of their own; else RunSummary.thetaOf says it for all. */
  readonly thetaOf?: ThetaOf;
  /**
   * Unit gates of the netlist relative to the cheapest exact 8×8 multiplier (400 unit gates); null where only a table
   * is known.
   */
  readonly gateCost: number | null;
  /**
   * Mean squared error to the products that θ asks for, over the operands it was mapped for; null for an imported
   * multiplier.
   */
  readonly mseToTarget: number | null;
  readonly metrics: ErrorMetrics;
  /** What was compared, and proved equal where it is more than the table. */
  readonly certificate: Certificate;
}

/** One multiplying layer of the network, and what it multiplies with. */
export interface LayerSummary {
  readonly name: string;
  /** Multiplications per image. */
  readonly macs: number;
  /** Its share of the network's multiplications, 0 … 1. */
  readonly share: number;
  /** Widths of its operands in bits. */
  readonly weightBits: number;
  readonly activationBits: number;
  /** Name of its multiplier; null where it keeps the exact one; absent before the mapping. */
  readonly multiplier?: string | null;
  /**
   * Its share of the gates at work in the network: multiplications times gate cost. Absent where a gate cost is not
   * known.
   */
  readonly gateShare?: number;
}

export interface PhaseFacts {
  readonly phase: Phase;
  readonly seconds: number;
  /** ISO date and time. */
  readonly finished: string;
  readonly device: { readonly name: string; readonly detail: string };
  readonly command?: string;
}

export interface RunFile {
  readonly group: 'run' | 'multiplier';
  readonly title: string;
  readonly path: string;
}

export interface RunSummary {
  readonly folder: string;
  readonly data: string;
  readonly model: string;
  readonly seed: number;
  readonly weightBits: number;
  readonly activationBits: number;
  /** What the powers of stages are by. */
  readonly powerModel: PowerModelName;
  readonly stages: readonly StageResult[];
  readonly multipliers: readonly MultiplierSummary[];
  /** What each θ of the multipliers is of. */
  readonly thetaOf: ThetaOf;
  readonly layers: readonly LayerSummary[];
  /**
   * Layers that keep an exact multiplier, and the share of the multiplications that is in them and in matrix products.
   * Power and gate cost are of the other layers.
   */
  readonly exactLayers: readonly string[];
  readonly exactShare: number;
  /** Matrix products of computed operands (attention), which stay in float32, with their multiplications per image. */
  readonly products: readonly MatrixProducts[];
  /** Among exact multipliers of fewer bits, in the best known kind of power; where the run measured them. */
  readonly front?: RunFront;
  /** What came of the targets of exploration, and what the network lost in the end on the test images, in points. */
  readonly targets?: TargetOutcome & { readonly testLoss?: number };
  /** Layers that share multipliers, and what any number of them costs, where that was asked for. */
  readonly types?: TypesRecord;
  /** One or two sentences: what was saved for what loss, and what to try next. */
  readonly verdict: string;
  /** The settings that are not the defaults, and the options of `tram run` that make a run with them. */
  readonly changed: readonly ChangedSetting[];
  readonly options: readonly string[];
  readonly inputs: RunInputs;
  /** Versions of what began the run, and when. */
  readonly program: { readonly tram: string; readonly node: string };
  readonly created: string;
  readonly donePhases: readonly Phase[];
  /** Who did each finished phase, when and for how long; the report itself is not among them. */
  readonly phases: readonly PhaseFacts[];
  /** Files that exist, with what they are, in the order a reader wants them. */
  readonly files: readonly RunFile[];
}

/** "w8a8", or "w3a4 (5 layers), w2a3 (4)" where layers that are approximated have different widths. */
export function widthsText({ layers, exactLayers, ...summary }: RunSummary): string {
  const counts = new Map<string, number>();
  for (const { name, weightBits, activationBits } of layers) {
    if (exactLayers.includes(name)) continue;
    const widths = `w${weightBits}a${activationBits}`;
    counts.set(widths, (counts.get(widths) ?? 0) + 1);
  }
  const all = [...counts].toSorted(([, a], [, b]) => b - a);
  if (all.length === 0) return `w${summary.weightBits}a${summary.activationBits}`;
  if (all.length === 1) return all[0]![0];
  return all.map(([widths, count], at) => `${widths} (${count}${at === 0 ? ' layers' : ''})`).join(', ');
}

/** What a certificate says: which forms were proved equal over how many pairs, or that there was nothing to compare. */
export function proofOf(certificate: Certificate): { readonly proved: boolean; readonly text: string } {
  return { proved: isProof(certificate), text: describeCertificate(certificate) };
}

/** A multiplier's figures as label and text, in the order of the field's tables. */
export function metricRows({ metrics, gateCost, mseToTarget, certificate }: MultiplierSummary) {
  const proof = proofOf(certificate);
  return [
    { label: 'Gate cost, exact 8×8 = 1', value: gateCost === null ? '–' : fixed(gateCost, 4) },
    { label: 'Error rate (ER): share of wrong products', value: percent(metrics.errorRate) },
    { label: 'MED: mean distance to the exact product', value: significant(metrics.meanErrorDistance, 6) },
    { label: `NMED: ${NMED_TITLE}`, value: percent(metrics.normalizedMeanErrorDistance, 4) },
    { label: 'MSE: mean square of the error', value: significant(metrics.meanSquareError, 6) },
    { label: 'MaxED: largest distance', value: grouped(metrics.maxErrorDistance) },
    { label: 'MRED: mean of distance over product', value: percent(metrics.meanRelativeErrorDistance, 3) },
    { label: 'Mean error (bias)', value: significant(metrics.meanError, 6) },
    ...(mseToTarget === null ? [] : [{ label: 'MSE to the products of θ', value: significant(mseToTarget, 6) }]),
    { label: proof.proved ? 'Proved equal' : 'Not compared', value: proof.text },
  ];
}

/** So many exact layers are named in a line. */
const MOST_NAMED = 12;

/** "power and gate cost are those of 98.7 % of the multiplications; exact: conv1 (8×8, 9,216 MACs), fc (640 MACs)". */
export function describeExactLayers(summary: RunSummary): string {
  const { layers, exactLayers, exactShare, products } = summary;
  const own = layers.filter(({ name }) => exactLayers.includes(name));
  const named = own.slice(0, MOST_NAMED).map(({ name, macs, weightBits, activationBits }) => {
    const isOther = weightBits !== summary.weightBits || activationBits !== summary.activationBits;
    return `${name} (${isOther ? `${weightBits}×${activationBits} bits, ` : ''}${grouped(macs)} MACs)`;
  });
  const more = own.length > named.length ? ` and ${own.length - named.length} more` : '';
  const macs = products.reduce((sum, product) => sum + product.macs, 0);
  const parts = [
    `power and gate cost are those of ${percent(1 - exactShare)} of the multiplications`,
    ...(own.length === 0 ? [] : [`exact multipliers in ${named.join(', ')}${more}`]),
    ...(macs === 0 ? [] : [`matrix products of attention in float32: ${grouped(macs)} MACs`]),
  ];
  return parts.join('; ');
}
