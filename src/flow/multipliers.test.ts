import { expect, test } from 'vitest';
import { exactTable, productTable } from '../netlist/table.ts';
import { parseConfiguration } from './config.ts';
import { concreteMultiplier, quantizedArithmetic, recoveryArithmetic } from './multipliers.ts';

const bits = { weights: 4, activations: 4 };
const configurationOf = (recover: object) => parseConfiguration({ bits, exactLayers: ['fc'], recover }, 'test');

function recovering(signed: boolean, recover: object) {
  const data = Int32Array.from(exactTable(4, 4, signed).data, (product) => 2 * product);
  const doubled = concreteMultiplier(productTable(4, 4, signed, data));
  const configuration = configurationOf(recover);
  return recoveryArithmetic(
    configuration,
    quantizedArithmetic(configuration, () => doubled),
  );
}

test('the difference-based gradient gives approximate layers the slopes of their error, by codes, and exact layers none', () => {
  for (const [signed, zero] of [
    [false, 0],
    [true, 8],
  ] as const) {
    const { multiplierOf } = recovering(signed, { gradient: 'difference' });
    const multiplier = multiplierOf('conv1');
    // AxM = 2wx, so the error is wx and its slopes are the other operand: the code, less half the range where operands are signed.
    const slopes = 'slopes' in multiplier ? multiplier.slopes : undefined;
    expect(slopes?.weight).toEqual(Float32Array.from({ length: 256 }, (_, pair) => (pair & 15) - zero));
    expect(slopes?.activation).toEqual(Float32Array.from({ length: 256 }, (_, pair) => (pair >> 4) - zero));
    expect(multiplierOf('conv1')).toBe(multiplier);
    expect(multiplierOf('fc')).toEqual({ kind: 'exact' });
  }
});

test('the straight-through gradient leaves multipliers without slopes', () => {
  expect(recovering(false, {}).multiplierOf('conv1')).not.toHaveProperty('slopes');
});
