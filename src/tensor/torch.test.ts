import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { writeZip } from './archive.ts';
import { type TensorFile, tensorFile } from './checkpoint-file.ts';
import { UserError } from './errors.ts';
import { Random } from './random.ts';
import { memorySource } from './source.ts';
import { readStored, valuesOf } from './stored.ts';
import { f32, type HostTensor, tensor } from './tensor.ts';
import { encodeTorch } from './torch-writer.ts';

const shared = fileURLToPath(new URL('../../../shared/reference/pytorch/', import.meta.url));
const reference = (name: string) => new Uint8Array(readFileSync(shared + name));
const open = (bytes: Uint8Array): TensorFile => tensorFile(memorySource(bytes, 'x.pth'));
const latin = (text: string) => Buffer.from(text, 'latin1');

function hostTensors(file: TensorFile, path = ''): Map<string, HostTensor | string> {
  const found = file.dictionaries.find((dictionary) => dictionary.path === path)!;
  return new Map([...found.tensors].map(([name, stored]) => [name, readStored(stored)]));
}

/** A pickle of `{'a': tensor}` whose storage and view are given as Python would write them. */
function pickleOf(
  storage: string,
  view: string,
  rebuild = '_rebuild_tensor_v2',
  rest = '\x89ccollections\nOrderedDict\n)R',
): Buffer {
  return latin(`\x80\x02}U\x01actorch._utils\n${rebuild}\n((U\x07storage${storage}tQ${view}${rest}tRs.`);
}

function archive(pickle: Uint8Array, members: Record<string, Uint8Array>): Uint8Array {
  const named = Object.entries({ 'data.pkl': pickle, ...members }).map(([name, data]) => ({ name: `m/${name}`, data }));
  return writeZip(named, 64);
}

const floats = (...values: number[]) => new Uint8Array(Float32Array.from(values).buffer);
const six = { 'data/0': floats(0, 1, 2, 3, 4, 5) };
const sixStorage = 'ctorch\nFloatStorage\nU\x010U\x03cpuK\x06';

/** The legacy container with one storage "7" of so many f32. */
function legacy(pickle: Buffer, keys: string, storages: Uint8Array): Uint8Array {
  const magic = latin('\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.');
  return Buffer.concat([magic, latin('\x80\x02M\xe9\x03.\x80\x02}.'), pickle, latin(`\x80\x02${keys}.`), storages]);
}
const count = (value: number) => new Uint8Array(BigInt64Array.of(BigInt(value)).buffer);
const legacyPickle = (elements = '\x06') =>
  pickleOf(`ctorch\nFloatStorage\nU\x017U\x03cpuK${elements}N`, 'K\x00K\x02K\x03\x86K\x03K\x01\x86');

describe('views onto storages', () => {
  test.each<[string, string, number[], number[]]>([
    ['rows', 'K\x00K\x02K\x03\x86K\x03K\x01\x86', [2, 3], [0, 1, 2, 3, 4, 5]],
    ['transposed', 'K\x00K\x03K\x02\x86K\x01K\x03\x86', [3, 2], [0, 3, 1, 4, 2, 5]],
    ['a slice', 'K\x01K\x02K\x02\x86K\x03K\x01\x86', [2, 2], [1, 2, 4, 5]],
    ['a scalar', 'K\x05))', [], [5]],
    ['repeated', 'K\x02K\x02K\x03\x86K\x01K\x00\x86', [2, 3], [2, 2, 2, 3, 3, 3]],
    ['nothing', 'K\x00K\x00K\x03\x86K\x03K\x01\x86', [0, 3], []],
  ])('%s', (_, view, shape, values) => {
    expect(hostTensors(open(archive(pickleOf(sixStorage, view), six))).get('a')).toEqual(f32(shape, values));
  });

  test.each<[string, string, string]>([
    ['behind the end', 'K\x01K\x06\x85K\x01\x85', "over the storage '0' has element 6 of a storage that has 6"],
    ['a negative stride', 'K\x05K\x06\x85J\xff\xff\xff\xff\x85', 'has the strides [-1], at least 0 was expected'],
    ['a negative offset', 'J\xff\xff\xff\xffK\x01\x85K\x01\x85', 'has the offset -1, at least 0 was expected'],
    ['a stride too few', 'K\x00K\x01K\x01\x86K\x01\x85', 'has 1 strides for 2 dimensions'],
    ['a huge shape', 'K\x00\x8a\x06\x00\x00\x00\x00\x00\x01K\x00\x86K\x00K\x00\x86', ''],
    ['a huge repetition', 'K\x00J\x00\x00\x00\x40J\x00\x00\x00\x40\x86K\x00K\x00\x86', 'elements, over a storage of 6'],
    ['a bigint extent', 'K\x00\x8a\x08\x00\x00\x00\x00\x00\x00\x00\x70\x85K\x00\x85', 'has the shape [80'],
    ['an extent that is a text', 'K\x00U\x011\x85K\x01\x85', 'has the shape [1], whole extents'],
    ['no shape', 'K\x00NN', 'a tensor without a shape'],
  ])('%s', (_, view, message) => {
    const bytes = archive(pickleOf(sixStorage, view), six);
    if (message === '') expect(hostTensors(open(bytes)).get('a')).toEqual(f32([2 ** 40, 0], []));
    else expect(() => open(bytes)).toThrow(message);
  });
});

describe('storages', () => {
  const rows = 'K\x00K\x02\x85K\x01\x85';
  test.each<[string, string, Uint8Array, HostTensor | string]>([
    ['Double', '', new Uint8Array(Float64Array.of(0.1, -1e300).buffer), f32([2], [0.1, -Infinity])],
    ['Half', '', new Uint8Array(Uint16Array.of(0x3c00, 0xc000).buffer), f32([2], [1, -2])],
    ['BFloat16', '', new Uint8Array(Uint16Array.of(0x3fc0, 0xc040).buffer), f32([2], [1.5, -3])],
    ['Long', '', new Uint8Array(BigInt64Array.of(-5n, 7n).buffer), tensor('i32', [2], Int32Array.of(-5, 7))],
    [
      'Long',
      '',
      new Uint8Array(BigInt64Array.of(0n, 2n ** 31n).buffer),
      'I64 with the value 2147483648, which does not fit into 32 bits',
    ],
    ['Int', '', new Uint8Array(Int32Array.of(-5, 7).buffer), tensor('i32', [2], Int32Array.of(-5, 7))],
    ['Short', '', new Uint8Array(Int16Array.of(-5, 7).buffer), tensor('i32', [2], Int32Array.of(-5, 7))],
    ['Char', '', new Uint8Array(Int8Array.of(-5, 7).buffer), tensor('i32', [2], Int32Array.of(-5, 7))],
    ['Byte', '', Uint8Array.of(251, 7), tensor('u8', [2], Uint8Array.of(251, 7))],
    ['Bool', '', Uint8Array.of(1, 0), tensor('u8', [2], Uint8Array.of(1, 0))],
    ['Untyped', 'float8_e4m3fn', Uint8Array.of(0x38, 0xfe), f32([2], [1, -448])],
    ['Untyped', 'uint16', new Uint8Array(Uint16Array.of(65535, 1).buffer), tensor('i32', [2], Int32Array.of(65535, 1))],
  ])('%s %s', (type, dtype, data, expected) => {
    const elements = dtype === '' ? 2 : data.length;
    const storage = `ctorch${dtype === '' ? '' : '.storage'}\n${type}Storage\nU\x010U\x03cpuK${String.fromCharCode(elements)}`;
    const rest = dtype === '' ? undefined : `\x89N${`ctorch\n${dtype}\n`}`;
    const pickle = pickleOf(storage, rows, dtype === '' ? '_rebuild_tensor_v2' : '_rebuild_tensor_v3', rest);
    expect(hostTensors(open(archive(pickle, { 'data/0': data }))).get('a')).toEqual(expected);
  });

  test('a big-endian file', () => {
    const data = Buffer.from(floats(...[0, 1, 2, 3, 4, 5])).swap32();
    const pickle = pickleOf(sixStorage, 'K\x01K\x02\x85K\x03\x85');
    const bytes = archive(pickle, { 'data/0': data, byteorder: latin('big') });
    expect(hostTensors(open(bytes)).get('a')).toEqual(f32([2], [1, 4]));
    expect(() => open(archive(pickle, { ...six, byteorder: latin('middle') }))).toThrow("the byte order 'middle'");
  });

  test.each<[string, Uint8Array, string]>([
    [
      'of another size',
      archive(pickleOf(sixStorage, rows), { 'data/0': floats(1, 2) }),
      "the storage '0' has 8 bytes, 24 were",
    ],
    ['missing', archive(pickleOf(sixStorage, rows), {}), "the storage '0' is not in the archive"],
    [
      'complex',
      archive(pickleOf(sixStorage.replace('Float', 'ComplexFloat'), rows), six),
      'complex numbers are not read',
    ],
    ['quantised', archive(pickleOf(sixStorage.replace('Float', 'QInt8'), rows), six), 'quantised are not read'],
    ['sparse', archive(pickleOf(sixStorage, rows, '_rebuild_sparse_tensor'), six), 'sparse tensors are not read'],
    [
      'of a function',
      archive(pickleOf(sixStorage.replace('FloatStorage', '_utils'), rows), six),
      "holds 'torch._utils'",
    ],
    ['not of torch.save', writeZip([{ name: 'a.npy', data: floats(1) }], 64), '0 members are called data.pkl'],
    [
      'TorchScript',
      archive(pickleOf(sixStorage, rows), { ...six, 'constants.pkl': floats(1) }),
      'is a TorchScript program',
    ],
  ])('%s', (_, bytes, message) => {
    expect(() => open(bytes)).toThrow(UserError);
    expect(() => open(bytes)).toThrow(message);
  });

  test('damaged bytes are named when they are read', () => {
    const bytes = archive(pickleOf(sixStorage, rows), six);
    const at = Buffer.from(bytes).indexOf(Buffer.from(six['data/0']));
    bytes[at + 5]! ^= 1;
    expect(() => hostTensors(open(bytes))).toThrow(`'m/data/0', byte ${at}, is damaged (its checksum differs)`);
  });
});

describe('the legacy container', () => {
  const whole = legacy(legacyPickle(), ']U\x017a', Buffer.concat([count(6), six['data/0']]));
  test('is read', () => {
    const file = open(whole);
    expect(file.format).toBe('PyTorch before 1.6');
    expect(hostTensors(file).get('a')).toEqual(f32([2, 3], [0, 1, 2, 3, 4, 5]));
  });

  test.each<[string, Uint8Array, string]>([
    [
      'a storage of another size',
      legacy(legacyPickle(), ']U\x017a', Buffer.concat([count(5), six['data/0']])),
      '5 elements, 6 were expected',
    ],
    ['a storage cut off', whole.subarray(0, whole.length - 1), 'it is cut off'],
    ['a storage too many', Buffer.concat([whole, floats(1)]), '4 bytes follow the last storage'],
    [
      'a storage of no tensor',
      legacy(legacyPickle(), ']U\x018a', Buffer.concat([count(6), six['data/0']])),
      "the storage '8' is in no tensor",
    ],
    [
      'a storage without bytes',
      legacy(legacyPickle(), ']', Buffer.alloc(0)),
      "the bytes of the storage '7' are not there",
    ],
  ])('%s', (_, bytes, message) => {
    expect(() => open(bytes)).toThrow(message);
  });

  test('cut at any byte it is refused', () => {
    for (let length = 0; length < whole.length; length++) expect(() => open(whole.slice(0, length))).toThrow(UserError);
  });
});

describe('the archive', () => {
  const sample = new Map<string, HostTensor>([
    ['conv.weight', f32([2, 2], [1.5, -0, Number.NaN, 1e-45])],
    ['steps', tensor('i32', [], new Int32Array([-7]))],
    ['mask', tensor('u8', [3], new Uint8Array([1, 0, 255]))],
    ['"ключ"', f32([0, 4], [])],
    ['long', f32([300, 300], new Float32Array(90000).fill(3))],
  ]);
  const written = encodeTorch(sample);

  test('is written as it is read, storages at multiples of 64 bytes', () => {
    expect(hostTensors(open(written))).toEqual(sample);
    expect(encodeTorch(new Map(sample))).toEqual(written);
    const at = Buffer.from(written).indexOf(Buffer.from(sample.get('long')!.data.buffer));
    expect(at % 64).toBe(0);
  });

  test('cut anywhere it is refused', () => {
    const bytes = encodeTorch(new Map([...sample].slice(0, 4)));
    for (let length = 0; length < bytes.length; length++) expect(() => open(bytes.slice(0, length))).toThrow(UserError);
  });

  const member = (name: string, data = floats(1)) => ({ name, data });
  test.each<[string, Uint8Array, string]>([
    ['a name twice', writeZip([member('m/a'), member('m/a')], 64), "the name 'm/a' appears twice"],
    ['a path out', writeZip([member('m/../../a')], 64), "the name 'm/../../a' is a path out of the archive"],
    ['an absolute path', writeZip([member('/etc/passwd')], 64), "the name '/etc/passwd' is a path"],
    ['a path of Windows', writeZip([member('..\\a')], 64), 'is a path out of the archive'],
  ])('%s', (_, bytes, message) => {
    expect(() => open(bytes)).toThrow(message);
  });

  /** The archive of two members with a field of the second entry of its directory changed. */
  function changed(field: number, value: number): Uint8Array {
    const bytes = Buffer.from(writeZip([member('m/a', Buffer.alloc(100)), member('m/data.pkl')], 64));
    const entry = bytes.lastIndexOf(Buffer.from([0x50, 0x4b, 1, 2]));
    bytes.writeUInt32LE(value, entry + field);
    return bytes;
  }
  test.each<[string, number, number, string]>([
    ['a place behind the end', 42, 2 ** 31, 'is said to begin at byte 2147483648, behind the end'],
    ['the place of another member', 42, 0, 'is not at byte 0, where the directory has it'],
    ['sizes that differ', 20, 5, 'has 5 bytes and says 4'],
    ['a packed member', 10, 8, "'m/data.pkl' is packed"],
    ['an encrypted member', 8, 1, "'m/data.pkl' is encrypted"],
    ['no entry', 0, 0, 'is none'],
  ])('%s', (_, field, value, message) => {
    expect(() => open(changed(field, value))).toThrow(message);
  });

  test('members that share bytes', () => {
    const bytes = Buffer.from(writeZip([member('m/a', Buffer.alloc(100)), member('m/data.pkl')], 64));
    const entry = bytes.indexOf(Buffer.from([0x50, 0x4b, 1, 2]));
    for (const field of [20, 24]) bytes.writeUInt32LE(195, entry + field);
    expect(() => open(bytes)).toThrow("'m/data.pkl' lies over 'm/a'");
  });

  test('zip64', () => {
    const bytes = Buffer.from(encodeTorch(new Map([...sample].slice(0, 1))));
    const end = bytes.length - 22;
    const [entries, size, at] = [
      bytes.readUInt16LE(end + 10),
      bytes.readUInt32LE(end + 12),
      bytes.readUInt32LE(end + 16),
    ];
    const end64 = Buffer.alloc(56 + 20);
    end64.write('PK\x06\x06', 'latin1');
    for (const [field, value] of [
      [24, entries],
      [32, entries],
      [40, size],
      [48, at],
    ] as const) {
      end64.writeBigUInt64LE(BigInt(value), field);
    }
    end64.write('PK\x06\x07', 56, 'latin1');
    end64.writeBigUInt64LE(BigInt(end), 64);
    const tail = Buffer.from(bytes.subarray(end));
    tail.fill(255, 8, 20);
    const large = Buffer.concat([bytes.subarray(0, end), end64, tail]);
    expect(hostTensors(open(large))).toEqual(new Map([...sample].slice(0, 1)));
  });
});

describe('what stands around tensors', () => {
  test('dictionaries are found by their keys, whatever holds itself or repeats', () => {
    const a = pickleOf(sixStorage, 'K\x00K\x06\x85K\x01\x85').subarray(2, -1).toString('latin1');
    const text = `\x80\x02}q\x01(U\x05epochK\x07U\x05stateh\x01U\x0astate_dict${a}U\x05lists](h\x01${a}eu.`;
    const file = open(archive(latin(text), six));
    expect(file.dictionaries.map(({ path }) => path)).toEqual(['state_dict', 'lists.1']);
    expect(file.facts.get('epoch')).toBe('7');
  });

  test.each<[string, string]>([
    ['\x80\x02]K\x01a.', 'x.pth holds a list of 1, a dictionary of tensors was expected'],
    ['\x80\x02c__main__\nNet\n)\x81.', "the file holds '__main__.Net', whose code would have to run"],
    ['\x80\x02cargparse\nNamespace\n)\x81.', "torch.save(model.state_dict(), 'weights.pth')"],
  ])('%j', (text, message) => {
    expect(() => open(archive(latin(text), {}))).toThrow(message);
  });
});

describe.skipIf(!existsSync(shared))('files of PyTorch 2.11', () => {
  test('dialects', () => {
    const found = hostTensors(open(reference('dialects.pth')));
    const { data } = found.get('param') as HostTensor;
    expect(data.length).toBe(12);
    expect(
      [...found].map(([name, value]) => [name, typeof value === 'string' ? value : `${value.dtype}[${value.shape}]`]),
    ).toEqual([
      ['view', 'f32[6,4]'],
      ['slice', 'f32[2,3]'],
      ['shared_a', 'f32[4,6]'],
      ['shared_b', 'f32[4,6]'],
      ['scalar', 'i32[]'],
      ['empty', 'f32[0,3]'],
      ['param', 'f32[2,6]'],
      ['f64', 'f32[4,6]'],
      ['i64', expect.stringMatching(/^I64 with the value -?\d{10,}, which does not fit/)],
      ['u8', 'u8[2]'],
      ['bool', 'u8[2]'],
      ['channels_last', 'f32[1,3,4,4]'],
    ]);
    const [view, whole] = ['view', 'shared_a'].map((name) => (found.get(name) as HostTensor).data);
    for (let i = 0; i < 6; i++) for (let j = 0; j < 4; j++) expect(view![i * 4 + j]).toBe(whole![j * 6 + i]);
    expect(found.get('slice')).toEqual(
      f32(
        [2, 3],
        [8, 9, 10, 14, 15, 16].map((at) => whole![at]!),
      ),
    );
  });

  test('a whole module is refused with its class and what to do', () => {
    expect(() => open(reference('whole-module.pth'))).toThrow(
      /'__main__\.Small', whose code .* torch\.save\(model\.state_dict/,
    );
  });

  test('half precision is the rounded f32', () => {
    const [half, full] = ['fp16', 'fp32'].map((kind) => hostTensors(open(reference(`resnet8-digits-${kind}.pth`))));
    for (const [name, value] of half!) {
      const exact = full!.get(name) as HostTensor;
      (value as HostTensor).data.forEach((x, at) => {
        expect(Math.abs(x - exact.data[at]!)).toBeLessThanOrEqual(Math.abs(exact.data[at]!) * 2 ** -11 + 2 ** -25);
      });
    }
  });
});

/** Reads everything; whatever is wrong must be a UserError. */
function readAll(bytes: Uint8Array): 'read' | 'refused' {
  try {
    for (const { tensors } of open(bytes).dictionaries) {
      for (const stored of tensors.values()) for (const _ of valuesOf(stored));
    }
    return 'read';
  } catch (error) {
    if (error instanceof UserError) return 'refused';
    throw error;
  }
}

describe('damaged at random', () => {
  const rounds = Number(process.env.TRAM_FUZZ_ROUNDS ?? 1500);
  const samples: [string, () => Uint8Array][] = [
    [
      'dialects.pth',
      () => (existsSync(shared) ? reference('dialects.pth') : encodeTorch(new Map([['a', f32([2], [1, 2])]]))),
    ],
    ['the legacy container', () => legacy(legacyPickle(), ']U\x017a', Buffer.concat([count(6), six['data/0']]))],
    [
      'a written file',
      () =>
        encodeTorch(
          new Map([
            ['a', f32([2, 3], [1, 2, 3, 4, 5, 6])],
            ['b', f32([], [1])],
          ]),
        ),
    ],
  ];
  test.each(samples)('%s gives a value or a UserError, in bounded time and memory', (_, make) => {
    const sample = make();
    const random = new Random(7, 99, sample.length);
    const begun = process.cpuUsage();
    const outcomes = { read: 0, refused: 0 };
    const below = (most: number) => Math.floor(random.uniform() * most);
    for (let round = 0; round < rounds; round++) {
      let bytes = Uint8Array.from(sample);
      for (let changes = 1 + below(4); changes > 0; changes--) {
        const at = below(bytes.length);
        const kind = below(4);
        if (kind === 0) bytes[at]! ^= 1 << below(8);
        else if (kind === 1) bytes[at] = [0, 255, 0x7f, 0x80, 0x2e, 0x28][below(6)]!;
        else if (kind === 2) bytes.copyWithin(at, below(bytes.length), below(bytes.length));
        else
          bytes = Uint8Array.from([...bytes.subarray(0, at), ...bytes.subarray(Math.min(bytes.length, at + below(9)))]);
        if (bytes.length === 0) break;
      }
      outcomes[readAll(bytes)]++;
    }
    expect(process.cpuUsage(begun).user).toBeLessThan(rounds * 20_000 + 2e6);
    expect(outcomes.refused).toBeGreaterThan(rounds / 4);
  });

  test('a pickle damaged at random behind a right archive', () => {
    const pickle = pickleOf(sixStorage, 'K\x00K\x02K\x03\x86K\x03K\x01\x86');
    const random = new Random(7, 99, 1);
    for (let round = 0; round < rounds; round++) {
      const bytes = Buffer.from(pickle);
      for (let changes = 0; changes < 2; changes++) {
        bytes[Math.floor(random.uniform() * bytes.length)] = Math.floor(random.uniform() * 256);
      }
      readAll(archive(bytes, six));
    }
  });
});
