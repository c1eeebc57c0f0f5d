// What processing elements meet while a network runs on real images: weights that stand still, codes of activations
// position after position, and the sums that come from above. The activity of power figures is taken from it.
// Invariant: every sequence is of elements of an array of the given size, at consecutive positions of one image, as the
// layers' tops stream them; deterministic.

import type { IntegerNetwork, ProductOperation } from '../../integer/network.ts';
import type { ProductTable } from '../../multiplier/table.ts';
import { drawByWeight, Random } from '../../tensor/random.ts';
import type { LayerTop } from './interface.ts';

/** Patterns by cycle, all of one length: of the weight, the activation, the tap bit and the sum from above. */
export interface ElementActivity {
  readonly w: Int32Array;
  readonly x: Int32Array;
  readonly tap: Int32Array;
  readonly above: Int32Array;
}

/** A layer with the values of its input, [positions or image][channels], for one image. */
export interface RecordedLayer {
  readonly top: LayerTop;
  readonly input: ArrayLike<number>;
}

/** Cycles that an element is watched before another one is. */
const SEGMENT = 64;

/**
 * What elements of these layers meet in `cycles` cycles, layers by their share of the products. The sums from above are
 * those of `table`, whose products the elements make.
 */
export function elementActivity(
  network: IntegerNetwork,
  layers: readonly RecordedLayer[],
  table: ProductTable,
  cycles: number,
): ElementActivity {
  const random = new Random(1, 41);
  const drawLayer = drawByWeight(layers.map(({ top }) => top.taps * top.outputs * top.groups * top.positions));
  const all = layers.map(({ top, input }) => new Elements(network, top, input, table));
  const [w, x, tap, above] = [0, 1, 2, 3].map(() => new Int32Array(cycles)) as [
    Int32Array,
    Int32Array,
    Int32Array,
    Int32Array,
  ];
  for (let at = 0; at < cycles; ) {
    const one = all[drawLayer(random.uniform())]!;
    const { top } = one;
    const count = Math.min(SEGMENT, top.positions, cycles - at);
    const start = Math.floor(random.uniform() * (top.positions - count + 1));
    const [t, o] = [top.taps, top.outputs * top.groups].map((most) => Math.floor(random.uniform() * most)) as [
      number,
      number,
    ];
    for (let n = 0; n < count; n++, at++) {
      w[at] = one.weight(t, o);
      const code = one.activation(t, o, start + n);
      x[at] = code ?? 0;
      tap[at] = code === null ? 0 : 1;
      above[at] = one.above(t, o, start + n);
    }
  }
  return { w, x, tap, above };
}

class Elements {
  readonly top: LayerTop;
  readonly #product: ProductOperation;
  readonly #table: ProductTable;
  readonly #input: ArrayLike<number>;
  /** By position and tap of the window the place in the image, −1 in the padding. */
  readonly #places: (position: number, tap: number) => number;
  readonly #channels: number;

  constructor(network: IntegerNetwork, top: LayerTop, input: ArrayLike<number>, table: ProductTable) {
    this.top = top;
    this.#input = input;
    this.#table = table;
    this.#product = network.operations[top.product] as ProductOperation;
    const { layerKind, geometry, weightShape, inputs, output } = this.#product;
    const shape = network.tensors[inputs[0]!]!.shape;
    this.#channels = shape.at(-1)!;
    const [, kw] = weightShape as readonly [number, number];
    const width = network.tensors[output]!.shape[1]!;
    const { stride, padding, dilation } = geometry;
    this.#places =
      layerKind === 'linear'
        ? (position) => position
        : (position, tap) => {
            const y = Math.floor(position / width) * stride[0] - padding[0] + Math.floor(tap / kw) * dilation[0];
            const x = (position % width) * stride[1] - padding[1] + (tap % kw) * dilation[1];
            return y < 0 || x < 0 || y >= shape[0]! || x >= shape[1]! ? -1 : y * shape[1]! + x;
          };
  }

  /** As a pattern, like all that follow. */
  weight(t: number, o: number): number {
    const outputs = this.top.outputs * this.top.groups;
    return this.#product.weights[t * outputs + o]! & (2 ** this.top.weightBits - 1);
  }

  /** null where the tap lies in the padding. */
  activation(t: number, o: number, position: number): number | null {
    const channels = this.#channels / this.top.groups;
    const place = this.#places(position, Math.floor(t / channels));
    const channel = Math.floor(o / this.top.outputs) * channels + (t % channels);
    return place < 0 ? null : this.#input[place * this.#channels + channel]! & (2 ** this.top.activationBits - 1);
  }

  /** The products of the rows above tap t in its tile. */
  above(t: number, o: number, position: number): number {
    let sum = 0;
    for (let row = t - (t % this.top.size.rows); row < t; row++) {
      const x = this.activation(row, o, position);
      if (x !== null) sum += this.#table.data[this.weight(row, o) * 2 ** this.top.activationBits + x]!;
    }
    return sum;
  }
}
