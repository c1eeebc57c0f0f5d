// What Python's pickles of data sets hold beside plain data: NumPy arrays of bytes or small integers. Their classes are
// named here for the restricted reader (tensor/pickle.ts); nothing else can be made.

import type { UserError } from '../tensor/errors.ts';
import { type Builder, kindOf, type Pickled, type Refuse, unpickle } from '../tensor/pickle.ts';

/** An array whose elements are whole numbers: one byte each, or as a list of numbers would be. */
export class PickledArray {
  shape: readonly number[] = [];
  values: Uint8Array | readonly number[] = new Uint8Array();
}

class ElementType {
  readonly name: string;
  isBigEndian = false;
  constructor(name: string) {
    this.name = name;
  }
}

const array: Builder = {
  build: () => new PickledArray(),
  setState: (made, state, refuse) => {
    if (!Array.isArray(state) || !(made instanceof PickledArray)) throw refuse('the state of an array is no tuple');
    const [shape, type, isFortran, data] = state.slice(-4) as Pickled[];
    const extents = Array.isArray(shape) ? shape.map(Number) : [];
    if (!(type instanceof ElementType)) throw refuse('an array without a type');
    if (isFortran !== false && extents.length > 1) throw refuse('an array in Fortran order, C order was expected');
    const bytes = bytesOfPickle(data ?? null, refuse);
    const count = extents.reduce((product, extent) => product * extent, 1);
    made.shape = extents;
    made.values = elementsOf(bytes, type, count, refuse);
  },
};

const type: Builder = {
  build: ([name], refuse) => {
    if (typeof name !== 'string') throw refuse(`the type of an array is ${kindOf(name ?? null)}`);
    return new ElementType(name);
  },
  setState: (made, state) => {
    if (made instanceof ElementType && Array.isArray(state)) made.isBigEndian = state[1] === '>';
  },
};

function elementsOf(bytes: Uint8Array, { name, isBigEndian }: ElementType, count: number, refuse: Refuse) {
  const size = { u1: 1, i1: 1, i2: 2, u2: 2, i4: 4, u4: 4, i8: 8, u8: 8 }[name];
  if (size === undefined)
    throw refuse(`an array of the type ${JSON.stringify(name.slice(0, 20))}, integers were expected`);
  if (bytes.length !== size * count) throw refuse(`an array of ${count} elements in ${bytes.length} bytes`);
  if (name === 'u1') return bytes;
  const view = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const read = (at: number) => {
    if (size === 8) return Number(isBigEndian ? view.readBigInt64BE(at) : view.readBigInt64LE(at));
    return isBigEndian ? view.readIntBE(at, size) : view.readIntLE(at, size);
  };
  return Array.from({ length: count }, (_, k) => read(size * k));
}

/** Bytes, or a text of Python 2 that holds them. */
function bytesOfPickle(data: Pickled, refuse: Refuse): Uint8Array {
  if (data instanceof Uint8Array) return data;
  if (typeof data === 'string') return Buffer.from(data, 'latin1');
  throw refuse(`the elements of an array are ${kindOf(data)}, bytes were expected`);
}

const globals = new Map<string, Builder>([
  ['numpy.core.multiarray._reconstruct', array],
  ['numpy._core.multiarray._reconstruct', array],
  ['numpy.ndarray', {}],
  ['numpy.dtype', type],
  // How Python 3 writes bytes for Python 2.
  [
    '_codecs.encode',
    {
      build: ([text], refuse) => {
        if (typeof text !== 'string') throw refuse('what is encoded is no text');
        return new Uint8Array(Buffer.from(text, 'latin1'));
      },
    },
  ],
]);

/** The dictionary of a pickle, its keys as texts. Throws a UserError. */
export function readPickledDictionary(
  bytes: Uint8Array,
  file: string,
  fail: (detail: string) => UserError,
): ReadonlyMap<string, Pickled> {
  const { value } = unpickle(bytes, { file, globals });
  if (!(value instanceof Map)) throw fail(`it holds ${kindOf(value)}, a dictionary was expected`);
  return new Map([...value].map(([key, item]) => [textOf(key as Pickled), item as Pickled]));
}

/** A text, whichever of Python's kinds it is. */
export function textOf(value: Pickled): string {
  return value instanceof Uint8Array ? Buffer.from(value).toString('utf8') : String(value);
}
