// Where approximate multipliers pay: ResNet18 on CIFAR-10 from a checkpoint, structures with a θ per partial product of
// several widths, partial products merged by OR, and the upper bits of eight-bit operands, beside exact multipliers of
// fewer bits with the same training, truncations, a library multiplier, a θ per column and the published settings;
// several seeds, power in ASAP7 cells relative to the exact 8×8 array.
// It makes a plan, has `tram sweep` do it (so that it goes on after a stop, and several may work on it), and prints for
// each limit of power the best rival and the best structure below it.
// Run after `npm run build`; options of `tram run` behind -- hold for all but the published settings:
//   node bench/front.mjs OUT --data cifar10:DIR --checkpoint FILE [--device cuda:0,cuda:1] [--jobs 2] [--minutes 15]
//       [--model resnet18] [--seeds 1,2,3] [--epochs 10] [--batch 256] [--points exact,product-8x8] [--list]
//       [--multiplier mul8u_17KS.v,mul8u_12N4.v] [--liberty A.lib.gz,B.lib.gz] [--report] [--no-synthesis]
//       [-- --OPTION VALUE …]

import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fields, readFields } from '../dist/flow/settings/fields.js';
import { front } from '../dist/report/front.js';
import { optionsOf } from './options.mjs';

// Words of its own; this answers --help.
optionsOf(import.meta.url, { allowPositionals: true, strict: false });
const exact = ['8x8', '6x6', '5x5', '4x5', '4x4', '3x5', '3x4', '3x3', '2x5', '2x4', '2x3', '2x2'];
/** Weights of two bits, their partial products merged by OR in so many columns. */
const merged = ['2x3:4', '2x4:5', '2x5:6', '2x6:7', '2x5:3', '2x6:4'];
/** Upper bits that are read of operands of eight. */
const upper = ['4x5', '4x4', '3x4'];
/** Widths, and targets of power, as the model fitted to ASAP7 has it, somewhat below the limits of the table. */
const products = {
  '8x8': [0.31, 0.2],
  '5x5': [0.2],
  '4x5': [0.19, 0.15],
  '3x4': [0.1, 0.075],
  '2x4': [0.055],
};

const words = process.argv.slice(2);
const end = words.indexOf('--');
const own = end < 0 ? words : words.slice(0, end);
const passed = end < 0 ? [] : words.slice(end + 1);
const fail = (text) => {
  console.error(`bench: ${text}`);
  process.exit(2);
};
const option = (name, usual) => {
  const at = own.indexOf(`--${name}`);
  return at < 0 ? usual : (own[at + 1] ?? fail(`--${name} needs a value`));
};
const [out] = own;
if (out === undefined || out.startsWith('--')) fail('the first argument is the folder of the sweep');

/** Options of `tram run` behind `--`, as settings. */
function settingsOf(options) {
  const texts = {};
  const known = new Map(fields().map((field) => [field.name, field]));
  for (let at = 0; at < options.length; at++) {
    const name = options[at].replace(/^--/, '');
    const field = known.get(name) ?? fail(`${options[at]} is no option of tram run`);
    texts[name] = field.value === undefined ? options[++at] : 'true';
  }
  const { settings, problems } = readFields(texts);
  for (const problem of Object.values(problems)) fail(problem);
  return settings;
}

const epochs = Number(option('epochs', '10'));
const batchSize = Number(option('batch', '256'));
const training = { epochs, batchSize };
const good = settingsOf(passed);
const recipe = { ...good, explore: { ...training, ...good.explore }, recover: { ...training, ...good.recover } };
const given = option('multiplier', '').split(',').filter(Boolean);
/** Stored weights and the product of the zero point as they suit a truncation. */
const suited = { 'map-weight-codes': 'best', 'zero-product': 'own' };
/** Where the multiplier is given nothing is explored, and settings of that would be refused. */
const { explore: _, ...retraining } = recipe;
const trial = (name, options, settings = options.multiplier ? retraining : recipe) => ({ name, options, settings });
const all = [
  ...exact.map((bits) => trial(`exact-${bits}`, { bits, multiplier: 'exact' })),
  ...Object.entries(products).flatMap(([bits, targets]) =>
    targets.map((power) =>
      trial(`product-${bits}-${power}`, { bits, 'structure-grain': 'product', 'power-model': 'asap7', power }),
    ),
  ),
  ...merged.map((of) => {
    const [bits, columns] = of.split(':');
    const multiplier = `lower-part-or:${bits}:columns=${columns}`;
    return trial(`merged-${bits}-${columns}`, { bits, 'weight-zero': 'below', multiplier });
  }),
  ...upper.map((read) => {
    const [weights, activations] = read.split('x');
    const multiplier = `upper:8x8:weights=${weights},activations=${activations}`;
    return trial(`upper-${read}`, { multiplier, ...suited });
  }),
  ...[6, 8, 9].flatMap((columns) => {
    const multiplier = `truncated:8x8:columns=${columns}`;
    return [
      trial(`truncated-${columns}`, { multiplier }),
      trial(`truncated-${columns}-own`, { multiplier, ...suited }),
    ];
  }),
  ...given.map((multiplier) => trial(`given-${basename(multiplier).replace(/\..*$/, '')}`, { multiplier })),
  ...[0.3, 3].map((lambda) => trial(`column-${lambda}`, { 'structure-grain': 'column', lambda })),
  trial('published-0.3', { lambda: 0.3 }, { recipe: 'paper-cifar10', explore: { epochs }, recover: { epochs } }),
];
const wanted = option('points', '').split(',').filter(Boolean);
const chosen = all.filter(({ name }) => wanted.length === 0 || wanted.some((part) => name.startsWith(part)));
if (chosen.length === 0)
  fail(`no point begins with ${wanted.join(' or ')}: there are ${all.map(({ name }) => name).join(', ')}`);
if (own.includes('--list')) {
  for (const { name, options } of chosen) console.log(name, JSON.stringify(options));
  process.exit(0);
}

const asap7 = join(import.meta.dirname, '..', '..', 'shared', 'data', 'asap7');
const cells = ['SIMPLE_RVT_TT_nldm_211120', 'INVBUF_RVT_TT_nldm_220122'].map((name) =>
  join(asap7, `asap7sc7p5t_${name}.lib.gz`),
);
const liberty = option('liberty')?.split(',') ?? (cells.every(existsSync) ? cells : []);
if (liberty.length === 0)
  console.error('bench: no ASAP7 libraries beside the project: power in the built-in unit gates');

const args = ['sweep', out, ...(liberty.length > 0 ? ['--library', ...liberty] : [])];
if (own.includes('--no-synthesis')) args.splice(2, args.length, '--no-synthesis');
if (own.includes('--report')) args.push('--report');
else {
  const plan = `${out}.plan.json`;
  const settings = {
    data: option('data') ?? fail('--data is missing'),
    model: option('model', 'resnet18'),
    train: { ...(option('checkpoint') === undefined ? training : { checkpoint: option('checkpoint') }) },
    ...(good.quantize?.epochs ? { quantize: { batchSize } } : {}),
  };
  const seed = option('seeds', '1,2,3').split(',').map(Number);
  mkdirSync(join(out, '..'), { recursive: true });
  writeFileSync(plan, `${JSON.stringify({ settings, trials: chosen, over: { seed } }, null, 2)}\n`);
  args.push('--config', plan);
  for (const name of ['device', 'jobs', 'minutes'])
    if (option(name) !== undefined) args.push(`--${name}`, option(name));
}
const start = performance.now();
const { status } = spawnSync(process.execPath, [join(import.meta.dirname, '../dist/cli/main.js'), ...args], {
  stdio: 'inherit',
});
if (!existsSync(join(out, 'front.json'))) process.exit(status ?? 1);
const report = JSON.parse(readFileSync(join(out, 'front.json'), 'utf8'));
console.log(
  `\n${((performance.now() - start) / 60_000).toFixed(1)} minutes; power: ${report.kind}, ${report.library ?? 'unit gates'}`,
);

/** Synthesised power is a little more or less than a limit that an exact multiplier sets. */
const SLACK = 1.03;
const points = report.points
  .filter(({ power }) => power[report.kind])
  .map((point) => ({ ...point, kind: report.kind, sort: point.kind, power: point.power[report.kind].mean }));
const told = (point) => {
  if (!point) return '–';
  const { mean, spread, n } = point.accuracy;
  return `${point.name} ${(100 * mean).toFixed(2)}${n > 1 ? ` ± ${(100 * spread).toFixed(2)}` : ''} at ${point.power.toFixed(3)}`;
};
const best = (from) => from.toSorted((a, b) => b.accuracy.mean - a.accuracy.mean || a.power - b.power)[0];
const isEight = ({ weightBits, activationBits }) => weightBits === 8 && activationBits === 8;
const isOurs = ({ name }) => /^(product|merged|upper)-|-own$/.test(name);
const rows = [
  { limit: 0.22, bar: 89.5, of: () => true },
  { limit: 0.11, bar: 89.4, of: () => true },
  ...[0.08, 0.06, 0.05, 0.04, 0.03].map((limit) => ({ limit, bar: undefined, of: () => true })),
  { limit: 0.33, bar: 89.4, of: isEight, title: 'w8a8' },
  { limit: 0.22, bar: 89.0, of: isEight, title: 'w8a8' },
];
console.log('\n| power ≤ | best rival | best structure | difference | bar |\n|---|---|---|---|---|');
for (const { limit, bar, of, title } of rows) {
  const below = points.filter((point) => of(point) && point.power <= limit * SLACK);
  const [rival, ours] = [best(below.filter((point) => !isOurs(point))), best(below.filter(isOurs))];
  const difference = rival && ours ? (100 * (ours.accuracy.mean - rival.accuracy.mean)).toFixed(2) : '–';
  const goal = bar ?? (rival ? 100 * rival.accuracy.mean + 0.3 : Number.NaN);
  const reached = ours
    ? 100 * ours.accuracy.mean >= goal
      ? 'reached'
      : `missed by ${(goal - 100 * ours.accuracy.mean).toFixed(2)}`
    : 'open';
  const sought = Number.isNaN(goal) ? 'no rival' : `${goal.toFixed(2)}: ${reached}`;
  console.log(`| ${title ? `${title}, ` : ''}${limit} | ${told(rival)} | ${told(ours)} | ${difference} | ${sought} |`);
}
const placed = points.map((point) => ({ ...point, accuracy: point.accuracy.mean, name: point.name }));
console.log(
  `\nfront: ${front(placed)
    .map(({ name, power, accuracy }) => `${name} (${power.toFixed(3)}, ${(100 * accuracy).toFixed(2)})`)
    .join('; ')}`,
);
process.exit(status ?? 1);
