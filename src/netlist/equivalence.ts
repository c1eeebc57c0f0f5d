// Equivalence of two multipliers, each a network, BLIF, Verilog, a table or a generator: by enumeration up to 24 operand bits together,
// beyond that by random simulation first and then by a prover that the caller provides.
// Invariant: "equal" means every pair was compared or proved, never sampled; a counterexample, also a prover's, is simulated again.
// A table has no names: its first operand is the weight. Products are compared as integers of the chosen signedness.

import { basename } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { invariant, UserError } from '../tensor/errors.ts';
import { Random } from '../tensor/random.ts';
import { loadCircuit, readCircuit, readLimited } from './circuit.ts';
import { readNpy } from './formats/npy.ts';
import { readTextTable } from './formats/text.ts';
import { generateFromSpec, isGeneratorSpec } from './generators/registry.ts';
import type { Network, Signal } from './network.ts';
import { MAX_EXHAUSTIVE_BITS, multiplierPorts } from './ports.ts';
import { BlockEvaluator, simulate } from './simulate.ts';
import { operandValue, type ProductTable, productTable } from './table.ts';

export type Subject =
  | { readonly kind: 'network'; readonly name: string; readonly network: Network; readonly signed?: boolean }
  | { readonly kind: 'table'; readonly name: string; readonly table: ProductTable };

export interface Counterexample {
  /** Operand values (signed ones where the comparison is signed) and the two products. */
  readonly w: number;
  readonly x: number;
  readonly a: number;
  readonly b: number;
}

export type Equivalence =
  | { readonly equal: true; readonly pairs: number; readonly method: 'exhaustive' | 'proof' }
  | { readonly equal: false; readonly counterexample: Counterexample };

/** Proves two networks equal (null), or gives the patterns of an operand pair on which they differ. */
export type Prover = (a: Network, b: Network) => Promise<{ readonly w: number; readonly x: number } | null>;

export interface EquivalenceOptions {
  /** How products are read; by default signed if either side says so (a signed table or generator). */
  readonly signed?: boolean;
  readonly prover?: Prover;
}

const MAX_TABLE_BYTES = 2 ** 29;
const SAMPLES = 2 ** 16;

/** What a command line names: a generator spec (`dadda:8x8`), or a file: .npy, .txt, BLIF or Verilog, any of them also as .gz. */
export function loadSubject(name: string, options: { lenient?: boolean } = {}): Subject {
  if (isGeneratorSpec(name)) {
    const { network, signed } = generateFromSpec(name);
    return { kind: 'network', name, network, signed };
  }
  const plain = name.replace(/\.gz$/i, '');
  const packed = plain !== name;
  const file = basename(plain);
  if (!packed && !/\.(npy|txt)$/i.test(plain)) {
    return { kind: 'network', name, network: loadCircuit(name, options).network };
  }
  const bytes = packed ? unpack(readLimited(name, MAX_TABLE_BYTES), name) : readLimited(name, MAX_TABLE_BYTES);
  if (/\.npy$/i.test(plain)) return { kind: 'table', name, table: readNpy(bytes, file) };
  if (/\.txt$/i.test(plain)) return { kind: 'table', name, table: readTextTable(bytes.toString('utf8'), file) };
  return { kind: 'network', name, network: readCircuit(bytes.toString('utf8'), file, options).network };
}

function unpack(bytes: Uint8Array, name: string): Buffer {
  try {
    return gunzipSync(bytes, { maxOutputLength: MAX_TABLE_BYTES });
  } catch {
    throw new UserError(`${name}: cannot be unpacked: expected gzip of at most ${MAX_TABLE_BYTES} bytes`);
  }
}

/** Throws a UserError when the widths differ, or when they are too wide to enumerate and there is no prover. */
export async function verifyEquivalence(
  first: Subject,
  second: Subject,
  options: EquivalenceOptions = {},
): Promise<Equivalence> {
  const widths = [widthsOf(first), widthsOf(second)] as const;
  const [[weightBits, activationBits], other] = widths;
  if (weightBits !== other[0] || activationBits !== other[1]) {
    throw new UserError(
      `${first.name} is a ${widths[0].join('×')} multiplier and ${second.name} ${other.join('×')}: expected equal widths`,
    );
  }
  const signed = options.signed ?? (isSigned(first) || isSigned(second));
  if (weightBits + activationBits <= MAX_EXHAUSTIVE_BITS) return enumerate(first, second, signed);
  invariant(first.kind === 'network' && second.kind === 'network', 'a table too wide to enumerate');
  const [a, b] = [first.network, second.network];
  const compare = (w: number, x: number): Counterexample | null => {
    const [p, q] = [productOf(a, w, x, signed), productOf(b, w, x, signed)];
    if (p === q) return null;
    return { w: operandValue(w, weightBits, signed), x: operandValue(x, activationBits, signed), a: p, b: q };
  };
  const sampled = sampleDifference(a, b);
  const difference = sampled && compare(sampled.w, sampled.x);
  if (difference) return { equal: false, counterexample: difference };
  if (!options.prover) {
    throw new UserError(
      `${weightBits}×${activationBits} bits are too many to enumerate (at most ${MAX_EXHAUSTIVE_BITS} together), and ` +
        `${SAMPLES} random pairs agree: expected a prover (SAT) to decide`,
    );
  }
  const found = await options.prover(a, b);
  if (!found) return { equal: true, pairs: 2 ** (weightBits + activationBits), method: 'proof' };
  const counterexample = compare(found.w, found.x);
  invariant(counterexample, `the prover’s counterexample ${found.w}, ${found.x} is none`);
  return { equal: false, counterexample };
}

function enumerate(first: Subject, second: Subject, signed: boolean): Equivalence {
  const [a, b] = [tableOf(first, signed), tableOf(second, signed)];
  for (let pair = 0; pair < a.data.length; pair++) {
    if (a.data[pair] === b.data[pair]) continue;
    const w = operandValue(pair >> a.activationBits, a.weightBits, signed);
    const x = operandValue(pair & (2 ** a.activationBits - 1), a.activationBits, signed);
    return { equal: false, counterexample: { w, x, a: a.data[pair]!, b: b.data[pair]! } };
  }
  return { equal: true, pairs: a.data.length, method: 'exhaustive' };
}

/** A table of the other signedness is read anew: its products modulo 2^(Bw+Bx). */
function tableOf(subject: Subject, signed: boolean): ProductTable {
  if (subject.kind === 'network') return simulate(subject.network, { signed });
  const { table } = subject;
  if (table.signed === signed) return table;
  const bits = table.weightBits + table.activationBits;
  const range = 2 ** bits;
  const data = table.data.map((product) => operandValue(((product % range) + range) % range, bits, signed));
  return productTable(table.weightBits, table.activationBits, signed, data);
}

function widthsOf(subject: Subject): readonly [number, number] {
  if (subject.kind === 'table') return [subject.table.weightBits, subject.table.activationBits];
  const { weight, activation } = multiplierPorts(subject.network);
  return [weight.length, activation.length];
}

function isSigned(subject: Subject): boolean {
  return subject.kind === 'table' ? subject.table.signed : (subject.signed ?? false);
}

/** The product of one pair of operand patterns, for multipliers of any width. */
export function productOf(network: Network, w: number, x: number, signed: boolean): number {
  const { weight, activation, product } = multiplierPorts(network);
  const block = new BlockEvaluator(network, 1);
  for (const [signals, operand] of [
    [weight, w],
    [activation, x],
  ] as const) {
    for (const [bit, signal] of signals.entries()) block.words(signal)[0] = (operand >> bit) & 1;
  }
  block.evaluate();
  const pattern = product.reduce((sum, signal, bit) => sum + (block.words(signal)[0]! & 1) * 2 ** bit, 0);
  return operandValue(pattern, product.length, signed);
}

/** The patterns of a random operand pair whose product bits differ, if there is one among the samples. */
function sampleDifference(a: Network, b: Network): { w: number; x: number } | null {
  const [ports, others] = [multiplierPorts(a), multiplierPorts(b)];
  const words = 64;
  const [first, second] = [new BlockEvaluator(a, words), new BlockEvaluator(b, words)];
  const random = new Random(1);
  for (let done = 0; done < SAMPLES; done += first.pairs) {
    for (const operand of ['weight', 'activation'] as const) {
      for (const [bit, signal] of ports[operand].entries()) {
        const drawn = first.words(signal).map(() => random.bits());
        first.words(signal).set(drawn);
        second.words(others[operand][bit]!).set(drawn);
      }
    }
    first.evaluate();
    second.evaluate();
    for (let n = 0; n < words; n++) {
      const flips = ports.product.reduce((all, signal, bit) => {
        const other = others.product[bit];
        return all | (first.words(signal)[n]! ^ (other === undefined ? 0 : second.words(other)[n]!));
      }, 0);
      if (flips === 0) continue;
      const lane = 31 - Math.clz32(flips);
      const pattern = (signals: readonly Signal[]) =>
        signals.reduce((sum, signal, bit) => sum + ((first.words(signal)[n]! >>> lane) & 1) * 2 ** bit, 0);
      return { w: pattern(ports.weight), x: pattern(ports.activation) };
    }
  }
  return null;
}
