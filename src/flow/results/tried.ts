// What tram try found of a run, as points of the run's own picture: exact multipliers of fewer bits, truncations and
// library files that were measured in its network stand beside it (RUN-try/try.json).
// Invariant: only a try of this very quantised network counts; what is no such file is as if it were not there.

import { existsSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import type { FrontPoint } from '../../report/front.ts';
import { UserError } from '../../tensor/errors.ts';
import { readJson } from '../../tensor/files.ts';
import { widthName } from '../multipliers/widths.ts';

/** Where tram try leaves its results unless it is told otherwise: beside the run. */
export function tryFolder(run: string): string {
  return join(dirname(resolve(run)), `${basename(resolve(run))}-try`);
}

const measured = z.object({ accuracy: z.number() });
const tried = z.object({
  run: z.object({ quantized: z.string() }),
  library: z.string().optional(),
  multipliers: z.array(
    z.object({
      name: z.string(),
      source: z.string(),
      group: z.enum(['exact', 'tried']),
      bits: z.object({ weights: z.int(), activations: z.int() }),
      better: z.boolean().optional(),
      gateCost: z.number().nullable(),
      synthesised: z.object({ power: z.number() }).nullish(),
      results: z.object({ plain: measured, reestimated: measured, recovered: measured.optional() }),
    }),
  ),
});

/**
 * Multipliers tried in the network whose checkpoint has this hash, over gates, and over synthesised power if it is that
 * of `library`. Exact ones of fewer bits are among them as far as they were retrained: quantised alone the run measures
 * them itself.
 */
export function triedPoints(run: string, quantized: string, library?: string): FrontPoint[] {
  const path = join(tryFolder(run), 'try.json');
  const report = existsSync(path) ? read(path) : undefined;
  if (report?.run.quantized !== quantized) return [];
  return report.multipliers.flatMap((one): FrontPoint[] => {
    const { results, group, better, source, gateCost } = one;
    if (better === false || (group === 'exact' && !results.recovered)) return [];
    const point = {
      label: group === 'exact' ? widthName(one.bits) : basename(one.name),
      series: group === 'exact' ? 'exact-retrained' : source.startsWith('truncated:') ? 'truncated' : 'given',
      accuracy: (results.recovered ?? results.reestimated).accuracy,
      before: results.plain.accuracy,
    } as const;
    const synthesised = library !== undefined && report.library === library ? one.synthesised?.power : undefined;
    return [
      ...(gateCost === null ? [] : [{ ...point, kind: 'gates', power: gateCost } as const]),
      ...(synthesised === undefined ? [] : [{ ...point, kind: 'synthesised', power: synthesised } as const]),
    ];
  });
}

function read(path: string): z.output<typeof tried> | undefined {
  try {
    return tried.safeParse(readJson(path)).data;
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}
