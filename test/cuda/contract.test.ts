// The contract reader itself: a launch that differs from its kernel in any way is found. Every launch of the
// conformance cases is held against its kernel in lowering.test.ts.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { geometryArgument } from '../../src/engine/cuda/lower/geometry.ts';
import type { KernelSource } from '../../src/engine/cuda/lower/launch.ts';
import {
  type Arguments,
  addresses,
  doubles,
  floats,
  integers,
  launch,
  struct,
} from '../../src/engine/cuda/lower/launch.ts';
import { kernelFolder } from '../../src/engine/cuda/runtime/compiler.ts';
import { square } from '../../src/engine/graph/window.ts';
import { disagreements, kernelFile } from './contract.ts';

const size = { grid: 1, block: 256 };
const convolution = {
  ...{ n: 1, h: 4, w: 4, c: 8, oh: 4, ow: 4, o: 8, kh: 3, kw: 3 },
  ...square({ padding: 1 }),
  ...{ inputs: 8, outputs: 8, pixels: 16, inner: 72 },
};

describe('a launch agrees with its kernel', () => {
  const source: KernelSource = { file: 'elementwise.cu', defines: {} };
  const args = { ...addresses({ a: 1n, b: 2n, y: 3n }), ...integers({ count: 4 }), ...floats({ alpha: 1, beta: 2 }) };
  const add = (given: Arguments, from = source, block = 256) =>
    disagreements(launch(from, 'add', { grid: 1, block }, given));

  test('in the number, the names, the kinds and the order of its arguments', () => {
    expect(add(args)).toEqual([]);
    const { beta, ...fewer } = args;
    expect(add(fewer)[0]).toMatch(/add takes \(.*f32 beta\), not \(.*f32 alpha\)/);
    expect(add({ ...args, ...integers({ more: 1 }) })).toHaveLength(1);
    expect(add({ ...fewer, gamma: beta! })).toHaveLength(1);
    expect(add({ ...args, ...doubles({ beta: 2 }) })[0]).toContain('f64 beta');
    expect(
      add({ ...addresses({ b: 2n, a: 1n, y: 3n }), ...integers({ count: 4 }), ...floats({ alpha: 1, beta: 2 }) }),
    ).toHaveLength(1);
  });

  test('in the macros that it needs and defines', () => {
    expect(add(args, { ...source, defines: { WIDTH: 4 } })).toEqual([
      'elementwise.cu: add: nothing reads the macro WIDTH',
    ]);
    const none = struct({ ...addresses({ before: 0n, to: 0n }), ...floats({ alpha: 0, beta: 0 }) });
    const moments = launch(
      { file: 'moments.cu', defines: {} },
      'moments',
      { grid: 1, block: 512 },
      {
        ...addresses({ x: 1n, mean: 2n, variance: 3n }),
        ...{ ofMean: none, ofVariance: none },
        ...integers({ rows: 1, columns: 1, tile: 1 }),
        ...addresses({ partials: 4n, counters: 5n }),
      },
    );
    expect(disagreements(moments)).toEqual(['moments.cu: moments: the macro WIDTH is not defined']);
  });

  test('in its name and in the size of its blocks', () => {
    expect(disagreements(launch(source, 'subtract', size, args))).toEqual([
      'elementwise.cu: subtract is no kernel of this file',
    ]);
    expect(add(args, source, 512)).toEqual(['elementwise.cu: add: 512 threads, at most 256']);
  });

  test('in the fields of its structures', () => {
    const gather = (geometry: Arguments[string]) =>
      disagreements(
        launch({ file: 'approximate-codes.cu', defines: {} }, 'gather', size, {
          ...addresses({ x: 1n, columns: 2n }),
          geometry,
          ...integers({ paddedInner: 32 }),
        }),
      );
    const whole = geometryArgument(convolution);
    expect(gather(whole)).toEqual([]);
    if (whole.type !== 'struct') throw new Error('no structure');
    const { groups, ...rest } = whole.fields;
    expect(gather({ type: 'struct', fields: rest })[0]).toContain('gather.geometry takes');
    expect(gather({ type: 'struct', fields: { groups: groups!, ...rest } })).toHaveLength(1);
  });
});

test('conditionals choose among the kernels and parameters of a file', () => {
  const table = (ENTRY: number) => ({
    file: 'approximate-table.cu',
    defines: { THREADS: 512, ENTRY, ROWS: 1, RESIDENT: 0, WBITS: 8, ABITS: 8 },
  });
  expect([...kernelFile(table(4)).kernels.keys()]).toEqual(['exact_products', 'arrange_codes', 'look_up']);
  expect([...kernelFile(table(2)).kernels.keys()]).toEqual(['arrange_codes', 'look_up']);
});

test('the geometry has the fields of its writer', () => {
  const argument = geometryArgument(convolution);
  const { fieldsOf } = kernelFile({ file: 'approximate-codes.cu', defines: {} });
  expect(argument.type === 'struct' && Object.keys(argument.fields)).toEqual(
    fieldsOf('Geometry').map(({ name }) => name),
  );
  expect(fieldsOf('Divider').map(({ name, kind }) => [name, kind])).toEqual([
    ['divisor', 'i32'],
    ['factor', 'i32'],
    ['shift', 'i32'],
  ]);
});

test('every kernel file has the name of its lowering, or begins with it', () => {
  const names = (folder: string, end: string) =>
    readdirSync(folder).filter((name) => name.endsWith(end) && !name.endsWith('.test.ts'));
  const lowerings = names(join(kernelFolder(), '../lower'), '.ts').map((name) => name.replace('.ts', ''));
  const ofKernel = (kernel: string) =>
    lowerings.filter((name) => kernel === name || kernel.startsWith(`${name}-`)).sort((a, b) => b.length - a.length)[0];
  const kernels = names(kernelFolder(), '.cu').map((name) => name.replace('.cu', ''));
  expect(kernels.filter((name) => ofKernel(name) === undefined)).toEqual([]);
  for (const name of kernels) {
    const text = readFileSync(join(kernelFolder(), '../lower', `${ofKernel(name)}.ts`), 'utf8');
    expect(text, `lower/${ofKernel(name)}.ts`).toContain(`'${name}.cu'`);
  }
});
