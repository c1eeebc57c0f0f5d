// Formulas: the form of a kernel for the extents at hand, and its launch; the text is that of formula-text.ts.

import { sizeOf } from '../../../tensor/tensor.ts';
import { asFormula, type DefinedOp, forDefined } from '../../graph/elementwise.ts';
import { partsOf } from '../../graph/expression.ts';
import type { Formula } from '../../graph/formula.ts';
import { expressionsOf, hasReductions, type Place, placeOf } from '../../graph/formula.ts';
import type { Node } from '../../graph/graph.ts';
import { CUTS, cuts, FILLING, filling, type Path, pathOf } from '../../graph/paths.ts';
import { repetitionOf } from '../../graph/repeat.ts';
import {
  ELEMENT_THREADS,
  elementsText,
  type RowForm,
  repetitionNames,
  rowsText,
  vectorsPerThread,
  type Width,
} from './formula-text.ts';
import { ceilDivide } from './geometry.ts';
import { type Arguments, addresses, integers, launch } from './launch.ts';
import type { Lowered, Lowerings, Operands, WaysOf } from './lowering.ts';

const WIDTHS = ['four elements at a time', 'one element at a time'] as const;
const widthName = (width: Width) => WIDTHS[width === 4 ? 0 : 1];
const rowAspects = { width: WIDTHS, vectors: FILLING } as const;
const ways = {
  elements: { width: WIDTHS, blocks: CUTS },
  'some lanes for a row': { width: WIDTHS },
  'a warp for a row': rowAspects,
  'a block for a row': rowAspects,
  'a block for a row that it reads in each pass': { width: WIDTHS },
} as const;

const elementWays = { elements: ways.elements } as const;
export const formulaWays: WaysOf<'formula' | DefinedOp> = {
  formula: ways,
  ...forDefined(() => elementWays),
};

const WARP = 32;
/** Elements of a row that a thread holds of each operand: more would not stay in registers. */
const HELD_BY_LANE = 32;
const HELD_BY_THREAD = 16;
const ROW_THREADS = 256;
const LONG_ROW_THREADS = 1024;

/** Who has a row of so many elements. */
export function rowForm(length: number): RowForm {
  const width: Width = length % 4 === 0 ? 4 : 1;
  const vectors = length / width;
  if (length <= WARP * HELD_BY_LANE) {
    const lanes = Math.min(WARP, 2 ** Math.ceil(Math.log2(vectors)));
    return { width, vectors, lanes, threads: ROW_THREADS, held: ceilDivide(vectors, lanes) };
  }
  for (const threads of [128, 256, 512, LONG_ROW_THREADS]) {
    const held = ceilDivide(vectors, threads);
    if (held * width <= HELD_BY_THREAD) return { width, vectors, lanes: threads, threads, held };
  }
  return { width, vectors, lanes: LONG_ROW_THREADS, threads: LONG_ROW_THREADS, held: 0 };
}

function rowPath({ width, vectors, lanes, held }: RowForm): Path {
  const of = widthName(width);
  if (lanes < WARP) return pathOf(ways, 'some lanes for a row', { width: of });
  if (held === 0) return pathOf(ways, 'a block for a row that it reads in each pass', { width: of });
  const aspects = { width: of, vectors: filling(vectors, lanes) };
  return lanes === WARP ? pathOf(ways, 'a warp for a row', aspects) : pathOf(ways, 'a block for a row', aspects);
}

/** The tensors under the names that the text gives them. */
function operands({ inputs, outputs }: Operands): Arguments {
  return addresses(
    Object.fromEntries([
      ...inputs.map((at, index) => [`x${index}`, at] as const),
      ...outputs.map((at, index) => [`y${index}`, at] as const),
    ]),
  );
}

/** Whether a kernel goes through rows: it sums over them, or has outputs of one value per row. */
const byRows = (formula: Formula): boolean =>
  hasReductions(expressionsOf(formula)) || formula.outputs.some(({ per }) => per === 'row');

function lowerFormula({ inputs, attributes }: Node<'formula'>): Lowered {
  const { shape } = attributes;
  const count = sizeOf(shape);
  const length = shape.at(-1) ?? 1;
  const places = inputs.map((operand): Place => placeOf(operand.shape, shape)!);
  /** How operands are repeated, in units of so many elements. */
  const repetitions = (unit: number): Arguments =>
    integers(
      Object.fromEntries(
        inputs.flatMap((operand, index) => {
          if (places[index] !== 'repeated') return [];
          const { length, repeats, blocks } = repetitionOf(operand.shape, shape)!;
          return repetitionNames(index).map((name, at) => [name, [length / unit, repeats, blocks][at]!] as const);
        }),
      ),
    );
  if (byRows(attributes)) {
    const form = rowForm(length);
    const rows = count / length;
    const source = { file: 'formula.cu', text: rowsText(attributes, places, form), defines: {} };
    const size = { grid: ceilDivide(rows, form.threads / form.lanes), block: form.threads };
    return {
      path: rowPath(form),
      launches: (at) => [
        launch(source, 'formula', size, { ...operands(at), ...integers({ rows }), ...repetitions(length) }),
      ],
    };
  }
  // The length of a row is a number that a formula may use without an operand that has one.
  const usesRows =
    places.some((place) => place === 'channel' || place === 'row' || place === 'repeated') ||
    partsOf(expressionsOf(attributes)).some(({ kind }) => kind === 'rowLength');
  const width: Width = (usesRows ? length : count) % 4 === 0 ? 4 : 1;
  const vectors = count / width;
  const perBlock = ELEMENT_THREADS * vectorsPerThread(width);
  const source = { file: 'formula.cu', text: elementsText(attributes, places, width), defines: {} };
  const size = { grid: ceilDivide(vectors, perBlock), block: ELEMENT_THREADS };
  const extents = integers({ count: vectors, inRow: usesRows ? length / width : 1 });
  return {
    path: pathOf(ways, 'elements', { width: widthName(width), blocks: cuts(vectors, perBlock) }),
    launches: (at) => [launch(source, 'formula', size, { ...operands(at), ...extents, ...repetitions(width) })],
  };
}

export const formula: Lowerings<'formula' | DefinedOp> = {
  formula: lowerFormula,
  ...forDefined(() => (node: Node<DefinedOp>) => lowerFormula(asFormula(node))),
};
