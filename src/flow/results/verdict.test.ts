import { describe, expect, test } from 'vitest';
import type { StageResult } from '../run/stages.ts';
import { type ConfigurationInput, parseConfiguration } from '../settings/config.ts';
import { verdictOf } from './verdict.ts';

interface Told {
  readonly settings?: ConfigurationInput;
  readonly exact?: number;
  readonly accuracy?: number;
  readonly gateCost?: number | undefined;
  readonly theta?: readonly number[];
  readonly stage?: 'mapped' | 'recovered';
  /** Accuracy before recovery: as it was mapped, and after its start. */
  readonly before?: readonly [number?, number?];
  readonly exactLayers?: readonly string[];
  readonly targets?: Parameters<typeof verdictOf>[0]['targets'];
}

/** As published: a θ per column, λ of its own. */
const columns: ConfigurationInput = { explore: { grain: 'column' } };

function verdict({
  settings = {},
  exact = 0.9889,
  accuracy = 0.9861,
  theta = [1, 0.5],
  stage,
  before = [],
  ...rest
}: Told): string {
  const { gateCost = 0.45, exactLayers = [], targets } = rest;
  const cost = 'gateCost' in rest && rest.gateCost === undefined ? {} : { gateCost };
  const stages: StageResult[] = [
    { stage: 'float', accuracy: 0.99, loss: 0.1 },
    { stage: 'quantized', accuracy: exact, loss: 0.1, power: 1 },
    ...(['mapped', 'recovery-started'] as const).flatMap((name, at) => {
      const reached = before[at];
      return reached === undefined ? [] : [{ stage: name, accuracy: reached, loss: 0.1, ...cost }];
    }),
    { stage: stage ?? 'recovered', accuracy, loss: 0.1, ...cost },
  ];
  return verdictOf({
    configuration: parseConfiguration(settings, 'test'),
    stages,
    multipliers: [{ theta }],
    ...{ exactLayers, targets },
  });
}

describe('the verdict', () => {
  test('tells what was saved for what loss against the exact multiplier of the same widths', () => {
    expect(verdict({ settings: columns })).toBe(
      '55 % fewer gates than the cheapest exact 8×8 multiplier for 0.28 points of accuracy (98.61 % instead of 98.89 % with the exact multiplier); try --lambda 0.9 to save more. An exact 5×5 multiplier costs no more (0.36 of the exact 8×8): compare with --bits 5, or let tram sweep DIR --cheapest look for the cheapest that works.',
    );
    // An exact 4×4 multiplier has 84 of the 400 unit gates.
    expect(verdict({ settings: { bits: { weights: 4, activations: 4 } }, gateCost: 0.105 })).toMatch(
      /^50 % fewer gates than the cheapest exact 4×4 multiplier/,
    );
    expect(verdict({ gateCost: 1.06 })).toMatch(/^6 % more gates than/);
    expect(verdict({ gateCost: 1 })).toMatch(/^As many gates as the cheapest/);
    expect(verdict({ gateCost: 1 })).not.toContain('--bits');
  });

  test('knows a gain and no loss', () => {
    expect(verdict({ exact: 0.95, accuracy: 0.96 })).toContain(' multiplier and 1.00 points more accuracy (');
    expect(verdict({ exact: 0.95, accuracy: 0.95 })).toContain(
      ' multiplier without a loss of accuracy (95.00 %, as with the exact',
    );
  });

  test.each<[string, Told, string]>([
    [
      'all P columns are gone',
      { settings: columns, theta: new Array(8).fill(1) },
      'all 8 columns are gone: try --columns 10 to save more',
    ],
    [
      'they are all that there are',
      { settings: { explore: { grain: 'column', columns: 15 } }, theta: new Array(15).fill(1) },
      '; all 15 columns are gone.',
    ],
    ['all partial products are gone', { theta: new Array(64).fill(1) }, '; all 64 partial products are gone.'],
    [
      'much is lost',
      { settings: columns, accuracy: 0.95 },
      'try --recover-epochs 20, or --lambda 0.1 for a smaller loss',
    ],
    ['much is lost for a target', { accuracy: 0.95 }, 'try --recover-epochs 20, or --power 0.75 for a smaller loss'],
    ['little is lost for a target', {}, 'try --power 0.48 to save more'],
    ['something is lost', { accuracy: 0.98 }, 'try --recover-epochs 20 for a smaller loss'],
    ['λ was 0', { settings: { explore: { lambda: 0 } } }, 'try --lambda 0.3 to save more'],
    [
      'it is not recovered',
      { stage: 'mapped' },
      'before recovery instead of 98.89 % with the exact multiplier); tram run recovers',
    ],
    ['the multiplier was given', { settings: { map: { multiplier: 'drum:8x8' } } }, 'tram try measures many'],
  ])('says what to try where %s', (_, told, expected) => {
    expect(verdict(told)).toContain(expected);
  });

  test('says where recovery itself did harm, and what may help', () => {
    const lost = { exact: 0.8661, accuracy: 0.6844, before: [0.8467, 0.8446] } as const;
    const told = (gradient: 'rows' | 'difference', more: Told = {}) =>
      verdict({ ...lost, settings: { recover: { gradient } }, ...more });
    expect(told('rows')).toContain(
      'with the exact multiplier); recovery itself lost 16.02 points, from 84.46 %: try --gradient difference.',
    );
    expect(told('rows')).not.toContain('--recover-epochs');
    expect(told('difference')).toContain('try --recover-learning-rate 0.002.');
    // An exact multiplier has no slopes.
    expect(verdict({ ...lost, settings: { map: { multiplier: 'exact' } } })).toContain('try --recover-learning-rate');
    expect(told('rows', { gateCost: undefined })).toContain('without a netlist; recovery itself lost 16.02 points');
    // Without a treatment at its start it begins with what was mapped.
    expect(told('rows', { before: [0.8467] })).toContain('lost 16.23 points, from 84.67 %');
    expect(told('rows', { before: [0.8467, 0.7] })).not.toContain('itself');
    expect(told('rows', { before: [0.8467], stage: 'mapped' })).not.toContain('itself');
  });

  test('of two targets names the one that counted', () => {
    const settings = { explore: { power: 0.3, maxLoss: 0.5 } };
    const loss = { target: 0.5, estimated: 0.2, images: 479 };
    const ended = (reached: number) => ({ power: { target: 0.3, soft: reached, reached }, loss, lambda: 1 });
    expect(verdict({ settings, targets: ended(0.89) })).toContain('try --max-loss 1 to save more');
    expect(verdict({ settings, targets: ended(0.89), accuracy: 0.95 })).toContain('or --max-loss 0.3 for a smaller');
    expect(verdict({ settings, targets: ended(0.3) })).toContain('try --power 0.24 to save more');
  });

  test('does not make up gates for a table, nor a result for a run that has none', () => {
    const table = verdict({ gateCost: undefined });
    expect(table).toContain('what that saves is not known, since the multiplier is a table without a netlist');
    expect(table).not.toContain('gates than');
    const configuration = parseConfiguration({}, 'test');
    expect(verdictOf({ configuration, stages: [], multipliers: [], exactLayers: [] })).toBe(
      'Nothing is measured yet; tram run goes on.',
    );
    const float: StageResult = { stage: 'float', accuracy: 0.9, loss: 1 };
    expect(verdictOf({ configuration, stages: [float], multipliers: [], exactLayers: [] })).toBe(
      'So far 90.00 % (float model); tram run goes on.',
    );
  });

  test('says of which layers the gates are where some keep the exact multiplier', () => {
    expect(verdict({ exactLayers: ['fc'] })).toMatch(
      /gates than the cheapest exact 8×8 multiplier in the layers that do not keep one /,
    );
    expect(verdict({})).not.toContain('keep');
  });

  test('counts an exact multiplier of fewer bits that costs the same', () => {
    expect(verdict({ gateCost: 0.21 })).toContain('An exact 4×4 multiplier costs no more (0.21 of the exact 8×8)');
    // Of 4×8 bits that is one of fewer bits, too; of 4×4 it is the run's own.
    const bits = { weights: 4, activations: 8 };
    expect(verdict({ settings: { bits }, gateCost: 0.25 })).toContain('An exact 4×4 multiplier costs no more');
    expect(verdict({ settings: { bits: { ...bits, activations: 4 } }, gateCost: 0.2 })).toContain(
      'An exact 3×3 multiplier costs no more',
    );
  });

  test('names no exact multiplier of fewer bits where even 2×2 bits cost more', () => {
    expect(verdict({ gateCost: 0.01 })).not.toContain('--bits');
  });
});
