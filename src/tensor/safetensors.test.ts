import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { halfToNumber } from './elements.ts';
import { UserError } from './errors.ts';
import { decodeAll, decodeSafetensors, encodeSafetensors, readSafetensors, writeSafetensors } from './safetensors.ts';
import { f32, type HostTensor, tensor } from './tensor.ts';

/** A file from a header object or text and data bytes, for headers that the encoder would never write. */
function file(header: unknown, data: ArrayBufferView | number[] = []): Uint8Array {
  const text = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const body = Array.isArray(data)
    ? Uint8Array.from(data)
    : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const bytes = new Uint8Array(8 + text.length + body.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(body, 8 + text.length);
  return bytes;
}

const decode = (bytes: Uint8Array) => decodeSafetensors(bytes, 'x.safetensors');

const sample = new Map<string, HostTensor>([
  ['mask', tensor('u8', [3], new Uint8Array([1, 0, 255]))],
  ['conv.weight', f32([2, 2], [1.5, -0, Number.NaN, 1e-45])],
  ['steps', tensor('i32', [], new Int32Array([-7]))],
  ['"ключ"', f32([0, 4], [])],
]);

describe('round trip', () => {
  test('keeps every bit, shape and dtype, and the metadata', () => {
    const { tensors, metadata } = decode(encodeSafetensors(sample, { epoch: '3', note: 'a "quoted" Ω' }));
    expect(metadata).toEqual({ epoch: '3', note: 'a "quoted" Ω' });
    expect(tensors.size).toBe(sample.size);
    for (const [name, { dtype, shape, data }] of sample) {
      expect(tensors.get(name)).toEqual({ dtype, shape, data });
    }
    expect(Object.is(tensors.get('conv.weight')!.data[1], -0)).toBe(true);
  });

  test('pads the header to eight bytes and orders by element size, then name', () => {
    const bytes = encodeSafetensors(sample);
    const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
    expect(length % 8).toBe(0);
    const header = JSON.parse(Buffer.from(bytes.subarray(8, 8 + length)).toString());
    expect(Object.keys(header)).toEqual(['"ключ"', 'conv.weight', 'steps', 'mask']);
    expect(header.mask).toEqual({ dtype: 'U8', shape: [3], data_offsets: [20, 23] });
  });

  test('equal tensors in another order give equal bytes', () => {
    expect(encodeSafetensors(new Map([...sample].reverse()))).toEqual(encodeSafetensors(sample));
  });

  test('goes through a file, leaving no other', () => {
    const folder = mkdtempSync(join(tmpdir(), 'tram-safetensors-'));
    try {
      const path = join(folder, 'a.safetensors');
      writeSafetensors(path, sample);
      expect(readSafetensors(path).tensors.get('mask')).toEqual(sample.get('mask'));
      expect(readdirSync(folder)).toEqual(['a.safetensors']);
      writeFileSync(path, 'PK\x03\x04 something else entirely');
      expect(() => readSafetensors(path)).toThrow(`${path} is not a usable safetensors file`);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('other element types', () => {
  test('half precision becomes f32 for every bit pattern', () => {
    for (let bits = 0; bits < 65536; bits++) {
      const value = halfToNumber(bits);
      const exponent = (bits >> 10) & 31;
      const fraction = bits & 1023;
      const sign = bits >> 15 ? -1 : 1;
      const expected =
        exponent === 31
          ? fraction
            ? Number.NaN
            : sign * Number.POSITIVE_INFINITY
          : sign * (exponent ? (1 + fraction / 1024) * 2 ** (exponent - 15) : (fraction / 1024) * 2 ** -14);
      if (!Object.is(value, expected)) expect(`${bits}: ${value}`).toBe(`${bits}: ${expected}`);
    }
    const { tensors } = decode(
      file({ a: { dtype: 'F16', shape: [3], data_offsets: [0, 6] } }, new Uint16Array([0x3c00, 0xc000, 0x0001])),
    );
    expect(tensors.get('a')).toEqual(f32([3], [1, -2, 2 ** -24]));
  });

  test('bfloat16 becomes f32', () => {
    const { tensors } = decode(
      file({ a: { dtype: 'BF16', shape: [2], data_offsets: [0, 4] } }, new Uint16Array([0x3fc0, 0xc040])),
    );
    expect(tensors.get('a')).toEqual(f32([2], [1.5, -3]));
  });

  test('64-bit floats become f32', () => {
    const { tensors } = decode(
      file({ a: { dtype: 'F64', shape: [2], data_offsets: [0, 16] } }, new Float64Array([0.1, -1e300])),
    );
    expect(tensors.get('a')).toEqual(f32([2], [Math.fround(0.1), Number.NEGATIVE_INFINITY]));
  });

  test('64-bit integers become i32 when they fit and are kept apart otherwise', () => {
    const header = { n: { dtype: 'I64', shape: [2], data_offsets: [0, 16] } };
    expect(decode(file(header, new BigInt64Array([-5n, 2147483647n]))).tensors.get('n')).toEqual(
      tensor('i32', [2], new Int32Array([-5, 2147483647])),
    );
    const { tensors, others } = decode(file(header, new BigInt64Array([0n, 2147483648n])));
    expect(tensors.size).toBe(0);
    expect([...others]).toEqual([['n', 'I64 with the value 2147483648, which does not fit into 32 bits']]);
  });

  test('tensors of other types are kept apart, and named where everything is to be read', () => {
    const header = {
      phase: { dtype: 'C64', shape: [1], data_offsets: [0, 8] },
      scale: { dtype: 'F8_E8M0', shape: [1], data_offsets: [8, 9] },
      new: { dtype: 'F4', shape: [2], data_offsets: [9, 10] },
      a: { dtype: 'U8', shape: [1], data_offsets: [10, 11] },
    };
    const bytes = file(header, [1, 0, 9, 9, 7, 1, 1, 1, 1, 1, 7]);
    const { tensors, others } = decode(bytes);
    expect([...others]).toEqual([
      ['phase', 'C64'],
      ['scale', 'F8_E8M0'],
      ['new', 'F4'],
    ]);
    expect(tensors.get('a')).toEqual(tensor('u8', [1], new Uint8Array([7])));
    expect(() => decodeAll(bytes, 'x.safetensors')).toThrow("x.safetensors: the tensor 'phase' is C64; F64, F32,");
    const wrong = { phase: { ...header.phase, shape: [3] } };
    expect(() => decode(file(wrong, new Uint8Array(8)))).toThrow("tensor 'phase' takes 8 bytes, C64[3] needs 24");
  });
});

describe('damaged and foreign files', () => {
  const u8 = (begin: number, end: number, shape = [end - begin]) => ({
    dtype: 'U8',
    shape,
    data_offsets: [begin, end],
  });
  const cases: [string, Uint8Array, string][] = [
    ['an empty file', new Uint8Array(), '0 bytes are too few'],
    ['a foreign file', Buffer.from('PK\x03\x04 a zip archive'), 'its header length reads'],
    ['a header longer than the file', file({}).with(0, 200), 'truncated: the header takes 208 bytes, the file has 10'],
    ['no JSON', file('{"a":'), 'its header is not JSON'],
    ['a JSON list', file([]), 'its header is not a JSON object'],
    [
      'a name twice',
      file(`{"a":${JSON.stringify(u8(0, 1))},"\\u0061":${JSON.stringify(u8(1, 2))}}`, [1, 2]),
      "the name 'a' appears twice",
    ],
    [
      'an element type that is none',
      file({ a: { ...u8(0, 1), dtype: 'uint8' } }, [1]),
      `tensor 'a' has the element type "uint8", a name such as F32 was expected`,
    ],
    ['a shape that is not one', file({ a: u8(0, 1, [-1]) }, [1]), "tensor 'a' has the shape [-1]"],
    ['offsets the wrong way round', file({ a: u8(1, 0, [1]) }, [1]), "tensor 'a' has the offsets [1,0]"],
    [
      'too few bytes for the shape',
      file({ a: { ...u8(0, 6, [2]), dtype: 'F32' } }, [1, 2, 3, 4, 5, 6]),
      "tensor 'a' takes 6 bytes, F32[2] needs 8",
    ],
    ['a gap', file({ a: u8(0, 1), b: u8(2, 3) }, [1, 2, 3]), "tensor 'b' begins at byte 2 of the data, 1 was expected"],
    [
      'an overlap',
      file({ a: u8(0, 2), b: u8(1, 3) }, [1, 2, 3]),
      "tensor 'b' begins at byte 1 of the data, 2 was expected",
    ],
    ['truncated data', file({ a: u8(0, 9) }, [1, 2]), 'truncated: the tensors take 9 bytes, the file holds 2'],
    ['trailing bytes', file({ a: u8(0, 1) }, [1, 2, 3]), '2 bytes follow the last tensor'],
    ['metadata that is not text', file({ __metadata__: { epoch: 3 } }), 'its __metadata__ is not an object of strings'],
    ['an entry that is null', file({ a: null }), "tensor 'a' has the element type undefined"],
  ];
  test.each(cases)('%s is refused with what is wrong', (_, bytes, message) => {
    expect(() => decode(bytes)).toThrow(UserError);
    expect(() => decode(bytes)).toThrow(`x.safetensors is not a usable safetensors file: ${message}`);
  });

  test('a file cut at any byte is refused', () => {
    const whole = encodeSafetensors(sample);
    for (let length = 0; length < whole.length; length++)
      expect(() => decode(whole.subarray(0, length))).toThrow(UserError);
  });

  test.each<[string, string, RegExp]>([
    [
      'an element type of 400 000 blanks',
      `{"t":{"dtype":"${' '.repeat(400_000)}","shape":[1],"data_offsets":[0,1]}}`,
      /element type " {40}"/,
    ],
    [
      'a name of 10 MB',
      `{"${'x'.repeat(1e7)}":{"dtype":"U8","shape":[2],"data_offsets":[0,1]}}`,
      /tensor 'x{60}…' takes 1 bytes/,
    ],
    ['a name of 10 MB of escapes', `{"${'\\\\'.repeat(2_500_000)}":5}`, /has the element type undefined/],
    [
      'a shape of a million extents',
      `{"t":{"dtype":"U8","shape":[${'9,'.repeat(1e6)}9],"data_offsets":[0,1]}}`,
      /takes 1 bytes, U8\[9, 9, 9, 9, 9, 9, 9, 9\] needs/,
    ],
    ['a header of 10 MB of brackets', '['.repeat(1e7), /nests more than 3 deep/],
    ['an entry that nests', `{"t":${'['.repeat(5e6)}}`, /nests more than 3 deep/],
    [
      '200 000 entries',
      `{${Array.from({ length: 2e5 }, (_, k) => `"${k}":1`).join(',')}}`,
      /tensor '0' has the element type undefined/,
    ],
    [
      'a header above the limit',
      ' '.repeat(2 ** 24 + 1),
      /its header length reads 16777217, at most 16777216 is allowed/,
    ],
  ])('%s is refused at once, in a short line', (_, header, message) => {
    const bytes = file(header, [1]);
    const begun = process.cpuUsage();
    let error: unknown;
    try {
      decode(bytes);
    } catch (thrown) {
      error = thrown;
    }
    expect(process.cpuUsage(begun).user).toBeLessThan(4e6);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message.length).toBeLessThan(500);
  });

  test('names with brackets and quotes do not count as repetitions', () => {
    const tricky = new Map([...'{}[]":,\\'].map((name) => [name, tensor('u8', [1], new Uint8Array(1))] as const));
    expect(decode(encodeSafetensors(tricky)).tensors.size).toBe(8);
  });
});
