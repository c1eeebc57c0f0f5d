import { expect, test } from 'vitest';
import { placesToWork, slotsOf } from './sweep-parts.ts';

const gpu = (index: number) => ({ name: 'cuda' as const, index });

test('every device has as many places to work as jobs; those on the processor share its cores', () => {
  const device = [gpu(0), gpu(1)];
  expect(slotsOf({}, { device, jobs: 2 }, 8)).toEqual([gpu(0), gpu(1), gpu(0), gpu(1)]);
  expect(slotsOf({ precision: 'float32' } as never, { device }, 8)).toEqual(
    device.map((one) => ({ precision: 'float32', ...one })),
  );
  expect(slotsOf({}, {}, 8)).toEqual([{}]);
  expect(slotsOf({}, { jobs: 3 }, 8)).toEqual([{ threads: 2 }, { threads: 2 }, { threads: 2 }]);
  expect(slotsOf({}, { jobs: 16 }, 8)[15]).toEqual({ threads: 1 });
  expect(slotsOf({ threads: 4 }, { jobs: 2 }, 8)).toEqual([{ threads: 4 }, { threads: 4 }]);
  expect(slotsOf({}, { device: [{ name: 'wasm' }, gpu(0)] }, 8)).toEqual([{ name: 'wasm', threads: 4 }, gpu(0)]);
});

test('a comma stands between places to work, and none of two GPUs is made of a number behind it', () => {
  const places = placesToWork('cuda:0-1, cuda:4+6,wasm');
  expect(places).toEqual([{ name: 'cuda', devices: [0, 1] }, { name: 'cuda', devices: [4, 6] }, { name: 'wasm' }]);
  expect(() => placesToWork('cuda:0,2')).toThrow(/cuda:0,cuda:2 are two places, cuda:0\+2 is one of two GPUs/);
  expect(placesToWork('cuda:ranks')).toEqual([{ name: 'cuda', devices: 'ranks' }]);
  expect(() => placesToWork('cuda:ranks,cuda:0')).toThrow(/leave the others out/);
});
