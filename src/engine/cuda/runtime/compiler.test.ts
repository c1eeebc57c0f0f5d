import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type koffi from 'koffi';
import { expect, test } from 'vitest';
import { Compiler, cacheKey, compileOptions, kernelFolder, lacksProducts, readSource } from './compiler.ts';
import { KernelLibrary } from './kernel-library.ts';

const target = { capability: 90, device: 'A GPU', driverVersion: 13000, compilerVersion: '13.0' };

test('the key of machine code depends on everything that the code depends on', () => {
  const key = cacheKey('text', ['-DA=1'], target);
  expect(key).toMatch(/^[0-9a-f]{32}$/);
  const others = [
    cacheKey('text2', ['-DA=1'], target),
    cacheKey('text', ['-DA=2'], target),
    cacheKey('text', ['-DA=1'], { ...target, capability: 89 }),
    cacheKey('text', ['-DA=1'], { ...target, device: 'Another GPU' }),
    cacheKey('text', ['-DA=1'], { ...target, driverVersion: 12080 }),
    cacheKey('text', ['-DA=1'], { ...target, compilerVersion: '12.8' }),
  ];
  expect(new Set([key, ...others]).size).toBe(7);
});

test('options name the architecture and every macro, in an order of their own', () => {
  const options = compileOptions({ file: 'x.cu', defines: { B: 2, A: '1ull' } }, 86);
  expect(options[0]).toBe('--gpu-architecture=sm_86');
  expect(options.slice(-2)).toEqual(['-DA=1ull', '-DB=2']);
  expect(compileOptions({ file: 'x.cu', defines: {} }, 90)[0]).toBe('--gpu-architecture=sm_90a');
});

test('machine code from which the compiler took products is known by what is left of their group', () => {
  // As ptxas 13.0 left it, between two other instructions; the same with a descriptor and sums is a product.
  const around = '1879000000000000ff06000000e20f00';
  const code = (product: string) => Buffer.from(around + product + around, 'hex');
  expect(lacksProducts(code('f079ff3f00000000ff00000c00e20f00'))).toBe(true);
  expect(lacksProducts(code('f079181004000000ff00000c00e20f00'))).toBe(false);
});

test('includes are put into the text, each once', () => {
  const text = readSource({ file: 'approximate-planes.cu' });
  expect(text).not.toContain('#include');
  expect(text.match(/struct Geometry/g)).toHaveLength(1);
  expect(readdirSync(kernelFolder())).toContain('approximate-planes.cu');
});

test('equal sources are compiled once, and never again while the cache holds them', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'tram-kernels-'));
  const compiled: string[] = [];
  const compiler = {
    version: '13.0',
    compile: async (_: string, name: string, options: readonly string[]) => {
      compiled.push([name, ...options.filter((option) => option.startsWith('-D'))].join(' '));
      return Uint8Array.of(1, 2, 3);
    },
  };
  const source = (value: number) => ({ file: 'approximate-codes.cu', defines: { X: value } });
  const first = new KernelLibrary(() => compiler, target, folder);
  const images = await Promise.all([first.image(source(1)), first.image(source(1)), first.image(source(2))]);
  expect(images.map((image) => [...image])).toEqual([
    [1, 2, 3],
    [1, 2, 3],
    [1, 2, 3],
  ]);
  expect(compiled).toEqual(['approximate-codes.cu -DX=1', 'approximate-codes.cu -DX=2']);
  const second = new KernelLibrary(() => compiler, target, folder);
  expect([...(await second.image(source(2)))]).toEqual([1, 2, 3]);
  expect(second.compiled).toBe(0);
  expect(compiled).toHaveLength(2);
  rmSync(folder, { recursive: true });
});

test('a cache that cannot be written costs no more than time', async () => {
  const compiler = { version: '13.0', compile: async () => Uint8Array.of(7) };
  const library = new KernelLibrary(() => compiler, target, '/dev/null/nowhere');
  expect([...(await library.image({ file: 'approximate-codes.cu', defines: {} }))]).toEqual([7]);
});

test('the compiler’s companion of its own version is loaded where it stands beside it, no other', () => {
  const folder = mkdtempSync(join(tmpdir(), 'tram-nvrtc-'));
  for (const version of ['12.8', '12.9', '13.0']) writeFileSync(join(folder, `libnvrtc-builtins.so.${version}`), '');
  const loadedBy = (library: string): string[] => {
    const loaded: string[] = [];
    const call = (major: Int32Array, minor: Int32Array) => {
      major[0] = 12;
      minor[0] = 9;
      return 0;
    };
    const load = (name: string) => {
      loaded.push(name);
      return { func: () => call };
    };
    expect(new Compiler({ load } as unknown as typeof koffi, library).version).toBe('12.9');
    return loaded;
  };
  const library = join(folder, 'libnvrtc.so.12');
  expect(loadedBy(library)).toEqual([library, join(folder, 'libnvrtc-builtins.so.12.9')]);
  expect(loadedBy('libnvrtc.so.12')).toEqual(['libnvrtc.so.12']);
  rmSync(folder, { recursive: true });
});
