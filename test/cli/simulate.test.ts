import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, describe, expect, test } from 'vitest';
import { exactTable, firstDifference } from '../../src/multiplier/table.ts';
import { writeBlif } from '../../src/netlist/blif/write.ts';
import { readNpy } from '../../src/netlist/formats/npy.ts';
import { readTextTable } from '../../src/netlist/formats/text.ts';
import { generate } from '../../src/netlist/generators/registry.ts';
import { describeWithReference, referenceText } from '../shared.ts';
import { tram } from './program.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-simulate-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string) => join(folder, name);

const { network } = generate('truncated', { weightBits: 4, activationBits: 3, columns: 2 });
writeFileSync(file('t.blif'), writeBlif(network));

describe('simulate', () => {
  test('--json is one object with the widths and every metric over all pairs', async () => {
    const { code, out, err } = await tram('simulate', file('t.blif'), '--json');
    expect({ code, err }).toEqual({ code: 0, err: '' });
    const report = JSON.parse(out);
    expect(report).toMatchObject({ bits: [4, 3], weightBits: 4, activationBits: 3, signed: false, pairs: 128 });
    expect(report).not.toHaveProperty('sampled');
    // Without the columns 0 and 1: w0 x0 + 2 (w1 x0 + w0 x1) is missing.
    expect(report).toMatchObject({ maxEd: 5, med: 1.25, mean: -1.25, errorRate: 0.5 });
    expect(report.mse).toBeCloseTo(report.variance + report.mean ** 2, 12);
    expect(report.worst[0]).toEqual({ w: 3, x: 3, product: 4, exact: 9, error: -5 });
  });

  test('the text tells the same figures and that all pairs were simulated', async () => {
    const { out } = await tram('simulate', file('t.blif'));
    expect(out).toMatch(/^truncated.*: 4×3 bits, unsigned\n/);
    expect(out).toMatch(/\n {2}ER +50\.000 %\n {2}MED +1\.25\n/);
    expect(out).toContain('over all 128 operand pairs');
    expect(out).toContain('3 × 3 = 4 instead of 9 (-5)');
  });

  test('MRED says when products of 0 count, and gives the figure without them', async () => {
    writeFileSync(file('zero.csv'), '1,0,0,0\n0,1,2,3\n0,2,4,6\n0,3,6,8\n');
    const report = JSON.parse((await tram('simulate', file('zero.csv'), '--json')).out);
    expect(report.mred).toBeCloseTo((1 + 1 / 9) / 16, 12);
    expect(report.mredNonzero).toBeCloseTo(1 / 9 / 9, 12);
    const { out } = await tram('simulate', file('zero.csv'));
    expect(out).toMatch(/MRED +6\.9444 % {2}products of 0 counted .* EvoApproxLib, 1\.2346 %\n/);
    expect((await tram('simulate', 'dadda:3x3')).out).not.toContain('EvoApproxLib');
  });

  test('a table in the order of values needs the word, one without a shape its widths; a wrong sign is noted', async () => {
    const values = [-2, -1, 0, 1];
    writeFileSync(file('v.csv'), values.map((w) => values.map((x) => w * x).join(',')).join('\n'));
    const { code, err } = await tram('simulate', file('v.csv'));
    expect(code).toBe(2);
    expect(err).toMatch(/v\.csv: .*--table-order values or --table-order patterns/);
    const read = await tram('simulate', file('v.csv'), '--table-order', 'values', '--json');
    expect(JSON.parse(read.out)).toMatchObject({ signed: true, errorRate: 0 });
    await tram('simulate', 'dadda:3x4', '--lut', file('oblong.bin'));
    expect((await tram('simulate', file('oblong.bin'))).err).toMatch(/--bits WxX/);
    expect(JSON.parse((await tram('simulate', file('oblong.bin'), '--bits', '3x4', '--json')).out).maxEd).toBe(0);
    await tram('generate', 'baugh-wooley', '--bits', '4', '--blif', file('signed.blif'));
    const wrong = await tram('simulate', file('signed.blif'));
    expect(wrong.err).toMatch(/with --signed it would be 0: is it a signed multiplier/);
    expect((await tram('simulate', file('signed.blif'), '--signed')).err).toBe('');
    await tram('generate', 'dadda', '--bits', '13', '--blif', file('wide.blif'));
    const wide = await tram('simulate', file('wide.blif'), '--signed', '--samples', '1000');
    expect(wide.err).toMatch(/as unsigned it would be 0: is --signed meant/);
  });

  test('a generator is signed or not by its kind, whatever --signed says of files', async () => {
    const { out, err } = await tram('simulate', 'dadda:4x4', '--signed', '--json');
    expect(JSON.parse(out)).toMatchObject({ signed: false, errorRate: 0 });
    expect(err).toMatch(/dadda:4x4: an unsigned multiplier by its kind; --signed is about files/);
    const signed = await tram('simulate', 'baugh-wooley:4x4', '--signed', '--json');
    expect([JSON.parse(signed.out), signed.err]).toMatchObject([{ signed: true, errorRate: 0 }, '']);
  });

  test('--histograms weighs the metrics', async () => {
    writeFileSync(file('h.csv'), 'operand,value,count\nw,3,1\nx,3,3\nx,0,1\n');
    const { out } = await tram('simulate', file('t.blif'), '--histograms', file('h.csv'), '--json');
    expect(JSON.parse(out)).toMatchObject({ errorRate: 0.75, med: 3.75 });
    expect((await tram('simulate', file('t.blif'), '--histograms', file('h.csv'))).out).toContain('weighted by');
  });

  test('--lut writes the table in the form of the extension', async () => {
    const write = async (name: string) => {
      expect((await tram('simulate', 'dadda:3x4', '--lut', file(name))).code).toBe(0);
      return readFileSync(file(name));
    };
    const exact = exactTable(3, 4);
    expect(firstDifference(readTextTable((await write('a.txt')).toString()), exact)).toBeNull();
    expect(firstDifference(readNpy(await write('a.npy')), exact)).toBeNull();
    const raw = await write('a.bin');
    expect(raw).toHaveLength(4 * 128);
    expect(raw.readInt32LE(4 * 127)).toBe(7 * 15);
    expect((await write('a.h')).toString()).toContain('static const uint8_t dadda_3x4_table[8][16]');
    expect((await write('a.h')).toString()).toContain(
      'static inline int32_t dadda_3x4_product(uint32_t w, uint32_t x)',
    );
  });

  test.each(['t.txt', 't.npy', 't.txt.gz'])('a table %s has the report of the netlist it came from', async (name) => {
    const plain = name.replace('.gz', '');
    expect((await tram('simulate', file('t.blif'), '--lut', file(plain))).code).toBe(0);
    if (name !== plain) writeFileSync(file(name), gzipSync(readFileSync(file(plain))));
    const { out, code } = await tram('simulate', file(name), '--json');
    expect(code).toBe(0);
    const netlist = JSON.parse((await tram('simulate', file('t.blif'), '--json')).out);
    expect(JSON.parse(out)).toEqual({ ...netlist, name: 't' });
    const published = await tram('simulate', file(name), '--format', 'published');
    expect(published.out).toBe((await tram('simulate', file('t.blif'), '--format', 'published')).out);
  });

  test('beyond 24 operand bits it says that it sampled, with confidence intervals', async () => {
    const args = ['simulate', 'truncated:13x13:columns=4', '--samples', '4096', '--seed', '7'];
    const report = JSON.parse((await tram(...args, '--json')).out);
    expect(report).toMatchObject({ bits: 13, pairs: 4096, sampled: { samples: 4096, seed: 7, confidence: 0.95 } });
    const [low, high] = report.sampled.interval.meanErrorDistance;
    expect(low).toBeLessThan(report.med);
    expect(high).toBeGreaterThan(report.med);
    const { out } = await tram(...args);
    expect(out).toContain('estimated from 4 096 random operand pairs (seed 7)');
    // Seeing no error is not that there is none.
    const exact = await tram('simulate', 'array:13x13', '--samples', '4096');
    expect(exact.out).toContain('No wrong product was seen: at most 937 in a million of the pairs have one');
    expect(out).toMatch(/MaxED +≥ \d+/);
  });

  test.each([
    [['none.blif'], /cannot read none\.blif: no such file or folder; check the path \(ENOENT\)/],
    [
      [file('t.blif'), '--lut', 'x.csv'],
      /^tram: --lut: expected a file that ends in \.txt, \.npy, \.bin, \.h, got 'x\.csv'\n/,
    ],
    [[file('t.blif'), '--json', '--format', 'published'], /--json and --format published are given/],
    [[file('t.blif'), '--header', 'short'], /--header short is for --format published/],
    [[file('t.blif'), '--format', 'publish'], /did you mean 'published'\?/],
    [
      ['dadda:13x13', '--samples', '100', '--format', 'published'],
      /needs all operand pairs, but 13×13 bits are too many/,
    ],
    [['dada:8x8'], /unknown generator "dada" \(did you mean "dadda"\?\)/],
    [['drum:8'], /cannot read the generator "drum:8": expected kind:8x8 or kind:8x8:name=value/],
    [['dadda'], /cannot read the generator "dadda": expected kind:8x8/],
  ])('%j is one line on the error stream and code 2', async (args, message) => {
    const { code, out, err } = await tram('simulate', ...args);
    expect(err).toMatch(message);
    expect(err.split('\n')).toHaveLength(2);
    expect({ code, out }).toEqual({ code: 2, out: '' });
  });
});

describeWithReference('--format published', () => {
  test.each([
    ['OPACT1.blif', 'OPACT1.txt.gz', ['--header', 'short']],
    ['mul8u_0AB.blif', 'mul8u_0AB.txt.gz', ['--header', 'short']],
    ['mul8s_1KV9.blif', 'mul8s_1KV9.txt.gz', ['--header', 'short', '--signed']],
    ['resnet18_w8a8_lbd0.3.blif', 'resnet18_w8a8_lbd0.3.lut.txt.gz', []],
  ])('of %s is %s byte for byte', async (blif, lut, options) => {
    const path = join(import.meta.dirname, '../../../shared/reference/multipliers', blif);
    const { code, out } = await tram('simulate', path, '--lenient', '--format', 'published', ...options);
    expect(code).toBe(0);
    expect(out === referenceText(`multipliers/${lut}`)).toBe(true);
  });

  test.each([
    ['mul8u_0AB.txt.gz', 'short'],
    ['resnet18_w8a8_lbd0.3.lut.txt.gz', 'full'],
  ])('of the table %s is the table, byte for byte', async (lut, header) => {
    const path = join(import.meta.dirname, '../../../shared/reference/multipliers', lut);
    const { code, out } = await tram('simulate', path, '--format', 'published', '--header', header);
    expect(code).toBe(0);
    expect(out === referenceText(`multipliers/${lut}`)).toBe(true);
  });
});
