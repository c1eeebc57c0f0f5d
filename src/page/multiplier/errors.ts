// The errors of a multiplier as the page has them: unpacked once, asked for pair by pair. Rows and columns are operands
// by rising value, so that the most negative one of a signed multiplier stands first; the packed ones go by patterns.

import { inflateSync } from 'fflate';
import type { ExploredMultiplier } from '../../serve/api.ts';

export interface ErrorPlane {
  /** Operands of each side: 2^weightBits and 2^activationBits. */
  readonly weights: number;
  readonly activations: number;
  /** The least operand of each side: 0, or −2^(bits−1). */
  readonly leastWeight: number;
  readonly leastActivation: number;
  /** By rising weight, then rising activation. */
  readonly errors: Int32Array;
  /** The largest |error|. */
  readonly extreme: number;
}

/** One operand pair, as the integers that it stands for. */
export interface PairOfOperands {
  readonly w: number;
  readonly x: number;
  readonly exact: number;
  readonly error: number;
}

type Measured = Pick<ExploredMultiplier, 'measures' | 'errors'>;

/** Undefined where errors are not told pair by pair. */
export function errorPlane({ measures, errors: packed }: Measured): ErrorPlane | undefined {
  if (packed === null) return undefined;
  const { weightBits, activationBits, signed } = measures;
  const [weights, activations] = [2 ** weightBits, 2 ** activationBits];
  const raw = inflateSync(Uint8Array.from(atob(packed), (character) => character.charCodeAt(0)));
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const errors = new Int32Array(weights * activations);
  const [leastWeight, leastActivation] = signed ? [-weights / 2, -activations / 2] : [0, 0];
  let extreme = 0;
  for (let row = 0; row < weights; row++) {
    const w = (row + leastWeight) & (weights - 1);
    for (let column = 0; column < activations; column++) {
      const x = (column + leastActivation) & (activations - 1);
      const error = view.getInt32(4 * (w * activations + x), true);
      errors[row * activations + column] = error;
      extreme = Math.max(extreme, Math.abs(error));
    }
  }
  return { weights, activations, leastWeight, leastActivation, errors, extreme };
}

export function pairAt(plane: ErrorPlane, row: number, column: number): PairOfOperands {
  const [w, x] = [row + plane.leastWeight, column + plane.leastActivation];
  return { w, x, exact: w * x, error: plane.errors[row * plane.activations + column]! };
}

/** What the first has more than the second at each pair; undefined where their operands differ. */
export function differenceOf(a: ErrorPlane, b: ErrorPlane): ErrorPlane | undefined {
  const same = a.weights === b.weights && a.activations === b.activations && a.leastWeight === b.leastWeight;
  if (!same) return undefined;
  const errors = a.errors.map((error, pair) => error - b.errors[pair]!);
  return { ...a, errors, extreme: errors.reduce((most, error) => Math.max(most, Math.abs(error)), 0) };
}

/** Equal parts of the range of errors, with how many pairs lie in each; the part that holds 0 is centred on it. */
export function distribution({ errors }: ErrorPlane, most = 61): { readonly centre: number; readonly count: number }[] {
  let [least, greatest] = [0, 0];
  for (const error of errors) {
    if (error < least) least = error;
    if (error > greatest) greatest = error;
  }
  const width = Math.max(1, Math.ceil((greatest - least + 1) / most));
  const part = (error: number) => Math.round(error / width);
  const first = part(least);
  const counts = new Array<number>(part(greatest) - first + 1).fill(0);
  for (const error of errors) counts[part(error) - first]!++;
  return counts.map((count, at) => ({ centre: (first + at) * width, count }));
}
