// Files that PyTorch's torch.save wrote: the zip archive (since 1.6: data.pkl beside a member for each storage; version
// and byte order as records) and the legacy stream of pickles with the storages behind them. The pickle is read by
// the restricted machine of pickle.ts with the globals below: tensors of any strides over shared storages, parameters,
// ordered dictionaries, NumPy's scalars. Invariant: every tensor lies inside its storage and every storage inside
// the file. No code of a file runs; whole modules, quantised, sparse and complex tensors are refused by name.

import { readZipDirectory, requireChecksum, type ZipMember } from './archive.ts';
import { type ElementType, elements } from './elements.ts';
import { invariant, quoted, UserError } from './errors.ts';
import { type Builder, kindOf, type Pickled, PickleGlobal, type Refuse, unpickle } from './pickle.ts';
import type { ByteSource } from './source.ts';
import { faultOfView, rowMajor, type Storage, type StoredTensor } from './stored.ts';
import { sizeOf } from './tensor.ts';

/** A tensor among what a PyTorch file holds. */
export class TorchTensor implements StoredTensor {
  readonly storage: Storage;
  readonly shape: readonly number[];
  readonly offset: number;
  readonly strides: readonly number[];

  constructor({ storage, shape, offset, strides }: StoredTensor) {
    this.storage = storage;
    this.shape = shape;
    this.offset = offset;
    this.strides = strides;
  }
}

/** What PyTorch calls its types of storage and of elements. */
const storageTypes: Readonly<Record<string, ElementType>> = {
  ...{ DoubleStorage: 'F64', FloatStorage: 'F32', HalfStorage: 'F16', BFloat16Storage: 'BF16' },
  ...{ LongStorage: 'I64', IntStorage: 'I32', ShortStorage: 'I16', CharStorage: 'I8' },
  ...{ ByteStorage: 'U8', BoolStorage: 'BOOL', UntypedStorage: 'U8' },
};
const elementNames: Readonly<Record<string, ElementType>> = {
  ...{ float64: 'F64', float32: 'F32', float16: 'F16', bfloat16: 'BF16' },
  ...{ float8_e4m3fn: 'F8_E4M3', float8_e5m2: 'F8_E5M2' },
  ...{ int64: 'I64', int32: 'I32', int16: 'I16', int8: 'I8' },
  ...{ uint64: 'U64', uint32: 'U32', uint16: 'U16', uint8: 'U8', bool: 'BOOL' },
};

/** A pickle of a checkpoint is its names and shapes. */
const MOST_PICKLE = 2 ** 28;

/** A storage as the pickle names it: bytes of an untyped one get their type from the tensor. */
class NamedStorage {
  readonly key: string;
  readonly type: ElementType;
  readonly count: number;
  /** Gives its bytes; the legacy form has them behind the pickle. */
  source: (() => StorageBytes) | undefined;

  constructor(key: string, type: ElementType, count: number) {
    this.key = key;
    this.type = type;
    this.count = count;
  }

  as(type: ElementType): Storage {
    const width = elements[type].bytes;
    const count = Math.floor((this.count * elements[this.type].bytes) / width);
    return {
      type,
      count,
      read: (from, wanted) => {
        invariant(this.source, `the storage ${this.key} has no bytes`);
        const { read, isBigEndian } = this.source();
        const bytes = read(from * width, wanted * width);
        return isBigEndian ? swapped(bytes, width) : bytes;
      },
    };
  }
}

interface StorageBytes {
  readonly read: (at: number, count: number) => Uint8Array;
  readonly isBigEndian: boolean;
}

function swapped(bytes: Uint8Array, width: number): Uint8Array {
  const own = Buffer.from(bytes);
  if (width === 2) own.swap16();
  else if (width === 4) own.swap32();
  else if (width === 8) own.swap64();
  return own;
}

/** Whether the bytes begin as the legacy stream does: a pickle of its magic number. */
export function isLegacyTorch(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(0, MAGIC.length)).equals(MAGIC);
}

const MAGIC = Buffer.from([0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19]);

/** What the archive holds, tensors as `TorchTensor`s that read from the source. Throws a UserError. */
export function readTorchZip(source: ByteSource): Pickled {
  const members = readZipDirectory(source);
  const pickles = [...members.values()].filter(({ name }) => /^[^/]+\/data\.pkl$/.test(name));
  const [pickle] = pickles;
  if (!pickle || pickles.length > 1) {
    throw new UserError(
      `${source.name} is a zip archive, but not one of torch.save: ${pickles.length} members are called data.pkl; expected one`,
    );
  }
  const folder = pickle.name.slice(0, -'data.pkl'.length);
  if (members.has(`${folder}constants.pkl`)) {
    throw new UserError(
      `${source.name} is a TorchScript program, not a state dict; in Python: torch.save(torch.jit.load(FILE).state_dict(), 'weights.pth')`,
    );
  }
  const contents = (member: ZipMember) => {
    requireChecksum(source, member);
    return source.read(member.start, member.size);
  };
  const order = members.get(`${folder}byteorder`);
  const byteOrder = order && order.size < 16 ? Buffer.from(contents(order)).toString('latin1') : 'little';
  if (byteOrder !== 'little' && byteOrder !== 'big') {
    throw new UserError(`${source.name}: the byte order ${quoted(byteOrder)}, little or big was expected`);
  }
  if (pickle.size > MOST_PICKLE) {
    throw new UserError(`${source.name}: ${pickle.name} has ${pickle.size} bytes, at most ${MOST_PICKLE} are read`);
  }
  const checked = new Set<string>();
  const persistent = storagesOf((storage, refuse) => {
    const member = members.get(`${folder}data/${storage.key}`);
    if (!member) throw refuse(`the storage ${quoted(storage.key)} is not in the archive`);
    const expected = storage.count * elements[storage.type].bytes;
    if (member.size !== expected) {
      throw refuse(`the storage ${quoted(storage.key)} has ${member.size} bytes, ${expected} were expected`);
    }
    storage.source = () => {
      if (!checked.has(member.name)) requireChecksum(source, member);
      checked.add(member.name);
      return { read: (at, count) => source.read(member.start + at, count), isBigEndian: byteOrder === 'big' };
    };
  });
  return unpickle(contents(pickle), { file: source.name, globals, refusal, persistent: persistent.of }).value;
}

/** The same of the legacy stream: magic number, version, facts of the machine, the pickle, names of storages, bytes. */
export function readTorchLegacy(source: ByteSource): Pickled {
  const file = source.name;
  const storages = storagesOf(() => {});
  const head = source.read(0, Math.min(source.size, MOST_PICKLE));
  const wrong = (detail: string) => new UserError(`${file} is not a usable file of torch.save: ${detail}`);
  let at = 0;
  const next = (): Pickled => {
    const { value, end } = unpickle(head, { file, globals, refusal, persistent: storages.of, start: at });
    at = end;
    return value;
  };
  next();
  const version = next();
  if (version !== 1001) throw wrong(`protocol ${String(version)}, 1001 was expected`);
  next();
  const value = next();
  const keys = next();
  if (!Array.isArray(keys)) throw wrong(`its list of storages is ${kindOf(keys)}`);
  const seen = new Set<string>();
  for (const key of keys) {
    const storage = typeof key === 'string' ? storages.all.get(key) : undefined;
    if (!storage || seen.has(storage.key)) throw wrong(`the storage ${quoted(String(key))} is in no tensor, or twice`);
    seen.add(storage.key);
    const width = elements[storage.type].bytes;
    const count = Buffer.from(source.read(at, 8)).readBigInt64LE();
    if (count !== BigInt(storage.count)) {
      throw wrong(
        `byte ${at}: the storage ${quoted(storage.key)} has ${count} elements, ${storage.count} were expected`,
      );
    }
    const start = at + 8;
    at = start + storage.count * width;
    if (at > source.size) throw wrong(`its storages end at byte ${at}, the file has ${source.size}; it is cut off`);
    storage.source = () => ({ read: (from, bytes) => source.read(start + from, bytes), isBigEndian: false });
  }
  const without = [...storages.all.values()].find(({ source: bytes }) => bytes === undefined);
  if (without) throw wrong(`the bytes of the storage ${quoted(without.key)} are not there`);
  if (at < source.size) throw wrong(`${source.size - at} bytes follow the last storage`);
  return value;
}

/** Reads persistent ids: ('storage', type, key, location, number of elements[, view]). */
function storagesOf(found: (storage: NamedStorage, refuse: Refuse) => void) {
  const all = new Map<string, NamedStorage>();
  const of = (id: Pickled, refuse: Refuse): Pickled => {
    if (!Array.isArray(id)) throw refuse(`the id of a storage is ${kindOf(id)}, a tuple was expected`);
    const [kind, type, key, , count, view] = id as (Pickled | undefined)[];
    if (kind === 'module') throw refuse(refusal('torch.nn.Module'));
    const name = type instanceof PickleGlobal ? type.name.replace(/^torch\.(storage\.)?/, '') : '';
    const isNamed = kind === 'storage' && Object.hasOwn(storageTypes, name) && typeof key === 'string';
    if (!isNamed || !Number.isSafeInteger(count) || (count as number) < 0) {
      throw refuse('the id of a storage does not say its type, its name and its number of elements');
    }
    if (view !== undefined && view !== null) throw refuse('a storage that is a view of another (PyTorch before 0.4)');
    const known = all.get(key);
    if (known) {
      if (known.type === storageTypes[name] && known.count === count) return known;
      throw refuse(`the storage ${quoted(key)} has two types or sizes`);
    }
    const storage = new NamedStorage(key, storageTypes[name]!, count as number);
    all.set(key, storage);
    found(storage, refuse);
    return storage;
  };
  return { all, of };
}

function rebuildTensor(args: readonly Pickled[], refuse: Refuse, type?: ElementType): TorchTensor {
  const [storage, offset, shape, strides] = args;
  if (!(storage instanceof NamedStorage)) throw refuse('a tensor without a storage');
  if (!Array.isArray(shape) || !Array.isArray(strides)) throw refuse('a tensor without a shape or without strides');
  const view = {
    storage: storage.as(type ?? storage.type),
    ...{ shape: shape as number[], offset: offset as number, strides: strides as number[] },
  };
  const fault = faultOfView(view);
  if (fault !== undefined) throw refuse(`a tensor over the storage ${quoted(storage.key)} has ${fault}`);
  // A tensor without elements may have any strides.
  return new TorchTensor(sizeOf(view.shape) === 0 ? { ...view, offset: 0, strides: rowMajor(view.shape) } : view);
}

const dictionary: Builder = {
  build: ([items = []], refuse) => {
    const made = new Map<Pickled, Pickled>();
    if (items instanceof PickleGlobal) return made;
    for (const pair of Array.isArray(items) ? items : []) {
      if (!Array.isArray(pair) || pair.length !== 2) throw refuse('an entry of a dictionary that is no pair');
      made.set(pair[0], pair[1]);
    }
    return made;
  },
  // Attributes, such as the version of each module.
  setState: () => {},
};

const typedTensor: Builder = {
  build: (args, refuse) => {
    const type = args[6];
    const name = type instanceof PickleGlobal ? type.name.replace(/^torch\./, '') : '';
    if (!Object.hasOwn(elementNames, name)) throw refuse('a tensor whose element type is none');
    return rebuildTensor(args, refuse, elementNames[name]);
  },
};

const parameter: Builder = {
  build: ([tensor], refuse) => {
    if (!(tensor instanceof TorchTensor)) throw refuse('a parameter that is no tensor');
    return tensor;
  },
};

class NumpyType {
  readonly code: string;

  constructor(code: string) {
    this.code = code;
  }
}

const numpyType: Builder = {
  build: ([code], refuse) => {
    if (typeof code !== 'string') throw refuse('a NumPy type without a code');
    return new NumpyType(code);
  },
  setState: () => {},
};

const numpyReaders: Readonly<Record<string, (bytes: Buffer) => Pickled>> = {
  f8: (bytes) => bytes.readDoubleLE(),
  f4: (bytes) => bytes.readFloatLE(),
  i8: (bytes) => bytes.readBigInt64LE(),
  i4: (bytes) => bytes.readInt32LE(),
  b1: (bytes) => bytes[0] !== 0,
};

const numpyScalar: Builder = {
  build: ([type, bytes], refuse) => {
    const code = type instanceof NumpyType ? type.code : '';
    const data = typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes;
    if (!Object.hasOwn(numpyReaders, code) || !(data instanceof Uint8Array) || data.length !== Number(code.slice(1))) {
      throw refuse(`a NumPy scalar of the type ${quoted(code)}; ${Object.keys(numpyReaders).join(', ')} are read`);
    }
    return numpyReaders[code]!(Buffer.from(data));
  },
};

const latin1: Builder = {
  build: ([text, coding], refuse) => {
    if (typeof text !== 'string' || coding !== 'latin1') throw refuse('bytes that are not written as Latin-1');
    return new Uint8Array(Buffer.from(text, 'latin1'));
  },
};

const asTuple: Builder = {
  build: ([values], refuse) => {
    if (!Array.isArray(values)) throw refuse('a size that is no tuple');
    return values;
  },
};

/** All that a file may name. */
const globals: ReadonlyMap<string, Builder> = new Map<string, Builder>([
  ...Object.keys(storageTypes).flatMap((name): [string, Builder][] => [
    [`torch.${name}`, {}],
    [`torch.storage.${name}`, {}],
  ]),
  ...Object.keys(elementNames).map((name): [string, Builder] => [`torch.${name}`, {}]),
  ['torch._utils._rebuild_tensor', { build: (args, refuse) => rebuildTensor(args, refuse) }],
  ['torch._utils._rebuild_tensor_v2', { build: (args, refuse) => rebuildTensor(args, refuse) }],
  ['torch._utils._rebuild_tensor_v3', typedTensor],
  ['torch._utils._rebuild_parameter', parameter],
  ['torch._utils._rebuild_parameter_with_state', parameter],
  ['torch.Size', asTuple],
  ['torch.device', { build: (args) => args.map(String).join(':') }],
  ['collections.OrderedDict', dictionary],
  ['collections.defaultdict', dictionary],
  ['__builtin__.dict', {}],
  ['builtins.dict', {}],
  ['numpy.dtype', numpyType],
  ['numpy.core.multiarray.scalar', numpyScalar],
  ['numpy._core.multiarray.scalar', numpyScalar],
  ['_codecs.encode', latin1],
]);

function refusal(global: string): string {
  const name = quoted(global);
  if (/Complex\w*Storage|complex\d/.test(global)) return `${name}: complex numbers are not read; save real tensors`;
  if (/\.Q\w+Storage|qtensor|quint|qint/.test(global)) {
    return `${name}: tensors that PyTorch quantised are not read; save the float model's state_dict()`;
  }
  if (/sparse/.test(global)) return `${name}: sparse tensors are not read; save tensor.to_dense()`;
  return `the file holds ${name}, whose code would have to run, and is no state dict; in Python, save the tensors alone: torch.save(model.state_dict(), 'weights.pth')`;
}
