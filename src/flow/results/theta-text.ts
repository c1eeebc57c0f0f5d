// θ in words: by column as bars in a line, by partial product as how many are kept and as the matrix of them, a row for
// each weight bit. One place for the noun, which everything that speaks of θ takes here.

import {
  approximableColumns,
  type Grain,
  grainOf,
  type Structure,
  structureOfGrain,
} from '../../multiplier/structure.ts';
import type { OperandWidths } from '../../multiplier/widths.ts';
import { invariant } from '../../tensor/errors.ts';

/** What the θ of a multiplier are of. */
export interface ThetaOf extends OperandWidths {
  readonly grain: Grain;
  /** How many of the lowest columns have a θ. */
  readonly columns: number;
}

/** The noun of a grain: "all 8 columns", "all 64 partial products". */
export const nounOf = (grain: Grain): string => (grain === 'product' ? 'partial product' : 'column');

/** The same of any structure, for one that no run has. */
export function thetaOf(structure: Structure): ThetaOf {
  const { weightBits, activationBits } = structure;
  return { weightBits, activationBits, columns: approximableColumns(structure), grain: grainOf(structure) };
}

/** One character for each value: ▁ is 0, kept; █ is 1, gone. */
function bars(theta: readonly number[]): string {
  const levels = '▁▂▃▄▅▆▇█';
  return theta.map((value) => levels[Math.round(Math.min(1, Math.max(0, value)) * (levels.length - 1))]).join('');
}

/** For a cell of a table: bars from the lowest column up, or "26 of 64", of partial products; '' without θ. */
export function thetaCell(theta: readonly number[], of: ThetaOf): string {
  if (theta.length === 0) return '';
  return of.grain === 'product' ? keptText(theta, of) : bars(theta);
}

/** What the cell says. */
export const thetaCellNote = ({ grain }: Pick<ThetaOf, 'grain'>): string =>
  grain === 'product' ? 'θ: partial products that are kept' : 'θ by column, lowest first: ▁ kept, █ gone';

/** "26 of 64", with a decimal where some are kept in part. */
function keptText(theta: readonly number[], { weightBits, activationBits }: ThetaOf): string {
  const all = weightBits * activationBits;
  const kept = all - theta.reduce((sum, value) => sum + value, 0);
  return `${Number(kept.toFixed(1))} of ${all}`;
}

/** All values, for a multiplier that is shown alone: a line by column, a title and a row per weight bit by product. */
export function thetaLines(theta: readonly number[], of: ThetaOf): string[] {
  if (theta.length === 0) return [];
  if (of.grain === 'column') {
    return [`θ = ${theta.map((value) => Number(value.toFixed(3))).join(' ')} (lowest column first)`];
  }
  const rows = thetaMatrix(theta, of).map((row, i) => `  w[${i}]  ${bars(row)}`);
  const title = `θ keeps ${keptText(theta, of)} partial products; rows are weight bits, activation bit 0 left: ▁ kept, █ gone`;
  return [title, ...rows];
}

/** θ of each partial product, [weight bit][activation bit]; 0 where it has none and is always kept. */
export function thetaMatrix(theta: readonly number[], of: ThetaOf): number[][] {
  const { index, count } = structureOfGrain(of.grain, of, of.columns);
  invariant(count === theta.length, `${theta.length} θ for a structure of ${count}`);
  return Array.from({ length: of.weightBits }, (_, i) =>
    index.slice(i * of.activationBits, (i + 1) * of.activationBits).map((from) => (from < 0 ? 0 : theta[from]!)),
  );
}
