// Whether two builds of the program train the same networks, bit for bit: small runs of many settings with each, then
// every file of the run folders compared. For redrawing code whose results must not change; not part of the tests.
//   node scripts/same-bits.mjs DIST_A DIST_B [--device cuda] [--data cifar10:DIR] [--only NAME]…
// Checkpoints, θ, tables, netlists and epochs' figures must be equal; what says when and how fast is left out.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { mistake, optionsOf } from '../bench/options.mjs';

const { values: options, positionals } = optionsOf(import.meta.url, {
  allowPositionals: true,
  options: {
    device: { type: 'string', default: 'wasm' },
    data: { type: 'string' },
    only: { type: 'string', multiple: true },
  },
});
if (positionals.length !== 2) throw mistake('expected the dist folders of two builds');

const epochs = (float, quantised, explored, recovered) =>
  `--train-epochs ${float} --quantize-epochs ${quantised} ${explored === undefined ? '' : `--explore-epochs ${explored} `}--recover-epochs ${recovered}`;
/** With a given multiplier nothing is explored. */
const given = epochs(1, 0, undefined, 1);
const runs = {
  'the defaults, few epochs': epochs(2, 1, 2, 2),
  'w4a4, a structure per layer, per-tensor scales': `--bits 4 --structure per-layer --per-tensor ${epochs(1, 0, 1, 1)}`,
  'w5a7, large batches, as published': `--bits 5x7 --published ${epochs(1, 0, 1, 1)} --explore-batch-size 256`,
  'slopes of a table': `--multiplier dadda:8x8 --gradient difference ${given}`,
  'an error table by look-ups': `--emulation table ${epochs(1, 0, 1, 1)}`,
  'an exact layer, signed multiplier': `--exact-layers conv1,fc --multiplier baugh-wooley:8x8 ${given}`,
  'residual network of nine blocks': `--model resnet20 --train-batch-size 50 ${epochs(1, 0, 1, 1)}`,
};
if (options.device === 'cuda') {
  runs['an error table by factors'] = `--emulation lowrank ${epochs(1, 0, 1, 1)}`;
}

/** What says when, how fast, or which program: everything else must be equal. */
const PASSING =
  /seconds|milliseconds|elapsed|time|date|version|program|rate|started|finished|createdAt|sha256|digest|hash|source/i;
const figures = (value) => {
  if (Array.isArray(value)) return value.map(figures);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([key]) => !PASSING.test(key))
      .map(([key, inner]) => [key, figures(inner)]),
  );
};

const COMPARED = /\.(safetensors|json|jsonl|blif|v|npy|txt|csv)$/;
/** Hash of each file's meaning. */
function contents(folder) {
  const found = new Map();
  for (const name of readdirSync(folder, { recursive: true }).sort()) {
    if (!COMPARED.test(name) || /manifest\.json|summary|lock|report/.test(name)) continue;
    let data = readFileSync(join(folder, name));
    if (name.endsWith('.jsonl')) {
      data = data
        .toString()
        .trim()
        .split('\n')
        .map((line) => JSON.stringify(figures(JSON.parse(line))))
        .join('\n');
    }
    if (name.endsWith('.json')) data = JSON.stringify(figures(JSON.parse(data.toString())));
    found.set(name, createHash('sha256').update(data).digest('hex'));
  }
  return found;
}

const home = mkdtempSync(join(tmpdir(), 'same-bits-'));
let different = 0;
for (const [name, flags] of Object.entries(runs)) {
  if (options.only && !options.only.some((part) => name.includes(part))) continue;
  const [a, b] = positionals.map((dist, at) => {
    const folder = join(home, `${name.replaceAll(/\W+/g, '-')}-${at}`);
    const data = options.data === undefined ? [] : ['--data', options.data];
    const args = ['run', folder, ...flags.split(' '), ...data, '--device', options.device];
    const started = performance.now();
    execFileSync(process.execPath, [join(resolve(dist), 'cli/main.js'), ...args], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    return { files: contents(folder), seconds: (performance.now() - started) / 1000 };
  });
  const names = [...new Set([...a.files.keys(), ...b.files.keys()])];
  const unequal = names.filter((file) => a.files.get(file) !== b.files.get(file));
  const said = unequal.length === 0 ? `${names.length} files alike` : `DIFFERENT: ${unequal.join(', ')}`;
  console.log(`${name}: ${said} (${a.seconds.toFixed(1)} and ${b.seconds.toFixed(1)} s)`);
  different += unequal.length;
}
rmSync(home, { recursive: true });
process.exit(different > 0 ? 1 : 0);
