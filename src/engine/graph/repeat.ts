// How an operand that is smaller than a result is repeated over it: rows (the last axis) of the operand stand at
// neighbouring rows of the result, or at rows some way apart, or both. A gate per image and channel, a bias per
// position, a mask per window are such operands; sums over the places of one element are their gradients.
// Not here: one value per channel, per row or in all, which have forms of their own (formula.ts).

import { type Shape, sizeOf } from '../../tensor/tensor.ts';

/**
 * The result, in the order of memory, is [times, blocks, repeats, length], the operand [blocks, length]; a length is a
 * whole number of rows.
 */
export interface Repetition {
  readonly times: number;
  readonly blocks: number;
  readonly repeats: number;
  readonly length: number;
}

/**
 * The repetition of an operand over a shape, axes counted from the last: each of the operand's is as long as the
 * shape's or 1, the last as long; undefined where there is none of this form.
 */
export function repetitionOf(operand: Shape, shape: Shape): Repetition | undefined {
  const rank = shape.length;
  if (operand.length > rank || rank === 0 || operand.at(-1) !== shape[rank - 1]) return undefined;
  const own = [...Array<number>(rank - operand.length).fill(1), ...operand];
  const axes = shape.map((extent, axis) => ({ extent, repeated: own[axis] === 1 && extent !== 1 }));
  if (axes.some(({ extent, repeated }, axis) => !repeated && own[axis] !== extent)) return undefined;
  /** The product of the axes from the last one that is left on, as long as they are of one kind. */
  const take = (repeated: boolean): number => {
    let product = 1;
    for (let last = axes.at(-1); last && (last.extent === 1 || last.repeated === repeated); last = axes.at(-1)) {
      product *= last.extent;
      axes.pop();
    }
    return product;
  };
  const [length, repeats, blocks, times] = [take(false), take(true), take(false), take(true)];
  return axes.length === 0 ? { times, blocks, repeats, length } : undefined;
}

/** The element of the operand that stands at an element of the result. */
export function repeatedAt({ blocks, repeats, length }: Repetition, at: number): number {
  return (Math.floor(at / (repeats * length)) % blocks) * length + (at % length);
}

/** How many elements of the result read one of the operand. */
export const repetitions = (operand: Shape, shape: Shape): number => sizeOf(shape) / sizeOf(operand);
