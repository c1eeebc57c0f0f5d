import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import type { FlowOptions } from '../flow/flow.ts';
import type { RunSummary } from '../flow/results/summary.ts';
import { parseConfiguration } from '../flow/settings/config.ts';
import { phases } from '../flow/settings/phases.ts';
import { settings } from '../flow/settings/table.ts';
import { UserError } from '../tensor/errors.ts';
import { commandEntries, runProgram } from './program.ts';
import type { Services } from './services.ts';
import { styleFor } from './style.ts';
import { summaryText } from './tables.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

const summary: RunSummary = {
  folder: 'runs/x',
  data: 'digits',
  model: 'resnet8',
  seed: 1,
  weightBits: 8,
  activationBits: 8,
  powerModel: 'analytic',
  thetaOf: { weightBits: 8, activationBits: 8, grain: 'column', columns: 4 },
  stages: [
    { stage: 'float', accuracy: 0.975, loss: 0.1 },
    { stage: 'recovered', accuracy: 0.9625, loss: 0.125, gateCost: 0.75 },
  ],
  multipliers: [
    {
      name: 'multiplier',
      layers: ['conv1', 'fc'],
      theta: [1, 0.25],
      gateCost: 0.8125,
      mseToTarget: 1.5,
      metrics: {
        errorRate: 0.5,
        meanErrorDistance: 3,
        normalizedMeanErrorDistance: 0.00005,
        meanSquareError: 20,
        maxErrorDistance: 9,
        meanRelativeErrorOfNonzero: 0.01,
        meanRelativeErrorDistance: 0.01,
        meanError: -3,
        errorVariance: 11,
        worst: { w: 1, x: 1, product: 0, exact: 1 },
      },
      certificate: { forms: ['netlist', 'blif', 'verilog', 'table'], pairs: 65536, sha256: { table: '' } },
    },
  ],
  layers: [
    {
      name: 'conv1',
      macs: 1000,
      share: 0.5,
      weightBits: 8,
      activationBits: 8,
      multiplier: 'multiplier',
      gateShare: 0.5,
    },
    { name: 'fc', macs: 1000, share: 0.5, weightBits: 8, activationBits: 8, multiplier: 'multiplier', gateShare: 0.5 },
  ],
  exactLayers: [],
  exactShare: 0,
  products: [],
  verdict: '25 % fewer gates than before.',
  changed: [],
  options: [],
  inputs: {
    data: {
      ...{ name: 'digits', sha256: '0', directory: '/', trainImages: 1, testImages: 1, classes: 10, scale: 16 },
      ...{ image: { height: 8, width: 8, channels: 1 }, mean: [0.3], deviation: [0.4], classCounts: [2], split: '' },
    },
    layers: [],
  },
  program: { tram: '0', node: '20' },
  created: '2026-11-22T00:00:00Z',
  donePhases: ['train', 'recover'],
  phases: [],
  files: [{ group: 'run', title: 'manifest', path: 'runs/x/manifest.json' }],
};

/** Runs the program on a flow that does nothing but remember what it was asked. */
async function run(args: readonly string[], flow: (options: FlowOptions) => Promise<RunSummary> = async () => summary) {
  const out: string[] = [];
  const err: string[] = [];
  const asked: FlowOptions[] = [];
  const opened: string[] = [];
  const services: Services = {
    stdout: { write: (text) => out.push(text) },
    stderr: { write: (text) => err.push(text) },
    openFile: async (path) => {
      opened.push(path);
      return path.includes('none') ? 'there is none' : undefined;
    },
    loadFlow: async () => ({
      runFlow: (options) => {
        asked.push(options);
        return flow(options);
      },
      evaluateRun: async ({ stage = 'recovered' }) => ({
        stage,
        accuracy: 0.9625,
        loss: 0.125,
        images: 360,
        gateCost: 0.75,
      }),
    }),
  };
  const code = await runProgram(args, services);
  return { code, out: out.join(''), err: err.join(''), asked, opened };
}

describe('report', () => {
  test('asks for the figures in the forms that were named, each once, and for SVG by itself', async () => {
    expect((await run(['report', 'runs/x', '--figures', 'svg, pdf,svg'])).asked[0]!.figures).toEqual(['svg', 'pdf']);
    expect((await run(['report', 'runs/x'])).asked[0]!.figures).toBeUndefined();
    const { code, err, asked } = await run(['report', 'runs/x', '--figures', 'svg,pmg']);
    expect([code, asked.length]).toEqual([2, 0]);
    expect(err).toContain("unknown form of figures 'pmg'; did you mean 'png'?");
    expect((await run(['report', 'runs/x', '--figures', ','])).code).toBe(2);
  });

  test('--open shows the page, or says where it is when nothing can', async () => {
    expect(await run(['report', 'runs/x', '--open'])).toMatchObject({
      code: 0,
      err: '',
      opened: ['runs/x/report.html'],
    });
    const { code, err } = await run(['report', 'runs/none', '--open']);
    expect(code).toBe(0);
    expect(err).toBe('tram: no browser could be started (there is none); the page is runs/none/report.html\n');
    expect((await run(['report', 'runs/x'])).opened).toEqual([]);
  });
});

describe('a run with a multiplier per layer', () => {
  const [multiplier] = summary.multipliers;
  const perLayer: RunSummary = {
    ...summary,
    multipliers: ['conv1', 'fc'].map((name) => ({ ...multiplier!, name: `multiplier-${name}`, layers: [name] })),
    layers: summary.layers.map((layer) => ({ ...layer, multiplier: `multiplier-${layer.name}` })),
    files: ['conv1.v', 'fc.v', 'conv1.npy', 'fc.npy'].map((name) => ({
      ...{ group: 'multiplier' as const, title: name.endsWith('.v') ? 'Verilog' : 'table as .npy' },
      path: `runs/x/multiplier-${name}`,
    })),
  };

  test('is a table with a row per layer and a line per kind of file', async () => {
    const { out } = await run(['run', '--out', 'runs/x', '--quiet'], async () => perLayer);
    expect(out).toMatch(/conv1 +1 000 +50\.0 % +0\.8125 +50\.0 % +█▃ +50\.0 % +0\.005 % +9 +−3\n/);
    expect(out).toContain('multiplier, Verilog        runs/x/multiplier-*.v (2 files)\n');
    expect(out).toContain('multiplier, table as .npy  runs/x/multiplier-*.npy (2 files)\n');
    expect(out.trimEnd().endsWith(perLayer.verdict)).toBe(true);
  });

  test('leaves out what a narrow terminal has no room for', async () => {
    for (const width of [100, 80, 60, 40]) {
      const lines = summaryText(perLayer, styleFor({ write: () => {} }, false), width - 1).split('\n');
      const row = lines.find((line) => line.startsWith('conv1'))!;
      expect(row.length).toBeLessThan(width);
      expect(row).toContain('0.8125');
    }
  });
});

describe('settings', () => {
  test('reach the flow with nothing but what the user said', async () => {
    const { asked, code } = await run([
      'run',
      '--out',
      'runs/x',
      '--lambda',
      '0.9',
      '--explore-epochs',
      '2',
      '--bits',
      '4x8',
    ]);
    expect(code).toBe(0);
    expect(asked).toHaveLength(1);
    expect(asked[0]).toMatchObject({ folder: 'runs/x', phases: [...phases], redo: false, device: {} });
    expect(asked[0]!.settings).toEqual({
      bits: { weights: 4, activations: 8 },
      explore: { lambda: 0.9, epochs: 2 },
    });
  });

  test('of a single phase have no prefix', async () => {
    const { asked } = await run(['explore', 'runs/x', '--epochs', '2', '--redo', '--device', 'wasm', '--threads', '2']);
    expect(asked[0]).toMatchObject({ phases: ['explore'], redo: true, device: { name: 'wasm', threads: 2 } });
    expect(asked[0]!.said).toEqual([{ label: '--epochs', paths: ['explore.epochs'] }]);
    expect(asked[0]!.settings).toEqual({ explore: { epochs: 2 } });
  });

  test('take the published ones first, then the file, then the options', async () => {
    const file = join(folder, 'settings.json');
    writeFileSync(file, JSON.stringify({ explore: { batchSize: 32, lambda: 2 }, train: { epochs: 5 } }));
    const { out } = await run(['run', '--published', '--config', file, '--lambda', '3', '--print-config']);
    const configuration = JSON.parse(out);
    expect(configuration).toEqual(parseConfiguration(configuration, 'printed'));
    expect(configuration.explore).toMatchObject({ batchSize: 32, lambda: 3, thetaLearningRate: 5e-4 });
    expect(configuration.train).toMatchObject({ epochs: 5, batchSize: 256 });
    expect(configuration.map).toMatchObject({ search: 'greedy', operands: 'uniform' });
  });

  test('are printed as a run takes them: exact:4x5 in the place of the widths that it has from before', async () => {
    const older = JSON.parse(readFileSync(join(import.meta.dirname, '../../test/flow/older-manifests.json'), 'utf8'));
    const { defaults } = older as { defaults: { given: object } };
    const place = join(folder, 'eight');
    mkdirSync(place);
    const given = { ...defaults.given, bits: { weights: 8, activations: 8 } };
    writeFileSync(join(place, 'manifest.json'), JSON.stringify({ ...defaults, given }));
    for (const words of [[place], ['--from', place]]) {
      const { out } = await run(['run', ...words, '--multiplier', 'exact:4x5', '--print-config']);
      expect(JSON.parse(out)).toMatchObject({ bits: { weights: 4, activations: 5 }, map: { multiplier: 'exact' } });
    }
    const plan = join(folder, 'planned');
    await run(['sweep', plan, '--from', place, '--over', 'seed=1', '--multiplier', 'exact:4x5', '--plan']);
    const { trials } = JSON.parse(readFileSync(join(plan, 'sweep.json'), 'utf8'));
    expect(trials[0].settings).toMatchObject({ bits: { weights: 4, activations: 5 }, map: { multiplier: 'exact' } });
  });

  test.each([
    [['--over', 'multiplier=nothing:8x8'], /^tram: the trial nothing-8x8: unknown generator "nothing"/],
    [['--over', 'multiplier=dadda:8'], /^tram: the trial dadda-8: cannot read the generator "dadda:8"/],
    [['--over', 'multiplier=trained;drum:8x8:bits=99'], /^tram: the trial drum-8x8-bits-99: drum: bits is "99"/],
    [
      ['--over', 'multiplier=dadda:8x8;drum:4x4', '--bits', '8'],
      /^tram: the trial drum-4x4: drum:4x4 multiplies 4×4 bits, but/,
    ],
    [[], /is not the folder of a sweep, and nothing is varied for a new one; say what with --over, /],
  ])('of a sweep that cannot be are refused before it is there: %j', async (words, reason) => {
    const place = join(folder, 'no sweep');
    const { code, err } = await run(['sweep', place, ...words, '--plan']);
    expect(code).toBe(2);
    expect(err).toMatch(reason);
    expect(existsSync(place)).toBe(false);
  });

  test('of forms are all of them where all is among them', async () => {
    expect((await run(['export', 'nowhere', '--to', 'c,nope'])).err).toMatch(
      /^tram: --to: expected one of all, integer, /,
    );
    expect((await run(['export', 'nowhere', '--to', 'c,all'])).err).toMatch(/^tram: nowhere is not a run folder/);
  });

  test('that are unset reach the flow as undefined, to return to their defaults', async () => {
    const { asked } = await run(['run', 'r', '--unset', 'checkpoint,--signed,smoothing', '--lambda', '2']);
    expect(asked[0]!.settings).toStrictEqual({
      train: { checkpoint: undefined },
      explore: { lambda: 2 },
      map: { signed: undefined },
      recover: { smoothing: { weights: undefined, activations: undefined } },
    });
  });

  test('for both operands reach both', async () => {
    const { asked } = await run(['recover', 'r', '--gradient', 'difference', '--smoothing', 'w16a4']);
    expect(asked[0]!.settings).toEqual({
      recover: { gradient: 'difference', smoothing: { weights: 16, activations: 4 } },
    });
  });

  test('come with the command line that said them', async () => {
    const { asked } = await run(['run', 'my run', '--lambda', '2']);
    expect(asked[0]!.command).toBe("tram run 'my run' --lambda 2");
  });

  test('of a switch are its value, and the last of two options on one key wins by the order of the table', async () => {
    expect((await run(['quantize', 'r', '--per-tensor'])).asked[0]!.settings).toEqual({ channelwise: false });
    expect((await run(['quantize', 'r', '--bits', '8', '--weight-bits', '4'])).asked[0]!.settings).toEqual({
      bits: { weights: 4, activations: 8 },
    });
  });

  test.each([
    [['run'], 'runs/digits-resnet8-seed1'],
    [['run', '--data', 'cifar10:/data/c', '--model', 'resnet18', '--seed', '7'], 'runs/cifar10-resnet18-seed7'],
    [['train', '--data', 'csv:/data/my faces.csv.gz', '--image', '8x8x1'], 'runs/my-faces-resnet8-seed1'],
    [['train', '--data', 'idx:/data/mnist/'], 'runs/mnist-resnet8-seed1'],
    [['run', 'somewhere'], 'somewhere'],
    [['run', '--lambda', '1', '--structure', 'per-layer'], 'runs/digits-resnet8-seed1-lambda1-structure-per-layer'],
    [['run', '--bits', 'w4a8', '--lambda', '0.3'], 'runs/digits-resnet8-seed1-bits4x8-lambda0.3'],
    [['run', '--bits', 'w4a8', '--power', '0.3'], 'runs/digits-resnet8-seed1-bits4x8-power0.3'],
    [['run', '--weight-bits', '4', '--per-tensor'], 'runs/digits-resnet8-seed1-bits4x8-per-tensor'],
    [['run', '--gradient', 'difference'], 'runs/digits-resnet8-seed1-gradient-difference'],
    [['run', '--multiplier', 'a/drum.v.gz', '--signed'], 'runs/digits-resnet8-seed1-multiplier-drum-signed'],
    [['run', '--multiplier', 'drum:8x8:bits=6'], 'runs/digits-resnet8-seed1-multiplier-drum-8x8-bits-6'],
    [['run', '--multiplier', 'exact:4x5'], 'runs/digits-resnet8-seed1-bits4x5-multiplier-exact'],
    [['train', '--epochs', '3'], 'runs/digits-resnet8-seed1-train-epochs3'],
    [['run', '--published', '--bits', '4'], 'runs/digits-resnet8-seed1-published-bits4'],
    [['run', '--published', '--search', 'descent'], 'runs/digits-resnet8-seed1-published-search-descent'],
  ])('%j makes the run folder %s', async (args, expected) => {
    expect((await run(args)).asked[0]!.folder).toBe(expected);
  });
});

describe('mistakes', () => {
  const file = join(folder, 'bad.json');
  writeFileSync(file, JSON.stringify({ explore: { lamda: 1 } }));
  const plan = join(folder, 'plan.json');
  writeFileSync(plan, '{"over":{"lambda":[0.3,1]}}');
  writeFileSync(join(folder, 'sweep.json'), '{"format":"tram-sweep","version":1,"trials":[]}');

  test.each([
    [['trian'], /^tram: unknown command 'trian' \(did you mean train\?\); see tram --help\n$/],
    [['run', '--lamda', '1'], /^tram: unknown option '--lamda' \(did you mean --lambda\?\); see tram run --help\n$/],
    [['run', '--epochs', '3'], /^tram: --epochs: several phases have it; write --train-epochs, .*--recover-epochs\n$/],
    [['run', '--recover-epochs', '0'], /^tram: --recover-epochs: expected a whole number of at least 1, got '0'\n$/],
    [['run', '--train-epochs', '0'], /^tram: settings: train.epochs is 0, but resnet8 has no weights yet/],
    [['run', '--seed', ''], /^tram: --seed: expected a whole number .*, got ''\n$/],
    [['run', '--out', ''], /^tram: --out: expected a folder, got ''\n$/],
    [['run', 'a', '--out', 'b'], /^tram: two run folders are given/],
    [['run', 'a', 'b'], /^tram: too many arguments/],
    [['run', '--unset', 'checkpiont'], /^tram: unknown option 'checkpiont'; did you mean 'checkpoint'\?/],
    [['run', '--unset', 'lambda', '--lambda', '2'], /^tram: --lambda is given and also unset; leave one out\n$/],
    [['run', '--from', 'nowhere'], /^tram: nowhere is not a run folder/],
    [['map', '--theta', '1', '--unset', 'signed'], /^tram: --unset has no effect without RUN: it is for a run folder/],
    [['explore'], /^tram: missing required argument 'RUN'; see tram explore --help\n$/],
    [['run', '--config', file], /^tram: .*bad\.json: explore: Unrecognized key: "lamda"; did you mean "lambda"\?\n$/],
    [['run', '--config', join(folder, 'none.json')], /^tram: cannot read .*none\.json: no such file/],
    [
      ['run', '--config', plan],
      /^tram: .*plan\.json is the plan of a sweep, not the settings of one run; tram sweep FOLDER --config .*plan\.json/,
    ],
    [
      ['run', '--config', join(folder, 'sweep.json')],
      /^tram: .*sweep\.json is the plan of a sweep, .*; tram sweep \S+ goes on with it, its runs are in \S+trials\n$/,
    ],
    [['run', '--columns', '16'], /^tram: settings: explore\.columns is 16/],
    [['map'], /^tram: neither a run folder nor --theta is given/],
    [['map', 'r', '--theta', '1'], /^tram: --theta has no effect beside RUN: it is for a multiplier without a run/],
    [['map', '--theta', '1', '--redo'], /^tram: --redo has no effect without RUN: it is for a run folder/],
    [['map', '--theta', '1,1,1,1,1,1,1,1', '--bits', '4'], /^tram: θ has 8 values/],
    // What trains nothing has nothing to compute again.
    [['evaluate', 'r', '--recompute'], /^tram: unknown option '--recompute'/],
    [['map', 'r', '--recompute'], /^tram: unknown option '--recompute'/],
    [['evaluate', 'r', '--stage', 'quantised'], /^tram: --stage: .*did you mean 'quantized'\?\n$/],
  ])('%j is one line on the error stream, code 2, and nothing is begun', async (args, message) => {
    const { code, out, err, asked } = await run(args);
    expect(err).toMatch(message);
    expect(err.split('\n')).toHaveLength(2);
    expect({ code, out, asked }).toEqual({ code: 2, out: '', asked: [] });
  });

  test('of the user inside the flow are told in one line, code 2; errors of ours are code 1 and ask for a report', async () => {
    const user = await run(['run'], async () => {
      throw new UserError('the loss became NaN\nin epoch 1');
    });
    expect(user).toMatchObject({ code: 2, err: 'tram: the loss became NaN in epoch 1\n' });
    const ours = async () => {
      throw new Error('internal: oops');
    };
    const short = await run(['run'], ours);
    expect(short).toMatchObject({
      code: 1,
      err: 'tram: internal error: oops; please report this with the output of --verbose\n',
    });
    expect((await run(['run', '--verbose'], ours)).err).toMatch(
      /^tram: internal error: oops; .*\n {0,}Error: internal: oops\n {4}at /,
    );
  });
});

describe('results', () => {
  test('--json is one object on the standard output and progress on the error stream', async () => {
    const { out, err } = await run(['run', '--json'], async ({ listener }) => {
      listener?.({ kind: 'phase-skip', phase: 'train', reason: 'done' });
      return summary;
    });
    expect(JSON.parse(out)).toEqual(summary);
    expect(err).toBe('train: skipped (done)\n');
  });

  test('the table shows stages, error metrics, the proof and the files, without control characters in a pipe', async () => {
    const { out, err } = await run(['run', '--quiet'], async ({ listener }) => {
      listener?.({ kind: 'note', text: 'unheard' });
      return summary;
    });
    expect(err).toBe('');
    expect(out).not.toContain('unheard');
    expect(out.replaceAll('\n', '')).not.toMatch(/\p{Cc}/u);
    expect(out).toMatch(/recovered +96\.25 % +0\.1250 +– +0\.7500\n/);
    expect(out).toMatch(/multiplier +50\.0 % +0\.005 % +3 +20 +9 +−3 +0\.8125\n/);
    expect(out).toContain('θ = 1 0.25 (lowest column first)');
    expect(out).toContain('netlist ≡ BLIF ≡ Verilog ≡ table over 65 536 operand pairs');
    expect(out).toContain('manifest  runs/x/manifest.json');
  });

  test('evaluate prints the accuracy, or one object', async () => {
    const { out } = await run(['evaluate', 'r', '--stage', 'mapped', '--json']);
    expect(JSON.parse(out)).toEqual({ stage: 'mapped', accuracy: 0.9625, loss: 0.125, images: 360, gateCost: 0.75 });
    expect((await run(['evaluate', 'r'])).out).toBe(
      'recovered: accuracy 96.25 %, loss 0.1250, gate cost 0.7500 on 360 test images\n',
    );
  });

  test('report makes the report anew', async () => {
    const { asked } = await run(['report', 'r']);
    expect(asked[0]).toMatchObject({ folder: 'r', phases: ['report'], redo: true, settings: {} });
  });

  test('map without a run prints one object and writes certified files', async () => {
    const out = join(folder, 'mapped');
    const args = ['map', '--bits', '4x3', '--theta', '1,1,0.5', '--search', 'greedy'];
    const { out: text } = await run([...args, '--json', '--out', out]);
    const result = JSON.parse(text);
    expect(result).toMatchObject({ weightBits: 4, activationBits: 3, theta: [1, 1, 0.5], search: 'greedy' });
    expect(result.accepted).toBe(result.moves.length);
    expect(result.mseToTarget).toBeLessThanOrEqual(result.mseToTargetAfterFixedColumns);
    expect(result.mse).toBeCloseTo(result.variance + result.mean ** 2, 9);
    for (const key of [
      'mseToTargetBefore',
      'cost',
      'power',
      'errorRate',
      'med',
      'nmed',
      'maxEd',
      'mred',
      'mredNonzero',
      'mean',
      'variance',
    ]) {
      expect(result[key], key).toBeTypeOf('number');
    }
    const files = ['multiplier.blif', 'multiplier.errors.json', 'multiplier.lut.txt', 'multiplier.npy', 'multiplier.v'];
    expect(readdirSync(out).sort()).toEqual(files);
    expect((await run(args)).out).toContain('table over 128 operand pairs');
  });

  test('map begins with another exact multiplier and weights the error by operand histograms', async () => {
    const args = ['map', '--bits', '4', '--theta', '1,1,0.5', '--json'];
    const uniform = JSON.parse((await run(args)).out);
    const signed = JSON.parse((await run([...args, '--start', 'baugh-wooley'])).out);
    expect([uniform.start, signed.start]).toEqual(['array', 'baugh-wooley']);
    expect(signed.cost).not.toBe(uniform.cost);
    const histograms = join(folder, 'operands.csv');
    writeFileSync(histograms, 'w,0,10\nw,3,5\nx,0,9\nx,12,4\n');
    const weighted = JSON.parse((await run([...args, '--histograms', histograms])).out);
    expect(weighted.mseToTarget).toBeLessThan(uniform.mseToTarget);
    expect((await run([...args, '--start', 'tree'])).code).toBe(2);
  });
});

describe('help', () => {
  test('without arguments and with --help is the same, on the standard output', async () => {
    const help = await run(['--help']);
    expect(help).toMatchObject({ code: 0, err: '' });
    expect(await run([])).toEqual(help);
    for (const { term, summary: text } of commandEntries)
      expect(help.out).toMatch(new RegExp(`${escaped(term)} +${escaped(text)}`));
  });

  test.each(commandEntries.map(({ name }) => name))('of %s says what it does, with examples', async (name) => {
    const { out, code } = await run([name, '--help']);
    expect(code).toBe(0);
    expect(out).toMatch(new RegExp(`^Usage: tram ${name}`));
    expect(out).toMatch(new RegExp(`\\nExamples:\\n  tram ${name}`));
    expect((await run(['help', name])).out).toBe(out);
  });

  test('of run tells what the training phases share once, with the default of each, and no option is lost', async () => {
    const { out } = await run(['run', '--help']);
    const text = out.replaceAll(/\s+/g, ' ');
    expect(text).toContain('Training, in a PHASE that is train, quantize, explore or recover:');
    expect(text).toContain('default: train: 30, or 0 with an ONNX file; quantize: 0; explore, recover: 10]');
    // Mapping does not train: what it has of the name of exploration's is told of each.
    const whole = { 'weight-codes': ['explore', 'map'] };
    for (const { name, phase, prefixed } of settings) {
      const isWhole = Object.keys(whole).includes(name);
      const told = prefixed ? `--${isWhole ? phase : 'PHASE'}-${name}` : `--${name}`;
      expect(text.match(new RegExp(` ${told} `, 'g')), told).not.toBeNull();
    }
    for (const [name, phases] of Object.entries(whole)) {
      const each = phases.map((phase) => `--${phase}-${name}`).join(', ');
      expect(text).toContain(`--${name} <NAME> ${each} at once, where a phase has the value; each of them wins`);
      expect(text).not.toContain(`--PHASE-${name}`);
    }
    expect(text).not.toContain('--train-epochs <');
    expect((await run(['run', '--train-epoch', '1'])).err).toContain('did you mean --train-epochs?');
    expect((await run(['run', '--PHASE-epochs', '1'])).err).toContain('write --train-epochs, --quantize-epochs');
  });
});

function escaped(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
