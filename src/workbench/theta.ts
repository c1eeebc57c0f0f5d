// θ as a person gives it to a mapping without a run: a list of the lowest columns, or a matrix of all partial products,
// inline or in a file. A matrix has a row for each weight bit from the lowest, with the lowest activation bit first,
// and so says the widths.

import { existsSync } from 'node:fs';
import { columnStructure, grainOf, productStructure, removalOf, type Structure } from '../multiplier/structure.ts';
import { isHard } from '../netlist/mapping/kept.ts';
import { UserError } from '../tensor/errors.ts';
import { readBytes } from '../tensor/files.ts';

export interface GivenTheta {
  readonly theta: readonly number[];
  readonly structure: Structure;
}

interface Bits {
  readonly weights?: number | undefined;
  readonly activations?: number | undefined;
}

/** Reads `text`, which `option` gave; `bits` are the widths that were asked for. Throws a UserError. */
export function readTheta(option: string, text: string, bits: Bits = {}): GivenTheta {
  const isFile = existsSync(text);
  const lines = (isFile ? new TextDecoder().decode(readBytes(text)).split('\n') : text.split(';')).map((line) =>
    line.trim(),
  );
  const name = isFile ? text : option;
  const rows = lines.filter((line) => line !== '' || !isFile).map((line, row) => rowOf(name, line, row, lines.length));
  if (rows.length === 0) throw new UserError(`${name}: no row of θ; expected numbers from 0 to 1`);
  if (rows.length === 1) {
    const [theta] = rows as [number[]];
    const structure = columnStructure(
      { weightBits: bits.weights ?? 8, activationBits: bits.activations ?? 8 },
      theta.length,
    );
    return { theta, structure };
  }
  return matrixOf(name, rows, bits);
}

function matrixOf(name: string, rows: readonly (readonly number[])[], bits: Bits): GivenTheta {
  const [weightBits, activationBits] = [rows.length, rows[0]!.length];
  const uneven = rows.findIndex((row) => row.length !== activationBits);
  if (uneven >= 0) {
    throw new UserError(
      `${name}: row ${uneven} of θ has ${rows[uneven]!.length} values, the first ${activationBits}; expected a value for each activation bit`,
    );
  }
  const { weights = weightBits, activations = activationBits } = bits;
  if (weights !== weightBits || activations !== activationBits) {
    throw new UserError(
      `${name}: θ has ${weightBits} rows of ${activationBits} values, but the multiplier has ${weights}×${activations} bits; expected a row for each weight bit`,
    );
  }
  return { theta: rows.flat(), structure: productStructure({ weightBits, activationBits }) };
}

/** A line of numbers, or of dots. */
function rowOf(name: string, line: string, row: number, rows: number): number[] {
  if (/^[.#]+$/.test(line)) return Array.from(line, (dot) => (dot === '#' ? 0 : 1));
  return line.split(/\s*[,\s]\s*/).map((word, at, words) => {
    const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(word) ? Number(word) : Number.NaN;
    if (value >= 0 && value <= 1) return value;
    const column = words.length > 1 ? ` in ${rows > 1 ? `row ${row}, ` : ''}column ${at}` : '';
    throw new UserError(
      `${name}: expected numbers from 0 to 1 separated by commas, one per column from the lowest${column}, or a file, got '${word}'`,
    );
  });
}

/** Whether the values are of single partial products and all of them 0 or 1. */
export function isHardTheta(structure: Structure, theta: readonly number[]): boolean {
  return grainOf(structure) === 'product' && isHard(removalOf(structure, theta));
}
