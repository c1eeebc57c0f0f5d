// A task of another kind on the same loop and evaluation: the next letter of a text from the letter before. Examples
// are lines of unequal length, so a batch has more targets than examples and never the same number of them; the figures
// are worked out by hand from the weights.

import { expect, test } from 'vitest';
import type { Selection, Split } from '../data/split.ts';
import { referenceBackend } from '../engine/reference/backend.ts';
import { f32 } from '../tensor/tensor.ts';
import { evaluator } from './evaluation.ts';
import { atStart, type EpochRecord, type StepEvent, trainEpochs } from './loop.ts';
import type { Task } from './task.ts';

const alphabet = [...' abcdefghijklmnopqrstuvwxyz'];
const LETTERS = alphabet.length;
const LONGEST = 24;

/** Lines of text: of each letter the next one is the target. */
function linesSplit(lines: readonly string[]): Split {
  const codes = lines.map((line) => [...line].map((letter) => alphabet.indexOf(letter)));
  return {
    count: lines.length,
    read: async ({ numbers }: Selection, rows) => {
      const letters = new Float32Array(rows * LONGEST * LETTERS);
      const next = new Int32Array(rows * LONGEST).fill(-1);
      let targets = 0;
      numbers.forEach((number, row) => {
        codes[number]!.slice(0, -1).forEach((code, at) => {
          letters[(row * LONGEST + at) * LETTERS + code] = 1;
          next[row * LONGEST + at] = codes[number]![at + 1]!;
          targets++;
        });
      });
      return { inputs: { letters, next }, targets };
    },
  };
}

const task: Task<'accuracy' | 'bits'> = {
  metrics: { accuracy: { better: 'higher', over: 'sum' }, bits: { better: 'lower', over: 'mean' } },
  inputs: (graph, batchSize) => ({
    letters: graph.input('letters', [batchSize * LONGEST, LETTERS]),
    next: graph.input('next', [batchSize * LONGEST], 'i32'),
  }),
  network: (layers, { letters, next }) => {
    const logits = layers.linear('next', letters!, LETTERS);
    const [loss, , correct] = layers.graph.apply('softmaxCrossEntropy', [logits, next!], {});
    const bits = layers.graph.apply1('affine', [loss!], { scale: 1 / Math.LN2, offset: 0 });
    return { loss: loss!, metrics: { accuracy: correct!, bits } };
  },
};

const text = [
  'the cat sat on the mat',
  'the hat',
  'a fat rat ate the hat',
  'that cat',
  'at the rate of a cat',
  'the tea of the aunt',
  'heat',
];
const held = ['the fat cat', 'a hat on the mat', 'at'];
const pairsOf = (lines: readonly string[]) =>
  lines.flatMap((line) => [...line].slice(1).map((to, at) => [alphabet.indexOf(line[at]!), alphabet.indexOf(to)]));

/** Mean cross-entropy and share of right guesses over all pairs of letters, from the weights in plain arithmetic. */
function byHand(lines: readonly string[], weight: ArrayLike<number>, bias: ArrayLike<number>) {
  let [loss, right] = [0, 0];
  const pairs = pairsOf(lines);
  for (const [from, to] of pairs) {
    const logits = alphabet.map((_, k) => weight[from! * LETTERS + k]! + bias[k]!);
    const highest = Math.max(...logits);
    loss += highest + Math.log(logits.reduce((sum, z) => sum + Math.exp(z - highest), 0)) - logits[to!]!;
    right += logits.indexOf(highest) === to ? 1 : 0;
  }
  return { loss: loss / pairs.length, accuracy: right / pairs.length, pairs: pairs.length };
}

async function train(epochs: number, learningRate: number) {
  const session = await referenceBackend().openSession();
  session.write('next.weight', f32([1, 1, LETTERS, LETTERS], new Float32Array(LETTERS ** 2)));
  session.write('next.bias', f32([LETTERS], new Float32Array(LETTERS)));
  const records: EpochRecord<'accuracy' | 'bits'>[] = [];
  const steps: StepEvent<'accuracy' | 'bits'>[] = [];
  const dataset = { name: 'lines', train: linesSplit(text), test: linesSplit(held) };
  await trainEpochs({
    ...{ session, task, dataset, arithmetic: { kind: 'float' }, epochs, batchSize: 3, seed: 2, firstEpoch: 0 },
    ...{ momentum: 0.9, weightDecay: 0, learningRate, schedule: 'cosine', start: atStart },
    onStep: (event) => void steps.push(event),
    onEpoch: async (record) => void records.push(record),
  });
  const [weight, bias] = [(await session.read('next.weight')).data, (await session.read('next.bias')).data];
  const evaluation = await (await evaluator(session, task, { kind: 'float' }, dataset.train))();
  await session.dispose();
  return { records, steps, weight, bias, evaluation };
}

test('figures are means over the letters that have a successor, not over lines or batches', async () => {
  const { records, steps, weight, bias, evaluation } = await train(1, 0.2);
  const [own, tested] = [byHand(text, weight, bias), byHand(held, weight, bias)];
  expect(evaluation.examples).toBe(text.length);
  expect(evaluation.loss).toBeCloseTo(own.loss, 5);
  expect(evaluation.metrics.accuracy).toBe(own.accuracy);
  expect(evaluation.metrics.bits).toBeCloseTo(own.loss / Math.LN2, 5);
  const [record] = records;
  expect(record!.test.loss).toBeCloseTo(tested.loss, 5);
  expect(record!.test.metrics.accuracy).toBe(tested.accuracy);
  expect(steps.map(({ examples }) => examples)).toEqual([3, 3, 1]);
  // The accuracy of the epoch is a count of letters over all letters.
  expect(record!.training.metrics.accuracy * own.pairs).toBeCloseTo(
    Math.round(record!.training.metrics.accuracy * own.pairs),
    9,
  );
  expect(record!.objective).toBe(record!.training.loss);
  expect(steps.at(-1)!.soFar).toEqual(record!.training);
});

test('without learning every step has the loss of guessing, and so has the epoch', async () => {
  const { records, steps } = await train(1, 0);
  for (const { objective } of steps) expect(objective).toBeCloseTo(Math.log(LETTERS), 5);
  expect(records[0]!.training.loss).toBeCloseTo(Math.log(LETTERS), 5);
  expect(records[0]!.training.metrics.bits).toBeCloseTo(Math.log2(LETTERS), 5);
});

test('it learns what follows what: close to the entropy of the pairs', async () => {
  const { evaluation, records } = await train(40, 2);
  const pairs = pairsOf(text);
  const after = (from: number) => pairs.filter(([first]) => first === from);
  const entropy =
    pairs.reduce((sum, [from, to]) => {
      const followers = after(from!);
      return sum - Math.log(followers.filter(([, second]) => second === to).length / followers.length);
    }, 0) / pairs.length;
  expect(evaluation.loss).toBeGreaterThan(entropy);
  expect(evaluation.loss).toBeLessThan(entropy + 0.05);
  expect(records.at(-1)!.test.metrics.bits).toBeLessThan(records[0]!.test.metrics.bits);
});
