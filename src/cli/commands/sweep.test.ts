import { expect, test } from 'vitest';
import { slotsOf } from './sweep-parts.ts';

const gpu = (index: number) => ({ name: 'cuda' as const, index });

test('every device has as many places to work as jobs; those on the processor share its cores', () => {
  const device = [gpu(0), gpu(1)];
  expect(slotsOf({}, { device, jobs: 2 }, 8)).toEqual([gpu(0), gpu(0), gpu(1), gpu(1)]);
  expect(slotsOf({ precision: 'float32' } as never, { device }, 8)).toEqual(
    device.map((one) => ({ precision: 'float32', ...one })),
  );
  expect(slotsOf({}, {}, 8)).toEqual([{}]);
  expect(slotsOf({}, { jobs: 3 }, 8)).toEqual([{ threads: 2 }, { threads: 2 }, { threads: 2 }]);
  expect(slotsOf({}, { jobs: 16 }, 8)[15]).toEqual({ threads: 1 });
  expect(slotsOf({ threads: 4 }, { jobs: 2 }, 8)).toEqual([{ threads: 4 }, { threads: 4 }]);
  expect(slotsOf({}, { device: [{ name: 'wasm' }, gpu(0)] }, 8)).toEqual([{ name: 'wasm', threads: 4 }, gpu(0)]);
});
