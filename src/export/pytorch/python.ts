// Pieces of Python text. Invariant: what comes from a name of the user's stands in a text only as an identifier
// (../identifiers.ts) or through `plainText`: no name can end a comment or a string, or begin a line of its own.

/** Columns of a line. */
export const WIDTH = 100;
/** What is left of a name that no reader needs whole. */
const LONGEST_NAME = 80;

/** A name for comments and documentation: letters, digits and harmless signs; others become question marks. */
export function plainText(name: string): string {
  const text = name.length > LONGEST_NAME ? `${name.slice(0, LONGEST_NAME)}...` : name;
  return text.replace(/[^A-Za-z0-9 _.,:+/()-]/gu, '?');
}

/** A number as Python reads it back. */
export function numberText(value: number): string {
  if (Number.isNaN(value)) return 'float("nan")';
  if (!Number.isFinite(value)) return value > 0 ? 'float("inf")' : '-float("inf")';
  return Object.is(value, -0) ? '-0.0' : String(value);
}

/** A shape, an index or a size: (2, 3). */
export function tupleText(values: readonly number[]): string {
  return `(${values.join(', ')}${values.length === 1 ? ',' : ''})`;
}

/** A size of both axes: 3, or (1, 3). */
export function pairText([height, width]: readonly [number, number]): string {
  return height === width ? String(height) : tupleText([height, width]);
}

/** A name of an option with its value, nothing where the value is the usual one. */
export function optionText(name: string, value: string, usual: string): string[] {
  return value === usual ? [] : [`${name}=${value}`];
}

/** `target = name(…)`, in several lines where one would be too long. */
export function assignedCall(indent: string, target: string, name: string, values: readonly string[]): string[] {
  const line = `${indent}${target} = ${name}(${values.join(', ')})`;
  if (line.length <= WIDTH) return [line];
  return [`${indent}${target} = ${name}(`, `${indent}    ${values.join(', ')},`, `${indent})`];
}

/** `target = text`; where that is too long and a sum, a line for each term. */
export function assignedSum(indent: string, target: string, text: string): string[] {
  const line = `${indent}${target} = ${text}`;
  const terms = text.split(' + ');
  const isWhole = terms.every(
    (term) => [...term].filter((c) => c === '(').length === [...term].filter((c) => c === ')').length,
  );
  if (line.length <= WIDTH || terms.length === 1 || !isWhole) return [line];
  return [
    `${indent}${target} = (`,
    ...terms.map((term, at) => `${indent}    ${at === 0 ? '' : '+ '}${term}`),
    `${indent})`,
  ];
}
