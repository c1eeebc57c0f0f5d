// The codes that weights are stored as in a network of a run: for each layer a table in the session, from its
// multiplier and the activation codes that it meets in the run's calibration images. A constant of the multiplier: it
// is set where a phase puts a multiplier into the network, and saved with it. While θ moves it is set anew by the host
// at the beginning of each epoch, and where θ becomes hard.

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
  return exchangesCodes(arithmetic, layer)
    ? (await session.read(codesName(layer, arithmetic.multiplierOf(layer)))).data
    : undefined;
}

/** E of a multiplier by codes; θ is that of the session. */
export async function errorIn(session: Session, multiplier: Multiplier, widths: OperandWidths): Promise<Float64Array> {
  const theta = multiplier.kind === 'structure' ? clampTheta((await session.read(multiplier.theta)).data) : undefined;
  return multiplierError(multiplier, widths, theta);
}

/** Sets the tables of all layers for the multipliers that they have, at the session's θ. */
export async function writeWeightCodes(
  session: Session,
  arithmetic: QuantizedArithmetic,
  met: MetCodes,
): Promise<void> {
  const layers = [...met].filter(([layer]) => exchangesCodes(arithmetic, layer));
  const errors = new Map<Multiplier, Float64Array>();
  for (const [layer, { activation }] of layers) {
    const multiplier = arithmetic.multiplierOf(layer);
    const widths = widthsIn(arithmetic, layer);
    const error = errors.get(multiplier) ?? (await errorIn(session, multiplier, widths));
    errors.set(multiplier, error);
    const codes = bestWeightCodes(error, widths, activation);
    session.write(codesName(layer, multiplier), f32([2 ** widths.weightBits], codes));
  }
}

type Measured = Pick<OpenRun, 'configuration' | 'dataset' | 'task'>;

interface Change {
  /** As the network multiplies now. */
  readonly from: QuantizedArithmetic;
  readonly to: QuantizedArithmetic;
}

/** What the calibration images meet in the network as it multiplies now; undefined where no codes are to be chosen. */
export async function metCodes(
  { configuration, dataset, task }: Measured,
  session: Session,
  { from, to }: Change,
): Promise<MetCodes | undefined> {
  if (to.weightCodes !== 'best') return undefined;
  return measureOperands(session, task, from, dataset.train, configuration.quantize.images);
}

/** Sets the tables by what the calibration images meet now. */
export async function chooseWeightCodes(run: Measured, session: Session, change: Change): Promise<void> {
  const met = await metCodes(run, session, change);
  if (met) await writeWeightCodes(session, change.to, met);
}
