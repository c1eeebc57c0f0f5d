import { expect, test } from 'vitest';
import { tensorFile } from './checkpoint-file.ts';
import { describeTensors, statisticsOf } from './inspect.ts';
import { encodeSafetensors } from './safetensors.ts';
import { memorySource } from './source.ts';
import { rowMajor } from './stored.ts';
import { f32, tensor } from './tensor.ts';

test('facts and statistics of every tensor, in the order of the file', () => {
  const file = tensorFile(
    memorySource(
      encodeSafetensors(
        new Map([
          ['w', f32([2, 3], [1, 2, 3, 4, 0, -0])],
          ['odd', f32([4], [Number.NaN, Infinity, -Infinity, 2])],
          ['none', f32([0], [])],
          ['n', tensor('i32', [], Int32Array.of(-5))],
        ]),
        { format: 'pt' },
      ),
      'x.safetensors',
    ),
  );
  expect([...file.facts]).toEqual([['format', 'pt']]);
  const facts = [...describeTensors(file)];
  expect(facts.map(({ name, type, elements, bytes }) => [name, type, elements, bytes])).toEqual([
    ['n', 'I32', 1, 4],
    ['none', 'F32', 0, 0],
    ['odd', 'F32', 4, 16],
    ['w', 'F32', 6, 24],
  ]);
  const [n, none, odd, w] = facts.map(({ statistics }) => statistics!);
  expect(n).toEqual({ min: -5, max: -5, mean: -5, deviation: 0, zeros: 0, nan: 0, infinite: 0 });
  expect(none).toEqual({ min: null, max: null, mean: null, deviation: null, zeros: 0, nan: 0, infinite: 0 });
  expect(odd).toEqual({ min: 2, max: 2, mean: 2, deviation: 0, zeros: 0, nan: 1, infinite: 2 });
  expect(w).toMatchObject({ min: 0, max: 4, zeros: 2 });
  expect(w!.mean).toBeCloseTo(10 / 6, 12);
  expect(w!.deviation).toBeCloseTo(Math.sqrt(30 / 6 - (10 / 6) ** 2), 12);
  expect([...describeTensors(file, (name) => name === 'w', false)]).toEqual([
    { name: 'w', dictionary: '', type: 'F32', shape: [2, 3], elements: 6, bytes: 24 },
  ]);
});

test('a tensor is read a piece at a time, and a mean far from 0 costs no digits', () => {
  const count = 3 * 2 ** 20 + 5;
  let largest = 0;
  const storage = {
    type: 'F64' as const,
    count,
    read: (from: number, wanted: number) => {
      largest = Math.max(largest, wanted);
      return new Uint8Array(Float64Array.from({ length: wanted }, (_, k) => 1e9 + ((from + k) % 2)).buffer);
    },
  };
  const shape = [count];
  const { mean, deviation } = statisticsOf({ storage, shape, offset: 0, strides: rowMajor(shape) });
  expect(largest).toBeLessThanOrEqual(2 ** 20);
  expect(mean).toBeCloseTo(1e9 + 0.5, 5);
  expect(deviation).toBeCloseTo(0.5, 5);
});
