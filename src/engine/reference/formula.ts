// Formulas, interpreted: every part of an expression for a whole row at a time in double precision, rounded where it is
// stored.

import { sizeOf } from '../../tensor/tensor.ts';
import { type DefinedOp, forDefined, formulaOf } from '../graph/elementwise.ts';
import { compute, isReduction, partsOf } from '../graph/expression.ts';
import { expressionsOf, placeOf } from '../graph/formula.ts';
import { repeatedAt, repetitionOf } from '../graph/repeat.ts';
import type { Kernel, Kernels } from './kernel.ts';

/** An operation of the contract whose meaning is a formula. */
const defined =
  <K extends DefinedOp>(op: K): Kernel<K> =>
  (inputs, outputs, attributes) =>
    formula.formula(inputs, outputs, formulaOf(op, attributes, outputs[0]!.shape));

export const formula: Kernels<'formula' | DefinedOp> = {
  ...(forDefined(defined) as Kernels<DefinedOp>),
  formula: (inputs, outputs, attributes) => {
    const { shape } = attributes;
    const parts = partsOf(expressionsOf(attributes));
    const places = inputs.map((operand) => placeOf(operand.shape, shape)!);
    // Where nothing belongs to a row or a channel, all elements are one row.
    const flat =
      places.every((place) => place === 'element' || place === 'one') &&
      attributes.outputs.every(({ per }) => per === 'element') &&
      !parts.some((part) => isReduction(part) || part.kind === 'rowLength');
    const length = flat ? sizeOf(shape) : (shape.at(-1) ?? 1);
    const rows = sizeOf(shape) / length;
    /** The element of an operand that belongs to one of the result. */
    const elementOf = (index: number, row: number, column: number): number => {
      const { data } = inputs[index]!;
      const place = places[index]!;
      if (place === 'element') return data[row * length + column]!;
      if (place === 'repeated')
        return data[repeatedAt(repetitionOf(inputs[index]!.shape, shape)!, row * length + column)]!;
      return data[place === 'channel' ? column : place === 'row' ? row : 0]!;
    };
    const values = new Map(parts.map((part) => [part, new Float64Array(length)]));
    const nothing = new Float64Array(length);
    for (let row = 0; row < rows; row++) {
      for (const part of parts) {
        const { kind, value } = part;
        const own = values.get(part)!;
        const [a = nothing, b = nothing, c = nothing, d = nothing] = part.operands.map((one) => values.get(one)!);
        if (kind === 'rowSum') own.fill(a.reduce((sum, x) => sum + x, 0));
        else if (kind === 'rowMax') own.fill(a.reduce((most, x) => Math.max(most, x), -Infinity));
        else if (kind === 'rowLength') own.fill(length);
        else if (kind === 'constant') own.fill(value);
        else if (kind === 'input') for (let at = 0; at < length; at++) own[at] = elementOf(value, row, at);
        else for (let at = 0; at < length; at++) own[at] = compute(kind, a[at]!, b[at]!, c[at]!, d[at]!);
      }
      attributes.outputs.forEach(({ of, per }, index) => {
        const { data } = outputs[index]!;
        if (per === 'element') data.set(values.get(of)!, row * length);
        else data[row] = values.get(of)![0]!;
      });
    }
  },
};
