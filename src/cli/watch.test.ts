import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { stripVTControlCharacters } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { tram } from '../../test/cli/program.ts';
import { runFlow } from '../flow/flow.ts';
import type { MetricRecord } from '../flow/run/events.ts';
import { readMetrics } from '../flow/run/metrics.ts';
import type { RunRow } from '../serve/api.ts';
import { chart, sparkline, strip } from './chart.ts';
import { guarded, styleFor } from './style.ts';
import { watch } from './watch.ts';
import { runView, sweepView } from './watch-view.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-watch-'));
afterAll(() => rmSync(parent, { recursive: true }));
const plain = styleFor({ write: () => {} }, false);

test('a chart puts each point on its dot: a rising line is a diagonal, a flat one the middle', () => {
  const points = [0, 1, 2, 3].map((x) => ({ x, y: x }));
  // Two cells of 2×4 dots over four points: one dot a column, one line each.
  expect(chart([{ points }], { width: 2, height: 1 }, 0, 3)).toEqual({ rows: ['⡠⠊'], least: 0, most: 3 });
  expect(chart([{ points: points.map(({ x }) => ({ x, y: 5 })) }], { width: 2, height: 1 }, 0, 3)!.rows).toEqual([
    '⠤⠤',
  ]);
  const gap = [
    { x: 0, y: 0 },
    { x: 1, y: undefined },
    { x: 2, y: undefined },
    { x: 3, y: 3 },
  ];
  expect(chart([{ points: gap }], { width: 2, height: 1 }, 0, 3)!.rows).toEqual(['⡀⠈']);
  expect(chart([{ points: [] }], { width: 2, height: 1 }, 0, 3)).toBeUndefined();
});

test('strips and sparklines end with the last value, on as many cells as there are', () => {
  expect(strip([0, 0.25, 0.5, 0.75, 1], 5)).toBe('·░▒▓█');
  expect(strip([0, 1], 6)).toBe('···███');
  expect(strip([0, 0, 0, 0, 0, 1], 2)).toBe('·█');
  expect(sparkline([1, 2, 3, 8], 4)).toBe('▁▂▃█');
});

const row: RunRow = {
  ...{ name: 'trials/a', state: 'running', data: 'digits', model: 'resnet8', created: '', changed: '' },
  ...{ settings: {}, stages: [], donePhases: ['train'], progress: { phase: 'explore', epoch: 40, epochs: 50 } },
};
const records = Array.from({ length: 60 }, (_, at): MetricRecord => {
  const phase = at < 20 ? 'train' : 'explore';
  const theta = { theta: Array.from({ length: 64 }, (_, k) => (k < 32 ? 1 : 0)) };
  return {
    ...{ phase, epoch: at < 20 ? at + 1 : at - 19, loss: 1 / (at + 1), crossEntropy: 1 / (at + 1), learningRate: 0.1 },
    ...{ trainAccuracy: at / 60, testLoss: 2 / (at + 1), testAccuracy: at / 60 },
    ...(phase === 'explore' ? { power: 0.9 - at / 100, theta } : {}),
  };
});

test.each([40, 80, 200])('the view of a run fits into %i columns, with θ of many products in groups', (columns) => {
  const lines = runView(row, 'a', records, columns, plain);
  for (const line of lines.slice(0, -1)) expect(line.length, line).toBeLessThan(Math.max(columns, 75));
  expect(lines[0]).toBe('a  at work: explore epoch 40/50');
  expect(lines.filter((line) => /θ \d+–\d+ +│█+│$/.test(line)).length).toBe(8);
  expect(lines.filter((line) => /θ \d+–\d+ +│·+│$/.test(line)).length).toBe(8);
  expect(lines.at(-1)).toMatch(/^explore: epoch 40\/50: loss 0\.\d+, train .* %, test .* %, power 0\.\d+$/);
});

test('the view of a sweep has those at work first', () => {
  const done = { ...row, name: 'trials/b', state: 'done' as const, changed: '2' };
  const lines = sweepView(
    { name: '.', created: '', trials: 9, done: 1, failed: 0 },
    'mine',
    [
      { row: done, records },
      { row, records },
    ],
    5,
    100,
    plain,
  );
  expect(lines[0]).toBe('mine  1/9 trials, 1 at work');
  expect(lines[2]).toContain('trials/a');
  expect(lines[3]).toMatch(/trials\/b +done +98\.33 %/);
});

const settings = {
  bits: { weights: 4, activations: 4 },
  sample: 100,
  ...{ train: { epochs: 2 }, explore: { epochs: 2 } },
};
const folder = join(parent, 'run');
const piped: string[] = [];
let pipeEnded = false;
const written: string[] = [];

beforeAll(async () => {
  const terminal = guarded({ isTTY: true, columns: 90, write: (text: string) => void written.push(text) });
  const following = { folder, wait: true, once: false, signal: new AbortController().signal, frame: 20, idle: 60_000 };
  const watched = [
    watch({ ...following, stream: { write: (text: string) => void piped.push(text) }, style: plain }),
    watch({ ...following, stream: terminal, style: styleFor(terminal, true, {}) }),
  ];
  while (piped.length === 0 || written.length === 0) await setTimeout(5);
  await runFlow({ folder, settings });
  await Promise.all(watched);
  pipeEnded = true;
});

test('a pipe gets a line for each epoch while another trains, and ends with the run', () => {
  expect(pipeEnded).toBe(true);
  const epochs = readMetrics(folder);
  expect(epochs.length).toBeGreaterThan(4);
  const lines = piped.join('').trim().split('\n');
  expect(lines[0]).toBe(`waiting for a run in ${folder}`);
  const told = lines.filter((line) => / epoch \d+/.test(line) && line.includes('loss'));
  expect(told.map((line) => /^(\w+): epoch (\d+)/.exec(line)!.slice(1).join(' '))).toEqual(
    epochs.map(({ phase, epoch }) => `${phase} ${epoch}`),
  );
  expect(lines.at(-1)).toBe('done');
});

test('a terminal is drawn over, from exactly as many lines further up as stood there', () => {
  const frames = written.filter((text) => text.includes('┤'));
  expect(frames.length).toBeGreaterThan(1);
  const drawn = written.slice(1);
  drawn.forEach((text, at) => {
    const [start, end] = ['\u001b[', 'A\r\u001b[J'];
    const up = text.startsWith(start) && text.endsWith(end) ? text.slice(start.length, -end.length) : undefined;
    if (up !== undefined) expect(Number(up)).toBe(drawn[at - 1]!.split('\n').length - 1);
  });
  for (const line of frames.flatMap((text) => stripVTControlCharacters(text).split('\n'))) {
    expect(line.length).toBeLessThan(90);
  }
});

test('--once shows what is there; Ctrl-C ends it at once; a folder without runs is a mistake', async () => {
  const { code, out } = await tram('watch', folder, '--once');
  expect([code, out.trim().split('\n').length]).toEqual([0, readMetrics(folder).length + 1]);
  const controller = new AbortController();
  const wait = { folder: join(parent, 'none'), stream: { write: () => {} }, style: plain, wait: true, once: false };
  const ended = watch({ ...wait, signal: controller.signal });
  controller.abort();
  await ended;
  expect((await tram('watch', parent, '--once')).code).toBe(0);
  const { code: missing, err } = await tram('watch', join(parent, 'none'));
  expect([missing, err]).toEqual([2, expect.stringContaining('there is no run and no sweep')]);
});
