// The main job in full, as the README has it: `tram run` and nothing else. What pages tell of it, and the pictures of
// it, are those of this very run: its arithmetic is that of WebAssembly, the same everywhere and on any number of
// threads. Where a change lets it end elsewhere, the pages named here are renewed, also with their seeds 2 and 3, and
// the pictures as scripts/terminal-picture.mjs and scripts/page-pictures.mjs say.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { RunSummary } from '../src/flow/results/summary.ts';
import { stageTitles } from '../src/flow/run/stages.ts';
import { describeC } from './c-compiler.ts';
import { tram } from './cli/program.ts';
import { root } from './documented.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-main-'));
const run = join(folder, 'digits-resnet8-seed1');
const exported = join(folder, 'digits');
afterAll(() => rmSync(folder, { recursive: true }));

const page = (name: string) => readFileSync(join(root, name), 'utf8');
/** A page has this text, wherever its lines end. */
const shows = (name: string, text: string | RegExp) => {
  const whole = page(name).replaceAll(/\s+/g, ' ');
  const found = typeof text === 'string' ? whole.includes(text) : text.test(whole);
  expect(found ? text : `${name} does not have it`).toBe(text);
};

let summary: RunSummary;
const stage = (name: string) => summary.stages.find((one) => one.stage === name)!;
const percent = (share: number) => (100 * share).toFixed(2);

/** Runs a command and gives what it prints. */
async function print(...args: string[]): Promise<string> {
  const { code, out, err } = await tram(...args);
  expect({ code, err }).toEqual({ code: 0, err: '' });
  return out;
}

beforeAll(async () => {
  summary = JSON.parse(await print('run', run, '--quiet', '--json')) as RunSummary;
});

test('accuracies, power and gate cost in the README and in the page about training', () => {
  const accuracy = percent(stage('recovered').accuracy);
  const gates = stage('recovered').gateCost!.toFixed(3);
  const [power, quantized] = [stage('explored').power!.toFixed(3), percent(stage('quantized').accuracy)];
  shows('README.md', `(gate cost ${gates}, `);
  shows('README.md', `modelled power ${power}, `);
  shows(
    'README.md',
    new RegExp(`within chance: ${accuracy}, .{20,40} where the quantised networks have ${quantized}, `),
  );
  shows(
    'docs/training.md',
    new RegExp(`end at ${accuracy}, .{10,20} \\(quantised ${quantized}, .{10,20}\\) with gate costs of ${gates}, `),
  );
});

test('pictures of the multiplier and of its θ', () => {
  for (const [name, figure] of [
    ['dots', 'multiplier-dots'],
    ['theta', 'theta'],
  ] as const) {
    expect(page(`docs/images/${name}.svg`) === readFileSync(join(run, `figures/${figure}.svg`), 'utf8')).toBe(true);
  }
});

test('every stage that it prints, in the page that says how to read it', () => {
  const rows = Array.from(page('docs/reading-a-report.md').matchAll(/^\| ([^|]+?) \|/gm), ([, title]) => title);
  const titles = summary.stages.map((one) => stageTitles[one.stage]);
  expect(rows.filter((row) => titles.includes(row!))).toEqual(titles);
});

test('its integers: the row of the default width, and that all predictions are the same', async () => {
  const integers = JSON.parse(await print('evaluate', run, '--integer', '--json'));
  const most = Math.max(...integers.layers.map(({ codesThatDiffer }: { codesThatDiffer: number }) => codesThatDiffer));
  expect(integers.agreement).toBe(1);
  shows(
    'docs/integer-network.md',
    `| 28 | ${percent(integers.accuracy)} % | 100.00 % | ${integers.largestLogitDifference.toFixed(3)} | ${percent(most)} % |`,
  );
});

test('its array in the built-in gates, by the quick synthesis', async () => {
  await print('export', run, '--to', 'rtl', '--array', '4x4', '--effort', 'quick', '--out', exported);
  const report = readFileSync(join(exported, 'rtl/report.md'), 'utf8');
  const cells = /^\| array 4×4, 876 flip-flops \|(.*)\|$/m
    .exec(report)![1]!
    .split('|')
    .map((cell) => cell.trim());
  const [area, exactArea, areaSaved, , , , power, exactPower, powerSaved] = cells;
  const [quantized, recovered] = [percent(stage('quantized').accuracy), percent(stage('recovered').accuracy)];
  shows('docs/hardware.md', `| exact 8×8 | 42 | ${exactArea} | – | ${exactPower} | – | ${quantized} % |`);
  shows(
    'docs/hardware.md',
    `| approximate 8×8 | 42 | ${area} | ${areaSaved} | ${power} | ${powerSaved} | ${recovered} % |`,
  );
  const fewer = Math.round(100 * (1 - stage('recovered').gateCost!));
  shows('docs/hardware.md', `its multiplier has ${fewer} % fewer gates than the cheapest exact one`);
});

describeC('its C', () => {
  test('says what the page shows', async () => {
    await print('export', run, '--to', 'c', '--out', exported);
    const said = execFileSync('make', ['CFLAGS=-O1'], { cwd: join(exported, 'c'), encoding: 'utf8' })
      .trim()
      .split('\n');
    shows('docs/c-export.md', `\`make\` prints \`${said.at(-1)}\``);
  });
});
