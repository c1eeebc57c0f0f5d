import { expect, test } from 'vitest';
import type { SweepEvent } from '../flow/sweep/events.ts';
import { styleFor } from './style.ts';
import { SweepProgress } from './sweep-progress.ts';

function progress() {
  let text = '';
  let time = 0;
  const stream = {
    write: (more: string) => {
      text += more;
    },
  };
  const shown = new SweepProgress(stream, styleFor(stream), () => time);
  const after = (milliseconds: number) => {
    time += milliseconds;
  };
  return { shown, text: () => text, after };
}

const epoch = (job: string, number: number): SweepEvent => ({
  kind: 'run',
  job,
  event: { kind: 'epoch', epochs: 4, record: { phase: 'recover', epoch: number, testAccuracy: 0.5 } as never },
});

test('of what a run measures a pipe is told each tenth, with the time left by what was measured here', () => {
  const { shown, text, after } = progress();
  shown.tell({ kind: 'plan', trials: 2, done: 0, shared: 1, epochs: 0, jobs: 1 });
  shown.tell({ kind: 'begin', job: 'shared/harms-0', device: undefined, epochs: 0 });
  for (let done = 50; done <= 100; done += 5) {
    shown.tell({ kind: 'run', job: 'shared/harms-0', event: { kind: 'measured', phase: 'harms', done, of: 200 } });
    after(1000);
  }
  shown.close();
  expect(text().split('\n').slice(2)).toEqual([
    'shared/harms-0: harms: 50/200 measured, 0:00',
    'shared/harms-0: harms: 60/200 measured, 5.0/s, 0:02, 0:28 left',
    'shared/harms-0: harms: 80/200 measured, 5.0/s, 0:06, 0:24 left',
    'shared/harms-0: harms: 100/200 measured, 5.0/s, 0:10, 0:20 left',
    '',
  ]);
});

test('a pipe is told the budget, each epoch and how each trial ended; the time left follows the pace of all epochs', () => {
  const { shown, text, after } = progress();
  shown.tell({ kind: 'plan', trials: 3, done: 0, shared: 1, epochs: 12, jobs: 2 });
  expect(shown.left()).toBeUndefined();
  shown.tell({ kind: 'begin', job: 'trials/a', device: 'cuda:0', epochs: 4 });
  shown.tell({ kind: 'begin', job: 'trials/b', device: 'cuda:1', epochs: 4 });
  after(1000);
  for (let number = 1; number <= 2; number++)
    for (const job of ['trials/a', 'trials/b']) shown.tell(epoch(job, number));
  // Four of twelve epochs in a second.
  expect(shown.left()).toBe(2000);
  after(1000);
  for (const number of [3, 4]) shown.tell(epoch('trials/a', number));
  shown.tell({ kind: 'done', job: 'trials/a', accuracy: 0.5, seconds: 2 });
  // Six in two seconds, six are left.
  expect(shown.left()).toBe(2000);
  // What fails takes its epochs with it, and so does what ends elsewhere.
  shown.tell({ kind: 'failed', job: 'trials/b', reason: 'the loss is no number' });
  shown.tell({ kind: 'ended-elsewhere', job: 'trials/c', epochs: 4 });
  expect(shown.left()).toBe(0);
  shown.close();
  expect(text().split('\n')).toEqual([
    '3 trials, 1 shared runs before them; 12 epochs to train, 2 at a time',
    'trials/a: begins on cuda:0',
    'trials/b: begins on cuda:1',
    ...[1, 2].flatMap((number) => ['a', 'b'].map((name) => `trials/${name}: recover epoch ${number}/4: test 50.00 %`)),
    'trials/a: recover epoch 3/4: test 50.00 %',
    'trials/a: recover epoch 4/4: test 50.00 %',
    '✓ trials/a  50.00 %  0:02',
    '2 trials are left: about 0:02 at this pace',
    '✗ trials/b: the loss is no number',
    '· trials/c: ended in another process',
    '',
  ]);
});
