import { expect, test } from 'vitest';
import { lowerGraph } from '../../../../test/cuda/fake-memory.ts';
import { Graph } from '../../graph/graph.ts';
import { square } from '../../graph/window.ts';
import { addresses, launch } from './launch.ts';
import { separate } from './program.ts';
import { dependenciesOf } from './schedule.ts';

const kernel = (name: string, ...named: bigint[]) =>
  launch(
    { file: 'none.cu', defines: {} },
    name,
    { grid: 1, block: 32 },
    addresses(Object.fromEntries(named.map((at, index) => [`operand${index}`, at]))),
  );

const memory = (from: number) => ({ from, to: from + 100 });
const [x, w, y, scratch, counter] = [1000n, 2000n, 3000n, 4000n, 9000n];
const ranges = { reads: [memory(1000), memory(2000)], writes: [memory(3000), memory(4000)] };

test('preparations of different operands in different scratch memory do not wait for each other', () => {
  const commands = separate(
    [kernel('fold', w, scratch), kernel('gather', x, scratch + 50n), kernel('multiply', scratch, scratch + 50n, y)],
    ranges,
  );
  expect(dependenciesOf(commands)).toEqual([[], [], [1, 0]]);
  expect(commands[0]!.reads).toEqual([memory(2000)]);
  expect(commands[0]!.writes).toEqual([{ from: 4000, to: 4050 }]);
});

test('launches that share a word outside the step’s operands keep their order', () => {
  const commands = separate(
    [kernel('largest', x, counter), kernel('digits', counter, scratch), kernel('end', y)],
    ranges,
  );
  expect(dependenciesOf(commands)).toEqual([[], [0], []]);
});

test('an absent operand joins nothing', () => {
  const commands = separate([kernel('one', x, 0n, scratch), kernel('other', w, 0n, y)], ranges);
  expect(dependenciesOf(commands)).toEqual([[], []]);
});

test('memory that a step writes and no argument names is our own mistake', () => {
  expect(() => separate([kernel('one', x, scratch), kernel('other', w)], ranges)).toThrow(/no argument names/);
});

test('a single launch takes the ranges of its step as they are', () => {
  const launch = kernel('sgd', counter);
  expect(separate([launch], ranges)).toEqual([{ launch, ...ranges }]);
});

test('what two steps want of one value is made once, in front of both and of what writes over the value', () => {
  const commandsOf = (k: number, strides: readonly (1 | 2)[]) => {
    const graph = new Graph();
    const w = graph.variable('w', [k, k, 64, 64]);
    for (const [at, stride] of strides.entries()) {
      const window = square({ stride, padding: (k - 1) / 2 });
      const [x, g] = [graph.input(`x${at}`, [1, 8, 8, 64]), graph.input(`g${at}`, [1, 8 / stride, 8 / stride, 64])];
      graph.output(`y${at}`, graph.apply1('conv2d', [x, w], window));
      graph.output(`dx${at}`, graph.apply1('conv2dInputGradient', [g, w], { ...window, inputShape: x.shape }));
    }
    graph.assign(w, graph.apply1('affine', [w], { scale: 2, offset: 0 }));
    return lowerGraph(graph).commands;
  };
  const commands = commandsOf(3, [1]);
  expect(commands.map(({ launch }) => launch!.name)).toEqual(['lay_out', 'convolve_same', 'convolve_same', 'affine']);
  expect(dependenciesOf(commands)).toEqual([[], [0], [0], [0]]);
  // Another stride has another order of taps, and of single taps both ways have tiles of their own.
  const laidFor = (k: number, strides: readonly (1 | 2)[]) =>
    commandsOf(k, strides).filter(({ launch }) => launch!.name === 'lay_out').length;
  expect([laidFor(3, [1, 1]), laidFor(3, [1, 2]), laidFor(1, [1]), laidFor(1, [2])]).toEqual([1, 2, 2, 1]);
});
