// A node as an operator sees it: its operands and attributes, each asked for by what it must be. What an operator does
// not ask for must not be there: an attribute that nobody reads would be another network without a word.

import type { AttributeValue, OnnxNode } from '../../onnx/graph.ts';
import { UserError } from '../../tensor/errors.ts';
import type { Building, Operand } from './building.ts';
import { type Constant, integersOf } from './constants.ts';
import { axisIn, shapeOf, type Tensor } from './layout.ts';

export class Call {
  readonly node: OnnxNode;
  readonly building: Building;
  readonly inputs: readonly (Operand | undefined)[];
  readonly #asked = new Set<string>();

  constructor(node: OnnxNode, building: Building, inputs: readonly (Operand | undefined)[]) {
    this.node = node;
    this.building = building;
    this.inputs = inputs;
  }

  get nn(): Building['nn'] {
    return this.building.nn;
  }

  /** An input that must be there. */
  operand(at: number): Operand {
    const input = this.inputs[at];
    if (input === undefined) throw new UserError(`it has no input ${at + 1}`);
    return input;
  }

  /** An input as a tensor of the network. */
  tensor(at: number): Tensor {
    return this.building.tensor(this.operand(at), this.node);
  }

  /** An input that no image may decide. */
  constant(at: number, what: string): Constant {
    const input = this.operand(at);
    if (input.kind === 'constant') return input;
    throw new UserError(`its ${what} is computed from the image; expected a constant`);
  }

  /** An image, [N, C, H, W]. */
  image(at: number): Tensor {
    const tensor = this.tensor(at);
    const shape = shapeOf(tensor);
    if (shape.length !== 4) throw new UserError(`an input of ${shape.length} axes; expected an image [N, C, H, W]`);
    if (tensor.batch?.axis !== 0 || shape[0] !== this.building.batch.images) {
      throw new UserError('its first axis is not that of the images alone; expected an image [N, C, H, W] for each');
    }
    return tensor;
  }

  #attribute(name: string): AttributeValue | undefined {
    this.#asked.add(name);
    return this.node.attributes.get(name);
  }

  #wrong(name: string, value: AttributeValue, expected: string): UserError {
    return new UserError(`its attribute ${name} is ${textOf(value)}; expected ${expected}`);
  }

  number(name: string, usual: number): number {
    const value = this.#attribute(name);
    if (value === undefined) return usual;
    if (typeof value === 'number') return asWritten(value);
    throw this.#wrong(name, value, 'a number');
  }

  text(name: string, usual: string, known: readonly string[]): string {
    const value = this.#attribute(name) ?? usual;
    if (typeof value === 'string' && known.includes(value)) return value;
    throw this.#wrong(name, value, known.join(' or '));
  }

  numbers(name: string): readonly number[] | undefined {
    const value = this.#attribute(name);
    if (value === undefined || Array.isArray(value)) return value as readonly number[] | undefined;
    throw this.#wrong(name, value as AttributeValue, 'a list of numbers');
  }

  /** An attribute as it is. */
  value(name: string): AttributeValue | undefined {
    return this.#attribute(name);
  }

  /** An attribute that may be there if it says nothing new. */
  only(name: string, ...allowed: readonly AttributeValue[]): void {
    const value = this.#attribute(name);
    if (value === undefined) return;
    const text = JSON.stringify(value);
    if (allowed.some((one) => JSON.stringify(one) === text)) return;
    throw this.#wrong(name, value, `${allowed.map(textOf).join(' or ')}, which alone is supported`);
  }

  /** Attributes that change nothing of what is computed. */
  idle(...names: readonly string[]): void {
    for (const name of names) this.#asked.add(name);
  }

  /** Whole numbers of an attribute, or, as later opsets have it, of an input. */
  list(name: string, at: number): readonly number[] | undefined {
    const value = this.numbers(name);
    if (value) return value;
    return this.inputs[at] === undefined ? undefined : integersOf(this.constant(at, name), `its ${name}`);
  }

  /** The axes of a tensor of so many that an attribute or an input names. */
  axes(name: string, at: number, rank: number): readonly number[] | undefined {
    return this.list(name, at)?.map((axis) => axisIn(rank, axis));
  }

  /** Throws where the node has an attribute that nobody has asked for. */
  finish(): void {
    const left = [...this.node.attributes.keys()].find((name) => !this.#asked.has(name));
    if (left !== undefined) throw new UserError(`its attribute ${left} is not supported`);
  }
}

function textOf(value: AttributeValue): string {
  if (typeof value === 'object' && 'what' in value) return value.what;
  if (typeof value === 'object' && 'data' in value) return 'a tensor';
  return JSON.stringify(value).slice(0, 60);
}

/** The decimal number that was meant by a float32: 1e-5 and not 0.000009999999747378752. */
function asWritten(value: number): number {
  const digits = [6, 7, 8].find((count) => Math.fround(Number(value.toPrecision(count))) === value);
  return digits === undefined ? value : Number(value.toPrecision(digits));
}
