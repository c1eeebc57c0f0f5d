// Equivalence of two multipliers (subject.ts): by enumeration up to 24 operand bits together, beyond that by random
// simulation first, then by algebra (algebra.ts), and then by a prover that the caller provides.
// Invariant: "equal" means every pair was compared or proved, never sampled; a counterexample, also a prover's, is
// simulated again.
// A table has no names: its first operand is the weight. Products are compared as integers of the chosen signedness.

import { firstDifference, operandValue, type ProductTable, productTable } from '../multiplier/table.ts';
import { MAX_EXHAUSTIVE_BITS } from '../multiplier/widths.ts';
import { invariant, UserError } from '../tensor/errors.ts';
import { Random } from '../tensor/random.ts';
import { compareByAlgebra } from './algebra.ts';
import { type BitFunctions, differingSample, firstDifferingPattern } from './compiled/network.ts';
import { type Network, ZERO } from './network.ts';
import { multiplierPorts } from './ports.ts';
import { productOf, simulate } from './simulate.ts';
import type { Subject } from './subject.ts';

export interface Counterexample {
  /** Operand values (signed ones where the comparison is signed) and the two products. */
  readonly w: number;
  readonly x: number;
  readonly a: number;
  readonly b: number;
}

export type Equivalence =
  | { readonly equal: true; readonly pairs: number; readonly method: 'exhaustive' | 'algebra' | 'proof' }
  | { readonly equal: false; readonly counterexample: Counterexample };

/** Proves two networks equal (null), or gives the patterns of an operand pair on which they differ. */
export type Prover = (a: Network, b: Network) => Promise<{ readonly w: number; readonly x: number } | null>;

export interface EquivalenceOptions {
  /** How products are read; by default signed if either side says so (a signed table or generator). */
  readonly signed?: boolean;
  readonly prover?: Prover;
}

const SAMPLES = 2 ** 16;

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
  const pairs = 2 ** (weightBits + activationBits);
  if (first.kind === 'table' || second.kind === 'table') return compareTables(first, second, signed);
  const [a, b] = [first.network, second.network];
  const functions = [a, b].map((network) => pairFunctions(network, signed)) as [BitFunctions, BitFunctions];
  const counterexample = (inputs: readonly number[]): Equivalence => {
    const [x, w] = [patternOf(inputs.slice(0, activationBits)), patternOf(inputs.slice(activationBits))];
    const [p, q] = [productOf(a, w, x, signed), productOf(b, w, x, signed)];
    invariant(p !== q, `the products of ${w} and ${x} that differ are both ${p}`);
    const operands = { w: operandValue(w, weightBits, signed), x: operandValue(x, activationBits, signed) };
    return { equal: false, counterexample: { ...operands, a: p, b: q } };
  };
  if (weightBits + activationBits <= MAX_EXHAUSTIVE_BITS) {
    const difference = firstDifferingPattern(...functions);
    return difference ? counterexample(difference.inputs) : { equal: true, pairs, method: 'exhaustive' };
  }
  const random = new Random(1);
  const sampled = differingSample(...functions, SAMPLES, () => random.bits());
  if (sampled) return counterexample(sampled.inputs);
  const derived = compareByAlgebra(...functions);
  if (derived) return counterexample(derived);
  if (derived === null) return { equal: true, pairs, method: 'algebra' };
  if (!options.prover) {
    throw new UserError(
      `${weightBits}×${activationBits} bits are too many to enumerate (at most ${MAX_EXHAUSTIVE_BITS} together), ${SAMPLES} random ` +
        'pairs agree, and algebra does not decide: expected a prover (SAT)',
    );
  }
  const found = await options.prover(a, b);
  if (!found) return { equal: true, pairs, method: 'proof' };
  return counterexample([...bitsOf(found.x, activationBits), ...bitsOf(found.w, weightBits)]);
}

/**
 * The product bits as functions of the operand bits, x first; extended to the width of an exact product, so that any
 * two compare.
 */
function pairFunctions(network: Network, signed: boolean): BitFunctions {
  const { weight, activation, product } = multiplierPorts(network);
  const top = signed ? product.at(-1)! : ZERO;
  const outputs = Array.from({ length: weight.length + activation.length }, (_, bit) => product[bit] ?? top);
  return { network, inputs: [...activation, ...weight], outputs };
}

const patternOf = (bits: readonly number[]) => bits.reduce((sum, bit, n) => sum + bit * 2 ** n, 0);
const bitsOf = (pattern: number, bits: number) => Array.from({ length: bits }, (_, n) => (pattern >> n) & 1);

function compareTables(first: Subject, second: Subject, signed: boolean): Equivalence {
  const [a, b] = [tableOf(first, signed), tableOf(second, signed)];
  const difference = firstDifference(a, b);
  if (!difference) return { equal: true, pairs: a.data.length, method: 'exhaustive' };
  const pair = difference.w * 2 ** a.activationBits + difference.x;
  const w = operandValue(difference.w, a.weightBits, signed);
  const x = operandValue(difference.x, a.activationBits, signed);
  return { equal: false, counterexample: { w, x, a: a.data[pair]!, b: b.data[pair]! } };
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
