// The published mapping, digit for digit, from what is pinned here; and that the pinned files are those of the
// reference, where that is beside the project.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { certify } from '../src/netlist/certify.ts';
import { writeTextTable } from '../src/netlist/formats/text.ts';
import { mapStructure } from '../src/netlist/mapping/map.ts';
import { publishedJson } from './published.ts';
import { describeWithReference, referenceFolder } from './shared.ts';

interface MappingCase {
  readonly name: string;
  readonly bits: number;
  readonly theta: readonly number[];
  readonly mse_before?: number;
  readonly mse_after_fixed_columns: number;
  readonly greedy_final_mse: number;
  readonly accepted: number;
}

const { cases, demoTableSha256 } = publishedJson<{ cases: MappingCase[]; demoTableSha256: string }>('mapping.json');
/** To as many decimals as the published figure has. */
const printed = (value: number, figure: number) => Number(value.toFixed(`${figure}`.split('.')[1]?.length ?? 0));
const mapped = ({ bits, theta }: MappingCase) =>
  mapStructure({ weightBits: bits, activationBits: bits, theta, search: 'greedy' });

describe('the published mapping', () => {
  test.each(cases)('of "$name" is reproduced digit for digit', (one) => {
    const made = mapped(one);
    const { mseToTarget: mse, moves } = made;
    if (one.mse_before !== undefined) expect(printed(mse.before, one.mse_before)).toBe(one.mse_before);
    expect(printed(mse.afterFixedColumns, one.mse_after_fixed_columns)).toBe(one.mse_after_fixed_columns);
    expect(printed(mse.after, one.greedy_final_mse)).toBe(one.greedy_final_mse);
    expect(moves).toHaveLength(one.accepted);
    expect(certify(made).pairs).toBe(2 ** (2 * one.bits));
  });

  test('of the demo writes the published table byte for byte', () => {
    const text = writeTextTable(mapped(cases[0]!).table);
    expect(createHash('sha256').update(text).digest('hex')).toBe(demoTableSha256);
  });

  test('of the demo is the truncation of six columns', () => {
    const { data } = mapped(cases[0]!).table;
    const truncated = Int32Array.from(data, (_, pair) => {
      let product = 0;
      for (let i = 0; i < 8; i++) {
        for (let j = Math.max(0, 6 - i); j < 8; j++) product += 2 ** (i + j) * ((pair >> (8 + i)) & (pair >> j) & 1);
      }
      return product;
    });
    expect(data).toEqual(truncated);
  });
});

describeWithReference('the pinned files', () => {
  test('are what the script makes of the reference', async () => {
    const script: { pinned: (reference: string) => Record<string, string> } = await import(
      new URL('../scripts/pin-reference.mjs', import.meta.url).href
    );
    const made = script.pinned(referenceFolder);
    expect(Object.keys(made)).toEqual(['layers.json', 'mapping.json']);
    for (const [name, text] of Object.entries(made)) {
      expect(readFileSync(join(import.meta.dirname, 'published', name), 'utf8') === text, name).toBe(true);
    }
  });
});
