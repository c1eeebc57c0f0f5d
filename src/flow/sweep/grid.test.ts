import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { UserError } from '../../tensor/errors.ts';
import { type ConfigurationInput, parseConfiguration } from '../settings/config.ts';
import { saidIn } from '../settings/said.ts';
import { cheapestGrid, questionOf, usualRivals } from './cheapest.ts';
import { parseAxis, readGridFile, trialsOf } from './grid.ts';
import { jobsOf } from './tree.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-grid-'));
afterAll(() => rmSync(folder, { recursive: true }));

const grid = (...over: string[]) => trialsOf({ over: over.map(parseAxis) });
const names = (trials: ReturnType<typeof grid>) => trials.map(({ name }) => name);

test('every combination is a trial, all points with the first seed first, and a point is what differs in its seed', () => {
  const trials = grid('seed=7,2', 'lambda=0.3,1', 'bits=8,4x5');
  expect(names(trials)).toEqual([
    ...['seed7-lambda0.3-bits8', 'seed7-lambda0.3-bits4x5', 'seed7-lambda1-bits8', 'seed7-lambda1-bits4x5'],
    ...['seed2-lambda0.3-bits8', 'seed2-lambda0.3-bits4x5', 'seed2-lambda1-bits8', 'seed2-lambda1-bits4x5'],
  ]);
  expect(trials[5]).toMatchObject({
    point: 'lambda0.3-bits4x5',
    settings: { seed: 2, bits: { weights: 4, activations: 5 } },
  });
});

test('of a path a trial has the end in its name, or all of it where another one ends so, too', () => {
  expect(names(grid('model=imagenet/resnet18,torchvision/resnet34'))).toEqual(['model-resnet18', 'model-resnet34']);
  expect(names(grid('model=imagenet/resnet18,torchvision/resnet18,resnet20', 'seed=1,2'))).toEqual(
    ['1', '2'].flatMap((seed) =>
      ['imagenet-resnet18', 'torchvision-resnet18', 'resnet20'].map((model) => `model-${model}-seed${seed}`),
    ),
  );
  expect(names(grid('multiplier=a/m.v,b/m.v,m.blif,n.v'))).toEqual([
    ...['multiplier-a-m.v', 'multiplier-b-m.v', 'multiplier-m.blif', 'n'],
  ]);
  expect(names(grid('data=images:/a/x;csv:/a/x'))).toEqual(['data-images-a-x', 'data-csv-a-x']);
});

test('an exact multiplier is that of the trial’s widths, a generator brings its own where none are said', () => {
  expect(grid('bits=8,4x5,3', 'multiplier=exact').map(({ settings }) => settings.map?.multiplier)).toEqual([
    ...['dadda:8x8', 'dadda:4x5', 'dadda:3x3'],
  ]);
  const [exact, truncated, structure] = grid('multiplier=exact:3x4;truncated:6x6:columns=4;trained');
  expect(exact!.settings).toEqual({ bits: { weights: 3, activations: 4 }, map: { multiplier: 'dadda:3x4' } });
  expect(truncated!.settings).toEqual({
    bits: { weights: 6, activations: 6 },
    map: { multiplier: 'truncated:6x6:columns=4' },
  });
  expect(structure!.settings.map?.multiplier).toBeUndefined();
  expect(names([exact!, truncated!])).toEqual(['exact3x4', 'truncated-6x6-columns-4']);
});

test('what is the same run is one trial: λ decides nothing where the multiplier is given', () => {
  expect(names(grid('multiplier=exact,trained', 'lambda=0.3,1'))).toEqual([
    'exact',
    'trained-lambda0.3',
    'trained-lambda1',
  ]);
  expect(names(grid('bits=4,4x4'))).toEqual(['bits4']);
});

test('a run that is listed under two names is told, not left out', () => {
  const named = (name: string, quantize: ConfigurationInput['quantize']) => ({ name, settings: { quantize } });
  const still = named('still', { learningRate: 0.1 });
  const moving = named('moving', { epochs: 2, learningRate: 0.1 });
  expect(names(trialsOf({ trials: [still, moving] }))).toEqual(['still', 'moving']);
  expect(() => trialsOf({ trials: [still, moving, { name: 'usual' }] })).toThrow(
    'the trials still and usual are the same run',
  );
});

test('rivals have the training and whatever else is varied, but no structure', () => {
  const common = { explore: { epochs: 3, lambda: 2 }, recover: { epochs: 4 }, bits: { weights: 6 } };
  const over = ['lambda=1,3', 'gradient=straight-through', 'seed=1,2'].map((text) =>
    parseAxis(text.replace('recover-', '')),
  );
  const trials = trialsOf({ settings: common, over, rivals: ['4x5', '3'] });
  const rivals = trials.filter(({ kind }) => kind === 'rival');
  expect(rivals.map(({ settings }) => [settings.seed, settings.bits, settings.map?.multiplier])).toEqual([
    [1, { weights: 4, activations: 5 }, 'dadda:4x5'],
    [1, { weights: 3, activations: 3 }, 'dadda:3x3'],
    [2, { weights: 4, activations: 5 }, 'dadda:4x5'],
    [2, { weights: 3, activations: 3 }, 'dadda:3x3'],
  ]);
  expect(rivals[0]!.settings.recover).toEqual({ epochs: 4, gradient: 'straight-through' });
  expect(rivals[0]!.settings.explore).toBeUndefined();
});

test.each([
  [{ settings: { bits: { weights: 4 } }, over: [parseAxis('bits=4,5')] }, 'widths'],
  [{ settings: { explore: { power: 0.2 } }, over: [parseAxis('power=0.1,0.2')] }, 'targets below --power'],
  [{ settings: { explore: { grain: 'column' as const } } }, 'structures'],
  [{ over: [parseAxis('structure-grain=column,product')] }, 'structures'],
  [{ settings: { quantize: { layerCost: 0.2 } } }, 'widths of layers'],
  [{ settings: { map: { multiplier: 'dadda:8x8' } } }, 'multipliers'],
])('the plan of the cheapest does not pass over what is said beside it: %j', (said, what) => {
  expect(() => cheapestGrid(said)).toThrow(`--cheapest has ${what}`);
});

test('rivals of the trials are trials, not measured by each of them again', () => {
  const over = [parseAxis('lambda=1,2')];
  expect(() => trialsOf({ over, settings: { rivals: 'recovered' } })).toThrow(/say rivals beside settings/);
});

test('the cheapest is looked for among structures of several widths, each below its exact multiplier', () => {
  const trials = trialsOf(cheapestGrid({ over: [parseAxis('seed=1,2'), parseAxis('power=0.5,0.1')] }));
  const structures = trials.filter(({ kind, settings }) => kind === 'trial' && settings.seed === 1);
  expect(structures.map(({ point }) => point)).toEqual([
    ...['8x8-products-0.5', '8x8-products-0.1', '5x5-products-0.1', '4x5-products-0.1', '3x4-products-0.1'],
    ...['2x3-merged-3', '2x3-merged-4', '2x4-merged-3', '2x4-merged-5'],
    ...['2x5-merged-3', '2x5-merged-6', '2x6-merged-3', '2x6-merged-7'],
  ]);
  expect(trials.filter(({ kind }) => kind === 'rival')).toHaveLength(2 * usualRivals.length);
  // A model of power has its own idea of what an exact multiplier costs.
  const fitted = trialsOf(cheapestGrid({ settings: { explore: { powerModel: 'asap7' } }, rivals: [] }));
  const powers = (all: ReturnType<typeof grid>) => all.map(({ settings }) => settings.explore?.power);
  expect(powers(fitted)).not.toEqual(powers(trialsOf(cheapestGrid({ rivals: [] }))));
  expect(trialsOf(cheapestGrid({ rivals: [] })).every(({ kind }) => kind === 'trial')).toBe(true);
});

test('power and loss beside the cheapest are the question, and structures are trained to less than that', () => {
  const said = { settings: { explore: { power: 0.15, maxLoss: 1, epochs: 3 } }, rivals: [] };
  expect(questionOf(said.settings)).toEqual({ power: 0.15, loss: 0.01 });
  expect(questionOf({ explore: { epochs: 3 } })).toEqual({});
  const trials = trialsOf(cheapestGrid(said));
  expect(trials.map(({ point }) => point).slice(0, 3)).toEqual(
    ['0.150', '0.120', '0.090'].map((power) => `8x8-products-${power}`),
  );
  for (const { settings } of trials.filter(({ settings: { map } }) => map?.multiplier === undefined)) {
    expect(settings.explore!.power).toBeLessThanOrEqual(0.15);
    expect(settings.explore).toMatchObject({ epochs: 3, grain: 'product' });
    expect(settings.explore!.maxLoss).toBeUndefined();
  }
});

test('where operands are given there is nothing of fewer bits, but truncations', () => {
  const trials = trialsOf(cheapestGrid({ settings: { bits: { weights: 8, activations: 8 } } }));
  expect(new Set(trials.map(({ settings }) => JSON.stringify(settings.bits)))).toEqual(
    new Set(['{"weights":8,"activations":8}']),
  );
  expect(trials.filter(({ kind }) => kind === 'rival').map(({ point }) => point)).toEqual(['exact8x8']);
  const given = trials.flatMap(({ kind, settings }) => (kind === 'trial' ? [settings.map?.multiplier] : []));
  expect(given.filter((one) => one !== undefined)).toEqual([
    ...[4, 6, 8, 9].map((columns) => `truncated:8x8:columns=${columns}`),
    ...['weights=5,activations=6', 'weights=4,activations=5', 'weights=4,activations=4'].map(
      (read) => `upper:8x8:${read}`,
    ),
  ]);
  expect(trials.at(-1)!.settings.map).toMatchObject({ weightCodes: 'best', zeroProduct: 'own' });
  expect(given.filter((one) => one === undefined)).toHaveLength(5);
});

test('what needs one zero point of the weights is left out where none may be had', () => {
  const given = (said: Parameters<typeof cheapestGrid>[0]) =>
    trialsOf(cheapestGrid({ rivals: [], ...said })).filter(({ settings }) => settings.map?.multiplier !== undefined);
  expect(given({ settings: { quantize: { quantizer: 'clips' } } })).toEqual([]);
  expect(given({ over: [parseAxis('quantizer=clips,steps')] })).toEqual([]);
  const eight = given({ settings: { quantize: { quantizer: 'clips' }, bits: { weights: 8, activations: 8 } } });
  expect(eight.map(({ settings }) => settings.map)).toHaveLength(7);
  for (const { settings } of eight) {
    expect(settings.map!.zeroProduct).toBeUndefined();
    expect(() => parseConfiguration(settings, 'test')).not.toThrow();
  }
  expect(given({ over: [parseAxis('bits=2x3,4')] }).map(({ point }) => point)).toEqual([
    '2x3-merged-3',
    '2x3-merged-4',
  ]);
});

test('with widths per layer there are exact ones, as cheap as uniform ones, and structures; rivals have one width', () => {
  const trials = trialsOf(cheapestGrid({ over: [parseAxis('seed=1,2')] }, { perLayer: true }));
  const first = trials.filter(({ settings }) => settings.seed === 1);
  const own = first.filter(({ settings }) => settings.quantize?.layerCost !== undefined);
  expect(own.map(({ point, settings }) => [point.split('-products')[0], settings.map?.multiplier])).toEqual([
    ...['4x4', '3x4', '3x3', '2x4'].map((bits) => [`layers-${bits}`, 'exact']),
    ...['4x4', '3x4'].map((bits) => [`layers-${bits}`, undefined]),
  ]);
  expect(own[0]!.settings.quantize).toMatchObject({ layerCost: 0.21, layerKinds: 3 });
  const rivals = trialsOf({
    over: [parseAxis('layer-widths=4x4,0.1'), parseAxis('multiplier=exact')],
    rivals: ['3x4'],
  });
  expect(rivals.map(({ name, settings }) => [name, settings.quantize?.layerCost, settings.map?.multiplier])).toEqual([
    ['exact3x4', undefined, 'dadda:3x4'],
    ['layer-widths4x4-exact', 0.21, 'exact'],
    ['layer-widths0.1-exact', 0.1, 'exact'],
  ]);
});

test('what trials with searched widths share can be done, and structures that cannot be are refused with the plan', () => {
  const trials = trialsOf(cheapestGrid({ rivals: [] }, { perLayer: true }));
  const shared = jobsOf(trials).filter(({ trial, settings }) => !trial && settings.quantize?.layerCost !== undefined);
  // What few bits do, for all of them, and two costs that an exact multiplier and a structure have in common.
  expect(shared.map(({ phases }) => phases.at(-1))).toEqual(['harms', 'quantize', 'quantize']);
  for (const { settings } of shared) expect(() => parseConfiguration(settings, 'shared')).not.toThrow();
  expect(() => grid('layer-widths=4x4', 'structure-grain=column')).toThrow(/choose explore\.grain product/);
});

test('the cheapest and its rivals are trained as any run is, and power is what synthesis makes of it, unless something else is said', () => {
  const planned = (said: Parameters<typeof cheapestGrid>[0], from?: ConfigurationInput) =>
    trialsOf(cheapestGrid(said, from ? { from } : {})).map(({ settings }) => settings);
  const all = planned({});
  expect(all).toHaveLength(usualRivals.length + 8 + 8);
  for (const settings of all) {
    const isRival = settings.map?.multiplier?.startsWith('dadda') === true;
    const { recover } = parseConfiguration(settings, 'test');
    expect(recover).toMatchObject({ optimizer: 'nesterov', learningRate: 0.01, teacher: 'usual' });
    expect(settings.explore?.powerModel).toBe(isRival ? undefined : 'fitted');
  }
  const slow = { recover: { learningRate: 1e-3 } };
  for (const { recover } of [...planned({ settings: slow }), ...planned({}, slow)])
    expect(recover).toEqual(slow.recover);
  const asap7 = { explore: { powerModel: 'asap7' } } as const;
  expect(planned({ rivals: [] }, asap7)[0]!.explore).toMatchObject(asap7.explore);
  expect(planned({ settings: { recipe: 'paper-cifar10' }, rivals: [] })[0]!.explore?.powerModel).toBeUndefined();
});

test('a file lists trials, which take part in every combination', () => {
  const path = join(folder, 'sweep.json');
  writeFileSync(
    path,
    JSON.stringify({
      settings: { recover: { epochs: 2 } },
      over: { seed: [1, 2] },
      trials: [
        { name: 'low', options: { lambda: 0.1 } },
        { name: 'three', settings: { bits: { weights: 3 } } },
      ],
      rivals: 'none',
    }),
  );
  const trials = trialsOf(readGridFile(path));
  expect(names(trials)).toEqual(['low-seed1', 'three-seed1', 'low-seed2', 'three-seed2']);
  expect(trials[1]).toMatchObject({
    point: 'three',
    settings: { bits: { weights: 3 }, recover: { epochs: 2 }, seed: 1 },
  });
  writeFileSync(path, '{"over": {"lambda": 1}}');
  expect(() => readGridFile(path)).toThrow(/over\.lambda/);
  writeFileSync(path, '{ "ovr": {}, "trials": [{ "option": {} }, { "xyz": 1 }] }');
  expect(() => readGridFile(path)).toThrow(/trials\.0: Unrecognized key: "option"; did you mean "options"\?/);
  expect(() => readGridFile(path)).toThrow(/trials\.1: Unrecognized key: "xyz" \(valid: name, options, settings\)/);
  expect(() => readGridFile(path)).toThrow(/the document: Unrecognized key: "ovr"; did you mean "over"\?/);
});

test('rivals of listed trials that differ in their training are told apart by the names of these', () => {
  const listed = [
    { name: 'slow', settings: { recover: { learningRate: 1e-5 } } },
    { name: 'fast', settings: { recover: { learningRate: 1e-3 } }, options: { lambda: '2' } },
  ];
  expect(names(trialsOf({ trials: listed, rivals: ['4x5'] }))).toEqual([
    'slow-exact4x5',
    'fast-exact4x5',
    'slow',
    'fast',
  ]);
  const alike = listed.map(({ name, options }) => ({ name, ...(options ? { options } : {}) }));
  expect(names(trialsOf({ trials: alike, rivals: ['4x5'] }))).toEqual(['exact4x5', 'slow', 'fast']);
});

test.each([
  [[], 'the sweep is empty: nothing is varied; say what with --over, --config or --cheapest'],
  [['lambdas=1'], /unknown setting to vary 'lambdas'; did you mean 'lambda'/],
  [['epochs=1'], /^epochs: several phases have it; write train-epochs, /],
  [['lambda=1,x'], /^lambda: expected a number of at least 0, got 'x'$/],
  [['lambda=1', 'lambda=2'], /varied twice/],
  [
    ['lambda=1', 'power=0.3'],
    /^the trial lambda1-power0.3: settings: explore\.lambda is 1, but explore\.power 0\.3 finds λ/,
  ],
  [
    ['power=0.3,0.1', 'structure-grain=column'],
    /^the trial power0.3-structure-grain-column: settings: explore\.power is 0\.3, but without the columns that may go/,
  ],
  [
    ['multiplier=exact:9x9'],
    /^the trial exact9x9: settings: map\.multiplier: expected exact, or exact:WxA with widths from 2 to 8/,
  ],
  [
    ['multiplier=exact:4x5', 'bits=8,4'],
    /^the trial exact4x5-bits8: settings: map\.multiplier is exact:4x5, but the operands have 8×8 bits; leave one/,
  ],
  [['bits=4', 'columns=9'], /^the trial bits4-columns9: settings: explore\.columns is 9/],
])('%j is no plan', (over, reason) => {
  expect(() => grid(...over)).toThrow(UserError);
  expect(() => grid(...over)).toThrow(reason);
});

test.each(['lambda', 'lambda=', 'lambda=1,,2', '=3'])('--over %s is refused', (text) => {
  expect(() => parseAxis(text)).toThrow(/^--over: expected /);
});

test('an exact multiplier of widths that all trials have is that of a run', () => {
  const over = [parseAxis('seed=1,2')];
  const trials = trialsOf({ settings: { map: { multiplier: 'exact:4x5' } }, over });
  const run = { bits: { weights: 4, activations: 5 }, map: { multiplier: 'exact' } };
  expect(trials.map(({ settings }) => settings)).toEqual([expect.objectContaining(run), expect.objectContaining(run)]);
});

test('an exact multiplier is that of the widths that the recipe says, where nothing else says them', () => {
  const sourcesOf = (settings: ConfigurationInput, ...over: readonly string[]) =>
    trialsOf({ settings, over: over.map(parseAxis) }).map(({ settings: { map } }) => map?.multiplier);
  const recipe = 'paper-w4a4';
  expect(sourcesOf({ recipe }, 'multiplier=exact,exact:3x5')).toEqual(['dadda:4x4', 'dadda:3x5']);
  expect(sourcesOf({}, 'multiplier=exact', `recipe=${recipe},paper-cifar10`)).toEqual(['dadda:4x4', 'dadda:8x8']);
  expect(sourcesOf({ recipe, bits: { weights: 6, activations: 6 } }, 'multiplier=exact')).toEqual(['dadda:6x6']);
  expect(sourcesOf({ recipe, bits: { weights: 6 } }, 'multiplier=exact')).toEqual(['dadda:6x4']);
});

test('how files of multipliers are read says nothing of the exact and of trained ones beside them', () => {
  const over = [parseAxis('multiplier=m.npy,exact,trained')];
  const read = { signed: true, operandOrder: 'activation-weight', top: 'm' } as const;
  const trials = trialsOf({ settings: { map: read }, over, rivals: ['3x4'] });
  expect(trials.map(({ settings: { map } }) => [map?.multiplier, map?.signed, map?.operandOrder, map?.top])).toEqual([
    ['dadda:3x4', undefined, undefined, undefined],
    ['m.npy', true, 'activation-weight', 'm'],
    ['dadda:8x8', undefined, undefined, undefined],
    [undefined, undefined, undefined, undefined],
  ]);
  expect(() => trialsOf({ settings: { map: { signed: true } }, over: [parseAxis('seed=1,2')] })).toThrow(
    /^the trial seed1: settings: map\.signed is true, but no file of a multiplier is given: θ is mapped/,
  );
});

describe('what decides nothing', () => {
  const said = (settings: ConfigurationInput, ...over: readonly string[]) =>
    trialsOf({ settings, said: saidIn(settings), over: over.map(parseAxis) });

  test('in any trial is refused; what does in some is not', () => {
    const power = { explore: { power: 0.3 } };
    expect(() => said(power, 'multiplier=m.npy,exact')).toThrow(
      /^explore\.power has no effect: map\.multiplier is m\.npy, and nothing is explored/,
    );
    expect(said(power, 'multiplier=exact,trained')).toHaveLength(2);
    // Nobody said it here.
    expect(trialsOf({ settings: power, over: [parseAxis('multiplier=m.npy,exact')] })).toHaveLength(2);
  });

  test('among what is varied: all values would be one run', () => {
    expect(() => said({ map: { multiplier: 'm.npy' } }, 'lambda=1,2', 'model=resnet8,resnet20')).toThrow(
      /^--over lambda has no effect: map\.multiplier is m\.npy/,
    );
    expect(said({}, 'multiplier=exact,trained', 'lambda=1,2')).toHaveLength(3);
  });

  test('in every listed trial that says it is refused', () => {
    const settings = { recover: { beta2: 0.9 } };
    for (const [own, reason] of [
      [{ options: { 'recover-beta2': '0.9' } }, /^recover-beta2 of trials has no effect: recover\.optimizer is/],
      [{ settings }, /^recover\.beta2 of trials has no effect: recover\.optimizer is nesterov/],
    ] as const) {
      const trials = [{ name: 'a' }, { name: 'b', ...own }];
      expect(() => trialsOf({ trials, over: [parseAxis('lambda=1,2')] })).toThrow(reason);
    }
    const shared = { settings: { explore: { epochs: 3 } } };
    const mixed = [
      { ...shared, options: { multiplier: 'exact' } },
      { ...shared, options: { lambda: '1' } },
    ];
    expect(trialsOf({ trials: mixed })).toHaveLength(2);
    expect(() => trialsOf({ trials: mixed.slice(0, 1) })).toThrow(
      /^explore\.epochs of trials has no effect: map\.mult/,
    );
    const unknown = { settings: { recover: { beta: 1 } } as ConfigurationInput };
    expect(() => trialsOf({ trials: [{ name: 'b', ...unknown }] })).toThrow(
      /^the trial b: settings: recover: .*"beta"/,
    );
  });
});
