// The phase before quantisation where widths of layers are searched: what one operand of one layer at few bits does to
// the float network's answers while all else stays float (harm.ts), for every layer that has to be decided, both
// operands and all widths. What it comes to depends on the float network and on how ranges are chosen, and on neither
// the cost nor the number of kinds that are searched for: runs that differ in those alone have it in common.
// Invariant: each harm is kept the moment it is measured, so that what was interrupted goes on behind it.

import { join } from 'node:path';
import { z } from 'zod';
import { UserError } from '../../tensor/errors.ts';
import { readJson, sha256, writeJsonInside } from '../../tensor/files.ts';
import { fixed } from '../../tensor/numbers.ts';
import { version } from '../../version.ts';
import { type RunContext, requirePhase } from '../run/context.ts';
import { files, inFolder, type RunFolder } from '../run/folder.ts';
import { verifiedBytes } from '../run/manifest.ts';
import { searchedLayers } from '../settings/layers.ts';
import { settingsOf } from '../settings/phases.ts';
import { loadToQuantize, observedInputs } from './calibrate.ts';
import { HarmMeter, type HarmOfInput, NEARLY_NOTHING } from './harm.ts';
import { keptUnder } from './kept.ts';
import type { PhaseResult } from './result.ts';

/** Widths of an operand, in the order in which harms stand. */
export const BITS = [2, 3, 4, 5, 6, 7, 8] as const;
/**
 * Widths are measured from the least up, so many at least, until one does nearly nothing. From there each bit leaves a
 * quarter, as it does of the square of an error that is halved.
 */
const LEAST_MEASURED = 2;
const LEFT_BY_A_BIT = 1 / 4;
/** An answer that is no number harms as much as can be, and a sum of such is one still. */
export const MOST_HARM = 1e6;

const byBits = <T extends z.ZodType>(value: T) => z.array(value).max(BITS.length);

const layerSchema = z.strictObject({
  layer: z.string(),
  /** Σ (z − z₀)² / Σ z₀² over logits, of 2, 3, … bits; behind those that do nearly nothing it is not measured. */
  weights: byBits(z.number().nonnegative()),
  activations: byBits(z.number().nonnegative()),
  /** The range that activations have at so many bits: the observer's, or a percentile. */
  ranges: byBits(z.union([z.literal('observer'), z.number()])),
});

const harmsSchema = z.strictObject({
  format: z.literal('tram-harms'),
  version: z.literal(1),
  /** What the measurements depend on; those of other facts are not used. */
  facts: z.string(),
  /** Training images that it was measured on. */
  images: z.int(),
  /** Each with a figure for every width once the phase is done. */
  layers: z.array(layerSchema),
});
export type Harms = z.output<typeof harmsSchema>;
export type LayerHarms = Harms['layers'][number];

/** What the phase has left in a run's folder. Throws a UserError for what is none. */
export function readHarms({ folder, manifest }: Pick<RunFolder, 'folder' | 'manifest'>): Harms {
  const path = join(folder, files.harms);
  verifiedBytes(folder, requirePhase({ folder, manifest }, 'harms'), files.harms);
  const parsed = harmsSchema.safeParse(readJson(path));
  if (parsed.success) return parsed.data;
  throw new UserError(`${path} is not what the phase harms wrote; do it again with tram run ${folder} --redo`);
}

export async function harms(context: RunContext): Promise<PhaseResult> {
  const { folder, configuration, manifest, listener, signal, backend } = context;
  const train = requirePhase(context, 'train');
  const float = verifiedBytes(folder, train, files.float);
  const facts = sha256(
    JSON.stringify([
      version,
      settingsOf(configuration, 'harms', manifest.inputs),
      manifest.inputs.data.sha256,
      train.files[files.float],
    ]),
  );
  const known = keptUnder(facts, inFolder(context, files.harms), harmsSchema)?.layers ?? [];
  const layers = searchedLayers(configuration, context.layers).map(
    ({ name }) =>
      known.find(({ layer }) => layer === name) ?? { layer: name, weights: [], activations: [], ranges: [] },
  );
  const session = await backend.openSession();
  try {
    loadToQuantize(context, float, session);
    const meter = await HarmMeter.open(context, session, await observedInputs(context, session));
    const { images } = meter;
    const write = () =>
      writeJsonInside(folder, files.harms, {
        ...{ format: 'tram-harms', version: 1, facts, images, layers },
      } satisfies Harms);
    const progress = () => {
      const done = layers.reduce((sum, { weights, activations }) => sum + weights.length + activations.length, 0);
      return { done, of: layers.length * 2 * BITS.length };
    };
    const { done, of } = progress();
    const before = done === 0 ? '' : `; ${done} of ${of} were measured before`;
    const text = `${layers.length} layers, each at few bits: by how much the answers to ${images} training images differ${before}`;
    listener({ kind: 'note', text });
    listener({ kind: 'measured', phase: 'harms', ...progress() });
    for (const [at, kept] of layers.entries()) {
      await measureLayer(meter, kept, (so) => {
        layers[at] = so;
        write();
        listener({ kind: 'measured', phase: 'harms', ...progress() });
        signal?.throwIfAborted();
      });
      if (layers[at] !== kept) listener({ kind: 'note', text: described(layers[at]!) });
    }
    write();
  } finally {
    await session.dispose();
  }
  return { files: [files.harms], stages: [] };
}

/** What one layer's operands do, from what is known of them on; `keep` has it after each width that was measured. */
async function measureLayer(meter: HarmMeter, before: LayerHarms, keep: (so: LayerHarms) => void): Promise<void> {
  let so = before;
  const { layer } = before;
  for (const bits of BITS.slice(so.weights.length)) {
    const harm = impliedBy(so.weights) ?? Math.min(await meter.ofWeight(layer, bits), MOST_HARM);
    so = { ...so, weights: [...so.weights, harm] };
    keep(so);
  }
  for (const bits of BITS.slice(so.activations.length)) {
    // A percentile may do nearly nothing, and the observer's range at one more bit less than that.
    const implied = so.ranges.at(-1) === 'observer' ? impliedBy(so.activations) : undefined;
    const { harm, range }: HarmOfInput =
      implied === undefined ? await meter.ofInput(layer, bits) : { harm: implied, range: 'observer' };
    const activations = [...so.activations, Math.min(harm, MOST_HARM)];
    so = { ...so, activations, ranges: [...so.ranges, range] };
    keep(so);
  }
}

/** What one more bit does behind these, where it need not be measured. */
function impliedBy(harms: readonly number[]): number | undefined {
  const last = harms.at(-1);
  const isKnown = harms.length >= LEAST_MEASURED && last !== undefined && last <= NEARLY_NOTHING;
  return isKnown ? last * LEFT_BY_A_BIT : undefined;
}

function described({ layer, weights, activations }: LayerHarms): string {
  const told = (harms: readonly number[]) =>
    harms
      .slice(0, 3)
      .map((harm) => fixed(100 * harm, 2))
      .join(', ');
  return `${layer}: 2, 3, 4 bits change the answers by ${told(weights)} % (weights), ${told(activations)} % (activations)`;
}
