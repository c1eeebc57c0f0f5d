// What a network does with exact multipliers of fewer bits than the run's, as the phase `rivals` leaves it beside the
// run (rivals.json): the rivals of every approximate multiplier. Accuracies were measured in this run; what each costs
// follows from its widths, in the kind of power that is asked for.

import { join } from 'node:path';
import { z } from 'zod';
import { modelledExactPower, type PowerModelName } from '../../multiplier/power-model.ts';
import { cheapestExact } from '../../netlist/exact-cost.ts';
import { dominators, type FrontPoint, type PowerKind } from '../../report/front.ts';
import { UserError } from '../../tensor/errors.ts';
import { readJson } from '../../tensor/files.ts';
import { given } from '../../tensor/given.ts';
import { widthName } from '../multipliers/widths.ts';
import { files } from '../run/folder.ts';
import type { StageResult } from '../run/stages.ts';
import type { Configuration } from '../settings/config.ts';
import { EXACT, hasOwnWidths } from '../settings/layers.ts';

const bits = z.strictObject({ weights: z.int().min(2).max(8), activations: z.int().min(2).max(8) });
const measured = z.strictObject({ accuracy: z.number(), loss: z.number() });
const relative = z.number().positive();

const rivalSchema = z.strictObject({
  bits,
  /** After post-training quantisation of the float model to these widths. */
  plain: measured,
  /** After retraining as the run's own multiplier was retrained. */
  recovered: measured.exactOptional(),
  /** Synthesised power of the exact multiplier of these widths, relative to the exact 8×8; where it was synthesised. */
  synthesised: relative.exactOptional(),
});
export type Rival = z.output<typeof rivalSchema>;

export const rivalsSchema = z.strictObject({
  format: z.literal('tram-rivals'),
  version: z.literal(1),
  /** What the measurements depend on; those of other facts are not used. */
  facts: z.string(),
  rivals: z.array(rivalSchema),
  /** The run's own multipliers, mean over the multiplications, where they were synthesised; and in which library. */
  synthesised: z.strictObject({ library: z.string(), own: relative, exact: relative }).exactOptional(),
});
export type Rivals = z.output<typeof rivalsSchema>;

/** Reads the file of a run. Throws a UserError for what is none. */
export function readRivals(folder: string): Rivals {
  const path = join(folder, files.rivals);
  const parsed = rivalsSchema.safeParse(readJson(path));
  if (parsed.success) return parsed.data;
  throw new UserError(`${path} is not what the phase rivals wrote; do it again with tram run ${folder} --redo`);
}

/** Power of an exact multiplier relative to the exact 8×8, where this kind of it is known. */
export function exactPowerOf(
  { weights, activations }: Rival['bits'],
  kind: PowerKind,
  { synthesised, model = 'analytic' }: { readonly synthesised?: number | undefined; readonly model?: PowerModelName },
): number | undefined {
  if (kind === 'modelled') return modelledExactPower(model, { weightBits: weights, activationBits: activations });
  return kind === 'gates' ? cheapestExact(weights, activations).gateCost : synthesised;
}

/** The rivals as points: as quantised, and retrained where that was measured. */
export function rivalPoints({ rivals }: Pick<Rivals, 'rivals'>, kind: PowerKind): FrontPoint[] {
  return rivals.flatMap(({ bits: widths, plain, recovered, synthesised }) => {
    const power = exactPowerOf(widths, kind, { synthesised });
    if (power === undefined) return [];
    const label = widthName(widths);
    return [
      { label, series: 'exact', kind, power, accuracy: plain.accuracy } as const,
      ...(recovered ? [{ label, series: 'exact-retrained', kind, power, accuracy: recovered.accuracy } as const] : []),
    ];
  });
}

/** A run among its rivals over one kind of power. */
export interface RunFront {
  readonly kind: PowerKind;
  /** The library of synthesised power. */
  readonly library?: string;
  /** The run's own multiplier, after its last stage. */
  readonly own: FrontPoint;
  /** The exact multiplier of the run's widths first, then those of fewer bits. */
  readonly rivals: readonly FrontPoint[];
  /** The most accurate of those that cost no more and are as accurate; null where nothing measured here is. */
  readonly dominatedBy: FrontPoint | null;
}

type Told = Pick<Configuration, 'bits' | 'quantize' | 'map'>;

/** What a run with this multiplier is drawn as: exact ones were retrained as approximate ones are. */
export function seriesOf(multiplier: string | undefined): FrontPoint['series'] {
  if (multiplier === undefined) return 'trained';
  return multiplier === EXACT ? 'exact-retrained' : 'given';
}

/** The run among its rivals in every kind of power that is known after mapping: the best known kind first. */
export function runFronts(
  configuration: Told,
  stages: readonly StageResult[],
  measured: Rivals,
  tried: readonly FrontPoint[] = [],
): RunFront[] {
  const last = stages.findLast(({ stage }) => stage === 'recovered' || stage === 'mapped');
  if (!last) return [];
  const { multiplier } = configuration.map;
  const powers = { synthesised: measured.synthesised?.own, gates: last.gateCost };
  return (['synthesised', 'gates'] as const).flatMap((kind) => {
    const power = powers[kind];
    if (power === undefined) return [];
    const own: FrontPoint = {
      ...{ label: multiplier ?? 'this run', series: seriesOf(multiplier) },
      ...{ kind, power, accuracy: last.accuracy },
    };
    const exact = [...ownWidths(configuration, stages, kind, measured), ...rivalPoints(measured, kind)];
    const known = new Set(exact.map(({ series, label }) => `${series} ${label}`));
    const others = tried.filter((one) => one.kind === kind && !known.has(`${one.series} ${one.label}`));
    const rivals = [...exact, ...others];
    const library = kind === 'synthesised' ? measured.synthesised?.library : undefined;
    return [{ kind, own, rivals, dominatedBy: dominators(own, rivals)[0] ?? null, ...given({ library }) }];
  });
}

/** The exact multiplier of the run's own widths, in the quantised network; none where layers have their own. */
function ownWidths(
  { bits: widths, ...configuration }: Told,
  stages: readonly StageResult[],
  kind: PowerKind,
  { synthesised }: Rivals,
): FrontPoint[] {
  const quantized = stages.find(({ stage }) => stage === 'quantized');
  const power = exactPowerOf(widths, kind, { synthesised: synthesised?.exact });
  if (!quantized || power === undefined || hasOwnWidths(configuration)) return [];
  return [{ label: widthName(widths), series: 'exact', kind, power, accuracy: quantized.accuracy }];
}

/** "an exact 5×5 multiplier", "an exact 4×5 multiplier, retrained,". */
export function rivalName({ series, label }: FrontPoint): string {
  if (series === 'exact') return `an exact ${label} multiplier`;
  return series === 'exact-retrained' ? `an exact ${label} multiplier, retrained,` : label;
}

export const kindNames: Readonly<Record<PowerKind, string>> = {
  modelled: 'modelled power',
  gates: 'gate cost',
  synthesised: 'synthesised power',
};
