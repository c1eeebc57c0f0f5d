import { describe, expect, test } from 'vitest';
import type { RunEvent } from '../flow/events.ts';
import { PhaseMeter } from './meter.ts';
import { createProgress } from './progress.ts';
import { clockTime, grouped, percent, styleFor } from './style.ts';

type StepOf = Extract<RunEvent, { kind: 'step' }>;

const step = (epoch: number, at: number): StepOf => ({
  kind: 'step',
  phase: 'explore',
  epoch,
  epochs: 3,
  step: at,
  steps: 4,
  loss: 1.23456,
  accuracy: 0.5,
  power: 0.81234,
  images: 64,
});

const epochEvent: RunEvent = {
  kind: 'epoch',
  epochs: 3,
  record: {
    phase: 'explore',
    epoch: 1,
    loss: 1.5,
    crossEntropy: 1.25,
    trainAccuracy: 0.5,
    testLoss: 1,
    testAccuracy: 0.625,
    power: 0.75,
    learningRate: 5e-4,
  },
};

const story: readonly RunEvent[] = [
  { kind: 'phase-skip', phase: 'train', reason: 'done' },
  { kind: 'phase-start', phase: 'explore', title: 'explore θ and weights', resumed: true },
  { kind: 'note', text: 'approximation active' },
  ...[1, 2, 3, 4].map((at) => step(1, at)),
  epochEvent,
  { kind: 'phase-end', phase: 'explore', summary: 'explored 62.50 %' },
];

function recorder(properties: { isTTY?: boolean; columns?: number } = {}) {
  const texts: string[] = [];
  return { ...properties, texts, write: (text: string) => texts.push(text) };
}

const plain = styleFor({ write: () => true }, false);
const controls = /\p{Cc}/u;

describe('in a pipe', () => {
  test('a run is plain lines: one for each epoch, start, end, note and skip', () => {
    const stream = recorder();
    const progress = createProgress({ stream, style: plain, now: () => 0 });
    for (const event of story) progress.listener(event);
    progress.close();
    expect(stream.texts.join('').split('\n')).toEqual([
      'train: skipped (done)',
      'explore: explore θ and weights (resumed)',
      'note: approximation active',
      'explore: epoch 1/3: loss 1.5000, train 50.00 %, test 62.50 %, power 0.7500, learning rate 0.0005, 0.0 s',
      'explore: done in 0.0 s: explored 62.50 %',
      '',
    ]);
  });
});

describe('on a terminal', () => {
  test('a finished phase stays as one line and the terminal is given back', () => {
    const stream = recorder({ isTTY: true, columns: 100 });
    Object.assign(stream, { on: () => {}, removeListener: () => {} });
    const progress = createProgress({ stream, style: plain, now: () => 0 });
    for (const event of story) progress.listener(event);
    progress.close();
    const text = stream.texts.join('');
    expect(text).toContain('· train    done\n');
    expect(text).toContain('✓ explore  explored 62.50 %  0:00\n');
    expect(text.split('\u001b[?25l').length).toBe(text.split('\u001b[?25h').length);
    expect(text.lastIndexOf('\u001b[?25h')).toBeGreaterThan(text.lastIndexOf('\u001b[?25l'));
    expect(text.lastIndexOf('\u001b[?7h')).toBeGreaterThan(text.lastIndexOf('\u001b[?7l'));
  });
});

describe('the meter', () => {
  const meter = () => {
    const made = new PhaseMeter('explore', 'explore θ and weights', 0);
    for (let at = 1; at <= 3; at++) made.step(step(2, at), 1000 * at);
    return made;
  };

  test('counts images per second and time left from what this process did', () => {
    expect(meter().rate).toBeCloseTo(64);
    expect(meter().fraction).toBeCloseTo(7 / 12);
    expect(meter().remaining(3000)).toBeCloseTo(5000);
    expect(meter().line(200, 3000, plain)).toMatch(
      /^explore {2}━{14}─{10} {2}epoch 2\/3 {2}step 3\/4 {2}64 img\/s {2}loss 1\.235 {2}acc 50\.0 % {2}power 0\.812 {2}0:03 {2}0:05 left$/,
    );
  });

  test('never writes past the width of the terminal, however narrow, nor any control character', () => {
    const fresh = new PhaseMeter('quantize', 'quantise', 0);
    for (let width = 1; width <= 160; width++) {
      for (const shown of [meter(), fresh]) {
        const line = shown.line(width, 3000, plain);
        expect(line.length).toBeLessThanOrEqual(Math.max(1, width - 1));
        expect(line).not.toMatch(controls);
      }
    }
  });

  test('keeps the phase and the epoch when there is room for little', () => {
    expect(meter().line(22, 3000, plain)).toBe('explore  epoch 2/3');
  });
});

test('colours follow the stream, NO_COLOR, FORCE_COLOR and --no-color', () => {
  const terminal = { isTTY: true, write: () => true };
  const pipe = { write: () => true };
  expect(styleFor(terminal, true, { TERM: 'xterm' }).isColorSupported).toBe(true);
  expect(styleFor(terminal, true, { TERM: 'dumb' }).isColorSupported).toBe(false);
  expect(styleFor(terminal, true, { NO_COLOR: '1' }).isColorSupported).toBe(false);
  expect(styleFor(terminal, false, {}).isColorSupported).toBe(false);
  expect(styleFor(pipe, true, { CI: 'true' }).isColorSupported).toBe(false);
  expect(styleFor(pipe, true, { FORCE_COLOR: '1' }).isColorSupported).toBe(true);
});

test('numbers have one form on every screen', () => {
  expect([clockTime(7400), clockTime(754_000), clockTime(3_723_000)]).toEqual(['0:07', '12:34', '1:02:03']);
  expect([grouped(65536), grouped(999), grouped(1234567)]).toEqual(['65 536', '999', '1 234 567']);
  expect([percent(0.95123), percent(1, 0)]).toEqual(['95.12 %', '100 %']);
});
