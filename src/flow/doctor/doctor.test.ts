import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { atLeast, embeddedData, libraryVersions, requiredNode, tryDevice } from './installation.ts';
import { freeDisk, trySimd, tryThreads } from './machine.ts';

test('WebAssembly SIMD and threads are tried by running them', async () => {
  expect(trySimd()).toEqual({ works: true, detail: '128-bit' });
  expect(await tryThreads()).toMatchObject({ works: true });
});

test('the reference device computes', async () => {
  expect(await tryDevice('reference')).toMatchObject({ works: true });
});

test('the shipped data and every library are there', () => {
  expect(embeddedData()).toMatchObject({ works: true });
  const libraries = libraryVersions();
  expect(libraries.filter(({ version }) => version === null)).toEqual([]);
  expect(libraries.map(({ name, optional }) => [name, optional])).toEqual(
    expect.arrayContaining([
      ['commander', false],
      ['koffi', true],
    ]),
  );
});

test('versions compare by their parts', () => {
  expect(atLeast('20.20.2', '20.19')).toBe(true);
  expect(atLeast('20.9.0', '20.19')).toBe(false);
  expect(atLeast('22.0.0', '20.19')).toBe(true);
  expect(atLeast(process.versions.node, requiredNode())).toBe(true);
});

test('disk space is that of the nearest folder that exists', () => {
  const { path, freeBytes } = freeDisk(join('runs', 'no', 'such', 'folder'));
  expect(existsSync(path)).toBe(true);
  expect(freeBytes).toBeGreaterThan(0);
});

test('the GPUs are named, or what is missing with what to do', async () => {
  const { works, detail } = await tryDevice('cuda');
  if (works) expect(detail).toMatch(/^GPU 0: /);
  else expect(detail).toMatch(/^the device cuda cannot be used: .+; (install|set|a GPU of)/);
});
