// Strict reading of what a user typed for an option or into a field. A value is taken as a whole or refused with one
// line that says which one it was for, the value and what was expected: '1x', '', ' 3' and '0x10' are not numbers here.

import { UserError } from '../../tensor/errors.ts';
import { nearestName } from '../../tensor/names.ts';

/** "--epochs: expected a whole number of at least 1, got '0'". */
export function badValue(option: string, text: string, expected: string): UserError {
  return new UserError(`${option}: expected ${expected}, got '${text}'`);
}

const WHOLE = /^[+-]?\d+$/;
const DECIMAL = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

/** A whole number, or undefined. */
export function wholeNumber(text: string): number | undefined {
  const value = WHOLE.test(text) ? Number(text) : Number.NaN;
  return Number.isSafeInteger(value) ? value : undefined;
}

/** A decimal number, or undefined. */
export function decimalNumber(text: string): number | undefined {
  const value = DECIMAL.test(text) ? Number(text) : Number.NaN;
  return Number.isFinite(value) ? value : undefined;
}

/**
 * A number for each operand, such as widths: '8' for both, '4x8' or 'w4a8' for weights × activations; else undefined.
 * The range is the caller's.
 */
export function perOperand(text: string): readonly [weights: number, activations: number] | undefined {
  const match = /^(\d+)(?:[x×](\d+))?$/.exec(text) ?? /^w(\d+)a(\d+)$/i.exec(text);
  return match ? [Number(match[1]), Number(match[2] ?? match[1])] : undefined;
}

/** Names separated by commas; 'none' is the empty list. Undefined when a name is empty. */
export function nameList(text: string): string[] | undefined {
  if (text === 'none') return [];
  const names = text.split(',').map((name) => name.trim());
  return names.includes('') ? undefined : names;
}

/** A parser of an option that takes one of a few names. */
export function oneOf<Name extends string>(option: string, names: readonly Name[]): (text: string) => Name {
  return (text) => {
    const found = names.find((name) => name === text);
    if (found !== undefined) return found;
    const nearest = nearestName(text, names);
    const question = nearest === undefined ? '' : `; did you mean '${nearest}'?`;
    throw new UserError(`${option}: expected one of ${names.join(', ')}, got '${text}'${question}`);
  };
}

/** A parser of a text that must not be empty. */
export function nonEmpty(option: string, what: string): (text: string) => string {
  return (text) => {
    if (text.trim() === '') throw badValue(option, text, what);
    return text;
  };
}

/** A parser of a whole number in a range. */
export function wholeNumberFrom(option: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const value = wholeNumber(text);
    if (value !== undefined && value >= least && value <= most) return value;
    throw badValue(option, text, `a whole number from ${least} to ${most}`);
  };
}
