// One network, executed in as many ways as there are here: the interpreter of integers, the engine's wasm sums, C,
// PyTorch, Icarus and Verilator, and the format's sentences; a table of how many integers were equal. Exit code 1 where
// one differs; what is not installed is named and left out.
// Without a run: a short one of the digits, and the same benches with one gate exchanged, which must be noticed.
//
//   node scripts/check-hardware.mjs [RUN] [--stage STAGE] [--data DATA] [--layers all|NAMES] [--images N]
//     [--simulated N] [--plain N] [--verilated N] [--without NAMES]      all integers of N images; N of them simulated
//   node scripts/check-hardware.mjs --fixtures all|NAMES [--layers all]  the small networks of test/integer/fixtures.ts
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { optionsOf } from '../bench/options.mjs';
import { checkBenches } from '../dist/export/testbench/check.js';
import { firstImages } from '../dist/flow/results/export-forms.js';
import { freezeRun } from '../dist/flow/results/frozen.js';
import { lower } from '../dist/integer/lower.js';
import { execute, Subject, tableOf } from './executions.mjs';

const { values, positionals } = optionsOf(import.meta.url, {
  allowPositionals: true,
  options: {
    layers: { type: 'string' },
    images: { type: 'string', default: '2' },
    simulated: { type: 'string', default: '1' },
    plain: { type: 'string', default: '1' },
    verilated: { type: 'string', default: '1' },
    without: { type: 'string', default: '' },
    fixtures: { type: 'string' },
    stage: { type: 'string' },
    data: { type: 'string' },
  },
});
const root = join(import.meta.dirname, '..');
const parent = mkdtempSync(join(tmpdir(), 'tram-hardware-'));
process.on('exit', () => rmSync(parent, { recursive: true, force: true }));

/**
 * A file of the tests as a module. What it imports of src/ is what was built of it: with two copies of a module,
 * objects that are compared by identity would be others.
 */
async function testModule(path) {
  const { transformWithOxc } = await import('vite');
  const { code } = await transformWithOxc(readFileSync(join(root, path), 'utf8'), path);
  const built = pathToFileURL(join(root, 'dist')).href;
  const file = join(parent, basename(path).replace(/ts$/, 'mjs'));
  writeFileSync(file, code.replaceAll(/(["'])\.\.\/\.\.\/src\/(.*)\.ts\1/g, `$1${built}/$2.js$1`));
  return import(pathToFileURL(file).href);
}

const LOOK = 'import importlib.util, sys; sys.exit(importlib.util.find_spec("torch") is None)';
const { TRAM_PYTHON } = process.env;
const python = [...(TRAM_PYTHON ? [TRAM_PYTHON] : []), 'python3', '/usr/bin/python3'].find(
  (program) => spawnSync(program, ['-c', LOOK]).status === 0,
);
const { plainTensors } = await testModule('test/integer/plain.ts');
const names = values.layers?.split(',');
const options = {
  layers: values.layers === 'all' ? 'all' : names,
  ...{ simulated: Number(values.simulated), plainly: Number(values.plain), verilated: Number(values.verilated) },
  ...{ optimise: false, plain: plainTensors, python },
};
const without = values.without.split(',');
let differences = 0;

/** Executes a network in all ways and prints the table. */
async function check(title, input) {
  const start = performance.now();
  const subject = new Subject(input, join(parent, title.replaceAll(/\W/g, '_')), options);
  const outcomes = await execute(subject, without);
  console.log(`\n${title}: ${subject.pixels.length} images\n\n${tableOf(subject, outcomes)}\n`);
  for (const [name, { skipped, note, seconds, differences: found = [] }] of outcomes) {
    if (!skipped) console.log(`${name}: ${seconds.toFixed(1)} s`);
    if (skipped) console.log(`${name}: skipped, ${skipped}`);
    if (note) console.log(`${name}: ${note}`);
    for (const { text } of found) console.log(`${name}: DIFFERENCE ${text}`);
    differences += found.length;
  }
  const compared = [...outcomes.values()].filter(({ skipped }) => !skipped);
  const total = compared.reduce((sum, one) => sum + one.total, 0);
  console.log(
    `${title}: ${total} integers compared in ${compared.length} executions, ${((performance.now() - start) / 1000).toFixed(1)} s`,
  );
  return { subject, outcomes };
}

if (values.fixtures !== undefined) {
  const { fixture, fixtureNames } = await testModule('test/integer/fixtures.ts');
  for (const name of values.fixtures === 'all' ? fixtureNames : values.fixtures.split(',')) {
    const { frozen, images } = await fixture(name);
    const size = images.pixels.length / images.count;
    const count = Math.min(Number(values.images), images.count);
    const some = { count, pixels: images.pixels.subarray(0, count * size), labels: images.labels.subarray(0, count) };
    await check(name, { frozen, network: lower(frozen), images: some });
  }
} else {
  const [given] = positionals;
  const run = given ?? join(parent, 'run');
  if (!given) {
    const short = ['--train-epochs', '2', '--explore-epochs', '2', '--recover-epochs', '1', '--quiet'];
    const program = join(root, 'dist/cli/main.js');
    execFileSync(process.execPath, [program, 'run', '--out', run, ...short], {
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  }
  const { stage, data } = values;
  const { frozen, dataset } = await freezeRun(run, { ...(stage && { stage }), ...(data && { data }) });
  const images = await firstImages(dataset.test, Number(values.images));
  const checked = await check(given ?? 'digits', { frozen, network: lower(frozen), images });
  if (!given) await breakGate(checked);
}
if (differences > 0) process.exitCode = 1;

/** The benches of the short run with a partial product that is another: multiplier and layers must say so. */
async function breakGate({ subject, outcomes }) {
  if (outcomes.get('Icarus').skipped) return;
  const folder = join(subject.folder, 'icarus-benches');
  const file = join(folder, 'rtl', 'multiplier.v');
  const text = readFileSync(file, 'utf8');
  const broken = text.replace(/= (w\[7\]) & (x\[7\]);/, '= $1 | $2;');
  assert.notEqual(broken, text, 'no partial product to break');
  writeFileSync(file, broken);
  const found = await checkBenches(folder);
  assert.ok(found.length >= 3 && found.every(({ equal }) => !equal), 'a broken gate was not noticed');
  for (const { lines } of found.filter(({ kind }) => kind === 'layer')) {
    assert.match(lines[0], /^DIFFERENCE .*position \(\d+, \d+\), channel \d+: expected -?\d+, found -?\d+/);
    assert.ok(
      lines.some((line) => line.startsWith('WRONG')),
      'no operands of a wrong product',
    );
  }
  console.log('a broken gate was noticed by the multiplier and both layers');
}
