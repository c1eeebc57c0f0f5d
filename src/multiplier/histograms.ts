// Operand histograms from files. JSON: {"weight": [counts by pattern], "activation": [counts by pattern]}, either may
// be missing. CSV: rows `operand,value,count` (operand `w` or `x`, also `weight` or `activation`; value as the integer
// that it is, negative when signed); a first row that is no such row is taken as a title. What is missing counts 0; an
// operand that is missing altogether is uniform.

import { UserError } from '../tensor/errors.ts';
import { clipped } from '../tensor/names.ts';
import type { OperandHistograms } from './metrics.ts';
import type { OperandWidths } from './widths.ts';

export interface HistogramWidths extends OperandWidths {
  /** Whether the file counts operands as two's complement. */
  readonly signed: boolean;
}

/** The format follows from the first character of the text. Throws a UserError that names the file and the row. */
export function readHistograms(text: string, file: string, widths: HistogramWidths): OperandHistograms {
  const given = text.trimStart().startsWith('{') ? fromJson(text, file) : fromCsv(text, file, widths);
  const uniform = (bits: number) => new Float64Array(2 ** bits).fill(1);
  return {
    weight: given.weight ?? uniform(widths.weightBits),
    activation: given.activation ?? uniform(widths.activationBits),
  };
}

function fromJson(text: string, file: string): Partial<OperandHistograms> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new UserError(
      `${file}: not JSON (${(error as Error).message.slice(0, 80).replaceAll('\n', ' ')}): expected {"weight": […], "activation": […]}`,
    );
  }
  for (const [key, counts] of Object.entries(value as object)) {
    if (key !== 'weight' && key !== 'activation') {
      throw new UserError(
        `${file}: unknown key ${clipped(JSON.stringify(key), 60)}: expected "weight" and "activation"`,
      );
    }
    if (!Array.isArray(counts) || counts.some((count) => typeof count !== 'number')) {
      throw new UserError(`${file}: "${key}" is not an array of numbers: expected one count per pattern`);
    }
  }
  return value as Partial<OperandHistograms>;
}

function fromCsv(text: string, file: string, widths: HistogramWidths): Partial<OperandHistograms> {
  const result: { weight?: Float64Array; activation?: Float64Array } = {};
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === '') continue;
    const match = /^\s*(w|x|weight|activation)\s*[,;]\s*(-?\d{1,9})\s*[,;]\s*([0-9.eE+-]{1,30})\s*$/.exec(line);
    const count = Number(match?.[3]);
    if (!match || !(count >= 0)) {
      if (index === 0) continue;
      throw new UserError(
        `${file}:${index + 1}: cannot read the row ${JSON.stringify(line.slice(0, 80))}: expected operand,value,count like w,17,203`,
      );
    }
    const operand = match[1]!.startsWith('w') ? 'weight' : 'activation';
    const bits = operand === 'weight' ? widths.weightBits : widths.activationBits;
    const value = Number(match[2]);
    const [least, largest] = widths.signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];
    if (value < least || value > largest) {
      throw new UserError(
        `${file}:${index + 1}: the ${operand} ${value}: expected a value from ${least} to ${largest} (${bits} bits)`,
      );
    }
    result[operand] ??= new Float64Array(2 ** bits);
    result[operand][value < 0 ? value + 2 ** bits : value]! += count;
  }
  if (!result.weight && !result.activation) {
    throw new UserError(`${file}: no rows: expected operand,value,count like w,17,203, or JSON`);
  }
  return result;
}
