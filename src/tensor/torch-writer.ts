// The file that PyTorch's torch.save makes of a state dict: a zip archive of a pickle (protocol 2) and a member for
// each tensor's bytes. It names no more than an ordered dictionary, storages and the function that makes a tensor of
// one, so that torch.load takes it with weights_only=True. Equal tensors give equal bytes. See torch.ts for the reader.

import { writeZip } from './archive.ts';
import { invariant } from './errors.ts';
import { rowMajor } from './stored.ts';
import type { DType, HostTensor } from './tensor.ts';

const storageNames: Record<DType, string> = { f32: 'FloatStorage', i32: 'IntStorage', u8: 'ByteStorage' };
/** The folder of the members; any name will do. */
const FOLDER = 'archive';
/** PyTorch maps files into memory where storages begin at such multiples. */
const ALIGNMENT = 64;

const one = (byte: number) => Buffer.from([byte]);
const op = {
  protocol2: Buffer.from([0x80, 2]),
  stop: one(0x2e),
  mark: one(0x28),
  tuple: one(0x74),
  emptyTuple: one(0x29),
  reduce: one(0x52),
  setItems: one(0x75),
  no: one(0x89),
  persistentId: one(0x51),
} as const;

const global = (module: string, name: string) => Buffer.from(`c${module}\n${name}\n`);
const orderedDictionary = Buffer.concat([global('collections', 'OrderedDict'), op.emptyTuple, op.reduce]);

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  const head = Buffer.from([0x58, 0, 0, 0, 0]);
  head.writeUInt32LE(bytes.length, 1);
  return Buffer.concat([head, bytes]);
}

/** A whole number of at least 0, as short as Python writes it. */
function integer(value: number): Buffer {
  invariant(Number.isSafeInteger(value) && value >= 0, `${value} in a pickle`);
  if (value < 256) return Buffer.from([0x4b, value]);
  if (value < 65536) return Buffer.from([0x4d, value & 255, value >> 8]);
  const bytes = Buffer.alloc(value < 2 ** 31 ? 5 : 10);
  if (value < 2 ** 31) {
    bytes[0] = 0x4a;
    bytes.writeInt32LE(value, 1);
  } else {
    bytes.set([0x8a, 8]);
    bytes.writeBigInt64LE(BigInt(value), 2);
  }
  return bytes;
}

const tuple = (items: readonly Buffer[]) => Buffer.concat([op.mark, ...items, op.tuple]);

function tensorOf({ dtype, shape, data }: HostTensor, key: string): Buffer {
  const storage = [text('storage'), global('torch', storageNames[dtype]), text(key), text('cpu'), integer(data.length)];
  return Buffer.concat([
    global('torch._utils', '_rebuild_tensor_v2'),
    tuple([
      ...[tuple(storage), op.persistentId, integer(0), tuple(shape.map(integer)), tuple(rowMajor(shape).map(integer))],
      ...[op.no, orderedDictionary],
    ]),
    op.reduce,
  ]);
}

/** Tensors by name, in dictionaries inside of each other. */
export interface TensorTree extends ReadonlyMap<string, HostTensor | TensorTree> {}

/** The bytes of a .pth file with the tensors in their order. */
export function encodeTorch(tensors: TensorTree): Uint8Array {
  const storages: Uint8Array[] = [];
  const dictionaryOf = (tree: TensorTree): Buffer =>
    Buffer.concat([
      orderedDictionary,
      op.mark,
      ...[...tree].flatMap(([name, value]) => [text(name), itemOf(value)]),
      op.setItems,
    ]);
  const itemOf = (value: HostTensor | TensorTree): Buffer => {
    if (value instanceof Map) return dictionaryOf(value);
    const { data } = value as HostTensor;
    storages.push(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
    return tensorOf(value as HostTensor, String(storages.length - 1));
  };
  const pickle = Buffer.concat([op.protocol2, dictionaryOf(tensors), op.stop]);
  const record = (name: string, data: Uint8Array) => ({ name: `${FOLDER}/${name}`, data });
  return writeZip(
    [
      record('data.pkl', pickle),
      record('byteorder', Buffer.from('little')),
      ...storages.map((bytes, at) => record(`data/${at}`, bytes)),
      record('version', Buffer.from('3\n')),
    ],
    ALIGNMENT,
  );
}
