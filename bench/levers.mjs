// What each part of the good training is worth (src/flow/settings/training.ts): the training as it is, and with one
// part after the other as published, on the digits: an exact multiplier of 3×3 bits, a truncation, and a structure of
// 8×8 bits trained to the usual target. Several seeds that share what they have in common; `tram sweep` does the runs,
// so that it goes on after a stop.
// Run after `npm run build`, some minutes on a laptop; options of `tram sweep` behind --:
//   node bench/levers.mjs OUT [--seeds 1,2,3] [--epochs 5] [--points exact,coarse,structure] [-- --OPTION VALUE …]

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { mistake, optionsOf } from './options.mjs';

// Words of its own; this answers --help.
optionsOf(import.meta.url, { allowPositionals: true, strict: false });
const words = process.argv.slice(2);
const end = words.indexOf('--');
const [own, passed] = end < 0 ? [words, []] : [words.slice(0, end), words.slice(end + 1)];
const option = (name, usual) => (own.includes(`--${name}`) ? own[own.indexOf(`--${name}`) + 1] : usual);
const [out] = own;
if (out === undefined || out.startsWith('--')) throw mistake('the first argument is the folder of the sweep');

const both = (section) => ({ explore: section, recover: section });
const published = { optimizer: 'sgd' };
const levers = {
  'as it is': {},
  'learned clip factors': { quantize: { quantizer: 'clips' } },
  'no teacher': both({ teacher: 'none' }),
  'teacher at temperature 4': both({ temperature: 4 }),
  'no start': both({ start: 'none' }),
  'published rates and schedule': both(published),
  'short last batches': both({ lastBatch: 'short' }),
};
const retraining = { ...levers, 'straight-through gradient': { recover: { gradient: 'straight-through' } } };
const exploring = {
  ...levers,
  'exploration at 0.005': { explore: { learningRate: 0.005 } },
  'recovery at 0.005': { recover: { learningRate: 0.005 } },
  'a θ per column, hard': { explore: { grain: 'column', columns: 15, power: 0.6 } },
};
const groups = {
  exact: { settings: { bits: { weights: 3, activations: 3 }, map: { multiplier: 'dadda:3x3' } }, levers: retraining },
  coarse: { settings: { map: { multiplier: 'truncated:8x8:columns=9' } }, levers: retraining },
  structure: { settings: {}, levers: exploring },
};
const chosen = option('points', Object.keys(groups).join(',')).split(',');
const seeds = option('seeds', '1,2,3').split(',').map(Number);
const epochs = Number(option('epochs', '5'));

const merged = (a, b) => {
  const all = { ...a };
  for (const [key, value] of Object.entries(b))
    all[key] =
      value !== null && typeof value === 'object' && !Array.isArray(value) ? merged(all[key] ?? {}, value) : value;
  return all;
};
const nameOf = (group, at) => `${group}-${at}`;
const trials = chosen.flatMap((group) =>
  Object.values(groups[group].levers).map((lever, at) => ({
    name: nameOf(group, at),
    settings: merged(merged(both({ epochs }), groups[group].settings), lever),
  })),
);
const plan = `${out}.plan.json`;
mkdirSync(dirname(plan), { recursive: true });
const settings = { train: { epochs: 12 } };
writeFileSync(plan, `${JSON.stringify({ settings, trials, over: { seed: seeds }, rivals: 'none' }, null, 2)}\n`);
const cli = join(import.meta.dirname, '../dist/cli/main.js');
const args = [cli, 'sweep', out, '--config', plan, '--no-synthesis', ...passed];
const { status } = spawnSync(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });

/** The stage of a trial, by its manifest; undefined where it is not done. */
function stageOf(name, seed, stage) {
  const folder = join(out, 'trials', seeds.length > 1 ? `${name}-seed${seed}` : name);
  try {
    const { phases } = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
    return Object.values(phases)
      .flatMap((phase) => phase.stages)
      .find((found) => found.stage === stage);
  } catch {
    return undefined;
  }
}
const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;
for (const group of chosen) {
  console.log(`\n| ${group} | ${seeds.map((seed) => `seed ${seed}`).join(' | ')} | mean | loss | gates |`);
  console.log(`|---|${'---|'.repeat(seeds.length + 3)}`);
  for (const [at, lever] of Object.keys(groups[group].levers).entries()) {
    const found = seeds.map((seed) => stageOf(nameOf(group, at), seed, 'recovered'));
    if (found.some((stage) => stage === undefined)) {
      console.log(`| ${lever} | open |`);
      continue;
    }
    const accuracies = found.map(({ accuracy }) => (100 * accuracy).toFixed(2));
    const [accuracy, loss, gates] = ['accuracy', 'loss', 'gateCost'].map((key) => mean(found.map((one) => one[key])));
    console.log(
      `| ${lever} | ${accuracies.join(' | ')} | ${(100 * accuracy).toFixed(2)} | ${loss.toFixed(4)} | ${gates.toFixed(3)} |`,
    );
  }
}
process.exit(status ?? 1);
