import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { exactTable } from '../multiplier/table.ts';
import { writeBlif } from './blif/write.ts';
import { certify, certifyTable, describeCertificate, isProof } from './certify.ts';
import { arrayMultiplier } from './generators/array.ts';
import { writeVerilog } from './verilog/write.ts';

const network = arrayMultiplier(4, 3);
const table = exactTable(4, 3);

test('an exact multiplier is certified for all its pairs, with the hashes of its texts', () => {
  const certificate = certify({ network, table });
  const hash = (text: string) => createHash('sha256').update(text).digest('hex');
  expect(certificate).toMatchObject({ pairs: 128, forms: ['netlist', 'blif', 'verilog', 'table'] });
  expect(describeCertificate(certificate)).toBe('netlist ≡ BLIF ≡ Verilog ≡ table over 128 operand pairs');
  expect(certificate.sha256.blif).toBe(hash(writeBlif(network)));
  expect(certificate.sha256.verilog).toBe(hash(writeVerilog(network)));
  expect(certificate.sha256.table).toMatch(/^[0-9a-f]{64}$/);
});

test('the certificate of a table alone names the table and proves nothing', () => {
  const certificate = certifyTable(exactTable(8, 8));
  expect(certificate.forms).toEqual(['table']);
  expect(Object.keys(certificate.sha256)).toEqual(['table']);
  expect(isProof(certificate)).toBe(false);
  expect(describeCertificate(certificate)).toBe('table, 65 536 entries; no netlist');
});

test('the first differing pair of a wrong table is named', () => {
  const data = table.data.slice();
  data[9 * 8 + 5] = 44;
  expect(() => certify({ network, table: { ...table, data } })).toThrow(
    'the network of "mult_4x3" differs from its table first at 9 × 5: 45, expected 44',
  );
});

test('a text that does not belong to the network is named', () => {
  const verilog = writeVerilog(network).replace('w[0] & x[0]', 'w[0] | x[0]');
  expect(() => certify({ network, table, verilog })).toThrow(
    'the Verilog text of "mult_4x3" differs from its table first at 0 × 1: 1, expected 0',
  );
  const blif = writeBlif(arrayMultiplier(3, 4));
  expect(() => certify({ network, table, blif })).toThrow(
    'the BLIF text of "mult_4x3" is a 3×4 multiplier: expected 4×3',
  );
});
