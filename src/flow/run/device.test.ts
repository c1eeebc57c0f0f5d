// Devices as they are typed, one or several, and typed again.

import { expect, test } from 'vitest';
import { deviceWord, openBackend, parseDevice, requireOneDevice } from './device.ts';

test.each([
  ['cuda:3', { name: 'cuda', index: 3 }],
  ['cuda:0-3', { name: 'cuda', devices: [0, 1, 2, 3] }],
  ['cuda:0+2', { name: 'cuda', devices: [0, 2] }],
  ['cuda:5+1-3', { name: 'cuda', devices: [5, 1, 2, 3] }],
  ['cuda:all', { name: 'cuda', devices: 'all' }],
  ['cuda:ranks', { name: 'cuda', devices: 'ranks' }],
  ['reference:2', { name: 'reference', devices: [0, 1] }],
])('%s is %j', (text, options) => {
  expect(parseDevice(text)).toEqual(options);
  const word = deviceWord(parseDevice(text))!;
  expect(parseDevice(word)).toEqual(options);
  // Beside others in a sweep: a comma stands between places to work.
  expect(word).not.toContain(',');
});

test('a comma between numbers is a plus where nothing else can be meant', () => {
  expect(parseDevice('cuda:0,2')).toEqual(parseDevice('cuda:0+2'));
  expect(deviceWord({ name: 'cuda', devices: [1, 2] })).toBe('cuda:1-2');
});

test.each(['cuda:3-1', 'cuda:0,0', 'cuda:0-1+1', 'cuda:', 'cuda:a', 'cuda:0-99', 'cuda:1000'])(
  '%s is refused',
  (text) => {
    expect(() => parseDevice(text)).toThrow(/device/);
  },
);

test('what one device alone can do is said, with the first of those asked for', async () => {
  const why = 'integers are run on the processor';
  const refused = (text: string) => () => requireOneDevice(parseDevice(text), why);
  expect(refused('cuda:2-3')).toThrow(`${why}, which several devices do not do faster; choose --device cuda:2`);
  expect(refused('cuda:all')).toThrow('choose --device cuda');
  expect(refused('cuda:1')).not.toThrow();
  await expect(openBackend({ name: 'wasm', devices: [0, 1] })).rejects.toThrow(/choose --device cuda:all/);
  await expect(openBackend({ name: 'cuda', devices: [0, 1], index: 1 })).rejects.toThrow(/leave one out/);
  await expect(openBackend({ name: 'reference', devices: 'all' })).rejects.toThrow(/only GPUs are counted/);
});
