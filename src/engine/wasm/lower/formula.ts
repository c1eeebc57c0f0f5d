// Formulas: a kernel made for each (formula-code.ts), over rows or over all elements in the order of memory.

import { sizeOf } from '../../../tensor/tensor.ts';
import { asFormula, type DefinedOp, forDefined } from '../../graph/elementwise.ts';
import { placeOf } from '../../graph/formula.ts';
import type { Node } from '../../graph/graph.ts';
import { COUNTS, CUTS, cuts, FILLING, filling, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import { repetitionOf } from '../../graph/repeat.ts';
import { formulaKernel } from './formula-code.ts';
import { launchGenerated } from './launch.ts';
import {
  type Lowered,
  type Lowerings,
  overElements,
  pathOverElements,
  rowsPerPart,
  runs,
  type WaysOf,
} from './lowering.ts';

const LENGTHS = ['less than four vectors', 'four vectors and more'] as const;
const rowAspects = { runs: CUTS, vectors: FILLING, length: LENGTHS } as const;
const ways = {
  ...overElements,
  rows: rowAspects,
  'rows, with values kept': { ...rowAspects, kept: COUNTS },
} as const;

export const formulaWays: WaysOf<'formula' | DefinedOp> = {
  formula: ways,
  ...forDefined(() => overElements),
};

function lowerFormula({ inputs, attributes }: Node<'formula'>): Lowered {
  const { shape } = attributes;
  const places = inputs.map((operand) => placeOf(operand.shape, shape)!);
  const repeated = inputs.flatMap((operand, index) => {
    if (places[index] !== 'repeated') return [];
    const { length, repeats, blocks } = repetitionOf(operand.shape, shape)!;
    return [length / shape.at(-1)!, repeats, blocks];
  });
  const kernel = formulaKernel(attributes, places);
  const { byRows, kept } = kernel;
  const count = sizeOf(shape);
  if (!byRows) {
    const { length, parts } = runs(count);
    return {
      path: pathOverElements(count),
      launches: (at) => [launchGenerated(kernel, parts, [...at.inputs, ...at.outputs, count, 0, length], 0)],
    };
  }
  const length = shape.at(-1) ?? 1;
  const rows = count / length;
  const perPart = rowsPerPart(length);
  const aspects = {
    runs: cuts(rows, perPart),
    vectors: filling(length, 4),
    length: LENGTHS[length < 16 ? 0 : 1]!,
  };
  return {
    path:
      kept === 0
        ? pathOf(ways, 'rows', aspects)
        : pathOf(ways, 'rows, with values kept', { ...aspects, kept: oneOrSeveral(kept) }),
    launches: (at) => {
      const record = [...at.inputs, ...at.outputs, rows, length, perPart, ...repeated];
      return [launchGenerated(kernel, Math.ceil(rows / perPart), record, kept * 16 * Math.ceil(length / 4))];
    },
  };
}

export const formula: Lowerings<'formula' | DefinedOp> = {
  formula: lowerFormula,
  ...forDefined(() => (node: Node<DefinedOp>) => lowerFormula(asFormula(node))),
};
