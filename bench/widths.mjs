// Widths of each layer beside one multiplier for all: exact multipliers, one for the whole network and K of them, whose
// widths are searched for each layer at the cost of one, several seeds. `tram sweep` trains them and shares what they
// have in common, so that the same command goes on after a stop. Beside OUT, with .json and .md behind its name, is
// what there is so far at any time: accuracy against the float network, cost, and the widths that were found.
// Run after `npm run build`; options of `tram run` behind -- hold for all:
//   node bench/widths.mjs OUT --data cifar10:DIR --model resnet50 --recipe cifar-strong --train-epochs 70
//       [--kinds 1,3,8,all] [--cost 4x4] [--uniform 4x4,3x4] [--seeds 1,2] [--epochs 10] [--device cuda:0,cuda:1]
//       [--jobs 4] [--minutes 9] [--report] [-- --OPTION VALUE …]
// With `-- --checkpoint FILE` all seeds begin with that float network, and none is trained.

import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { networkExactPower } from '../dist/flow/multipliers/multipliers.js';
import { readHarms } from '../dist/flow/phases/harms.js';
import { readManifest, withSearchedWidths } from '../dist/flow/run/manifest.js';
import { readMetrics } from '../dist/flow/run/metrics.js';
import { fields, readFields } from '../dist/flow/settings/fields.js';
import { outcomeOf, readSweep } from '../dist/flow/sweep/folder.js';
import { optionsOf } from './options.mjs';

const words = process.argv.slice(2);
const end = words.indexOf('--');
const text = { type: 'string' };
const { values, positionals } = optionsOf(import.meta.url, {
  args: end < 0 ? words : words.slice(0, end),
  allowPositionals: true,
  options: {
    ...{ data: text, model: text, recipe: text, 'train-epochs': text, epochs: { ...text, default: '10' } },
    ...{ kinds: { ...text, default: '3,8,all' }, cost: { ...text, default: '4x4' }, device: text, jobs: text },
    ...{ uniform: { ...text, default: '4x4,3x4' }, seeds: { ...text, default: '1,2' }, minutes: text },
    report: { type: 'boolean', default: false },
  },
});
const fail = (message) => {
  console.error(`widths.mjs: ${message}`);
  process.exit(2);
};
const [out] = positionals;
if (out === undefined) fail('the first argument is the folder of the sweep');

/** Options of `tram run` behind `--`, as settings. */
function settingsOf(options) {
  const known = new Map(fields().map((field) => [field.name, field]));
  const texts = {};
  for (let at = 0; at < options.length; at++) {
    const name = options[at].replace(/^--/, '');
    const field = known.get(name) ?? fail(`${options[at]} is no option of tram run`);
    texts[name] = field.value === undefined ? (options[++at] ?? fail(`--${name} needs a value`)) : 'true';
  }
  const { settings, problems } = readFields(texts);
  for (const problem of Object.values(problems)) fail(problem);
  return settings;
}

const list = (name) => values[name].split(',').filter(Boolean);

function planned() {
  const { data, model, recipe } = values;
  const own = end < 0 ? {} : settingsOf(words.slice(end + 1));
  const trainEpochs = values['train-epochs'] === undefined ? {} : { epochs: Number(values['train-epochs']) };
  const searched = list('kinds').map((kinds) => ({
    name: `kinds-${kinds}`,
    options: {
      ...{ multiplier: 'exact', 'layer-widths': values.cost },
      ...(kinds === 'all' ? {} : { 'layer-kinds': kinds }),
    },
  }));
  // As where widths are searched, layers that are not approximated keep those of the run.
  const uniform = list('uniform').map((bits) => ({
    name: `all-${bits}`,
    settings: { map: { multiplier: 'exact' }, quantize: { layerBits: [`usual=${bits}`] } },
  }));
  const settings = {
    ...(data === undefined ? {} : { data }),
    ...(model === undefined ? {} : { model }),
    ...(recipe === undefined ? {} : { recipe }),
    ...own,
    train: { ...trainEpochs, ...own.train },
    recover: { epochs: Number(values.epochs), ...own.recover },
  };
  // Searches take longest: they begin first.
  return { settings, trials: [...searched, ...uniform], over: { seed: list('seeds').map(Number) } };
}

/** What is known of a run: a trial, or one that trials branch from. */
function stateOf(folder) {
  try {
    return { manifest: readManifest(folder), metrics: readMetrics(folder) };
  } catch {
    return undefined;
  }
}

const last = (stages, of) => stages?.map(of).findLast((value) => value !== undefined && value !== null);

/** What a trial has come to. */
function rowOf({ name, point }) {
  const folder = join(out, 'trials', name);
  const outcome = outcomeOf(out, `trials/${name}`);
  const found = stateOf(folder);
  const row = { point, state: outcome?.state ?? (found ? 'begun' : 'not begun'), reason: outcome?.reason };
  if (!found) return row;
  const { manifest, metrics } = found;
  const { configuration, inputs, phases } = manifest;
  const { train, quantize, map, recover } = phases;
  const epochs = metrics.filter(({ phase }) => phase === 'recover');
  const settled = withSearchedWidths(manifest);
  const widths = quantize?.widths;
  const isKnown = configuration.quantize.layerCost === undefined || widths !== undefined;
  const power = (powerModel) =>
    networkExactPower({ ...settled, explore: { ...settled.explore, powerModel } }, inputs.layers);
  return {
    ...row,
    seed: configuration.seed,
    float: last(train?.stages, (stage) => stage.accuracy),
    quantized: last(quantize?.stages, (stage) => stage.accuracy),
    accuracy: last(recover?.stages, (stage) => stage.accuracy),
    epochs: epochs.map(({ testAccuracy }) => testAccuracy),
    gateCost: last(map?.stages, (stage) => stage.gateCost),
    asap7: isKnown ? power('asap7') : undefined,
    seconds: Object.fromEntries(Object.entries(phases).map(([phase, { seconds }]) => [phase, seconds])),
    multipliers: map?.multipliers?.length,
    together: widths?.together,
    layerBits: widths?.layerBits,
    harms: phases.harms && readHarms({ folder, manifest }).layers,
    halvedRate: recover?.halvedRate,
  };
}

const percent = (value, digits = 2) => (value === undefined ? '–' : (100 * value).toFixed(digits));

function tableOf(rows) {
  const cells = rows.map((row) => {
    const { accuracy, float, epochs = [], together } = row;
    const reached = accuracy ?? epochs.at(-1);
    const state = accuracy === undefined && epochs.length > 0 ? `${row.state}, ${epochs.length} epochs` : row.state;
    const times = Object.entries(row.seconds ?? {}).map(([phase, seconds]) => `${phase} ${Math.round(seconds)}`);
    return [
      ...[row.point, row.seed ?? '–', percent(float), percent(row.quantized), percent(reached)],
      reached === undefined || float === undefined ? '–' : (100 * (reached - float)).toFixed(2),
      ...[row.gateCost?.toFixed(4) ?? '–', row.asap7?.toFixed(4) ?? '–', row.multipliers ?? '–'],
      together
        ? `${percent(together.measured, 1)}; ${together.uniform.widths} ${percent(together.uniform.measured, 1)}`
        : '–',
      ...[times.join(', '), row.reason ? `${state}: ${row.reason}` : state],
    ];
  });
  const head = [
    ...['point', 'seed', 'float %', 'quantised %', 'recovered %', 'less float', 'gates', 'power (asap7 model)'],
    ...['multipliers', 'harm %; one pair', 'seconds', 'state'],
  ];
  const line = (of) => `| ${of.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...cells.map(line)].join('\n');
}

/** The layers of each pair of widths that a search has found. */
function listsOf(rows) {
  return rows.flatMap(({ point, seed, layerBits }) => {
    if (!layerBits) return [];
    const counted = [...grouped(layerBits)].toSorted((a, b) => b[1].length - a[1].length);
    const pairs = counted.map(([pair, layers]) => `${pair}: ${layers.length}`);
    return [`${point}, seed ${seed}: ${pairs.join(', ')}`, `    --layer-bits ${layerBits.join(',')}`];
  });
}

function grouped(layerBits) {
  const found = new Map();
  for (const one of layerBits) {
    const pair = one.split('=')[1];
    found.set(pair, [...(found.get(pair) ?? []), one]);
  }
  return found;
}

/** Points with their seeds together, as far as they have ended. */
function meansOf(rows) {
  return [...new Set(rows.map(({ point }) => point))].flatMap((point) => {
    const own = rows.filter((row) => row.point === point && row.accuracy !== undefined);
    if (own.length === 0) return [];
    const mean = (of) => own.reduce((sum, row) => sum + of(row), 0) / own.length;
    const accuracy = `${percent(mean((row) => row.accuracy))} % (${own.map((row) => percent(row.accuracy)).join(', ')})`;
    const less = (100 * mean((row) => row.accuracy - row.float)).toFixed(2);
    const power = mean((row) => row.asap7).toFixed(3);
    return [
      `${point}: ${accuracy}, less float ${less}, gates ${mean((row) => row.gateCost).toFixed(4)}, power ${power}`,
    ];
  });
}

const put = (path, content) => {
  writeFileSync(`${path}.part`, content);
  renameSync(`${path}.part`, path);
};

function write() {
  if (!existsSync(join(out, 'sweep.json'))) return '';
  const rows = readSweep(out).trials.map(rowOf);
  const all = [tableOf(rows), meansOf(rows).join('\n'), listsOf(rows).join('\n')].filter(Boolean).join('\n\n');
  put(`${out}.json`, `${JSON.stringify(rows, null, 1)}\n`);
  put(`${out}.md`, `${all}\n`);
  return all;
}

const EVERY = 5000;

if (values.report) {
  console.log(write());
} else {
  mkdirSync(dirname(out), { recursive: true });
  writeFileSync(`${out}.plan.json`, `${JSON.stringify(planned(), null, 2)}\n`);
  const args = ['sweep', out, '--config', `${out}.plan.json`, '--no-synthesis'];
  for (const name of ['device', 'jobs', 'minutes'])
    if (values[name] !== undefined) args.push(`--${name}`, values[name]);
  const child = spawn(process.execPath, [join(import.meta.dirname, '../dist/cli/main.js'), ...args], {
    stdio: 'inherit',
  });
  for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => child.kill(signal));
  const timer = setInterval(write, EVERY);
  child.on('exit', (code) => {
    clearInterval(timer);
    console.log(`\n${write()}`);
    process.exit(code ?? 1);
  });
}
