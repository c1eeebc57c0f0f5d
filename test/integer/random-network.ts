// Networks of integers at random: every operation, operands of 2 to 8 bits of both signs, tables and gates of noise,
// zero points, halves, rows of a zero, groups, dilation, ceilings, shifts from 1 to 62 and factors of both signs.
// They mean nothing; whoever runs a network of integers must run these, to the bit.
// Invariant: a seed says the network; its bounds are true, each taken from what an operation can make of its input's.

import { outputsOf, squareWindow } from '../../src/engine/graph/window.ts';
import type { ExportImages } from '../../src/export/exporter.ts';
import type { FrozenMultiplier } from '../../src/integer/frozen.ts';
import type {
  IntegerNetwork,
  IntegerOperation,
  IntegerTensor,
  PoolWindow,
  ProductOperation,
  TensorForm,
} from '../../src/integer/network.ts';
import { exactTable, firstDifference, productTable } from '../../src/multiplier/table.ts';
import { type GateKind, gateArity, Network } from '../../src/netlist/network.ts';
import { simulate } from '../../src/netlist/simulate.ts';
import { given } from '../../src/tensor/given.ts';
import { Random } from '../../src/tensor/random.ts';
import { type Shape, sizeOf } from '../../src/tensor/tensor.ts';

export interface RandomNetwork {
  readonly network: IntegerNetwork;
  readonly multipliers: readonly FrozenMultiplier[];
  readonly images: ExportImages;
}

interface Codes {
  readonly bits: number;
  readonly signed: boolean;
}

const IMAGES = 2;
const CLASSES = 3;

export function randomNetwork(seed: number): RandomNetwork {
  const maker = new Maker(new Random(seed, 13));
  return maker.make(`random ${seed}`);
}

class Maker {
  readonly #random: Random;
  readonly #tensors: IntegerTensor[] = [];
  readonly #operations: IntegerOperation[] = [];
  readonly #multipliers: FrozenMultiplier[] = [];

  constructor(random: Random) {
    this.#random = random;
  }

  make(name: string): RandomNetwork {
    const shape = [this.#from(2, 6), this.#from(1, 6), this.#from(1, 3)];
    this.#tensors.push({ name: 'image', form: 'pixels', shape, scale: [1], zero: 0, low: 0, high: 255 });
    let kind = this.#codes();
    let at = this.#lookUp(kind);
    const layers = this.#from(1, 4);
    for (let layer = 0; layer < layers; layer++) {
      at = this.#product(at, kind, this.#oneOf(1, 2, 4, 6));
      at = this.#requantise(at);
      for (let more = this.#from(0, 3); more > 0; more--) at = this.#between(at);
      kind = this.#codes();
      at = this.#requantise(at, kind);
    }
    at = this.#reshape(at, [1, 1, sizeOf(this.#tensors[at]!.shape)]);
    at = this.#product(at, kind, CLASSES, true);
    if (this.#random.integer(2) === 0) at = this.#requantise(at);
    const network: IntegerNetwork = {
      ...{ name, classes: CLASSES, tensors: this.#tensors, operations: this.#operations, output: at },
      multipliers: this.#multipliers,
    };
    const pixels = Uint8Array.from({ length: IMAGES * sizeOf(shape) }, () => this.#oneOf(0, 255, this.#from(0, 255)));
    return {
      network,
      multipliers: this.#multipliers,
      images: { count: IMAGES, pixels, labels: new Int32Array(IMAGES) },
    };
  }

  #from(low: number, high: number): number {
    return low + this.#random.integer(high - low + 1);
  }

  #oneOf<T>(...values: readonly T[]): T {
    return values[this.#random.integer(values.length)]!;
  }

  #codes(): Codes {
    return { bits: this.#from(2, 8), signed: this.#random.integer(3) === 0 };
  }

  #add(operation: IntegerOperation, form: TensorForm, shape: Shape, low: number, high: number): number {
    const zero = form === 'codes' ? this.#from(low, high) : this.#oneOf(0, this.#from(-9, 9));
    const name = `${operation.kind} ${this.#tensors.length}`;
    this.#tensors.push({ name, form, shape, scale: [1], zero, low, high });
    this.#operations.push(operation);
    return operation.output;
  }

  #head(...inputs: readonly number[]) {
    return { inputs, output: this.#tensors.length, label: `layer ${this.#tensors.length}` };
  }

  #lookUp(codes: Codes): number {
    const { shape } = this.#tensors[0]!;
    const [low, high] = rangeOf(codes);
    const tables = Int32Array.from({ length: 256 * shape.at(-1)! }, () => this.#from(low, high));
    return this.#add({ kind: 'lookUp', ...this.#head(0), tables }, 'codes', shape, low, high);
  }

  /** The number of a multiplier for such activations. */
  #multiplier({ bits: activationBits, signed }: Codes): number {
    const weightBits = this.#from(2, 8);
    const name = `m${this.#multipliers.length}`;
    const exact = exactTable(weightBits, activationBits, signed);
    const kind = this.#random.integer(3);
    if (kind === 0) this.#multipliers.push({ name, table: exact, exact: true });
    else if (kind === 1) {
      const most = this.#oneOf(100, 2 ** (weightBits + activationBits));
      const data = exact.data.map((product) => product + this.#from(-most, most));
      this.#multipliers.push({ name, table: productTable(weightBits, activationBits, signed, data), exact: false });
    } else {
      const netlist = this.#gates(name, weightBits, activationBits);
      const table = simulate(netlist, { signed });
      this.#multipliers.push({ name, table, exact: firstDifference(table, exact) === null, netlist });
    }
    return this.#multipliers.length - 1;
  }

  #gates(name: string, weightBits: number, activationBits: number): Network {
    const network = new Network(name);
    for (let bit = 0; bit < weightBits; bit++) network.addInput(`w[${bit}]`);
    for (let bit = 0; bit < activationBits; bit++) network.addInput(`x[${bit}]`);
    for (let gate = this.#from(1, 60); gate > 0; gate--) {
      const kind = this.#oneOf(...(Object.keys(gateArity) as GateKind[]));
      const fanins = Array.from({ length: gateArity[kind] }, () => this.#random.integer(network.nodes.length));
      network.addGate(kind, ...fanins);
    }
    const bits = this.#from(2, weightBits + activationBits);
    for (let bit = 0; bit < bits; bit++) network.addOutput(`p[${bit}]`, this.#random.integer(network.nodes.length));
    return network;
  }

  #product(input: number, codes: Codes, outputs: number, linear = false): number {
    const { shape, low, high } = this.#tensors[input]!;
    const image = !linear;
    const channels = shape.at(-1)!;
    const groups = image && outputs % channels === 0 && this.#random.integer(2) === 0 ? channels : 1;
    const axis = (extent: number) => {
      const padding = image ? this.#from(0, 2) : 0;
      const dilation = image ? this.#from(1, 2) : 1;
      const most = Math.min(3, Math.floor((extent + 2 * padding - 1) / dilation) + 1);
      return { extent, padding, dilation, size: image ? this.#from(1, most) : 1, stride: image ? this.#from(1, 2) : 1 };
    };
    const [rows, columns] = [axis(shape[0]!), axis(shape[1]!)];
    const multiplier = this.#multiplier(codes);
    const { table } = this.#multipliers[multiplier]!;
    const range = rangeOf({ bits: table.weightBits, signed: table.signed });
    const weightShape = [rows.size, columns.size, channels / groups, outputs];
    const zeroRow =
      this.#random.integer(4) === 0
        ? Int32Array.from({ length: 2 ** codes.bits }, () => this.#from(-999, 999))
        : undefined;
    const step = zeroRow ? 1 : this.#oneOf(1, 2);
    const parts = {
      ...this.#head(input),
      ...{ kind: 'product' as const, layer: `layer ${input}`, multiplier, weightShape, step: step as 1 | 2 },
      layerKind: image ? ('convolution' as const) : ('linear' as const),
      geometry: {
        stride: [rows.stride, columns.stride] as const,
        padding: [rows.padding, columns.padding] as const,
        dilation: [rows.dilation, columns.dilation] as const,
        groups,
      },
      weights: Int16Array.from({ length: sizeOf(weightShape) }, () => this.#from(...range)),
      weightZero: Int32Array.from({ length: outputs }, () => this.#from(step * range[0], step * range[1])),
      activationZero: this.#from(low, high),
      ...given({ zeroRow }),
    };
    const accumulators = boundsOf(parts, table, low, high);
    const out = [outputsOf(rows), outputsOf(columns), outputs];
    return this.#add({ ...parts, accumulators }, 'sums', out, ...accumulators.terms);
  }

  /** To codes, or to fixed point. */
  #requantise(input: number, codes?: Codes): number {
    const { shape, low, high } = this.#tensors[input]!;
    const channels = this.#oneOf(1, shape.at(-1)!);
    const limits = codes
      ? rangeOf(codes)
      : this.#oneOf([-(2 ** 20), 2 ** 20] as const, [0, 40000] as const, [-99, 99] as const);
    const largest = Math.max(-low, high, 1);
    // (value·2^fraction + bias) in 32 bits.
    const fraction = this.#from(0, Math.max(0, Math.min(30, 29 - Math.ceil(Math.log2(largest)))));
    const room = 2 ** 31 - 1 - largest * 2 ** fraction;
    const per = (value: () => number) => Array.from({ length: channels }, value);
    // Where factors are about as large as the limits allow, both sides of the limits are met, and everything between.
    const span = Math.log2((largest * 2 ** fraction) / Math.max(-limits[0], limits[1]));
    const shift = per(() => this.#oneOf(this.#from(1, 62), this.#from(1, 8)));
    const multiplier = shift.map((bits) => {
      const magnitude = Math.min(31, Math.max(1, bits - span + this.#random.integer(3)));
      return (
        this.#oneOf(1, 1, 1, -1, 0) *
        Math.floor(Math.min(2 ** 31 - 1, 2 ** magnitude * (0.5 + this.#random.uniform() / 2)))
      );
    });
    const operation = {
      ...this.#head(input),
      ...{ kind: 'requantise' as const, fraction, low: limits[0], high: limits[1] },
      bias: Int32Array.from(per(() => this.#oneOf(0, this.#from(-room, room)))),
      multiplier: Int32Array.from(multiplier),
      shift: Uint8Array.from(shift),
      offset: Int32Array.from(per(() => this.#from(...limits))),
    };
    return this.#add(operation, codes ? 'codes' : 'fixed', shape, ...limits);
  }

  /** An operation between layers on a tensor in fixed point. */
  #between(input: number): number {
    const { shape, low, high } = this.#tensors[input]!;
    const head = this.#head(input);
    switch (this.#oneOf('add', 'limit', 'maxPool', 'sumPool', 'move', 'concat')) {
      case 'add': {
        const other = this.#random.integer(2) === 0 ? this.#sameShape(input) : input;
        const limits = { low: this.#from(low, high), high };
        return this.#add(
          { kind: 'add', ...head, inputs: [input, other], ...limits },
          'fixed',
          shape,
          limits.low,
          limits.high,
        );
      }
      case 'limit': {
        const limits = [this.#from(low, high), this.#from(low, high)].sort((a, b) => a - b) as [number, number];
        return this.#add({ kind: 'limit', ...head, low: limits[0], high: limits[1] }, 'fixed', shape, ...limits);
      }
      case 'maxPool': {
        const pool = this.#pool(shape);
        return this.#add({ kind: 'maxPool', ...head, ...pool.window }, 'fixed', pool.shape, low, high);
      }
      case 'sumPool': {
        const { window, shape: out } = this.#pool(shape);
        const { zero } = this.#tensors[input]!;
        const taps = window.size[0] * window.size[1];
        const [least, most] = [Math.min(low, zero), Math.max(high, zero)];
        if (taps * Math.max(-least, most) >= 2 ** 28) return input;
        return this.#add({ kind: 'sumPool', ...head, ...window }, 'fixed', out, taps * least, taps * most);
      }
      case 'concat': {
        const channels = shape.at(-1)!;
        const to = [...shape.slice(0, -1), 2 * channels];
        const positions = sizeOf(shape) / channels;
        const boxes = [0, 1].map((part) => ({
          input: part,
          extents: [positions, channels],
          from: { first: 0, strides: [channels, 1] },
          to: { first: part * channels, strides: [2 * channels, 1] },
        }));
        const movement = { name: 'concat', shape: to, boxes };
        return this.#add({ kind: 'move', ...head, inputs: [input, input], movement }, 'fixed', to, low, high);
      }
      default: {
        // Rows and columns change places, and a frame of nothing comes around them.
        const [height, width, channels] = shape as [number, number, number];
        const to = [width + 1, height + 2, channels];
        const box = {
          input: 0,
          extents: [height, width, channels],
          from: { first: 0, strides: [width * channels, channels, 1] },
          to: { first: channels, strides: [channels, (height + 2) * channels, 1] },
        };
        const movement = { name: 'transpose', shape: to, boxes: [box] };
        const number = this.#add({ kind: 'move', ...head, movement }, 'fixed', to, low, high);
        const { zero, ...moved } = this.#tensors[number]!;
        this.#tensors[number] = { ...moved, zero: this.#from(low, high) };
        return number;
      }
    }
  }

  #sameShape(input: number): number {
    const { shape } = this.#tensors[input]!;
    const others = this.#tensors.flatMap(({ form, shape: one }, at) =>
      form === 'fixed' && String(one) === String(shape) ? [at] : [],
    );
    return this.#oneOf(...others);
  }

  #pool([height, width, channels]: Shape): { window: PoolWindow; shape: Shape } {
    const size = [this.#from(1, Math.min(3, height!)), this.#from(1, Math.min(3, width!))] as const;
    const padding = size.map((extent) => this.#from(0, Math.floor(extent / 2))) as [number, number];
    const stride = [this.#from(1, 3), this.#from(1, 3)] as const;
    const window = { ...squareWindow(size, stride, padding), ceil: this.#random.integer(2) === 0 };
    const extent = (axis: 0 | 1, of: number) =>
      outputsOf({
        extent: of,
        size: size[axis],
        stride: stride[axis],
        padding: padding[axis],
        dilation: 1,
        ceil: window.ceil,
      });
    return { window, shape: [extent(0, height!), extent(1, width!), channels!] };
  }

  #reshape(input: number, shape: Shape): number {
    const { low, high, form, zero } = this.#tensors[input]!;
    const number = this.#add({ kind: 'reshape', ...this.#head(input) }, form, shape, low, high);
    this.#tensors[number] = { ...this.#tensors[number]!, zero };
    return number;
  }
}

const rangeOf = ({ bits, signed }: Codes): readonly [number, number] =>
  signed ? [-(2 ** (bits - 1)), 2 ** (bits - 1) - 1] : [0, 2 ** bits - 1];

/** Each tap at its worst, or left out. */
function boundsOf(
  product: Omit<ProductOperation, 'accumulators'>,
  table: FrozenMultiplier['table'],
  low: number,
  high: number,
): ProductOperation['accumulators'] {
  const { weights, weightZero, step, activationZero, zeroRow } = product;
  const terms: [number, number] = [0, 0];
  const products: [number, number] = [0, 0];
  for (let o = 0; o < weightZero.length; o++) {
    const sums = { terms: [0, 0] as [number, number], products: [0, 0] as [number, number] };
    for (let at = o; at < weights.length; at += weightZero.length) {
      const w = weights[at]!;
      let [least, most, leastBare, mostBare] = [0, 0, 0, 0];
      for (let x = low; x <= high; x++) {
        const pattern = x & (2 ** table.activationBits - 1);
        const bare = table.data[(w & (2 ** table.weightBits - 1)) * 2 ** table.activationBits + pattern]!;
        const row = zeroRow ? zeroRow[pattern]! : weightZero[o]! * x;
        const term = step * bare - row - activationZero * (step * w - weightZero[o]!);
        [least, most] = [Math.min(least, term), Math.max(most, term)];
        [leastBare, mostBare] = [Math.min(leastBare, bare), Math.max(mostBare, bare)];
      }
      sums.terms = [sums.terms[0] + least, sums.terms[1] + most];
      sums.products = [sums.products[0] + leastBare, sums.products[1] + mostBare];
    }
    for (const [all, own] of [
      [terms, sums.terms],
      [products, sums.products],
    ] as const) {
      all[0] = Math.min(all[0], own[0]);
      all[1] = Math.max(all[1], own[1]);
    }
  }
  return { terms, products };
}
