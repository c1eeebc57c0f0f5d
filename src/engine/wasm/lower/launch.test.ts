// The contract with the kernels: ./records.ts is what the kernels' classes say, in their order, and a record that
// differs is refused by the type check (the @ts-expect-error lines below) or, where a value is missing, at the launch.

import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { launch, placeRecord } from './launch.ts';
import type { Geometry, KernelRecords } from './records.ts';
import { float } from './words.ts';

const script = new URL('../../../../scripts/wasm-records.mjs', import.meta.url).href;
const { kernelSources, recordsText } = (await import(script)) as {
  kernelSources(): Map<string, string>;
  recordsText(sources: ReadonlyMap<string, string>): string;
};
const committed = readFileSync(fileURLToPath(new URL('./records.ts', import.meta.url)), 'utf8');

/** The text for the kernels with one of their sources changed. */
function changed(file: string, from: string, to: string): string {
  const sources = kernelSources();
  const text = sources.get(file)!;
  expect(text.split(from)).toHaveLength(2);
  return recordsText(sources.set(file, text.replace(from, to)));
}

describe('the generated records', () => {
  test('are those of the kernels as they are: run `npm run build` and commit records.ts', () => {
    expect(committed).toBe(recordsText(kernelSources()));
  });

  test('follow a class that is changed: order, names and types of its fields', () => {
    const packed = 'return [record.to, record.from, record.bytes, record.perPart];';
    expect(committed).toContain(packed);
    const order = changed('elementwise', '  to: usize;\n  from: usize;\n', '  from: usize;\n  to: usize;\n');
    expect(order).toContain('return [record.from, record.to, record.bytes, record.perPart];');
    const name = changed('elementwise', '  from: usize;\n', '  source: usize;\n');
    expect(name).toContain('  readonly source: Address;\n');
    const type = changed('elementwise', '  momentum: f32;\n', '  momentum: i32;\n');
    expect(type).toContain('    record.momentum,\n');
    expect(committed).toContain('    float(record.momentum),\n');
  });

  test('hold the fields of a base class first', () => {
    const [, slopes] = committed.match(
      /function packAxmSlopes\(record: AxmSlopes\): Words \{\n {2}return \[([^\]]*)\]/,
    )!;
    expect(slopes!.match(/\w+(?=[,)]+\n)/g)!.slice(0, 9)).toEqual([
      'geometry',
      'x',
      'g',
      'dw',
      'panels',
      'panelsPerPart',
      'rowsPerBlock',
      'lists',
      'w',
    ]);
  });

  test('refuse what a record cannot hold', () => {
    expect(() => changed('elementwise', '  momentum: f32;\n', '  momentum: f64;\n')).toThrow(
      'f64 is no @unmanaged class',
    );
    expect(() => changed('elementwise', '  momentum: f32;\n', '  momentum: f32 = 1;\n')).toThrow(
      'class Sgd holds more',
    );
    expect(() => changed('elementwise', '@unmanaged\nexport class Sgd', 'export class Sgd')).toThrow(
      'Sgd is no @unmanaged',
    );
  });
});

describe('a launch', () => {
  const copy: KernelRecords['copy'] = { to: 64, from: 128, bytes: 5, perPart: 2 };
  const geometry: Geometry = {
    ...{ batch: 1, height: 2, width: 3, channels: 4, outHeight: 5, outWidth: 6, outputs: 7 },
    ...{ kernelHeight: 8, kernelWidth: 9, strideY: 10, strideX: 11, paddingY: 12, paddingX: 13 },
    ...{ dilationY: 14, dilationX: 15, groups: 16 },
  };

  test('packs its record in the order of the class, f32 fields as their bits, and places records within', () => {
    expect(launch('copy', 3, copy)).toEqual({ kernel: 'copy', parts: 3, record: [64, 128, 5, 2], scratchBytes: 0 });
    const operands = { a: 1, b: 2, out: 3, count: 4, perPart: 5 };
    const { record } = launch('add', 1, { ...operands, alpha: 0.1, beta: -2 });
    expect(record).toEqual([3, 1, 2, 4, 5, float(0.1), float(-2)]);
    expect(new Float32Array(Int32Array.from(record as number[]).buffer)[5]).toBe(Math.fround(0.1));

    const placed: number[][] = [];
    const place = (words: Int32Array) => 1000 + placed.push([...words]);
    const depthwise = launch('depthwiseForward', 1, { geometry, x: 20, w: 21, g: 0, out: 2 ** 32 - 64 });
    expect(placeRecord(depthwise.record, place)).toBe(1002);
    expect(placed).toEqual([Array.from({ length: 16 }, (_, at) => at + 1), [1001, 20, 21, 0, -64]]);
  });

  test('with a missing, misspelt or superfluous field is a type error; a value that is not there is refused', () => {
    // @ts-expect-error: a field is missing
    const missing = () => launch('copy', 1, { to: 64, from: 128, bytes: 5 });
    expect(missing).toThrow('copy: a field of its record is no number');
    // @ts-expect-error: a field is misspelt
    const misspelt = () => launch('copy', 1, { to: 64, from: 128, byte: 5, perPart: 2 });
    expect(misspelt).toThrow('copy: a field of its record is no number');
    // @ts-expect-error: a field is superfluous
    launch('copy', 1, { ...copy, to: 64, value: 1 });
    // @ts-expect-error: a record of another kernel
    expect(() => launch('fill', 1, copy)).toThrow('fill: a field of its record is no number');
    // @ts-expect-error: no kernel
    expect(() => launch('copies', 1, copy)).toThrow();
    expect(() => launch('copy', 1, { ...copy, bytes: 0.5 })).toThrow('copy: a field of its record is no number');
    expect(() => launch('copy', 1, { ...copy, to: 2 ** 32 })).toThrow('copy: a field of its record is no number');
  });
});
