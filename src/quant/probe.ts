// One operand rounded beside a float network, chosen while a program runs: what a layer reads goes through a quantiser
// of eight bits and a table of the values that its codes stand for, or past it as it is. One program then has every
// layer rounded at any width, one after the other, without being formed again.

import { whereGreater } from '../engine/graph/expression.ts';
import type { Value } from '../engine/graph/graph.ts';
import { formula } from '../engine/operations/formula.ts';
import { roundedCode } from '../engine/reference/quantization.ts';
import type { Start } from './starts.ts';

/** Codes of the widest operand. */
const CODES = 256;

const chosen = formula('probe', (isOn, rounded, x) => whereGreater(isOn, 0.5, rounded, x));

/** x, or what is left of it at the codes of a quantiser: what the inputs of the name say (`probeInputs`). */
export function probed(x: Value, name: string): Value {
  const { graph } = x;
  const scalar = (what: string) => graph.input(`${name}.${what}`, []);
  const codes = graph.apply1('quantize', [x, scalar('scale'), scalar('zero')], { bits: 8, granularity: 'tensor' });
  const rounded = graph.apply1('lookUp', [codes, graph.input(`${name}.values`, [CODES])], {});
  return chosen(scalar('isOn'), rounded, x);
}

/** Values of those inputs: x rounded to codes of so many bits, or as it is. */
export function probeInputs(name: string, to: (Start & { readonly bits: number }) | undefined) {
  const { scale, zero, bits } = to ?? { scale: 1, zero: 0, bits: 8 };
  const step = Math.fround(scale);
  const values = Float32Array.from({ length: CODES }, (_, code) => (Math.min(code, 2 ** bits - 1) - zero) * step);
  const all = { scale: [step], zero: [zero], values, isOn: [to ? 1 : 0] };
  return Object.entries(all).map(([what, data]) => [`${name}.${what}`, Float32Array.from(data)] as const);
}

/** Weights at the codes of their quantisers, one for all of them or one for each channel, the last axis. */
export function roundedWeights(values: ArrayLike<number>, starts: readonly Start[], bits: number): Float32Array {
  const most = 2 ** bits - 1;
  const steps = Float32Array.from(starts, ({ scale }) => scale);
  const rounded = new Float32Array(values.length);
  for (let k = 0; k < values.length; k++) {
    const c = k % steps.length;
    const [step, { zero }] = [steps[c]!, starts[c]!];
    const code = Math.min(Math.max(roundedCode(values[k]! / step, zero), 0), most);
    rounded[k] = (code - zero) * step;
  }
  return rounded;
}
