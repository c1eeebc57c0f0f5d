// Tables in the forms that people have: each is the same small table, written here as other programs write it.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { zipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { fuzzReaders } from '../../../test/fuzz.ts';
import { exactTable, firstDifference, operandValues, type ProductTable } from '../../multiplier/table.ts';
import { UserError } from '../../tensor/errors.ts';
import { writeCHeader } from './c.ts';
import { writeNpy } from './npy.ts';
import { writeRaw } from './raw.ts';
import { readTable, type TableOptions, tableForm } from './read.ts';
import { writeTextTable } from './text.ts';

const text = (lines: string) => new TextEncoder().encode(lines);
/** The exact 2×2 table: unsigned, and signed in the order of the patterns and of the values. */
const unsigned = [...exactTable(2, 2).data];
const signed = [...exactTable(2, 2, true).data];
const byValues = [-2, -1, 0, 1].flatMap((w) => [-2, -1, 0, 1].map((x) => w * x || 0));

interface Array2 {
  readonly descr?: string;
  readonly shape?: string;
  readonly fortran?: boolean;
  readonly version?: 1 | 2 | 3;
}

/** A .npy file as NumPy writes it. */
function npy(
  values: readonly number[],
  { descr = '<i4', shape = '(4, 4)', fortran = false, version = 1 }: Array2 = {},
) {
  const dictionary = `{'descr': '${descr}', 'fortran_order': ${fortran ? 'True' : 'False'}, 'shape': ${shape}, }`;
  const prefix = version === 1 ? 10 : 12;
  const start = Math.ceil((prefix + dictionary.length + 1) / 64) * 64;
  const size = Number(descr[2]);
  const bytes = new Uint8Array(start + size * values.length).fill(32, 0, start);
  const view = new DataView(bytes.buffer);
  bytes.set([0x93, ...text('NUMPY'), version, 0]);
  if (version === 1) view.setUint16(8, start - prefix, true);
  else view.setUint32(8, start - prefix, true);
  bytes.set(text(dictionary), prefix);
  bytes[start - 1] = 10;
  const little = descr[0] !== '>';
  values.forEach((value, n) => {
    const at = start + size * n;
    if (descr.endsWith('f8')) view.setFloat64(at, value, little);
    else if (descr.endsWith('f4')) view.setFloat32(at, value, little);
    else if (size === 8) view.setBigInt64(at, BigInt(value), little);
    else if (size === 4) view.setInt32(at, value, little);
    else if (size === 2) view.setInt16(at, value, little);
    else view.setInt8(at, value);
  });
  return bytes;
}

function expectTable({ table }: { table: ProductTable }, expected: ProductTable): void {
  const { weightBits, activationBits, signed } = expected;
  expect(table).toMatchObject({ weightBits, activationBits, signed });
  expect(firstDifference(table, expected)).toBeNull();
}

describe('NumPy arrays', () => {
  test.each([
    '|i1',
    '<i2',
    '>i2',
    '<i4',
    '>i4',
    '<i8',
    '>i8',
    '|u1',
    '<u2',
    '>u2',
    '<u4',
    '>u4',
    '<u8',
    '>u8',
    '<f4',
    '>f8',
  ])('of type %s hold the exact table', (descr) => {
    expectTable(readTable(npy(unsigned, { descr }), 'a.npy'), exactTable(2, 2));
    if (!descr.includes('u')) expectTable(readTable(npy(signed, { descr }), 'a.npy'), exactTable(2, 2, true));
  });

  test.each([
    ['version 2', { version: 2 }],
    ['version 3', { version: 3 }],
    ['flat', { shape: '(16,)' }],
    ['of more dimensions that are 1', { shape: '(1, 4, 4)' }],
  ] as const)('%s', (_, form) => {
    expectTable(readTable(npy(unsigned, form), 'a.npy'), exactTable(2, 2));
  });

  test('in Fortran order have rows and columns the right way', () => {
    const rows = Array.from({ length: 8 }, (_, w) => Array.from({ length: 4 }, (_, x) => w * x + (w > x ? 1 : 0)));
    const columns = [0, 1, 2, 3].flatMap((x) => rows.map((row) => row[x]!));
    const { table } = readTable(npy(columns, { shape: '(8, 4)', fortran: true }), 'a.npy');
    expect([table.weightBits, table.activationBits]).toEqual([3, 2]);
    expect([...table.data]).toEqual(rows.flat());
  });

  test('in a .npz file: one is read, of two none is chosen', () => {
    const member = npy(unsigned);
    expectTable(readTable(zipSync({ 'lut.npy': member }), 'a.npz'), exactTable(2, 2));
    expectTable(readTable(zipSync({ 'lut.npy': [member, { level: 0 }] }), 'a.npz'), exactTable(2, 2));
    expect(() => readTable(zipSync({ 'a.npy': member, 'b.npy': member }), 'a.npz')).toThrow(
      /a\.npz: 2 arrays \(a, b\): expected a \.npz file of one array/,
    );
    const beside = readTable(zipSync({ 'bits.npy': npy([2], { shape: '(1,)' }), 'lut.npy': member }), 'a.npz');
    expectTable(beside, exactTable(2, 2));
    expect(beside.notes).toEqual(['a.npz: the table is "lut", the only one of 2 arrays that can be one']);
    expect(() => readTable(zipSync({}), 'a.npz')).toThrow(UserError);
    expect(() => readTable(zipSync({ 'lut.npy': member }).subarray(0, 90), 'a.npz')).toThrow(/zip data are damaged/);
  });

  test.each([
    [npy([...unsigned.slice(0, 15), 2.5], { descr: '<f8' }), /the element 2\.5 at position 15/],
    [npy([...unsigned.slice(0, 15), 2 ** 40], { descr: '<i8' }), /the element 1099511627776 at position 15/],
    [npy([...unsigned.slice(0, 15), Number.NaN], { descr: '<f8' }), /the element NaN/],
    [npy(unsigned, { shape: '(2, 8)' }), /shape \(2, 8\)/],
    [npy(unsigned.slice(0, 12), { shape: '(3, 4)' }), /shape \(3, 4\)/],
    [npy(Array(32).fill(0), { shape: '(32,)' }), /32 products, which is no square: expected --bits WxX.* 5 together/],
  ])('%# are refused with the reason', (bytes, message) => {
    expect(() => readTable(bytes, 'a.npy')).toThrow(UserError);
    expect(() => readTable(bytes, 'a.npy')).toThrow(message);
  });
});

describe('the same table as', () => {
  const rows = (separator: string) => [0, 4, 8, 12].map((at) => unsigned.slice(at, at + 4).join(separator)).join('\n');
  const triples = (separator: string) =>
    unsigned.map((product, n) => [n >> 2, n & 3, product].join(separator)).join('\r\n');
  const nested = [0, 4, 8, 12].map((at) => `{${unsigned.slice(at, at + 4)}}`).join(', ');
  const c = (array: string) =>
    `// made by hand = {9}\n#include <stdint.h>\n/* = {\n */\n${array}\nint f(void) { return 1; }\n`;
  test.each([
    ['a CSV matrix', 'a.csv', `${rows(',')}\n`],
    ['a matrix without a last newline', 'a.csv', rows(';')],
    ['a matrix with blanks', 'a.txt', rows('  ')],
    ['a matrix of floats', 'a.txt', `# saved\n${rows('.0 ')}.0\n`],
    ['JSON lists', 'a.json', JSON.stringify([0, 4, 8, 12].map((at) => unsigned.slice(at, at + 4)))],
    ['one number a line', 'a.txt', unsigned.join('\n')],
    [
      'pandas writes it',
      'a.csv',
      `,0,1,2,3\n${rows(',')
        .split('\n')
        .map((row, n) => `${n},${row}`)
        .join('\n')}\n`,
    ],
    [
      'a matrix with titles',
      'a.csv',
      `w\\x,a,b,c,d\n${rows(',')
        .split('\n')
        .map((row, n) => `${n},${row}`)
        .join('\n')}\n`,
    ],
    ['triples', 'a.csv', triples(',')],
    ['triples with titles', 'a.csv', `a,b,product\n${triples(', ')}\n`],
    ['triples in another order', 'a.txt', triples('\t').split('\r\n').reverse().join('\n')],
    ['a nested C array', 'a.h', c(`static const uint8_t lut[4][4] = { ${nested} };`)],
    ['a flat C array', 'a.c', c(`int lut[] = {\n${unsigned.map((one) => `0x${one.toString(16)}u`).join(',\n')},\n};`)],
    ['numbers in braces', 'a.txt', `{${unsigned.join(', ')}}`],
    ['a C array in octal', 'a.c', c(`int lut[] = { ${unsigned.map((one) => `0${one.toString(8)}`).join(', ')} };`)],
    ['a C array without an extension', 'lut', c(`int lut[4][4] = { ${nested} };`)],
  ])('%s', (_, name, content) => {
    expectTable(readTable(text(content), name), exactTable(2, 2));
    expectTable(readTable(gzipSync(text(content)), `${name}.gz`), exactTable(2, 2));
  });

  test.each([
    ['4×4', exactTable(4, 4)],
    ['4×4 signed', exactTable(4, 4, true)],
    ['8×8 signed', exactTable(8, 8, true)],
  ])('all of our own files of %s', (_, table) => {
    for (const [name, bytes] of [
      ['a.npy', writeNpy(table)],
      ['a.bin', writeRaw(table)],
      ['a.h', text(writeCHeader(table, 'a'))],
      ['a.txt', text(writeTextTable(table))],
    ] as const) {
      expectTable(readTable(bytes, name), table);
    }
  });

  test('signed triples, which say so themselves', () => {
    const content = [-2, -1, 0, 1].flatMap((w) => [-2, -1, 0, 1].map((x) => `${w},${x},${w * x}`)).join('\n');
    expectTable(readTable(text(content), 'a.csv'), exactTable(2, 2, true));
  });

  test.each([
    ['a.csv', '0,0,0,0\n0,1,2\n', /a\.csv:2: 3 numbers after rows of 4/],
    ['a.csv', '0,0,0,0\n0,1,two,3\n', /a\.csv:2: cannot read the row "0,1,two,3"/],
    ['a.csv', triples(',').replace('3,3,9', '3,2,6'), /row 16 is a second row of the operands 3 2/],
    ['a.csv', triples(',').replace('3,3,9', '4,3,12'), /row 16 is a row of the operands 4 3/],
    ['a.csv', 'x,y\n', /the shape/],
    ['a.h', 'int lut[4][4] = { {0, 0, 0, 0}, {0, 1, 2} };', /a\.h:1: a row of 3 numbers after rows of 4/],
    ['a.h', 'int lut[2] = { a, b };', /a\.h:1: cannot read "int lut\[2\] = \{ a, b \};": expected numbers/],
    ['a.h', `int a[] = {${unsigned}};\nint b[] = {${unsigned}};`, /a\.h:2: a second array/],
    ['a.h', 'int lut[4][4] = { {0, 0', /end of the file in an array/],
    ['a.h', 'int f();', /no array/],
    ['a.txt', 'no table at all', /no table of products: expected \.npy or \.npz.*\.h, \.c.*\.bin/],
  ])('%s is refused with its place (%#)', (name, content, message) => {
    expect(() => readTable(text(content), name)).toThrow(UserError);
    expect(() => readTable(text(content), name)).toThrow(message);
  });

  test('rows are no netlist, and netlists are no rows', () => {
    expect(tableForm(text('.model a\n.inputs a[0]\n.end\n'), 'a')).toBeNull();
    expect(tableForm(text('module m(input [1:0] a); endmodule\n'), 'm.txt')).toBeNull();
    expect(tableForm(text('0 0 0 0\n'), 'm.v')).toBeNull();
  });
});

describe('raw numbers', () => {
  const raw = (values: readonly number[], size: number) => {
    const bytes = new Uint8Array(size * values.length);
    const view = new DataView(bytes.buffer);
    values.forEach((value, n) => {
      if (size === 1) view.setInt8(n, value);
      else if (size === 2) view.setInt16(2 * n, value, true);
      else view.setInt32(4 * n, value, true);
    });
    return bytes;
  };

  test.each([2, 4])('of %i bytes are told apart by the size', (size) => {
    for (const bits of [2, 3, 4, 8]) {
      const table = exactTable(bits, bits);
      expectTable(readTable(raw([...table.data], size), 'a.bin'), table);
    }
  });

  test.each([1, 2, 4])('of %i bytes are read with the widths given', (size) => {
    const table = exactTable(2, 4);
    expectTable(readTable(raw([...table.data], size), 'a.bin', { bits: [2, 4] }), table);
    expect(() => readTable(raw([...table.data], size), 'a.bin', { bits: [2, 5] })).toThrow(UserError);
  });

  test.each([
    [3, 4, 4],
    [4, 5, 4],
    [3, 4, 2],
    [7, 8, 2],
  ])('of %i×%i bits in %i bytes are not taken for a square of another size', (w, x, size) => {
    const bytes = raw([...exactTable(w, x).data], size);
    expect(() => readTable(bytes, 'a.bin')).toThrow(/--bits WxX/);
    expectTable(readTable(bytes, 'a.bin', { bits: [w, x] }), exactTable(w, x));
  });

  test('with --signed, products without a sign are two’s complement', () => {
    const table = exactTable(4, 4, true);
    const read = readTable(raw([...table.data], 2), 'a.bin', { signed: true });
    expectTable(read, table);
    expect(read.notes).toEqual([expect.stringMatching(/two's complement of 16 bits/)]);
    const eight = [...table.data].map((product) => product & 255);
    expectTable(readTable(npy(eight, { shape: '(16, 16)' }), 'a.npy', { signed: true }), table);
    // Products that fit eight bits are of eight, however wide the elements are.
    const wide = readTable(raw(eight, 2), 'a.bin', { signed: true });
    expectTable(wide, table);
    expect(wide.notes).toEqual([expect.stringMatching(/two's complement of 8 bits/)]);
  });
});

describe('the order of signed rows', () => {
  const read = (values: readonly number[], options: TableOptions = {}) => readTable(npy(values), 'a.npy', options);

  test('by value is asked about, and taken when it is named', () => {
    expect(() => read(byValues)).toThrow(
      /from -2\) give a mean error of 0, and in the order of their bit patterns .* expected --table-order values or --table-order patterns/,
    );
    expectTable(read(byValues, { order: 'values' }), exactTable(2, 2, true));
    expect([...read(byValues, { order: 'patterns' }).table.data]).toEqual(byValues);
    expectTable(read(signed), exactTable(2, 2, true));
  });

  test('is seen of tables with errors and without a sign, too', () => {
    const off = byValues.map((product, n) => (n % 3 === 0 ? product + 1 : product));
    expect(() => read(off)).toThrow(/--table-order/);
    const values = operandValues(4, true).toSorted();
    const nibbles = [...values].flatMap((w) => [...values].map((x) => (w * x) & 255));
    expect(() => readTable(npy(nibbles, { shape: '(16, 16)' }), 'a.npy', { signed: true })).toThrow(/--table-order/);
  });

  test('is what the first column says', () => {
    const rows = [-2, -1, 0, 1].map((w) => [w, ...[-2, -1, 0, 1].map((x) => w * x)].join(','));
    expectTable(readTable(text(`,-2,-1,0,1\n${rows.join('\n')}\n`), 'a.csv'), exactTable(2, 2, true));
  });
});

test('a note tells when the other sign would fit far better', () => {
  const patterns = [...exactTable(4, 4, true).data].map((product) => product & 255);
  const shape = '(16, 16)';
  expect(readTable(npy(patterns, { shape }), 'a.npy').notes).toEqual([
    expect.stringMatching(/^read as unsigned the mean error is \d.*, with --signed it would be 0: is it a signed/),
  ]);
  const plain = [...exactTable(4, 4).data];
  expect(readTable(npy(plain, { shape }), 'a.npy', { signed: true }).notes.at(-1)).toMatch(/is --signed meant\?/);
  expect(readTable(npy(plain, { shape }), 'a.npy').notes).toEqual([]);
});

test('widths that are given must be those of the rows', () => {
  expect(() => readTable(npy(unsigned), 'a.npy', { bits: [3, 3] })).toThrow(/4 × 4 products, but --bits says 3x3/);
  expectTable(
    readTable(npy([...exactTable(2, 3).data], { shape: '(32,)' }), 'a.npy', { bits: [2, 3] }),
    exactTable(2, 3),
  );
});

test('what unfolds beyond every table is refused in bounded time and memory', () => {
  const rows = gzipSync(Buffer.alloc(60_000_000, '0\n'));
  const start = process.cpuUsage();
  expect(() => readTable(rows, 'rows.txt.gz')).toThrow(/rows\.txt:\d+: more than 16777216 products/);
  expect(process.cpuUsage(start).user).toBeLessThan(20e6);
  const bomb = gzipSync(gzipSync(Buffer.alloc(2 ** 24)));
  expect(() => readTable(bomb, 'a.npy.gz')).toThrow(UserError);
});

const cases = join(import.meta.dirname, '../../../../shared/cases');
test
  .runIf(existsSync(cases))
  .each([
    ...['n01_int32.npy', 'n02_int64.npy', 'n03_uint16.npy', 'n04_uint8.npy', 'n05_float64.npy', 'n06_fortran.npy'],
    ...['n07_bigendian.npy', 'n08_v2.npy', 'n09_flat.npy', 'n13_uint16.bin', 'n14_matrix.txt', 'n15_matrix.csv'],
  ])('the file %s is the exact table', (name) => {
  expectTable(readTable(readFileSync(join(cases, name)), name), exactTable(2, 2));
});

fuzzReaders([
  {
    name: 'table',
    valid: [
      writeTextTable(exactTable(2, 2)),
      writeCHeader(exactTable(2, 2), 'a'),
      '0,0,0,0\n0,1,2,3\n0,2,4,6\n0,3,6,9\n',
      Buffer.from(npy(unsigned)).toString('latin1'),
      Buffer.from(zipSync({ 'a.npy': npy(unsigned) })).toString('latin1'),
    ],
    read: (content) => void readTable(Buffer.from(content, 'latin1'), 'a'),
  },
]);

test('negative products of an unsigned multiplier make it no signed one', () => {
  const { data, ...widths } = exactTable(4, 5);
  const low: ProductTable = { ...widths, data: data.map((product) => product - 2) };
  const file = { ...readTable(writeNpy(low), 'low.npy'), text: readTable(text(writeTextTable(low)), 'low.txt') };
  expect(firstDifference(file.table, low)).toBeNull();
  expect(file.table.signed).toBe(false);
  expect(file.notes.join()).toMatch(/negative products.* read as unsigned; --signed/);
  expect(file.text.table.signed).toBe(false);
  expect(readTable(writeNpy(low), 'low.npy', { signed: true }).table.signed).toBe(true);
  const signedTable = exactTable(4, 5, true);
  expect(readTable(writeNpy(signedTable), 'signed.npy').table.signed).toBe(true);
});

test.each([
  ['w,x,p', false],
  ['x,w,p', true],
  ['activation;weight;product', true],
  ['a,b,p', false],
  ['weight,activation,product', false],
])('rows under the titles %s have the activation first: %s', (titles, turned) => {
  // 3·a·b + b for 2 and 3 bits: not the same the other way round.
  const product = (first: number, second: number) => 3 * first * second + second;
  const pairs = Array.from({ length: 32 }, (_, k) => [k >> 3, k & 7] as const);
  const rows = pairs.map(([first, second]) => `${first},${second},${product(first, second)}`);
  const { table } = readTable(Buffer.from([titles, ...rows].join('\n')), 'rows.csv');
  const [weightBits, activationBits] = turned ? [3, 2] : [2, 3];
  expect([table.weightBits, table.activationBits]).toEqual([weightBits, activationBits]);
  for (const [first, second] of pairs) {
    const [w, x] = turned ? [second, first] : [first, second];
    expect(table.data[(w << activationBits) | x]).toBe(product(first, second));
  }
});
