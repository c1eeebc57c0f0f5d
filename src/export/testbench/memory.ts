// Files for $readmemh: one word per line in hexadecimal, all of one width, with a comment that says what they are. A
// word is made of fields, the first in the lowest bits; negative values are two's complement.
// Invariant: a value that does not fit its field is a fault of ours and throws; nothing is cut off.

import { invariant } from '../../tensor/errors.ts';

/** The pattern of a value in `bits` bits: of unsigned values, and of signed ones as two's complement. */
export function patternOf(value: number, bits: number): bigint {
  invariant(
    Number.isSafeInteger(value) && value < 2 ** bits && value >= -(2 ** (bits - 1)),
    `${value} does not fit ${bits} bits`,
  );
  return BigInt.asUintN(bits, BigInt(value));
}

/** Values of `bits` bits each as one word, the first in the lowest bits. */
export function packed(values: Iterable<number>, bits: number): bigint {
  let word = 0n;
  let place = 0n;
  for (const value of values) {
    word |= patternOf(value, bits) << place;
    place += BigInt(bits);
  }
  return word;
}

/** The text of a .mem file. */
export function memoryFile(comment: string, words: readonly bigint[], bits: number): string {
  const digits = Math.ceil(bits / 4);
  const lines = words.map((word) => word.toString(16).padStart(digits, '0'));
  invariant(
    lines.every((line) => line.length === digits),
    `a word of ${comment} has more than ${bits} bits`,
  );
  return `// ${comment}: ${words.length} words of ${bits} bits\n${lines.join('\n')}\n`;
}
