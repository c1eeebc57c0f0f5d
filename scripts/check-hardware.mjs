// A short digits run into hardware: two layers of the real network simulated by Icarus Verilog, equal to the integers
// of the interpreter, and the same benches with one gate exchanged, which must be noticed. Skipped, saying so, where
// iverilog is not installed.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { checkBenches } from '../dist/export/testbench/check.js';

if (spawnSync('iverilog', ['-V']).error) {
  console.log('hardware: iverilog is not installed, nothing is simulated');
  process.exit(0);
}
const parent = mkdtempSync(join(tmpdir(), 'tram-hardware-'));
const tram = (...words) =>
  execFileSync(process.execPath, ['dist/cli/main.js', ...words], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });
const run = process.argv[2] ?? join(parent, 'run');
if (!process.argv[2]) {
  tram('run', '--out', run, '--train-epochs', '2', '--explore-epochs', '2', '--recover-epochs', '1', '--quiet');
}
const out = join(parent, 'export');
const { checks } = JSON.parse(tram('export', run, '--to', 'testbench', '--check', '--out', out, '--json'));
const layers = checks.filter(({ kind }) => kind === 'layer');
assert.equal(layers.length, 2);
assert.deepEqual(
  checks.filter(({ equal }) => !equal),
  [],
);

const folder = join(out, 'testbench');
const file = join(folder, 'rtl', 'multiplier.v');
const text = readFileSync(file, 'utf8');
const broken = text.replace(/= (w\[7\]) & (x\[7\]);/, '= $1 | $2;');
assert.notEqual(broken, text, 'no partial product to break');
writeFileSync(file, broken);
const outcomes = await checkBenches(folder);
assert.ok(
  outcomes.every(({ equal }) => !equal),
  'a broken gate was not noticed',
);
for (const { lines } of outcomes.filter(({ kind }) => kind === 'layer')) {
  assert.match(lines[0], /^DIFFERENCE .*position \(\d+, \d+\), channel \d+: expected -?\d+, found -?\d+/);
  assert.ok(
    lines.some((line) => line.startsWith('WRONG')),
    'no operands of a wrong product',
  );
}
rmSync(parent, { recursive: true });
const outputs = layers.reduce((sum, { values }) => sum + values, 0);
console.log(
  `hardware: ${layers.map(({ title }) => title).join(' and ')} equal, ${outputs} outputs; a broken gate noticed`,
);
