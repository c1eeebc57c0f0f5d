import { expect, test } from 'vitest';
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
