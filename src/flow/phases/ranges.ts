// Ranges of activations that the network bears. The step of the least mean squared error (quant/starts.ts) can be that
// of a few large values: where one in a thousand is fifty times the others, four bits hold those few, and all others
// become 0. A layer by itself cannot tell what it loses by that; the network can. So it is asked for each layer which
// range changes answers least (harm.ts), and then for all together.
// Invariants: where little is changed the quantisers stay as calibration left them; no layer has another range than the
// observer's unless the network as a whole is nearer to the float one by it. Test images have no part in it.

import type { Session } from '../../engine/backend.ts';
import type { Histogram } from '../../quant/observers.ts';
import type { QuantizedArithmetic } from '../../train/task.ts';
import type { OpenRun } from '../run/context.ts';
import { layerWidths } from '../settings/layers.ts';
import { calibrate, observedInputs, observeInput, setObserved } from './calibrate.ts';
import { HarmMeter, type KnownInputs, mayReplaceRanges, type RangeChoice, withRange } from './harm.ts';

type Ranged = Pick<OpenRun, 'configuration' | 'dataset' | 'task' | 'layers'>;

/** A distance from the float network's answers that is borne. */
const BORNE = 0.01;

export interface RangesBorne {
  /** The percentiles of those layers whose range is not the observer's; none where little is changed. */
  readonly percentiles: ReadonlyMap<string, number>;
  readonly images: number;
  /** By how much answers differ from the float network's, with the observer's ranges and with these. */
  readonly before: number;
  readonly after: number;
}

/** What was measured of the float network in the session before; the result does not depend on it. */
export interface MeasuredBefore {
  readonly meter?: HarmMeter;
  readonly known?: KnownInputs;
}

/**
 * Calibrates, and sees to it that few large activations do not cost the network all others; undefined where quantisers
 * or observer leave no choice.
 */
export async function calibrateToBear(
  run: Ranged,
  session: Session,
  arithmetic: QuantizedArithmetic,
  before: MeasuredBefore = {},
): Promise<RangesBorne | undefined> {
  if (!mayReplaceRanges(run)) {
    await calibrate(run, session, arithmetic);
    return undefined;
  }
  const inputs = before.meter?.inputs ?? (await observedInputs(run, session));
  await setObserved(run, session, inputs);
  return await replaceRanges(run, session, arithmetic, inputs, before);
}

/**
 * Sets the ranges of layers' activations anew where those of the least squared error change the network. `inputs`: what
 * each layer was seen to read.
 */
export async function replaceRanges(
  run: Ranged,
  session: Session,
  arithmetic: QuantizedArithmetic,
  inputs: ReadonlyMap<string, Histogram>,
  { meter, known = [] }: MeasuredBefore = {},
): Promise<RangesBorne> {
  const own = meter ?? (await HarmMeter.open(run, session, inputs, known));
  const network = await own.network(arithmetic);
  try {
    const before = await network.distance();
    const borne = { images: own.images, before, after: before, percentiles: new Map() };
    return before <= BORNE ? borne : { ...borne, ...(await nearest(run, session, own, { network, before })) };
  } finally {
    await network.dispose();
    if (!meter) await own.close();
  }
}

/**
 * The layers' ranges of least harm, all of them or none, whichever is nearer; then of each layer by itself the other
 * one where the network as a whole is nearer by that.
 */
async function nearest(
  run: Ranged,
  session: Session,
  meter: HarmMeter,
  { network, before }: { readonly network: Awaited<ReturnType<HarmMeter['network']>>; readonly before: number },
): Promise<{ readonly percentiles: ReadonlyMap<string, number>; readonly after: number }> {
  const { configuration, layers } = run;
  const widths = layerWidths(configuration, layers);
  const set = (layer: string, range: RangeChoice) => {
    const what = { layer, bits: widths.get(layer)!.activations, seen: meter.inputs.get(layer)! };
    observeInput({ configuration: withRange(configuration, range) }, session, what);
  };
  const found = new Map<string, number>();
  for (const { name } of layers) {
    const { range } = await meter.ofInput(name, widths.get(name)!.activations);
    if (range !== 'observer') found.set(name, range);
  }
  for (const [layer, range] of found) set(layer, range);
  const withAll = found.size === 0 ? before : await network.distance();
  const percentiles = new Map(withAll < before ? found : []);
  if (percentiles.size === 0) for (const layer of found.keys()) set(layer, 'observer');
  let after = Math.min(withAll, before);
  for (const [layer, range] of found) {
    const other = percentiles.has(layer) ? 'observer' : range;
    set(layer, other);
    const distance = await network.distance();
    if (distance < after) {
      after = distance;
      if (other === 'observer') percentiles.delete(layer);
      else percentiles.set(layer, range);
    } else set(layer, percentiles.get(layer) ?? 'observer');
  }
  return { percentiles, after };
}
