import { expect, test } from 'vitest';
import { concreteMultiplier, multiplierError, withSlopes } from './multiplier.ts';
import { columnStructure, expandTheta } from './structure.ts';
import { exactTable, productTable } from './table.ts';

const widths = { weightBits: 2, activationBits: 3 };

test('a table is a removal where it is nothing else, and its errors otherwise', () => {
  const exact = exactTable(2, 3);
  expect(concreteMultiplier(exact)).toEqual({ kind: 'removal', removed: new Float32Array(6) });
  const data = exact.data.slice();
  data[9]! += 4;
  const error = new Int32Array(32);
  error[9] = 4;
  expect(concreteMultiplier(productTable(2, 3, false, data))).toEqual({ kind: 'table', error });
});

test('a forced emulation takes the table of a removal, and refuses planes for anything else', () => {
  const error = new Int32Array(32);
  for (const emulation of ['table', 'lowrank'] as const) {
    expect(concreteMultiplier(exactTable(2, 3), emulation)).toEqual({ kind: 'table', error, emulation });
  }
  expect(() => concreteMultiplier(exactTable(2, 3, true), 'planes')).toThrow(/emulation planes does not apply/);
});

test('the errors of all kinds agree where they are the same multiplier', () => {
  const theta = [1, 0, 1];
  const removed = Float32Array.from(expandTheta(theta, 2, 3).removed);
  const ofRemoval = multiplierError({ kind: 'removal', removed }, widths);
  // w[0]·x[0], and 4 for each of w[0]·x[2] and w[1]·x[1].
  expect(ofRemoval[3 * 8 + 7]).toBe(-1 - 8);
  const structure = columnStructure(widths, 3);
  expect(multiplierError({ kind: 'structure', theta: 'theta', structure }, widths, [2, -1, 1])).toEqual(ofRemoval);
  expect(multiplierError({ kind: 'table', error: Int32Array.from(ofRemoval) }, widths)).toEqual(ofRemoval);
  expect(multiplierError({ kind: 'exact' }, widths)).toEqual(new Float64Array(32));
});

test('what is fixed can have slopes: those of its error, along either operand by its own window', () => {
  // AxM = 2wx: E = wx, whose slopes are the other operand.
  const doubled = { kind: 'table', error: exactTable(2, 3).data } as const;
  const slopes = {
    per: 'pair',
    weight: Float32Array.from({ length: 32 }, (_, pair) => pair & 7),
    activation: Float32Array.from({ length: 32 }, (_, pair) => pair >> 3),
  };
  expect(withSlopes(doubled, widths, { weights: 0, activations: 1 })).toEqual({ ...doubled, slopes });
  expect(withSlopes({ kind: 'exact' }, widths, { weights: 0, activations: 0 })).toEqual({ kind: 'exact' });
});

test('slopes of rows are a value for each activation and each weight, and none where there is no error', () => {
  const doubled = { kind: 'table', error: exactTable(2, 3).data } as const;
  const slopes = {
    per: 'row',
    weight: Float32Array.of(0, 1, 2, 3, 4, 5, 6, 7),
    activation: Float32Array.of(0, 1, 2, 3),
  };
  expect(withSlopes(doubled, widths, 'rows')).toEqual({ ...doubled, slopes });
  const nothing = concreteMultiplier(exactTable(2, 3));
  expect(withSlopes(nothing, widths, 'rows')).toEqual(nothing);
});
