// Random mutations of valid files: a reader either still accepts the text or refuses it with a UserError, never anything else.

import { expect, test } from 'vitest';
import { UserError } from '../tensor/errors.ts';
import { readBlif } from './blif/read.ts';
import { writeBlif } from './blif/write.ts';
import { readNpy, writeNpy } from './formats/npy.ts';
import { readTextTable, writeTextTable } from './formats/text.ts';
import { arrayMultiplier } from './generators/array.ts';
import { simulate } from './simulate.ts';
import { exactTable } from './table.ts';
import { readVerilog } from './verilog/read.ts';
import { writeVerilog } from './verilog/write.ts';

const network = arrayMultiplier(3, 3);
const table = exactTable(3, 3);
const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');

const readers: [string, string, (text: string) => void][] = [
  ['BLIF', writeBlif(network), (text) => simulate(readBlif(text).network)],
  ['lenient BLIF', writeBlif(network), (text) => simulate(readBlif(text, { lenient: true }).network)],
  ['Verilog', writeVerilog(network), (text) => simulate(readVerilog(text).network)],
  ['lenient Verilog', writeVerilog(network), (text) => simulate(readVerilog(text, { lenient: true }).network)],
  ['text table', writeTextTable(table), (text) => readTextTable(text)],
  ['.npy table', latin1(writeNpy(table)), (text) => readNpy(Buffer.from(text, 'latin1'))],
];

const MUTANTS = 400;
const snippets = [
  '\n',
  ' ',
  '\\',
  '#',
  '[',
  ']',
  '(',
  ')',
  '{',
  '.names',
  '.end',
  '-',
  '0',
  '1',
  '=',
  "'",
  '~',
  ';',
  '\0',
  'é',
  '9999999999',
];

test.each(readers)(`${MUTANTS} mutants of a %s file are read or refused with a UserError`, (_, text, read) => {
  let state = 1;
  const random = (n: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * n);
  };
  let refused = 0;
  for (let mutant = 0; mutant < MUTANTS; mutant++) {
    let mutated = text;
    for (let edit = random(3); edit >= 0; edit--) {
      const at = random(mutated.length);
      const end = at + random(random(4) === 0 ? 200 : 4);
      const cut = mutated.slice(at, end);
      const inserted = [
        snippets[random(snippets.length)]!,
        '',
        cut + cut,
        mutated.slice(random(mutated.length)).slice(0, 30),
      ];
      mutated = mutated.slice(0, at) + inserted[random(inserted.length)] + mutated.slice(end);
    }
    try {
      read(mutated);
    } catch (error) {
      if (!(error instanceof UserError))
        throw new Error(`mutant ${mutant}: ${JSON.stringify(mutated)}`, { cause: error });
      expect(error.message).not.toContain('\n');
      refused++;
    }
  }
  expect(refused).toBeGreaterThan(MUTANTS / 4);
});
