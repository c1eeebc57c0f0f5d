// A network of integers beside the float-scaled one that it was made of: both run on the same images, the one by the
// interpreter, the other by a device, image by image. What is counted is what a reader asks for: whether predictions
// agree, how far logits are apart, and in which layers codes differ and by how much. Differences have one cause: where
// a value lies near the boundary of two codes, float32 and the one rounding here may fall on different sides.

import type { Backend, Program, Session } from '../engine/backend.ts';
import type { Node } from '../engine/graph/graph.ts';
import { invariant } from '../tensor/errors.ts';
import type { FrozenNetwork } from './frozen.ts';
import { classOf, interpreter, logitsOf, type Run } from './interpret.ts';
import type { IntegerNetwork, ProductOperation } from './network.ts';

/** A layer's operands and sums. */
export interface LayerFigures {
  readonly layer: string;
  readonly multiplier: string;
  /** Of two's complement that hold every partial sum: of the terms, and of the bare products. */
  readonly accumulatorBits: number;
  readonly productSumBits: number;
  readonly terms: readonly [low: number, high: number];
  readonly products: readonly [low: number, high: number];
  /** Least and largest sum that occurred. */
  readonly seen: readonly [low: number, high: number];
  /** Share of activation codes that differ from the float-scaled network's, and the largest difference. */
  readonly codesThatDiffer: number;
  readonly largestDifference: number;
}

export interface IntegerFigures {
  readonly images: number;
  /** Accuracies, 0 … 1. */
  readonly accuracy: number;
  readonly floatAccuracy: number;
  /** Share of images of which both name the same class. */
  readonly agreement: number;
  readonly largestLogitDifference: number;
  /** Largest minus least logit of an image, the mean over images: what the difference is to be seen beside. */
  readonly logitSpread: number;
  readonly layers: readonly LayerFigures[];
  /** Operations in float32, by the layer or block and what they are. */
  readonly islands: readonly string[];
}

/** Bits of two's complement that hold all integers of a range. */
export function bitsFor([low, high]: readonly [low: number, high: number]): number {
  let bits = 1;
  while (low < -(2 ** (bits - 1)) || high > 2 ** (bits - 1) - 1) bits++;
  return bits;
}

/** Operations in float32, by the layer or block and what they are. */
export function islandsOf({ operations }: IntegerNetwork): string[] {
  return operations.flatMap((operation) => {
    if (operation.kind !== 'float') return [];
    const { op, attributes, label } = operation;
    const name = 'name' in attributes ? String(attributes.name) : op;
    return [label === '' ? name : `${label}: ${name}`];
  });
}

interface LayerCount {
  readonly product: ProductOperation;
  codes: number;
  others: number;
  furthest: number;
  low: number;
  high: number;
}

/** Both networks, ready to be run. */
export class Comparison {
  readonly #network: IntegerNetwork;
  readonly #run: Run;
  readonly #session: Session;
  readonly #program: Program;
  readonly #layers: readonly LayerCount[];
  #images = 0;
  #right = 0;
  #floatRight = 0;
  #agreed = 0;
  #difference = 0;
  #spread = 0;

  private constructor(network: IntegerNetwork, session: Session, program: Program) {
    this.#network = network;
    this.#run = interpreter(network);
    this.#session = session;
    this.#program = program;
    const products = network.operations.filter((operation) => operation.kind === 'product');
    this.#layers = products.map((product) => {
      return {
        product,
        codes: 0,
        others: 0,
        furthest: 0,
        low: Number.POSITIVE_INFINITY,
        high: Number.NEGATIVE_INFINITY,
      };
    });
  }

  static async open(frozen: FrozenNetwork, network: IntegerNetwork, backend: Backend): Promise<Comparison> {
    const { graph, variables } = frozen;
    const session = await backend.openSession();
    try {
      for (const [name, variable] of variables) session.write(name, variable);
      const products = graph.nodes.filter(({ op }) => op === 'axmConv2d') as Node[];
      products.forEach((node, at) => {
        if (!graph.outputs.has(codesOf(at))) graph.output(codesOf(at), node.inputs[0]!);
      });
      return new Comparison(network, session, await session.compile(graph));
    } catch (error) {
      await session.dispose();
      throw error;
    }
  }

  /** Runs both on an image, raw 8-bit values [H, W, C]. */
  async add(image: Uint8Array, label: number): Promise<void> {
    this.#program.write('images', image);
    await this.#program.run();
    const values = this.#run(image);
    const [own, float] = [logitsOf(this.#network, values), await this.#program.read('logits')];
    const [ownClass, floatClass] = [classOf(own), classOf(float)];
    this.#images++;
    if (ownClass === label) this.#right++;
    if (floatClass === label) this.#floatRight++;
    if (ownClass === floatClass) this.#agreed++;
    own.forEach((logit, at) => {
      this.#difference = Math.max(this.#difference, Math.abs(logit - float[at]!));
    });
    this.#spread += Math.max(...float) - Math.min(...float);
    for (const [at, layer] of this.#layers.entries()) {
      const { inputs, output, multiplier } = layer.product;
      const { signed, activationBits } = this.#network.multipliers[multiplier]!.table;
      const shift = signed ? 2 ** (activationBits - 1) : 0;
      const [mine, engine] = [values[inputs[0]!]!, await this.#program.read(codesOf(at))];
      invariant(mine.length === engine.length, `${layer.product.layer}: codes of another number`);
      layer.codes += mine.length;
      for (let place = 0; place < mine.length; place++) {
        const difference = Math.abs(mine[place]! + shift - engine[place]!);
        if (difference > 0) layer.others++;
        layer.furthest = Math.max(layer.furthest, difference);
      }
      for (const sum of values[output]!) {
        layer.low = Math.min(layer.low, sum);
        layer.high = Math.max(layer.high, sum);
      }
    }
  }

  figures(): IntegerFigures {
    const images = this.#images;
    invariant(images > 0, 'figures of no image');
    return {
      images,
      accuracy: this.#right / images,
      floatAccuracy: this.#floatRight / images,
      agreement: this.#agreed / images,
      largestLogitDifference: this.#difference,
      logitSpread: this.#spread / images,
      layers: this.#layers.map(({ product, codes, others, furthest, low, high }) => ({
        ...{ layer: product.layer, multiplier: this.#network.multipliers[product.multiplier]!.name },
        accumulatorBits: bitsFor(product.accumulators.terms),
        productSumBits: bitsFor(product.accumulators.products),
        ...{ terms: product.accumulators.terms, products: product.accumulators.products, seen: [low, high] as const },
        ...{ codesThatDiffer: others / codes, largestDifference: furthest },
      })),
      islands: islandsOf(this.#network),
    };
  }

  dispose(): Promise<void> {
    return this.#session.dispose();
  }
}

const codesOf = (at: number): string => `codes of product ${at}`;
