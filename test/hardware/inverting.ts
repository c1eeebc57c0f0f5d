// A small library for tests: the built-in technology with full adders that give the complements of sum and carry, as
// the one of ASAP7 does. Its figures are in µm², ps and mW, as those of any library that is read.

import type { LibertyText } from '../../src/hardware/liberty/read.ts';
import { unitGateLiberty } from '../../src/hardware/technology/unit-gate.ts';

const inverted = (cell: string): string =>
  cell.replace(/function : "(.*)"/g, 'function : "!($1)"').replaceAll('positive_unate', 'negative_unate');

export const invertingAdders: LibertyText = {
  name: 'inverting.lib',
  text: unitGateLiberty.text
    .replace('library (unit_gate)', 'library (inverting)')
    .split(/(?=\bcell \()/)
    .map((cell) => (cell.startsWith('cell (FA_') ? inverted(cell) : cell))
    .join(''),
};
