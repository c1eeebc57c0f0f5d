// What a definition hands to a layer, checked where it is handed over. A file of the user's own has no types that would
// tell a misspelt option, and a layer that passed over it would be another network without a word.

import type { Value } from '../engine/graph/graph.ts';
import type { PerAxis } from '../engine/graph/window.ts';
import { UserError } from '../tensor/errors.ts';
import { nearestName } from '../tensor/names.ts';
import { formatShape } from '../tensor/tensor.ts';

/**
 * The name of a layer: what its tensors are called by in files and its line in tables. A # separates the state of
 * training from a variable's name, and no model keeps that (train/optimizer.ts).
 */
export function requireName(method: string, name: unknown): void {
  if (typeof name === 'string' && /^[^\s\p{Cc}*,#]+$/u.test(name)) return;
  const found = typeof name === 'string' ? `the name ${JSON.stringify(name)}` : told(name);
  throw new UserError(`${method}: ${found}; expected first the layer's name, without blanks, commas, * and #`);
}

/** An object of options, of these names and no others. */
export function requireOptions(what: string, options: unknown, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw new UserError(`${what}: ${told(options)} for its options; expected an object of ${known.join(', ')}`);
  }
  const unknown = Object.keys(options).find((key) => !known.includes(key));
  if (unknown === undefined) return;
  const nearest = nearestName(unknown, known);
  const question = nearest === undefined ? '' : `; did you mean '${nearest}'?`;
  throw new UserError(`${what}: no option is called '${unknown}'${question} (${known.join(', ')})`);
}

/** A whole number of at least `least`, or two of them for height and width. */
export function requireExtent(what: string, value: PerAxis, least: 0 | 1): void {
  const both: readonly unknown[] = Array.isArray(value) ? value : [value, value];
  if (both.length === 2 && both.every((one) => Number.isInteger(one) && (one as number) >= least)) return;
  throw new UserError(`${what}: ${told(value)}; expected a whole number of at least ${least}, or two for the axes`);
}

/** Channels or features: a whole number of at least 1. */
export function requireCount(what: string, value: unknown): void {
  if (!(Number.isInteger(value) && (value as number) >= 1)) {
    throw new UserError(`${what}: ${told(value)}; expected a whole number of at least 1`);
  }
}

/** A tensor with the axes of images. */
export function requireImage(what: string, x: Value | undefined): void {
  if (x?.shape?.length === 4) return;
  const found = x?.shape ? `a value of shape ${formatShape(x.shape)}` : told(x);
  throw new UserError(`${what}: ${found}; expected an image [N, height, width, channels]`);
}

/** A pool of an image. */
export function requireWindow(
  method: string,
  x: Value | undefined,
  [size, stride, padding]: readonly [size: PerAxis, stride: PerAxis, padding: PerAxis],
): void {
  requireImage(method, x);
  requireExtent(`${method}: size`, size, 1);
  requireExtent(`${method}: stride`, stride, 1);
  requireExtent(`${method}: padding`, padding, 0);
}

/** Groups that divide what they are groups of. */
export function requireGroups(what: string, groups: number, inputs: number, outputs: number): void {
  requireCount(`${what}: groups`, groups);
  if (inputs % groups === 0 && outputs % groups === 0) return;
  throw new UserError(
    `${what}: ${groups} groups of ${inputs} input and ${outputs} output channels; they must divide both`,
  );
}

function told(value: unknown): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return `[${value.join(', ')}]`;
  return typeof value === 'object' ? 'an object' : `${typeof value} ${String(value).slice(0, 40)}`;
}
