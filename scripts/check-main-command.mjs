// Runs the README's main command with few epochs in a fresh folder and checks what it leaves: accuracy, certificate,
// files, figures.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const parent = mkdtempSync(join(tmpdir(), 'tram-'));
const folder = join(parent, 'run');
const epochs = ['--train-epochs', '8', '--explore-epochs', '3', '--recover-epochs', '2'];
const output = execFileSync(process.execPath, ['dist/cli/main.js', 'run', '--out', folder, ...epochs, '--json'], {
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'inherit'],
});
const summary = JSON.parse(output);
const accuracy = Object.fromEntries(summary.stages.map((stage) => [stage.stage, stage.accuracy]));
assert.deepEqual(Object.keys(accuracy), [
  ...['float', 'quantized', 'approximated', 'exploration-started', 'explored', 'mapped', 'recovery-started'],
  'recovered',
]);
assert.ok(accuracy.float > 0.93, `float accuracy ${accuracy.float}`);
assert.ok(accuracy.recovered > accuracy.float - 0.03, `recovered ${accuracy.recovered}, float ${accuracy.float}`);
const stageOf = (name) => summary.stages.find((stage) => stage.stage === name);
const { power } = stageOf('explored');
assert.ok(power < 0.9, `analytic power ${power}`);
assert.equal(stageOf('explored').gateCost, undefined);
const { gateCost } = stageOf('recovered');
assert.ok(gateCost < 0.9, `gate cost ${gateCost}`);
assert.equal(stageOf('recovered').power, undefined);
assert.deepEqual(summary.multipliers[0].certificate.forms, ['netlist', 'blif', 'verilog', 'table']);
assert.equal(summary.multipliers[0].certificate.pairs, 65536);

const evaluated = JSON.parse(
  execFileSync(process.execPath, ['dist/cli/main.js', 'evaluate', folder, '--json'], { encoding: 'utf8' }),
);
assert.equal(evaluated.accuracy, accuracy.recovered);

const manifest = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8'));
assert.deepEqual(Object.keys(manifest.phases), ['train', 'quantize', 'explore', 'map', 'recover', 'report']);
for (const file of [
  'multiplier.v',
  'multiplier.blif',
  'multiplier.npy',
  'theta.json',
  'metrics.jsonl',
  'report.html',
]) {
  assert.ok(existsSync(join(folder, file)), `${file} is missing`);
}
for (const figure of ['curves', 'theta', 'multiplier-dots', 'multiplier-error-map']) {
  assert.match(readFileSync(join(folder, 'figures', `${figure}.svg`), 'utf8'), /<svg /);
}
rmSync(parent, { recursive: true });
console.log(
  `main command: float ${accuracy.float.toFixed(4)}, recovered ${accuracy.recovered.toFixed(4)} at power ${power.toFixed(3)}, gate cost ${gateCost.toFixed(3)}`,
);
