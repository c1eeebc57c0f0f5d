import { expect, test } from 'vitest';
import { square } from '../../engine/graph/window.ts';
import { concreteMultiplier } from '../../multiplier/multiplier.ts';
import { columnStructure } from '../../multiplier/structure.ts';
import { exactTable, productTable } from '../../multiplier/table.ts';
import { parseConfiguration } from '../settings/config.ts';
import type { RunLayer } from '../settings/layers.ts';
import { quantizedArithmetic, recoveryArithmetic, structuredArithmetic } from './multipliers.ts';

const layers = ['conv1', 'conv2', 'fc'].map(
  (name): RunLayer => ({
    ...{ name, kind: 'convolution', geometry: square(), usual: true },
    ...{ weightShape: [1, 1, 1, 1], macs: 1 },
  }),
);
const bits = { weights: 4, activations: 4 };
const configurationOf = (recover: object) => parseConfiguration({ bits, exactLayers: ['fc'], recover }, 'test');

function recovering(signed: boolean, recover: object) {
  const data = Int32Array.from(exactTable(4, 4, signed).data, (product) => 2 * product);
  const doubled = concreteMultiplier(productTable(4, 4, signed, data));
  const configuration = configurationOf(recover);
  return recoveryArithmetic(
    configuration,
    quantizedArithmetic({ configuration, layers }, () => doubled),
  );
}

test('the difference-based gradient gives approximate layers the slopes of their error, by codes, and exact layers none', () => {
  for (const [signed, zero] of [
    [false, 0],
    [true, 8],
  ] as const) {
    const { multiplierOf } = recovering(signed, { gradient: 'difference' });
    const multiplier = multiplierOf('conv1');
    // AxM = 2wx, so the error is wx and its slopes are the other operand: the code, less half the range where operands
    // are signed.
    const slopes = 'slopes' in multiplier ? multiplier.slopes : undefined;
    expect(slopes?.weight).toEqual(Float32Array.from({ length: 256 }, (_, pair) => (pair & 15) - zero));
    expect(slopes?.activation).toEqual(Float32Array.from({ length: 256 }, (_, pair) => (pair >> 4) - zero));
    expect(multiplierOf('conv1')).toBe(multiplier);
    expect(multiplierOf('fc')).toEqual({ kind: 'exact' });
  }
});

test('the gradient by rows gives one slope for each weight and each activation', () => {
  const multiplier = recovering(false, { gradient: 'rows' }).multiplierOf('conv1');
  const ascending = Float32Array.from({ length: 16 }, (_, code) => code);
  expect(multiplier).toMatchObject({ slopes: { per: 'row', weight: ascending, activation: ascending } });
});

test('the gradient by rows goes by the codes that each layer meets', () => {
  const data = Int32Array.from(exactTable(4, 4).data, (product, pair) => ((pair & 15) < 8 ? product : 0));
  const halved = concreteMultiplier(productTable(4, 4, false, data));
  const configuration = configurationOf({ gradient: 'rows' });
  const arithmetic = quantizedArithmetic({ configuration, layers }, () => halved);
  const below = (end: number) => Float64Array.from({ length: 16 }, (_, code) => +(code < end));
  const met = new Map([
    ['conv1', { weight: below(16), activation: below(6) }],
    ['conv2', { weight: below(16), activation: below(16) }],
  ]);
  const { multiplierOf } = recoveryArithmetic(configuration, arithmetic, met);
  const slopes = (layer: string) => {
    const made = multiplierOf(layer);
    return 'slopes' in made ? made.slopes : undefined;
  };
  // Activations of 0 … 7 are multiplied exactly, and the first layer has no others.
  expect(slopes('conv1')?.activation).toEqual(new Float32Array(16));
  expect(slopes('conv2')?.activation[15]).toBeLessThan(-15);
  expect(multiplierOf('conv1')).toBe(multiplierOf('conv1'));
});

test('the straight-through gradient leaves multipliers without slopes', () => {
  expect(recovering(false, { gradient: 'straight-through' }).multiplierOf('conv1')).not.toHaveProperty('slopes');
});

test('each operand is smoothed by its own window', () => {
  // AxM doubles the products of odd weights: along the weight a window of half size 1 halves what single differences
  // show.
  const exact = exactTable(4, 4);
  const data = Int32Array.from(exact.data, (product, pair) => ((pair >> 4) & 1 ? 2 * product : product));
  const multiplier = concreteMultiplier(productTable(4, 4, false, data));
  const slopesWith = (smoothing: object) => {
    const configuration = configurationOf({ gradient: 'difference', smoothing });
    const arithmetic = quantizedArithmetic({ configuration, layers }, () => multiplier);
    const made = recoveryArithmetic(configuration, arithmetic).multiplierOf('conv1');
    return ('slopes' in made && made.slopes) as { weight: Float32Array; activation: Float32Array };
  };
  const at = 6 * 16 + 5;
  // The error is wx for odd w and 0 for even w, here at w = 6 and x = 5: (7·5 − 5·5) / 2, or over a window of three
  // (E(8) + E(7) − E(5) − E(4)) / 6 = (35 − 25) / 6.
  expect(slopesWith({ weights: 0, activations: 1 }).weight[at]).toBeCloseTo(5, 6);
  expect(slopesWith({ weights: 1, activations: 0 }).weight[at]).toBeCloseTo(10 / 6, 6);
});

test('layers read θ of the columns: those of one variable, or of one each', () => {
  const explore = { grain: 'column', columns: 3 } as const;
  for (const structure of ['shared', 'per-layer'] as const) {
    const bits = { weights: 2, activations: 3 };
    const settings = { bits, exactLayers: ['fc'], explore: { ...explore, structure } };
    const { multiplierOf } = structuredArithmetic({ configuration: parseConfiguration(settings, 'test'), layers });
    const theta = structure === 'shared' ? 'theta' : 'conv2.theta';
    const columns = columnStructure({ weightBits: 2, activationBits: 3 }, 3);
    expect(multiplierOf('conv2')).toEqual({ kind: 'structure', theta, structure: columns });
    expect(multiplierOf('conv1') === multiplierOf('conv2')).toBe(structure === 'shared');
    expect(multiplierOf('fc')).toEqual({ kind: 'exact' });
  }
});
