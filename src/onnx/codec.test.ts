import { createRequire } from 'node:module';
import { describe, expect, test } from 'vitest';
import { fuzzReaders } from '../../test/fuzz.ts';
import { UserError } from '../tensor/errors.ts';
import { bytesField, whole } from '../tensor/protobuf.ts';
import { decode, encode, type Table } from './messages.ts';
import { attributeTypes, type ModelProto, messageTables, readModel, writeModel } from './schema.ts';
import { elementTypes, readTensor, writeTensor } from './tensors.ts';

interface Generated {
  decode: (bytes: Uint8Array) => object;
  encode: (message: object) => { finish: () => Uint8Array };
  toObject: (message: object, options: object) => Record<string, unknown>;
  fromObject: (plain: object) => object;
}

/** The messages as protobufjs generates them from onnx.proto, in the package of ONNX Runtime for JavaScript. */
const { onnx } = createRequire(import.meta.url)(
  '../../node_modules/onnxruntime-web/lib/onnxjs/ort-schema/protobuf/onnx.js',
) as { onnx: Record<string, Generated & Record<string, Generated>> };
const generated: Readonly<Record<string, Generated>> = {
  ...onnx,
  Dimension: onnx.TensorShapeProto!.Dimension!,
  Tensor: onnx.TypeProto!.Tensor!,
};
/** Younger than the schema of that package (onnx 1.13): fields of the IR versions 9 to 13. */
const younger = [
  ...['NodeProto.overload', 'NodeProto.metadataProps', 'GraphProto.metadataProps'],
  ...['FunctionProto.overload', 'FunctionProto.valueInfo', 'FunctionProto.attributeProto'],
];

type Kind = 'integer' | 'float' | 'double' | 'text' | 'bytes' | (() => object);
const items = (kind: Exclude<Kind, () => object>, k: number) =>
  ({ integer: k + 300, float: k + 0.5, double: k + 0.1, text: `é${k}`, bytes: Uint8Array.of(0, k, 255) })[kind];

/** A message with a value of its own in each of its fields; messages within it have `depth` levels more. */
function filled(table: object, depth: number, seed = 1): Record<string, object | string | number> {
  const result: Record<string, object | string | number> = {};
  Object.entries(table as Record<string, [number, string, Kind]>).forEach(([name, [, times, kind]], at) => {
    if (typeof kind === 'function' && depth === 0) return;
    const one = (k: number) =>
      typeof kind === 'function' ? filled(kind(), depth - 1, seed + k) : items(kind, seed * 7 + at + k);
    result[name] = times === 'one' ? one(0) : [one(0), one(1), one(2)];
  });
  return result;
}

describe('messages', () => {
  test.for(Object.entries(messageTables))(
    '%s: another program reads what we write, and we what it writes',
    ([name, table]) => {
      const theirs = generated[name]!;
      const draft = filled(table, 0);
      // A dimension is a number or a name.
      if (name === 'Dimension') delete draft.dimParam;
      const bytes = encode(table as unknown as Table<Record<string, object>>, draft);
      const read = theirs.toObject(theirs.decode(bytes), { longs: Number });
      const missing = Object.keys(draft).filter((field) => !(field in read));
      expect(missing).toEqual(missing.filter((field) => younger.includes(`${name}.${field}`)));
      for (const field of missing) delete draft[field];
      const comparable = (value: unknown): unknown =>
        value instanceof Uint8Array ? [...value] : Array.isArray(value) ? value.map(comparable) : value;
      for (const [field, value] of Object.entries(draft))
        expect(comparable(read[field]), field).toEqual(comparable(value));

      const back = decode(
        table as unknown as Table<Record<string, object>>,
        theirs.encode(theirs.fromObject(draft)).finish(),
        'x',
      ) as typeof draft;
      for (const [field, value] of Object.entries(draft))
        expect(comparable(back[field]), field).toEqual(comparable(value));
    },
  );

  test('what is written is read again, three messages deep', () => {
    const draft = filled(messageTables.ModelProto, 3) as unknown as ModelProto;
    const bytes = new Uint8Array(writeModel(draft));
    expect(Buffer.compare(writeModel(readModel(bytes, 'net.onnx')), bytes)).toBe(0);
    expect(readModel(bytes, 'net.onnx').graph?.node[1]).toMatchObject(draft.graph!.node[1]!);
  });

  test('negative numbers, and those that only 64 bits hold', () => {
    const bytes = writeModel({ irVersion: -1, modelVersion: -(2 ** 52) });
    expect(readModel(bytes, 'x')).toMatchObject({ irVersion: -1, modelVersion: -(2 ** 52) });
    const most = Uint8Array.of(8, ...new Array<number>(8).fill(255), 127);
    expect(readModel(most, 'x').irVersion).toBe(2 ** 63);
  });

  test('fields that no table has are skipped', () => {
    const known = writeModel({ producerName: 'a' });
    const model = readModel(Buffer.concat([whole(99, 7), known, bytesField(2000, Uint8Array.of(1, 2))]), 'x');
    expect(model.producerName).toBe('a');
  });
});

describe('files that are none', () => {
  const graph = (...parts: Uint8Array[]) => bytesField(7, Buffer.concat(parts));
  test.for<[string, Uint8Array, string]>([
    [
      'a length beyond the end',
      Uint8Array.of(58, 255, 255, 255, 255, 7, 1),
      'byte 0: 2147483647 bytes where 1 are left',
    ],
    ['within a message', graph(Uint8Array.of(10, 9, 1)), 'byte 2 (graph): 9 bytes where 1 are left'],
    ['a number without end', new Uint8Array(12).fill(255), 'byte 0: a number of more than ten bytes'],
    ['a number cut off', Uint8Array.of(8, 128), 'byte 1: a number that the end of its message cuts off'],
    ['a group', Uint8Array.of(11), 'byte 0: wire type 3'],
    ['field 0', Uint8Array.of(0, 0), 'byte 0: a field of the number 0'],
    ['a text as a number', Uint8Array.of(16, 5), 'byte 0 (producerName): wire type 0'],
    ['a name that is no text', graph(Uint8Array.of(18, 1, 0xff)), 'byte 2 (graph.name): a text that is not UTF-8'],
    ['two graphs', Buffer.concat([graph(), graph()]), 'byte 2 (graph): a field that stands twice'],
    [
      'packed floats cut off',
      graph(bytesField(5, bytesField(4, new Uint8Array(5)))),
      'byte 4 (graph.initializer.floatData)',
    ],
  ])('%s', ([, bytes, message]) => {
    expect(() => readModel(bytes, 'net.onnx')).toThrow(UserError);
    expect(() => readModel(bytes, 'net.onnx')).toThrow(`net.onnx: ${message}`);
  });

  test('graphs within graphs without end', () => {
    let bytes: Uint8Array = new Uint8Array();
    for (let k = 0; k < 400; k++) bytes = bytesField(1, bytesField(5, bytesField(6, bytes)));
    expect(() => readModel(bytesField(7, bytes), 'x')).toThrow('messages 100 deep');
  });

  const latin = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1');
  fuzzReaders([
    {
      name: 'ONNX',
      valid: [latin(writeModel(filled(messageTables.ModelProto, 3))), latin(writeModel({ producerName: 'a' }))],
      read: (text) => {
        const model = readModel(Buffer.from(text, 'latin1'), 'x');
        for (const tensor of model.graph?.initializer ?? []) readTensor(tensor, 'x');
      },
    },
  ]);
});

describe('tensors', () => {
  const again = (type: keyof typeof elementTypes, values: readonly number[]) => {
    const { graph } = readModel(
      writeModel({ graph: { initializer: [writeTensor('t', type, [values.length], values)] } }),
      'x',
    );
    return [...readTensor(graph!.initializer[0]!, 'x').data];
  };

  test('of every type that is written', () => {
    for (const values of [
      [-8, 7, 0],
      [5, -1, 3, 2],
    ])
      expect(again('INT4', values)).toEqual(values);
    expect(again('UINT4', [15, 0, 9])).toEqual([15, 0, 9]);
    for (const [type, values] of [
      ['INT8', [-128, 127]],
      ['UINT8', [0, 255]],
      ['INT16', [-32768, 32767]],
      ['UINT16', [0, 65535]],
      ['INT32', [-(2 ** 31), 2 ** 31 - 1]],
      ['UINT32', [0, 2 ** 32 - 1]],
      ['INT64', [-(2 ** 53) + 1, 5]],
      ['UINT64', [0, 2 ** 53 - 1]],
      ['FLOAT', [0.5, -1e30]],
      ['DOUBLE', [0.1, -1e300]],
      ['BOOL', [0, 1, 1]],
    ] as const)
      expect(again(type, type === 'FLOAT' ? values.map(Math.fround) : values), type).toEqual(
        type === 'FLOAT' ? values.map(Math.fround) : [...values],
      );
    expect(() => writeTensor('t', 'INT4', [1], [8])).toThrow('8 is no INT4');
  });

  const listed = (dataType: number, dims: readonly number[], rest: object) => {
    const { graph } = readModel(writeModel({ graph: { initializer: [{ name: 't', dataType, dims, ...rest }] } }), 'x');
    return readTensor(graph!.initializer[0]!, 'x');
  };

  test('from the lists of their types', () => {
    expect([...listed(elementTypes.FLOAT, [2], { floatData: [1.5, 2] }).data]).toEqual([1.5, 2]);
    expect([...listed(elementTypes.INT8, [2], { int32Data: [-3, 4] }).data]).toEqual([-3, 4]);
    expect([...listed(elementTypes.FLOAT16, [2], { int32Data: [0x3c00, 0xc000] }).data]).toEqual([1, -2]);
    expect([...listed(elementTypes.INT4, [3], { int32Data: [0xf7, 0x08] }).data]).toEqual([7, -1, -8]);
    expect([...listed(elementTypes.INT64, [1], { int64Data: [-5] }).data]).toEqual([-5]);
    expect([...listed(elementTypes.FLOAT, [], { floatData: [3] }).data]).toEqual([3]);
  });

  test('that lie about themselves', () => {
    const raw = { rawData: new Uint8Array(8) };
    expect(() => listed(elementTypes.FLOAT, [2 ** 30, 2 ** 20], raw)).toThrow("tensor 't': 8 bytes for the shape");
    expect(() => listed(elementTypes.FLOAT, [2 ** 40, 2 ** 40], raw)).toThrow('expected extents of 0 and more');
    expect(() => listed(elementTypes.FLOAT, [-2], raw)).toThrow('expected extents of 0 and more');
    expect(() => listed(8, [2], {})).toThrow('elements of type 8');
    expect(() => listed(elementTypes.INT8, [1], { int32Data: [200] })).toThrow('the value 200: expected int8');
    expect(() => listed(elementTypes.FLOAT, [2], { floatData: [1] })).toThrow(
      '1 elements for the shape [2]: expected 2',
    );
    expect(() => listed(elementTypes.FLOAT, [2], { dataLocation: 1 })).toThrow('in another file');
  });

  test('numbers of types are those of the schema', () => {
    const { DataType } = onnx.TensorProto as unknown as { DataType: Record<string, number> };
    const { AttributeType } = onnx.AttributeProto as unknown as { AttributeType: Record<string, number> };
    for (const [name, number] of Object.entries(attributeTypes)) expect(AttributeType[name], name).toBe(number);
    const own = Object.entries(elementTypes).filter(([name]) => !name.endsWith('INT4'));
    for (const [name, number] of own) expect(DataType[name], name).toBe(number);
  });
});
