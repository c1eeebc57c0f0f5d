import { expect, test } from 'vitest';
import {
  exactTable,
  exchangeOperands,
  firstDifference,
  operandOrders,
  type ProductTable,
} from '../../multiplier/table.ts';
import { UserError } from '../../tensor/errors.ts';
import { readNpy, writeNpy } from './npy.ts';
import { readTextTable, rowOrder, sixDigits, writeTextTable } from './text.ts';

const tables: [string, ProductTable][] = [
  ['8×8 unsigned', exactTable(8, 8)],
  ['8×8 signed', exactTable(8, 8, true)],
  ['2×5 unsigned', exactTable(2, 5)],
  ['6×2 signed', exactTable(6, 2, true)],
  ['2×2 unsigned', exactTable(2, 2)],
];

/** Equal formats and products, quicker than a deep comparison. */
function expectEqual(table: ProductTable, expected: ProductTable): void {
  const { weightBits, activationBits, signed } = expected;
  expect(table).toMatchObject({ weightBits, activationBits, signed });
  expect(table.data).toHaveLength(expected.data.length);
  expect(firstDifference(table, expected)).toBeNull();
}

test.each(tables)('the text form of %s reads back equal', (_, table) => {
  expectEqual(readTextTable(writeTextTable(table)), table);
});

test.each(tables)('the .npy form of %s reads back equal', (_, table) => {
  expectEqual(readNpy(writeNpy(table)), table);
});

test.each([
  ['6×2 signed', exactTable(6, 2, true)],
  ['3×3, not symmetric', withError(exactTable(3, 3), 1, 5)],
])('a text of %s that says its operands reads back equal whatever their order', (_, table) => {
  const [rows, turned] = operandOrders.map((operands) => writeTextTable(table, undefined, { operands }));
  for (const [text, order] of [
    [rows!, 'weight-activation'],
    [turned!, 'activation-weight'],
  ] as const) {
    const read = readTextTable(text);
    expectEqual(read, table);
    expect(rowOrder(read)).toEqual({ order, said: true });
  }
  const line = 'INFO: Operands: activation weight\n';
  expect(turned!.startsWith(line)).toBe(true);
  // Without the line the same rows are the same table with its operands exchanged, and only a custom says what they
  // are.
  const unsaid = readTextTable(turned!.slice(line.length));
  expectEqual(unsaid, exchangeOperands(table));
  expect(rowOrder(unsaid)).toEqual({ order: 'activation-weight', said: false });
});

function withError(table: ProductTable, w: number, x: number): ProductTable {
  const data = table.data.slice();
  data[w * 2 ** table.activationBits + x]! += 1;
  return { ...table, data };
}

test('the text form begins with the published header', () => {
  const table = exactTable(2, 2);
  table.data[15] = 7;
  expect(writeTextTable(table).split('\n').slice(0, 14)).toEqual([
    'INFO: Unsigned approximate multiplier',
    'INFO: Error rate: 0.0625',
    'INFO: Mean error distance: 0.125',
    'INFO: Normalized mean error distance: 0.0078125',
    'INFO: Mean square error: 0.25',
    'INFO: Max error distance: 2',
    'INFO: Mean relative error distance: 0.0138889',
    'INFO: Error (app_out - acc_out) mean: -0.125',
    'INFO: Error (app_out - acc_out) variance: 0.234375',
    'LUT for approximate multiplier:',
    '0 0 0',
    '0 1 0',
    '0 2 0',
    '0 3 0',
  ]);
});

test.each([
  [0, '0'],
  [0.9375, '0.9375'],
  [6.485084306e-5, '6.48508e-05'],
  [1704.59375, '1704.59'],
  [1234567, '1.23457e+06'],
  [999999.7, '1e+06'],
  [-80.25, '-80.25'],
  [100, '100'],
])('%d is printed as %s', (value, text) => {
  expect(sixDigits(value)).toBe(text);
});

test('a .npy file is 64-byte aligned little-endian int32 in C order', () => {
  const bytes = writeNpy(exactTable(2, 3));
  const text = new TextDecoder('latin1').decode(bytes);
  expect(text.slice(0, 8)).toBe('\x93NUMPY\x01\x00');
  expect(text).toContain("{'descr': '<i4', 'fortran_order': False, 'shape': (4, 8), }");
  expect(text.indexOf('\n')).toBe(127);
  expect(bytes.length).toBe(128 + 4 * 32);
  expect([...bytes.subarray(128 + 4 * 31)]).toEqual([21, 0, 0, 0]);
});

const good = writeTextTable(exactTable(2, 2));
test.each([
  ['', 'a.txt: no line "LUT for approximate multiplier:"'],
  ['PK\x03\x04', 'a.txt: no line "LUT for approximate multiplier:"'],
  [good.slice(0, -6), 'a.txt: 15 rows: expected one for each pair of operands'],
  [good.slice(0, good.indexOf(':\n') + 2), 'a.txt: 0 rows: expected one for each pair of operands'],
  [
    good.replace('3 2 6', '3 2'),
    'a.txt:25: 2 numbers after rows of 3, in the row "3 2": expected "w x product", three integers',
  ],
  [good.replace('3 2 6', '3 2 six'), 'a.txt:25: cannot read the row "3 2 six": expected "w x product", three integers'],
  [good.replace('2 3 6\n3 0 0', '3 0 0\n2 3 6'), 'a.txt:22: row of the operands 3 0: expected the row of 2 3'],
])('a damaged text table is named (%#)', (text, message) => {
  expect(() => readTextTable(text, 'a.txt')).toThrow(UserError);
  expect(() => readTextTable(text, 'a.txt')).toThrow(message);
});

function damaged(from: string, to: string): Uint8Array {
  const bytes = writeNpy(exactTable(2, 2));
  const text = new TextDecoder('latin1').decode(bytes);
  bytes.set(Buffer.from(to, 'latin1'), text.indexOf(from));
  return bytes;
}

test.each([
  [new Uint8Array(), 'not a .npy file'],
  [writeNpy(exactTable(2, 2)).subarray(0, 30), '30 bytes, ends inside its header'],
  [writeNpy(exactTable(2, 2)).subarray(0, -4), 'bytes for its shape; the file is truncated or damaged'],
  [damaged('<i4', '<c4'), 'elements of type "<c4": expected integers (int8 to int64'],
  [damaged('<i4', '<f4'), 'the element 1.401298464324817e-45 at position 5: expected products that are integers'],
  [damaged('False', 'Maybe'), 'a header without fortran_order'],
  [damaged('(4, 4)', '(4, 5)'), '192 bytes: expected 208 bytes for its shape'],
  [damaged('(4, 4)', '(2, 8)'), 'the shape (2, 8): expected 2^w × 2^x products'],
  [damaged('(4, 4), }  ', '(99999999)'), 'at most 2^24 products'],
  [damaged('\x01\x00', '\x04\x00'), '.npy format version 4'],
])('a damaged .npy file is named (%#)', (bytes, message) => {
  expect(() => readNpy(bytes, 'a.npy')).toThrow(UserError);
  expect(() => readNpy(bytes, 'a.npy')).toThrow(message);
});
