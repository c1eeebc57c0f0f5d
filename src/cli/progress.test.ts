import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import type { RunEvent } from '../flow/run/events.ts';
import { PhaseMeter } from './meter.ts';
import { createProgress } from './progress.ts';
import { clockTime, fixed, grouped, percent, reflowed, significant, styleFor } from './style.ts';

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

describe('in a pipe, with time', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test('a line comes at least once a minute, with epoch, step, rate and time left, and none after the end', () => {
    const stream = recorder();
    const progress = createProgress({ stream, style: plain });
    progress.listener({ kind: 'phase-start', phase: 'explore', title: 'explore θ and weights', resumed: false });
    for (let at = 1; at <= 4; at++) {
      vi.advanceTimersByTime(25_000);
      progress.listener({ ...step(1, at), steps: 40 });
    }
    vi.advanceTimersByTime(150_000);
    progress.listener({ kind: 'phase-end', phase: 'explore', summary: '' });
    vi.advanceTimersByTime(600_000);
    progress.close();
    expect(stream.texts.join('').split('\n')).toEqual([
      'explore: explore θ and weights',
      'explore: epoch 1/3, step 2/40, 3 img/s, loss 1.235, acc 50.0 %, power 0.812, 1:00, 49:10 left',
      ...['2:00', '3:00', '4:00'].map(
        (time) => `explore: epoch 1/3, step 4/40, 3 img/s, loss 1.235, acc 50.0 %, power 0.812, ${time}, 48:20 left`,
      ),
      'explore: done in 250.0 s',
      '',
    ]);
  });

  test('a phase that measures says how much of it is known, the rate, and the time left by what it did itself', () => {
    const stream = recorder();
    const progress = createProgress({ stream, style: plain });
    progress.listener({ kind: 'phase-start', phase: 'harms', title: 'measure', resumed: false });
    for (const done of [40, 50, 60]) {
      progress.listener({ kind: 'measured', phase: 'harms', done, of: 126 });
      vi.advanceTimersByTime(20_000);
    }
    progress.close();
    expect(stream.texts.at(-1)).toBe('harms: 60/126 measured, 0.5/s, 1:00, 2:12 left\n');
  });

  test('a phase without steps says how long it has been at work, unless something was told within the minute', () => {
    const stream = recorder();
    const progress = createProgress({ stream, style: plain });
    progress.listener({ kind: 'phase-start', phase: 'map', title: 'map θ to a multiplier', resumed: false });
    vi.advanceTimersByTime(50_000);
    progress.listener({ kind: 'note', text: 'counted' });
    vi.advanceTimersByTime(59_000);
    expect(stream.texts).toHaveLength(2);
    vi.advanceTimersByTime(1000);
    expect(stream.texts.at(-1)).toBe('map: at work for 1:50\n');
    progress.close();
    vi.advanceTimersByTime(600_000);
    expect(stream.texts).toHaveLength(3);
  });
});

describe('on a terminal', () => {
  test('notes and what a phase came to are broken at blanks where the terminal ends, under their own column', () => {
    const stream = recorder({ isTTY: true, columns: 60 });
    Object.assign(stream, { on: () => {}, removeListener: () => {} });
    const progress = createProgress({ stream, style: plain, now: () => 0 });
    const summary = 'approximated 97.50 % at power 0.9015, explored 94.72 % at power 0.5653';
    progress.listener({ kind: 'phase-start', phase: 'explore', title: 'explore', resumed: false });
    const note = 'teacher: the float network, weight 0.9, temperature 2, and so on';
    progress.listener({ kind: 'note', text: note });
    progress.listener({ kind: 'phase-end', phase: 'explore', summary });
    progress.close();
    expect(stream.texts.join('')).toContain('  teacher: the float network, weight 0.9, temperature 2,\n  and so on\n');
    expect(stream.texts.join('')).toContain(
      '✓ explore  approximated 97.50 % at power 0.9015, explored\n           94.72 % at power 0.5653  0:00\n',
    );
  });

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
      /^explore {2}━{14}─{10} {2}epoch 2\/3 {2}step 3\/4 {2} {3}64 img\/s {2}loss {2}1\.235 {2}acc {2}50\.0 % {2}power 0\.812 {3}0:03 {3}0:05 left$/,
    );
  });

  test('never writes past the width of the terminal, however narrow, nor any control character', () => {
    const fresh = new PhaseMeter('quantize', 'quantise', 0);
    const measuring = new PhaseMeter('harms', 'measure', 0);
    for (const done of [3, 9]) measuring.measure({ kind: 'measured', phase: 'harms', done, of: 742 }, 1000 * done);
    for (let width = 1; width <= 160; width++) {
      for (const shown of [meter(), fresh, measuring]) {
        const line = shown.line(width, 3000, plain);
        expect(line.length).toBeLessThanOrEqual(Math.max(1, width - 1));
        expect(line).not.toMatch(controls);
      }
    }
  });

  test('draws a bar that keeps its width while the numbers change', () => {
    const made = new PhaseMeter('explore', 'explore θ and weights', 0);
    const event = (at: number, images: number): StepOf => ({
      ...{
        kind: 'step',
        phase: 'explore',
        epochs: 12,
        steps: 200,
        epoch: 1 + Math.floor(at / 200),
        step: 1 + (at % 200),
      },
      ...{ loss: 12 / (1 + at / 50), accuracy: Math.min(1, at / 2000), power: 0.9 - at / 10_000, images },
    });
    for (let at = 0; at < 3; at++) made.step(event(at, 64), 700 * at);
    const lengths = new Map<number, Set<number>>();
    for (let at = 3; at < 2400; at++) {
      const time = 700 * at;
      made.step(event(at, 64 + (at % 7) * 100), time);
      for (const width of [80, 100, 120, 160]) {
        const bar = /[━─]+/.exec(made.line(width, time, plain))?.[0].length ?? 0;
        lengths.set(width, (lengths.get(width) ?? new Set()).add(bar));
      }
    }
    expect([...lengths].map(([width, seen]) => [width, seen.size])).toEqual(
      [80, 100, 120, 160].map((width) => [width, 1]),
    );
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
  expect([percent(0.95123), percent(1, 0), percent(-0.5, 1)]).toEqual(['95.12 %', '100 %', '−50.0 %']);
  expect([significant(-391.7456), significant(12345), significant(1e-9), significant(0.1 + 0.2)]).toEqual([
    ...['−391.7', '12 350', '1e−9', '0.3'],
  ]);
  expect([fixed(-1234.5, 2), fixed(0.5, 4), grouped(-1500)]).toEqual(['−1 234.50', '0.5000', '−1 500']);
});

test('the texts of help fit the terminal: paragraphs are filled anew, lists keep their columns', () => {
  const text = [
    'One sentence that goes on',
    'over two lines and is longer than the terminal is wide.',
    '',
    'Short.',
    '  name          what it is, told at some length',
    '  tram run      short',
    '',
  ].join('\n');
  expect(reflowed(text, 200)).toBe(text);
  expect(reflowed(text, 40).split('\n')).toEqual([
    'One sentence that goes on over two lines',
    'and is longer than the terminal is wide.',
    '',
    'Short.',
    '  name          what it is, told at some',
    '                length',
    '  tram run      short',
    '',
  ]);
});
