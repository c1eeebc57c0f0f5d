// A restricted unpickler: the machine of Python's pickle format (protocols 0 to 5; opcodes as the standard library's
// pickletools lists them) that can make None, booleans, numbers, strings, bytes, tuples, lists and dictionaries, and
// whatever the caller's table of globals makes. Nothing else is ever looked up or called: any other global and any
// other opcode is refused by its name and place. Integers are exact: bigint beyond 2^53. The machine has a stack, no
// recursion; time and memory are in proportion to the bytes, and containers are counted. What it returns may share
// parts and may contain itself: who walks it bounds the walk. Not a writer, and nothing for sets.

import { quoted, UserError } from './errors.ts';

/**
 * What a pickle holds: tuples are frozen arrays, lists are arrays, dictionaries are Maps, bytes are Uint8Array; a text
 * of Python 2 (whose bytes nobody knows the meaning of) is a string with a character for each byte. `object` is what a
 * builder made, or a `PickleGlobal`.
 */
export type Pickled = null | boolean | number | bigint | string | object;

/** Makes the error for what a builder cannot take; it says where in which file. */
export type Refuse = (detail: string) => UserError;

/** What may be done with a global that the caller allows. Without `build` it can only be named, as an argument. */
export interface Builder {
  /** Calls it, or makes an object of the class. */
  readonly build?: (args: readonly Pickled[], refuse: Refuse) => Pickled;
  /** Takes the state that is given to what `build` made. */
  readonly setState?: (made: object, state: Pickled, refuse: Refuse) => void;
}

/** A global as a value: a class that is handed to a function. */
export class PickleGlobal {
  /** "torch.FloatStorage". */
  readonly name: string;
  readonly builder: Builder;

  constructor(name: string, builder: Builder) {
    this.name = name;
    this.builder = builder;
  }
}

export interface UnpickleOptions {
  /** The file, for messages. */
  readonly file: string;
  /** The globals that may be there, by module and name: "collections.OrderedDict". */
  readonly globals: ReadonlyMap<string, Builder>;
  /** What stands for an object that is kept outside; without it persistent ids are refused. */
  readonly persistent?: (id: Pickled, refuse: Refuse) => Pickled;
  /** What to say of a global that is not in the table; default: that it is refused. */
  readonly refusal?: (global: string) => string;
  /** Where the pickle begins; default 0. */
  readonly start?: number;
}

/** Containers and built objects in a pickle: some hundred thousand tensors have fewer. */
const MOST_CONTAINERS = 2 ** 20;
/** Bytes of an integer: as many digits as Python itself converts. */
const LONGEST_INTEGER = 2048;
const LONGEST_LINE = 2 ** 24;
const LATEST_PROTOCOL = 5;

const MARK = Symbol('mark');
type Slot = Pickled | typeof MARK;

/** The value of the pickle, and where the bytes behind it begin. A UserError says what is refused, and where. */
export function unpickle(
  bytes: Uint8Array,
  options: UnpickleOptions,
): { readonly value: Pickled; readonly end: number } {
  return new Machine(bytes, options).run();
}

class Machine {
  readonly #bytes: Buffer;
  readonly #options: UnpickleOptions;
  readonly #stack: Slot[] = [];
  readonly #memo = new Map<number, Pickled>();
  readonly #madeBy = new WeakMap<object, Builder>();
  readonly #refuse: Refuse;
  #at: number;
  /** Of the opcode under way. */
  #start: number;
  #containers = 0;

  constructor(bytes: Uint8Array, options: UnpickleOptions) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#options = options;
    this.#at = options.start ?? 0;
    this.#start = this.#at;
    this.#refuse = (detail) => new UserError(`${options.file}: pickle, byte ${this.#start}: ${detail}`);
  }

  run(): { readonly value: Pickled; readonly end: number } {
    for (;;) {
      this.#start = this.#at;
      const code = this.#u8();
      if (code === STOP) {
        const value = this.#pop();
        return { value, end: this.#at };
      }
      const opcode = OPCODES[code];
      if (opcode === undefined) throw this.#refuse(`the opcode ${nameOf(code)} is refused; data alone were expected`);
      opcode(this);
    }
  }

  // Reading.

  take(count: number): Buffer {
    const end = this.#at + count;
    if (!(end <= this.#bytes.length)) {
      throw this.#refuse(
        `${count} bytes were expected, ${this.#bytes.length - this.#at} are left; the file is cut off`,
      );
    }
    const part = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return part;
  }

  #u8(): number {
    return this.take(1)[0]!;
  }

  /** A number of so many bytes, little-endian, without a sign. */
  unsigned(count: 1 | 2 | 4 | 8): number {
    const part = this.take(count);
    return count === 8 ? Number(part.readBigUInt64LE()) : part.readUIntLE(0, count);
  }

  /** The text up to the end of the line, which is passed over; a byte is a character. */
  line(): string {
    const end = this.#bytes.subarray(this.#at, this.#at + LONGEST_LINE).indexOf(10);
    if (end < 0) throw this.#refuse('a line without an end; the file is cut off or no pickle');
    const text = this.take(end).toString('latin1');
    this.#at++;
    return text;
  }

  utf8(count: number): string {
    const part = this.take(count);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(part);
    } catch {
      // Python writes lone surrogates of file names; no name of a tensor has one.
      throw this.#refuse('a text is not UTF-8');
    }
  }

  latin1(count: number): string {
    return this.take(count).toString('latin1');
  }

  /** A copy, so that what is returned does not hold the whole file. */
  ownBytes(count: number): Uint8Array {
    return new Uint8Array(this.take(count));
  }

  integer(count: number): number | bigint {
    if (count > LONGEST_INTEGER)
      throw this.#refuse(`an integer of ${count} bytes, at most ${LONGEST_INTEGER} are read`);
    const digits = Buffer.from(this.take(count)).reverse().toString('hex');
    return exact(count === 0 ? 0n : BigInt.asIntN(8 * count, BigInt(`0x${digits}`)));
  }

  /** "-12", "5L": a whole number as protocol 0 writes it. */
  decimal(text: string): number | bigint {
    const digits = text.replace(/L$/, '');
    if (digits.length > 2 * LONGEST_INTEGER || !/^[+-]?\d+$/.test(digits)) {
      throw this.#refuse(`${quoted(text)} is no whole number`);
    }
    return exact(BigInt(digits));
  }

  real(text: string): number {
    const named: Record<string, number> = { inf: Number.POSITIVE_INFINITY, '-inf': -Number.POSITIVE_INFINITY };
    const value = text === 'nan' ? Number.NaN : (named[text] ?? Number(text === '' ? 'x' : text));
    if (Number.isNaN(value) && text !== 'nan') throw this.#refuse(`${quoted(text)} is no number`);
    return value;
  }

  // The stack.

  push(value: Pickled): void {
    this.#stack.push(value);
  }

  mark(): void {
    this.#stack.push(MARK);
  }

  #pop(): Pickled {
    const value = this.#stack.pop();
    if (value === undefined || value === MARK) throw this.#refuse('nothing is on the stack where a value is needed');
    return value as Pickled;
  }

  top(): Pickled {
    const value = this.#pop();
    this.#stack.push(value);
    return value;
  }

  /** Takes away one thing, a mark too. */
  drop(): void {
    if (this.#stack.pop() === undefined) throw this.#refuse('nothing is on the stack');
  }

  /** The uppermost values, so many. */
  several(count: number): Pickled[] {
    const values = Array.from({ length: count }, () => this.#pop());
    return values.reverse();
  }

  /** The values above the last mark; both leave the stack. */
  marked(): Pickled[] {
    const mark = this.#stack.lastIndexOf(MARK);
    if (mark < 0) throw this.#refuse('no mark is on the stack');
    const values = this.#stack.splice(mark + 1) as Pickled[];
    this.#stack.pop();
    return values;
  }

  // Building.

  container<T extends object>(made: T): T {
    if (++this.#containers > MOST_CONTAINERS) {
      throw this.#refuse(`more than ${MOST_CONTAINERS} lists, tuples and dictionaries`);
    }
    return made;
  }

  tuple(values: Pickled[]): void {
    this.push(this.container(Object.freeze(values)));
  }

  append(values: readonly Pickled[]): void {
    const list = this.top();
    if (!Array.isArray(list) || Object.isFrozen(list)) throw this.#refuse(`${kindOf(list)} cannot be appended to`);
    for (const value of values) list.push(value);
  }

  setItems(pairs: readonly Pickled[]): void {
    const dictionary = this.top();
    if (!(dictionary instanceof Map)) throw this.#refuse(`${kindOf(dictionary)} takes no items`);
    if (pairs.length % 2 !== 0) throw this.#refuse('a key without a value');
    for (let at = 0; at < pairs.length; at += 2) {
      const key = pairs[at]!;
      if (key instanceof Map || (Array.isArray(key) && !Object.isFrozen(key))) {
        throw this.#refuse(`${kindOf(key)} cannot be a key`);
      }
      dictionary.set(key, pairs[at + 1]!);
    }
  }

  global(module: string, name: string): void {
    const full = `${module}.${name}`;
    const builder = this.#options.globals.get(full);
    if (builder === undefined) {
      throw this.#refuse(
        this.#options.refusal?.(full) ?? `the global ${quoted(full)} is refused; data alone were expected`,
      );
    }
    this.push(new PickleGlobal(full, builder));
  }

  stackGlobal(): void {
    const [module, name] = this.several(2);
    if (typeof module !== 'string' || typeof name !== 'string') throw this.#refuse('the name of a global is no text');
    this.global(module, name);
  }

  call(): void {
    const [callee, args] = this.several(2);
    if (!(callee instanceof PickleGlobal)) throw this.#refuse(`${kindOf(callee!)} cannot be called`);
    if (!Array.isArray(args)) throw this.#refuse(`the arguments of ${callee.name} are ${kindOf(args!)}, no tuple`);
    const { name, builder } = callee;
    if (builder.build === undefined) throw this.#refuse(`${quoted(name)} can be named but not called`);
    const made = builder.build(args, this.#refuse);
    if (typeof made === 'object' && made !== null) this.#madeBy.set(this.container(made), builder);
    this.push(made);
  }

  setState(): void {
    const [made, state] = this.several(2);
    const builder = typeof made === 'object' && made !== null ? this.#madeBy.get(made) : undefined;
    if (builder?.setState === undefined) throw this.#refuse(`${kindOf(made!)} takes no state`);
    builder.setState(made as object, state!, this.#refuse);
    this.push(made!);
  }

  persistent(id: Pickled): void {
    const { persistent } = this.#options;
    if (persistent === undefined) throw this.#refuse('a persistent id is refused; data alone were expected');
    this.push(persistent(id, this.#refuse));
  }

  persistentOnStack(): void {
    this.persistent(this.#pop());
  }

  // The memo, and what frames the rest.

  remember(place: number): void {
    this.#memo.set(place, this.top());
  }

  memoize(): void {
    this.remember(this.#memo.size);
  }

  recall(place: number): void {
    const value = this.#memo.get(place);
    if (value === undefined) throw this.#refuse(`nothing was kept at the place ${place} of the memo`);
    this.push(value);
  }

  /** A place of the memo as protocol 0 writes it. */
  place(text: string): number {
    if (!/^\d{1,10}$/.test(text)) throw this.#refuse(`${quoted(text)} is no place of the memo`);
    return Number(text);
  }

  protocol(version: number): void {
    if (version > LATEST_PROTOCOL) {
      throw this.#refuse(`protocol ${version}, at most ${LATEST_PROTOCOL} is read; the file is damaged or no pickle`);
    }
  }

  /** A text of Python 2 between quotes, with its escapes. */
  quotedText(text: string): string {
    const [, quote, inner] = /^(['"])(.*)\1$/s.exec(text.trim()) ?? [];
    if (quote === undefined) throw this.#refuse(`${quoted(text)} is not between quotes`);
    return inner!.replace(/\\(x[0-9a-f]{2}|[0-7]{1,3}|.)/gis, (_, code: string) => {
      if (/^x./i.test(code)) return String.fromCharCode(Number.parseInt(code.slice(1), 16));
      if (/^[0-7]/.test(code)) return String.fromCharCode(Number.parseInt(code, 8) & 255);
      return ESCAPES[code] ?? (/['"\\]/.test(code) ? code : `\\${code}`);
    });
  }

  /** A text whose characters beyond Latin-1, backslashes and line ends are \u escapes. */
  escapedText(text: string): string {
    return text.replace(/\\u([0-9a-f]{4})|\\U([0-9a-f]{8})/gi, (all, short?: string, long?: string) => {
      const point = Number.parseInt(short ?? long!, 16);
      return point <= 0x10ffff ? String.fromCodePoint(point) : all;
    });
  }
}

const ESCAPES: Readonly<Record<string, string>> = { n: '\n', t: '\t', r: '\r', a: '\x07', b: '\b', f: '\f', v: '\v' };

function exact(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

/** A value's kind, for messages. */
export function kindOf(value: Pickled): string {
  if (value === null) return 'None';
  if (value instanceof PickleGlobal) return `the global ${quoted(value.name)}`;
  if (value instanceof Map) return 'a dictionary';
  if (value instanceof Uint8Array) return 'bytes';
  if (Array.isArray(value)) return Object.isFrozen(value) ? 'a tuple' : 'a list';
  if (typeof value === 'object') return 'an object';
  return { string: 'a text', boolean: 'a boolean', number: 'a number', bigint: 'an integer' }[typeof value as 'string'];
}

const STOP = 0x2e;

/** What each opcode does; the ones that are not here are refused. */
const OPCODES: Readonly<Record<number, (machine: Machine) => void>> = {
  128: (m) => m.protocol(m.unsigned(1)),
  // FRAME: how many bytes belong together, which only who reads from a pipe need know.
  149: (m) => void m.unsigned(8),
  // NONE, NEWTRUE, NEWFALSE
  78: (m) => m.push(null),
  136: (m) => m.push(true),
  137: (m) => m.push(false),
  // INT (I00 and I01 are booleans), BININT, BININT1, BININT2, LONG, LONG1, LONG4
  73: (m) => {
    const text = m.line();
    m.push(text === '00' ? false : text === '01' ? true : m.decimal(text));
  },
  74: (m) => m.push(m.integer(4)),
  75: (m) => m.push(m.unsigned(1)),
  77: (m) => m.push(m.unsigned(2)),
  76: (m) => m.push(m.decimal(m.line())),
  138: (m) => m.push(m.integer(m.unsigned(1))),
  139: (m) => m.push(m.integer(m.unsigned(4))),
  // FLOAT, BINFLOAT
  70: (m) => m.push(m.real(m.line())),
  71: (m) => m.push(m.take(8).readDoubleBE()),
  // STRING, BINSTRING, SHORT_BINSTRING: texts of Python 2
  83: (m) => m.push(m.quotedText(m.line())),
  84: (m) => m.push(m.latin1(m.unsigned(4))),
  85: (m) => m.push(m.latin1(m.unsigned(1))),
  // UNICODE, BINUNICODE, SHORT_BINUNICODE, BINUNICODE8
  86: (m) => m.push(m.escapedText(m.line())),
  88: (m) => m.push(m.utf8(m.unsigned(4))),
  140: (m) => m.push(m.utf8(m.unsigned(1))),
  141: (m) => m.push(m.utf8(m.unsigned(8))),
  // BINBYTES, SHORT_BINBYTES, BINBYTES8, BYTEARRAY8
  66: (m) => m.push(m.ownBytes(m.unsigned(4))),
  67: (m) => m.push(m.ownBytes(m.unsigned(1))),
  142: (m) => m.push(m.ownBytes(m.unsigned(8))),
  150: (m) => m.push(m.ownBytes(m.unsigned(8))),
  // EMPTY_TUPLE, TUPLE1, TUPLE2, TUPLE3, TUPLE
  41: (m) => m.tuple([]),
  133: (m) => m.tuple(m.several(1)),
  134: (m) => m.tuple(m.several(2)),
  135: (m) => m.tuple(m.several(3)),
  116: (m) => m.tuple(m.marked()),
  // EMPTY_LIST, LIST, APPEND, APPENDS
  93: (m) => m.push(m.container([])),
  108: (m) => m.push(m.container(m.marked())),
  97: (m) => m.append(m.several(1)),
  101: (m) => m.append(m.marked()),
  // EMPTY_DICT, DICT, SETITEM, SETITEMS
  125: (m) => m.push(m.container(new Map())),
  100: (m) => {
    const items = m.marked();
    m.push(m.container(new Map()));
    m.setItems(items);
  },
  115: (m) => m.setItems(m.several(2)),
  117: (m) => m.setItems(m.marked()),
  // MARK, POP, POP_MARK, DUP
  40: (m) => m.mark(),
  48: (m) => m.drop(),
  49: (m) => void m.marked(),
  50: (m) => m.push(m.top()),
  // PUT, BINPUT, LONG_BINPUT, MEMOIZE, GET, BINGET, LONG_BINGET
  112: (m) => m.remember(m.place(m.line())),
  113: (m) => m.remember(m.unsigned(1)),
  114: (m) => m.remember(m.unsigned(4)),
  148: (m) => m.memoize(),
  103: (m) => m.recall(m.place(m.line())),
  104: (m) => m.recall(m.unsigned(1)),
  106: (m) => m.recall(m.unsigned(4)),
  // GLOBAL, STACK_GLOBAL, REDUCE, NEWOBJ, BUILD
  99: (m) => m.global(m.line(), m.line()),
  147: (m) => m.stackGlobal(),
  82: (m) => m.call(),
  129: (m) => m.call(),
  98: (m) => m.setState(),
  // PERSID, BINPERSID
  80: (m) => m.persistent(m.line()),
  81: (m) => m.persistentOnStack(),
};

/** The names of the opcodes that are refused. */
const REFUSED: Readonly<Record<number, string>> = {
  ...{ 105: 'INST', 111: 'OBJ', 130: 'EXT1', 131: 'EXT2', 132: 'EXT4', 143: 'EMPTY_SET' },
  ...{ 144: 'ADDITEMS', 145: 'FROZENSET', 146: 'NEWOBJ_EX', 151: 'NEXT_BUFFER', 152: 'READONLY_BUFFER' },
};

const nameOf = (code: number): string => REFUSED[code] ?? `0x${code.toString(16).padStart(2, '0')}`;
