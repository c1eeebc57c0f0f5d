// What the C of a network relies on, recomputed from its numbers before any C is written: that no sum and no product in
// it leaves the type that it is computed in (overflow of a signed integer is undefined in C).
// Invariant: a network that passes has no such overflow whatever its image, if its tensors keep within their bounds.

import type { OpAttributes } from '../../engine/graph/ops.ts';
import type {
  FloatOperation,
  IntegerMultiplier,
  IntegerNetwork,
  IntegerOperation,
  IntegerTensor,
  ProductOperation,
  RequantiseOperation,
} from '../../integer/network.ts';
import { exactTable, firstDifference } from '../../multiplier/table.ts';
import { invariant, UserError } from '../../tensor/errors.ts';
import { clipped } from '../../tensor/names.ts';
import { typeFor } from './memory.ts';

/** Throws a UserError for a network that C does not take. */
export function checkForC(network: IntegerNetwork): void {
  const { tensors, operations, output, multipliers } = network;
  const islands = operations.filter(isFloat);
  if (islands.length > 0) {
    const named = islands.map((one) => (one.kind === 'float' ? one.label || nameOf(one) : one.label));
    const layers = [...new Set(named.filter((label) => label !== ''))].join(', ');
    throw new UserError(
      `${network.name} as C: ${clipped(layers, 200)} compute or take float32, and C has integers alone; ` +
        'export it as integer, onnx or pytorch, which have such layers',
    );
  }
  for (const { name, low, high } of tensors) need(low, high, `the tensor ${name}`);
  need(tensors[output]!.low, tensors[output]!.high, 'the logits');
  for (const { name, table, exact } of multipliers) {
    const { weightBits, activationBits, signed } = table;
    const differs = exact && firstDifference(table, exactTable(weightBits, activationBits, signed)) !== null;
    invariant(!differs, `the exact multiplier ${name} has a table of other products`);
  }
  for (const operation of operations) {
    if (operation.kind === 'product') checkProduct(operation, multipliers[operation.multiplier]!, tensors);
    if (operation.kind === 'requantise') checkRequantise(operation, tensors[operation.inputs[0]!]!);
  }
}

export const isFloat = ({ kind }: IntegerOperation): boolean =>
  kind === 'float' || kind === 'quantise' || kind === 'dequantise';

/** What an operation without a layer is called. */
const nameOf = ({ op, attributes }: FloatOperation): string =>
  op === 'formula' ? (attributes as OpAttributes['formula']).name : op;

function need(low: number, high: number, what: string): void {
  if (typeFor(low, high) !== undefined) return;
  throw new UserError(
    `${clipped(what, 100)} as C: integers from ${low} to ${high}: expected 32 bits; export it as integer, which has no such limit`,
  );
}

/** Every partial sum, and what stands in the expression of one term. */
function checkProduct(operation: ProductOperation, { table }: IntegerMultiplier, tensors: readonly IntegerTensor[]) {
  const { layer, accumulators, step, weightZero, zeroRow, activationZero, weights } = operation;
  const { weightBits, activationBits } = table;
  invariant(weightBits <= 8 && activationBits <= 8, `${layer} has operands of ${weightBits}×${activationBits} bits`);
  const what = `the sums of ${layer}`;
  need(...accumulators.terms, what);
  need(...accumulators.products, what);
  const x = tensors[operation.inputs[0]!]!;
  const [largestX, largestW, largestZero] = [magnitude([x.low, x.high]), magnitude(weights), magnitude(weightZero)];
  const row = zeroRow ? magnitude(zeroRow) : largestZero * largestX;
  const term = step * magnitude(table.data) + row + Math.abs(activationZero) * (step * largestW + largestZero);
  need(-term, term, what);
}

function checkRequantise({ label, fraction, bias, multiplier, shift }: RequantiseOperation, from: IntegerTensor): void {
  for (let channel = 0; channel < multiplier.length; channel++) {
    invariant(shift[channel]! >= 1 && shift[channel]! <= 62, `${label} is shifted by ${shift[channel]}`);
    for (const value of [from.low, from.high]) {
      const shifted = BigInt(value) * 2n ** BigInt(fraction) + BigInt(bias[channel]!);
      const product = shifted * BigInt(multiplier[channel]!);
      invariant(BigInt.asIntN(64, product) === product, `${label} multiplies ${value} to more than 63 bits`);
    }
  }
}

const magnitude = (values: Iterable<number>): number => {
  let most = 0;
  for (const value of values) most = Math.max(most, Math.abs(value));
  return most;
};
