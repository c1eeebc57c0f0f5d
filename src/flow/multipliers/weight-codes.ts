// The codes that weights are stored as in a network of a run: for each layer a table in the session, from its
// multiplier and the activation codes that it meets in the run's calibration images. A constant of the multiplier: it
// is set where a phase puts a multiplier into the network, and saved with it.

import type { Session } from '../../engine/backend.ts';
import type { OperandHistograms } from '../../multiplier/metrics.ts';
import { type Multiplier, multiplierError } from '../../multiplier/multiplier.ts';
import { clampTheta } from '../../multiplier/structure.ts';
import { bestWeightCodes } from '../../multiplier/weight-codes.ts';
import type { OperandWidths } from '../../multiplier/widths.ts';
import { codesName } from '../../quant/weight-codes.ts';
import { f32, type TensorData } from '../../tensor/tensor.ts';
import { type QuantizedArithmetic, widthsIn } from '../../train/task.ts';
import type { OpenRun } from '../run/context.ts';
import { measureOperands } from './operands.ts';

/** Activation codes that a layer meets, by their number. */
export type MetCodes = ReadonlyMap<string, Pick<OperandHistograms, 'activation'>>;

/** Whether weights of a layer are stored as other codes than the nearest. */
export function exchangesCodes({ weightCodes, multiplierOf }: QuantizedArithmetic, layer: string): boolean {
  return weightCodes === 'best' && multiplierOf(layer).kind !== 'exact';
}

/** The session's table of a layer; undefined where weights are stored as the nearest codes. */
export async function storedCodes(
  session: Session,
  arithmetic: QuantizedArithmetic,
  layer: string,
): Promise<TensorData | undefined> {
  return exchangesCodes(arithmetic, layer) ? (await session.read(codesName(layer))).data : undefined;
}

/** E of a multiplier by codes; θ is that of the session. */
export async function errorIn(session: Session, multiplier: Multiplier, widths: OperandWidths): Promise<Float64Array> {
  const theta = multiplier.kind === 'structure' ? clampTheta((await session.read(multiplier.theta)).data) : undefined;
  return multiplierError(multiplier, widths, theta);
}

/** Sets the tables of all layers for the multipliers that they have, at the session's θ; returns how many there are. */
export async function writeWeightCodes(
  session: Session,
  arithmetic: QuantizedArithmetic,
  met: MetCodes,
): Promise<number> {
  const layers = [...met].filter(([layer]) => exchangesCodes(arithmetic, layer));
  const errors = new Map<Multiplier, Float64Array>();
  for (const [layer, { activation }] of layers) {
    const multiplier = arithmetic.multiplierOf(layer);
    const widths = widthsIn(arithmetic, layer);
    const error = errors.get(multiplier) ?? (await errorIn(session, multiplier, widths));
    errors.set(multiplier, error);
    session.write(codesName(layer), f32([2 ** widths.weightBits], bestWeightCodes(error, widths, activation)));
  }
  return layers.length;
}

type Measured = Pick<OpenRun, 'configuration' | 'dataset' | 'task'>;

/** The same, from what calibration images meet in the network as it multiplies now; nothing where none is wanted. */
export async function chooseWeightCodes(
  { configuration, dataset, task }: Measured,
  session: Session,
  { from, to }: { readonly from: QuantizedArithmetic; readonly to: QuantizedArithmetic },
): Promise<number> {
  if (to.weightCodes !== 'best') return 0;
  const { images } = configuration.quantize;
  return writeWeightCodes(session, to, await measureOperands(session, task, from, dataset.train, images));
}
