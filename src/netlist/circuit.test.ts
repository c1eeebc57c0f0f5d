import { expect, test } from 'vitest';
import { readHistograms } from '../multiplier/histograms.ts';
import { errorMetrics } from '../multiplier/metrics.ts';
import { exactTable, firstDifference } from '../multiplier/table.ts';
import { writeBlif } from './blif/write.ts';
import { readCircuit, simulateCircuit } from './circuit.ts';
import { writeCHeader } from './formats/c.ts';
import { writeRaw } from './formats/raw.ts';
import { generateFromSpec } from './generators/registry.ts';
import { safeIdentifier } from './names.ts';
import { sampleMetrics } from './sample.ts';
import { Simulator, simulate } from './simulate.ts';

test('8×4 is reported with both widths, its metrics and its worst operands', () => {
  const { network } = generateFromSpec('truncated:8x4:columns=4');
  const circuit = readCircuit(writeBlif(network), 'a.blif');
  const { report, table, metrics } = simulateCircuit(circuit.network, { worst: 3 });
  expect(report).toMatchObject({ bits: [8, 4], weightBits: 8, activationBits: 4, signed: false, pairs: 4096 });
  expect(metrics).toEqual(errorMetrics(table!));
  const { errorRate, med, nmed, mse, maxEd, mred, mean, variance } = report;
  expect([errorRate, med, nmed * 4096, mse, maxEd, mean]).toEqual([
    metrics.errorRate,
    metrics.meanErrorDistance,
    metrics.meanErrorDistance,
    metrics.meanSquareError,
    metrics.maxErrorDistance,
    -med,
  ]);
  expect(mred).toBeGreaterThan(0);
  expect(variance).toBeCloseTo(mse - mean * mean, 9);
  // Ten partial products of the four lowest columns: 1 + 2·2 + 3·4 + 4·8 = 49.
  expect(report.maxEd).toBe(49);
  expect(report.worst).toHaveLength(3);
  expect(report.worst[0]).toEqual({ w: 15, x: 15, product: 225 - 49, exact: 225, error: -49 });
});

test('signed operands are told as signed integers', () => {
  const { network } = generateFromSpec('booth:6x6');
  const { report } = simulateCircuit(network, { signed: true });
  expect(report).toMatchObject({ bits: 6, signed: true, errorRate: 0, maxEd: 0, worst: [] });
  const wrong = simulateCircuit(network).report;
  expect(wrong.errorRate).toBeGreaterThan(0.5);
});

test('12×12 is enumerated in blocks: all 16 777 216 pairs, exact for Wallace, the known mean for truncation', () => {
  const exact = simulate(generateFromSpec('wallace:12x12').network);
  expect(firstDifference(exact, exactTable(12, 12))).toBeNull();
  const { report } = simulateCircuit(generateFromSpec('truncated:12x12:columns=3').network);
  expect(report).toMatchObject({ bits: 12, pairs: 2 ** 24, mean: -(1 + 4 + 12) / 4, maxEd: 17 });
  expect(report.sampled).toBeUndefined();
});

test('block-wise simulation equals the simulator that holds everything', () => {
  for (const spec of ['dadda:2x2', 'mitchell:3x2', 'roba:5x8', 'drum:8x8']) {
    const { network } = generateFromSpec(spec);
    expect(firstDifference(simulate(network), new Simulator(network).table())).toBeNull();
  }
});

test('wider multipliers are sampled, and the report says so with intervals that hold the true means', () => {
  const spec = (bits: string) => generateFromSpec(`truncated:${bits}:columns=6`).network;
  const { report, table } = simulateCircuit(spec('16x16'), { samples: 100_000 });
  expect(table).toBeNull();
  expect(report.sampled).toMatchObject({ samples: 100_000, confidence: 0.95 });
  expect(report.pairs).toBe(100_000);
  // Column c holds c + 1 products of mean 2^c / 4.
  const mean = -[1, 4, 12, 32, 80, 192].reduce((a, b) => a + b) / 4;
  const [low, high] = report.sampled!.interval.meanError;
  expect(low < mean && mean < high).toBe(true);
  expect(high - low).toBeLessThan(1);

  const all = errorMetrics(simulate(spec('8x8')));
  const { sampled, ...some } = sampleMetrics(spec('8x8'), { samples: 65_536 });
  for (const key of ['errorRate', 'meanErrorDistance', 'meanSquareError', 'meanError'] as const) {
    const [from, to] = sampled.interval[key];
    expect(from <= some[key] && some[key] <= to).toBe(true);
    const slack = (to - from) / 2;
    expect(all[key] > from - slack && all[key] < to + slack).toBe(true);
  }
  expect(() => sampleMetrics(spec('8x8'), { samples: 3 })).toThrow('3 samples: expected an integer from 100');
});

test('sampling follows the histograms', () => {
  const { network } = generateFromSpec('truncated:8x8:columns=5');
  const histograms = {
    weight: Array.from({ length: 256 }, (_, w) => (w % 2 ? 3 : 1)),
    activation: Array.from({ length: 256 }, (_, x) => (x < 16 ? 5 : 0)),
  };
  const exact = errorMetrics(simulate(network), histograms);
  const { sampled } = sampleMetrics(network, { histograms, samples: 50_000 });
  const [low, high] = sampled.interval.meanError;
  expect(low - 1 < exact.meanError && exact.meanError < high + 1).toBe(true);
});

test('a wide signed product is exact to the last bit', () => {
  const { errorRate, maxErrorDistance } = sampleMetrics(generateFromSpec('booth:26x26').network, {
    signed: true,
    samples: 5000,
  });
  expect([errorRate, maxErrorDistance]).toEqual([0, 0]);
});

test('histograms are read from JSON and CSV, signed values by their patterns', () => {
  const widths = { weightBits: 2, activationBits: 3, signed: true };
  const json = readHistograms('{"weight": [1, 2, 3, 4]}', 'h.json', widths);
  expect(json.weight).toEqual([1, 2, 3, 4]);
  expect([...Array.from(json.activation)]).toEqual(Array(8).fill(1));
  const csv = readHistograms('operand,value,count\nw,-1,7\nw,1,2\nx,-4,0.5\n\n', 'h.csv', widths);
  expect([...Array.from(csv.weight)]).toEqual([0, 2, 0, 7]);
  expect(csv.activation[4]).toBe(0.5);
});

test.each([
  ['{"weight": [1', 'h: not JSON'],
  ['{"weights": []}', 'h: unknown key "weights": expected "weight" and "activation"'],
  ['{"weight": 3}', 'h: "weight" is not an array of numbers'],
  ['w,1,2\nw;x', 'h:2: cannot read the row "w;x": expected operand,value,count'],
  ['w,4,2', 'h:1: the weight 4: expected a value from 0 to 3 (2 bits)'],
  ['', 'h: no rows'],
])('refuses the histogram %j', (text, message) => {
  expect(() => readHistograms(text, 'h', { weightBits: 2, activationBits: 2, signed: false })).toThrow(message);
});

test('raw tables are little-endian int32 by patterns; C headers use the narrowest type and a safe name', () => {
  const table = exactTable(2, 3, true);
  const raw = writeRaw(table);
  expect(raw).toHaveLength(4 * 32);
  // Patterns 2 and 7 are −2 and −1.
  expect([...raw.subarray(4 * (2 * 8 + 7), 4 * (2 * 8 + 8))]).toEqual([2, 0, 0, 0]);
  expect([...raw.subarray(4 * (1 * 8 + 7), 4 * (1 * 8 + 8))]).toEqual([255, 255, 255, 255]);
  const header = writeCHeader(table, '../a; rm -rf "b"');
  expect(header).toContain('static const int8_t _a_rm_rf_b__table[4][8] = {\n');
  expect(header.match(/\{[^{}]*\},/g)).toHaveLength(4);
  expect(writeCHeader(exactTable(8, 8), 'lut')).toContain('uint16_t lut_table[256][256]');
  expect(writeCHeader(exactTable(8, 9, true), 'lut')).toContain('int32_t lut_table[256][512]');
});

test('names become identifiers that are safe in files and code', () => {
  for (const name of ['', '9', '../../etc/passwd', 'a b\n`c`$(d)', 'x'.repeat(500), 'é']) {
    expect(safeIdentifier(name)).toMatch(/^[A-Za-z_][A-Za-z0-9_]{0,63}$/);
  }
});
