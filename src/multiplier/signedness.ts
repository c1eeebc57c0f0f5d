// Neither a netlist nor most tables say whether their numbers are signed. Read the wrong way nearly every product is
// wrong, and by a lot: that is how a mistake is noticed.
// Invariant: a note is given only where the other reading's mean error is at most a tenth of this one's.

import { operandValues, type ProductTable } from './table.ts';

const FAR_SMALLER = 0.1;

/** A sentence when the products read the other way (signed or not) would be far closer to the exact ones; else null. */
export function signednessNote(table: ProductTable): string | null {
  const { weightBits, activationBits, signed } = table;
  const bits = weightBits + activationBits;
  const own = meanErrorDistance(table);
  if (own === 0) return null;
  const data = table.data.map((product) => (signed ? product & (2 ** bits - 1) : wrapped(product, bits)));
  return signednessText(signed, own, meanErrorDistance({ ...table, signed: !signed, data }));
}

/** The same of mean errors that are known, those of samples for example. */
export function signednessText(signed: boolean, own: number, other: number): string | null {
  if (!(other <= FAR_SMALLER * own)) return null;
  const [now, then] = [own, other].map((value) => Number(value.toPrecision(4)));
  return signed
    ? `read as signed the mean error is ${now}, as unsigned it would be ${then}: is --signed meant?`
    : `read as unsigned the mean error is ${now}, with --signed it would be ${then}: is it a signed multiplier?`;
}

/** Mean |product − exact| over all pairs. */
export function meanErrorDistance({ weightBits, activationBits, signed, data }: ProductTable): number {
  const activations = operandValues(activationBits, signed);
  let sum = 0;
  let pair = 0;
  for (const w of operandValues(weightBits, signed)) {
    for (const x of activations) sum += Math.abs(data[pair++]! - w * x);
  }
  return sum / data.length;
}

/** The low `bits` bits of an integer as two's complement. */
export function wrapped(value: number, bits: number): number {
  return (value << (32 - bits)) >> (32 - bits);
}
