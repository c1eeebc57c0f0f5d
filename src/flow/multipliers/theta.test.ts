import { expect, test } from 'vitest';
import { columnStructure, structureOf } from '../../multiplier/structure.ts';
import { targetProducts } from '../../multiplier/target.ts';
import { mapStructure } from '../../netlist/mapping/map.ts';
import { parseConfiguration } from '../settings/config.ts';
import { initialTheta } from './multipliers.ts';
import { foundStructures, thetaDocument } from './theta.ts';

const widths = { weightBits: 2, activationBits: 2 };
/** One θ for each bit of the weight: as many as two columns have, but of other partial products. */
const rows = structureOf(widths, [0, 0, 1, 1], ['w[0]', 'w[1]']);
const configuration = parseConfiguration({ bits: { weights: 2, activations: 2 } }, 'test');
const run = [{ name: 'theta', structure: rows, layers: [] }];

test('what exploration found is mapped as the structure that it was found for', () => {
  const document = thetaDocument(configuration, run, { theta: { theta: [1, 0] }, power: 0.5 });
  const [found] = foundStructures(document, run);
  expect(found).toEqual({ name: 'theta', layers: [], structure: rows, theta: [1, 0] });
  // Nothing but w[1]·x is left, which a netlist has exactly; as columns only w[0]·x[0] would be gone.
  const { table, mseToTarget } = mapStructure({ ...widths, ...found!, search: 'descent' });
  expect(mseToTarget.after).toBe(0);
  expect(Array.from(table.data)).toEqual(Array.from(targetProducts(rows, [1, 0])));
  expect(Array.from(table.data)).not.toEqual(Array.from(targetProducts(columnStructure(widths, 2), [1, 0])));
});

test('values of another structure are refused', () => {
  const document = thetaDocument(configuration, run, { theta: { theta: [1, 0] }, power: 0.5 });
  const other = (structure: typeof rows, name = 'theta') => [{ name, structure, layers: [] }];
  expect(() => foundStructures(document, other(columnStructure(widths, 3)))).toThrow(
    'θ has 2 values: its structure has 3, expected one for each',
  );
  expect(() => foundStructures(document, other(rows, 'conv1.theta'))).toThrow("unknown structure 'theta'");
});

test('exploration begins with the lowest columns removed, whatever a θ is of', () => {
  const columns = columnStructure({ weightBits: 8, activationBits: 8 }, 8);
  const published = parseConfiguration({ explore: { grain: 'column' } }, 'test');
  expect(initialTheta(published, columns)).toEqual([1, 1, 1, 1, 0, 0, 0, 0]);
  // Of single products none is, where nobody asks for it.
  expect(initialTheta(parseConfiguration({}, 'test'), columns)).toEqual(new Array(8).fill(0));
  const settings = { bits: { weights: 2, activations: 2 }, explore: { columns: 2, initiallyRemoved: 2 } };
  // w[0] is of the columns 0 and 1, w[1] of 1 and 2.
  expect(initialTheta(parseConfiguration(settings, 'test'), rows)).toEqual([1, 0]);
});
