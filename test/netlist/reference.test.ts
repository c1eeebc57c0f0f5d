// The published multipliers, table by table and figure by figure, where the reference material is beside the project.

import { join } from 'node:path';
import { expect, test } from 'vitest';
import { errorMetrics } from '../../src/multiplier/metrics.ts';
import { firstDifference } from '../../src/multiplier/table.ts';
import { readBlif } from '../../src/netlist/blif/read.ts';
import { loadCircuit, simulateCircuit } from '../../src/netlist/circuit.ts';
import { readTextTable, writeTextTable } from '../../src/netlist/formats/text.ts';
import { simulate } from '../../src/netlist/simulate.ts';
import { describeWithReference, referenceFolder, referenceText } from '../shared.ts';

const published = (name: string) => referenceText(join('multipliers', name));

describeWithReference('the published multipliers', () => {
  test.each([
    ['OPACT1.blif', 'OPACT1.txt.gz', 'short'],
    ['mul8u_0AB.blif', 'mul8u_0AB.txt.gz', 'short'],
    ['mul8s_1KV9.blif', 'mul8s_1KV9.txt.gz', 'short'],
    ['resnet18_w8a8_lbd0.3.blif', 'resnet18_w8a8_lbd0.3.lut.txt.gz', 'full'],
  ] as const)('%s gives %s byte for byte: warnings, header and table', (blif, lut, header) => {
    const { network, warnings } = loadCircuit(join(referenceFolder, 'multipliers', blif), { lenient: true });
    const { table, metrics } = simulateCircuit(network, { signed: blif.startsWith('mul8s') });
    expect(writeTextTable(table!, metrics, { header, warnings }) === published(lut)).toBe(true);
  });

  test.each([
    ['OPACT1.blif', 'OPACT1.txt.gz', true, 63],
    ['OPACT1.blif', 'OPACT1.txt.gz', false, 63],
    ['mul8u_0AB.blif', 'mul8u_0AB.txt.gz', false, 0],
    ['mul8s_1KV9.blif', 'mul8s_1KV9.txt.gz', false, 0],
    ['resnet18_w8a8_lbd0.3.blif', 'resnet18_w8a8_lbd0.3.lut.txt.gz', false, 0],
  ])('%s simulates to its published table %s for all 65 536 pairs (lenient: %s)', (blif, lut, lenient, dead) => {
    const table = readTextTable(published(lut), lut);
    const { network, undriven, notes } = readBlif(published(blif), { file: blif, lenient });
    expect(undriven).toHaveLength(dead);
    expect(notes).toHaveLength(dead > 0 && !lenient ? 1 : 0);
    expect(firstDifference(simulate(network, { signed: table.signed }), table)).toBeNull();
  });

  test.each([
    ['OPACT1.txt.gz', false, { errorRate: 0.230286, normalizedMeanErrorDistance: 0.000222981, maxErrorDistance: 516 }],
    ['OPACT1.txt.gz', false, { meanSquareError: 1704.59, meanRelativeErrorDistance: 0.00178697 }],
    ['mul8u_0AB.txt.gz', false, { errorRate: 0.977173, maxErrorDistance: 115, meanRelativeErrorDistance: 0.563459 }],
    ['mul8s_1KV9.txt.gz', true, { errorRate: 0.6875, meanErrorDistance: 4.25, meanSquareError: 34.25 }],
    ['resnet18_w8a8_lbd0.3.lut.txt.gz', false, { errorRate: 0.9375, meanErrorDistance: 80.25, maxErrorDistance: 321 }],
    ['resnet18_w8a8_lbd0.3.lut.txt.gz', false, { meanError: -80.25, errorVariance: 2718.19 }],
  ])('%s has the published error metrics', (lut, signed, figures) => {
    const table = readTextTable(published(lut), lut);
    expect(table.signed).toBe(signed);
    const metrics = errorMetrics(table);
    for (const [name, figure] of Object.entries(figures)) {
      const value = metrics[name as Exclude<keyof typeof metrics, 'worst'>];
      expect(Number(value.toPrecision(6))).toBe(figure);
    }
  });
});
