// Networks as compiled programs: the products of all operand pairs, those of given pairs, and an input pattern on which
// two networks differ.
// Lanes are numbered as in transpose.ts; pattern number p has input bit k in bit k of p, so that the pairs of a
// multiplier, its activation bits first, are numbered w · 2^activationBits + x.
// Invariant: gates mean what gates.ts says; only what the wanted signals need is compiled.

import { gateFunctions } from '../gates.ts';
import { isGate, type Network, ONE as SIGNAL_ONE, type Signal } from '../network.ts';
import type { MultiplierPorts } from '../ports.ts';
import { Kernel } from './kernel.ts';
import { ONE, Program, type Value, ZERO } from './program.ts';
import { integersOf, LANE_BITS, LANES, laneBit, transposeBytes } from './transpose.ts';

const VECTOR = 16;
/** Bytes of 128 integers of 32 bits. */
const INTEGERS = 4 * LANES;

/** Input bit `bit` of the patterns, counted through block by block. */
function countingBit(program: Program, bit: number): Value {
  return bit < LANE_BITS ? program.constant(laneBit(bit)) : program.blockBit(bit - LANE_BITS);
}

/** The values of some signals for given values of all inputs. */
function evaluate(
  program: Program,
  network: Network,
  inputs: ReadonlyMap<Signal, Value>,
  wanted: readonly Signal[],
): Value[] {
  const needed = new Uint8Array(network.nodes.length);
  for (const signal of wanted) needed[signal] = 1;
  for (let signal = network.nodes.length - 1; signal >= 0; signal--) {
    if (needed[signal]) for (const fanin of network.nodes[signal]!.fanins) needed[fanin] = 1;
  }
  const values = new Int32Array(network.nodes.length);
  values[SIGNAL_ONE] = ONE;
  for (const [signal, value] of inputs) values[signal] = value;
  network.nodes.forEach(({ kind, fanins }, signal) => {
    if (!needed[signal] || !isGate(kind)) return;
    const [a = 0, b = 0, c = 0] = fanins.map((fanin) => values[fanin]!);
    values[signal] = gateFunctions[kind](program, a, b, c);
  });
  return wanted.map((signal) => values[signal]!);
}

/** The products of all operand pairs. */
export class AllProducts {
  readonly #kernel: Kernel;

  constructor(network: Network, { weight, activation, product }: MultiplierPorts, signed: boolean) {
    const program = new Program();
    const inputs = [...activation, ...weight].map((signal, bit) => [signal, countingBit(program, bit)] as const);
    const planes = evaluate(program, network, new Map(inputs), product);
    for (const [n, four] of integersOf(program, planes, signed).entries()) program.store(four, n * VECTOR);
    this.#kernel = new Kernel(program, { inputBytes: 0, outputBytes: INTEGERS });
  }

  /** Fills `data`, of one entry per pair. */
  evaluate(data: Int32Array): void {
    const kernel = this.#kernel;
    for (let pair = 0; pair < data.length; pair += kernel.blocks * LANES) {
      const count = Math.min(kernel.blocks * LANES, data.length - pair);
      kernel.run(pair / LANES, Math.ceil(count / LANES));
      data.set(kernel.integers(count), pair);
    }
  }
}

/** The products of given operand pairs, for multipliers of any width. */
export class PairProducts {
  /** The most pairs of one call. */
  readonly pairs: number;
  readonly #kernel: Kernel;
  readonly #signed: boolean;
  readonly #halves: number;
  readonly #bytes: readonly [weight: number, activation: number];

  constructor(network: Network, { weight, activation, product }: MultiplierPorts, signed: boolean) {
    const program = new Program();
    this.#signed = signed;
    this.#bytes = [Math.ceil(weight.length / 8), Math.ceil(activation.length / 8)];
    const values = new Map<Signal, Value>();
    let at = 0;
    for (const operand of [weight, activation]) {
      for (let first = 0; first < operand.length; first += 8, at += LANES) {
        const rows = Array.from({ length: 8 }, (_, row) => program.load(at + row * VECTOR));
        const planes = transposeBytes(program, rows);
        for (const [bit, signal] of operand.slice(first, first + 8).entries()) values.set(signal, planes[bit]!);
      }
    }
    const planes = evaluate(program, network, values, product);
    const halves = [planes.slice(0, 32), planes.slice(32)].filter((half) => half.length > 0);
    this.#halves = halves.length;
    for (const [n, half] of halves.entries()) {
      const integers = integersOf(program, half, signed && n === halves.length - 1);
      for (const [k, four] of integers.entries()) program.store(four, n * INTEGERS + k * VECTOR);
    }
    this.#kernel = new Kernel(program, { inputBytes: at, outputBytes: halves.length * INTEGERS });
    this.pairs = this.#kernel.blocks * LANES;
  }

  /** Writes the products of the patterns ws[n], xs[n] to products[n]. */
  evaluate(ws: Int32Array, xs: Int32Array, products: Float64Array): void {
    const [kernel, halves, bytes] = [this.#kernel, this.#halves, this.#bytes];
    const { input } = kernel;
    const blocks = Math.ceil(products.length / LANES);
    for (let block = 0, at = 0; block < blocks; block++) {
      for (const [n, operands] of [ws, xs].entries()) {
        const some = operands.subarray(block * LANES, (block + 1) * LANES);
        for (let byte = 0; byte < bytes[n]!; byte++, at += LANES) {
          for (let lane = 0; lane < some.length; lane++) input[at + lane] = some[lane]! >>> (8 * byte);
        }
      }
    }
    kernel.run(0, blocks);
    const words = kernel.integers(blocks * halves * LANES);
    for (let n = 0; n < products.length; n++) {
      const at = (n - (n % LANES)) * halves + (n % LANES);
      const low = words[at]!;
      if (halves > 1) products[n] = words[at + LANES]! * 2 ** 32 + (low >>> 0);
      else products[n] = this.#signed ? low : low >>> 0;
    }
  }
}

/** Some outputs of a network as functions of its inputs. */
export interface BitFunctions {
  readonly network: Network;
  readonly inputs: readonly Signal[];
  readonly outputs: readonly Signal[];
}

export interface Difference {
  /** One bit per input. */
  readonly inputs: readonly number[];
  /** How many patterns were compared up to this one. */
  readonly patterns: number;
}

/**
 * The first pattern of all 2^inputs on which two functions of as many inputs and outputs differ, or null. At most 2^30
 * patterns.
 */
export function firstDifferingPattern(a: BitFunctions, b: BitFunctions): Difference | null {
  const program = new Program();
  const kernel = comparison(program, a, b, 0, (bit) => countingBit(program, bit));
  const bits = a.inputs.length;
  const blocks = Math.ceil(2 ** bits / LANES);
  const block = kernel.run(0, blocks);
  if (block < 0) return null;
  const pattern = block * LANES + firstLane(kernel);
  return { inputs: a.inputs.map((_, bit) => (pattern >>> bit) & 1), patterns: pattern + 1 };
}

/** One of `patterns` random patterns on which two functions differ, or null; `draw` gives 32 random bits. */
export function differingSample(
  a: BitFunctions,
  b: BitFunctions,
  patterns: number,
  draw: () => number,
): Difference | null {
  const program = new Program();
  const inputBytes = a.inputs.length * VECTOR;
  const kernel = comparison(program, a, b, inputBytes, (bit) => program.load(bit * VECTOR));
  for (let done = 0; done < patterns; done += kernel.blocks * LANES) {
    const { input } = kernel;
    const random = new Int32Array(input.buffer, input.byteOffset, input.length / 4);
    for (let n = 0; n < random.length; n++) random[n] = draw();
    const block = kernel.run(0, kernel.blocks);
    if (block < 0) continue;
    const lane = firstLane(kernel);
    const [byte, bit] = [lane % VECTOR, Math.floor(lane / VECTOR)];
    const inputs = a.inputs.map((_, n) => (input[block * inputBytes + n * VECTOR + byte]! >>> bit) & 1);
    return { inputs, patterns: done + block * LANES + lane + 1 };
  }
  return null;
}

/** A kernel that stops where any output differs; gates that both networks have on the same inputs are compiled once. */
function comparison(
  program: Program,
  a: BitFunctions,
  b: BitFunctions,
  inputBytes: number,
  input: (bit: number) => Value,
): Kernel {
  const outputs = [a, b].map(({ network, inputs, outputs }) =>
    evaluate(program, network, new Map(inputs.map((signal, bit) => [signal, input(bit)])), outputs),
  ) as [Value[], Value[]];
  const different = outputs[0].reduce((any, bit, n) => program.or(any, program.xor(bit, outputs[1][n]!)), ZERO);
  program.store(different, 0);
  return new Kernel(program, { inputBytes, outputBytes: VECTOR, search: true });
}

/** The lowest lane that is 1 in the vector at which a search stopped. */
function firstLane(kernel: Kernel): number {
  const words = kernel.integers(VECTOR / 4);
  const bytes = new Uint8Array(words.buffer, words.byteOffset, VECTOR);
  let lane = 0;
  while (((bytes[lane % VECTOR]! >>> Math.floor(lane / VECTOR)) & 1) === 0) lane++;
  return lane;
}
