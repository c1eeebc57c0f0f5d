// A WebAssembly module from the bodies of its functions: one memory, imported, and the functions that have names,
// exported. Only what straight code on 128-bit vectors and loops around it need of the format; opcodes by their names
// in the specification.
// Source: WebAssembly Core Specification 2.0, chapter 5 (binary format).
// Not here: which code is emitted (netlist/compiled/assemble.ts, engine/wasm/lower/formula-code.ts).

/** Opcodes of one byte. */
export const op = {
  block: 0x02,
  loop: 0x03,
  if: 0x04,
  end: 0x0b,
  branch: 0x0c,
  branchIf: 0x0d,
  return: 0x0f,
  call: 0x10,
  select: 0x1b,
  localGet: 0x20,
  localSet: 0x21,
  localTee: 0x22,
  i32Const: 0x41,
  i32EqualZero: 0x45,
  i32LessUnsigned: 0x49,
  i32GreaterUnsigned: 0x4b,
  i32Add: 0x6a,
  i32Sub: 0x6b,
  i32Multiply: 0x6c,
  i32DivideUnsigned: 0x6e,
  i32RemainderUnsigned: 0x70,
  i32And: 0x71,
  i32ShiftLeft: 0x74,
  i32ShiftRight: 0x76,
} as const;

/** Opcodes behind the vector prefix. */
export const simd = {
  load: 0x00,
  load32Splat: 0x09,
  store: 0x0b,
  constant: 0x0c,
  shuffle: 0x0d,
  i32x4Splat: 0x11,
  f32x4Splat: 0x13,
  i32x4GreaterSigned: 0x3b,
  f32x4Greater: 0x44,
  not: 0x4d,
  and: 0x4e,
  andnot: 0x4f,
  or: 0x50,
  xor: 0x51,
  bitselect: 0x52,
  anyTrue: 0x53,
  store32Lane: 0x5a,
  f32x4Nearest: 0x6a,
  i32x4ShiftLeft: 0xab,
  i32x4ShiftRightSigned: 0xac,
  i32x4ShiftRight: 0xad,
  i32x4Add: 0xae,
  f32x4Absolute: 0xe0,
  f32x4Negate: 0xe1,
  f32x4SquareRoot: 0xe3,
  f32x4Add: 0xe4,
  f32x4Subtract: 0xe5,
  f32x4Multiply: 0xe6,
  f32x4Divide: 0xe7,
  f32x4Minimum: 0xe8,
  f32x4Maximum: 0xe9,
  i32x4Truncate: 0xf8,
  f32x4FromSigned: 0xfa,
} as const;

export const type = { i32: 0x7f, v128: 0x7b, none: 0x40 } as const;

const VECTOR_PREFIX = 0xfd;
/** Alignment hints, as powers of two: they cost nothing where they do not hold. */
const ALIGNED = { word: 2, vector: 4 } as const;
const I32_LOAD = 0x28;

/** Bytes in the making. */
export class Code {
  #buffer = new Uint8Array(256);
  #length = 0;

  get bytes(): Uint8Array<ArrayBuffer> {
    return this.#buffer.subarray(0, this.#length);
  }

  byte(...values: readonly number[]): this {
    return this.append(values);
  }

  append(values: ArrayLike<number>): this {
    const length = this.#length + values.length;
    if (length > this.#buffer.length) {
      const larger = new Uint8Array(2 * length);
      larger.set(this.bytes);
      this.#buffer = larger;
    }
    this.#buffer.set(values, this.#length);
    this.#length = length;
    return this;
  }

  /** An unsigned LEB128 number. */
  unsigned(value: number): this {
    let rest = value;
    for (; rest >= 128; rest = Math.floor(rest / 128)) this.#one((rest % 128) + 128);
    return this.#one(rest);
  }

  /** An opcode, and its operand if it has one. */
  plain(opcode: number, operand?: number): this {
    this.#one(opcode);
    return operand === undefined ? this : this.unsigned(operand);
  }

  i32(value: number): this {
    this.#one(op.i32Const);
    let rest = value | 0;
    for (; rest < -64 || rest > 63; rest >>= 7) this.#one((rest & 127) | 128);
    return this.#one(rest & 127);
  }

  vector(opcode: number): this {
    return this.#one(VECTOR_PREFIX).unsigned(opcode);
  }

  /** A load or a store at the address on the stack plus an offset. */
  access(opcode: typeof simd.load | typeof simd.store, offset: number): this {
    return this.vector(opcode).unsigned(ALIGNED.vector).unsigned(offset);
  }

  /** The 32-bit integer at the address on the stack plus an offset. */
  loadInteger(offset: number): this {
    return this.plain(I32_LOAD, ALIGNED.word).unsigned(offset);
  }

  /** The 32 bits at the address on the stack, in all lanes. */
  loadSplat(offset: number): this {
    return this.vector(simd.load32Splat).unsigned(ALIGNED.word).unsigned(offset);
  }

  /** One lane of the vector on the stack to the address below it. */
  storeLane(lane: number, offset: number): this {
    return this.vector(simd.store32Lane).unsigned(ALIGNED.word).unsigned(offset).byte(lane);
  }

  /** Items, behind their number. */
  list(items: readonly ArrayLike<number>[]): this {
    this.unsigned(items.length);
    for (const item of items) this.append(item);
    return this;
  }

  #one(value: number): this {
    if (this.#length === this.#buffer.length) return this.append([value]);
    this.#buffer[this.#length++] = value;
    return this;
  }
}

export interface FunctionBody {
  /** Under which it is exported, if it is. */
  readonly name?: string;
  readonly parameters: number;
  readonly returnsInteger: boolean;
  /** Of each type, in this order behind the parameters, which are i32. */
  readonly locals: { readonly i32: number; readonly v128: number };
  /** Without the end. */
  readonly code: Code;
}

/** The module with the memory `env.memory`; `shared`: the most pages of one that threads share. */
export function encodeModule(functions: readonly FunctionBody[], shared?: number): Uint8Array<ArrayBuffer> {
  const text = (name: string) => new Code().unsigned(name.length).append(Buffer.from(name)).bytes;
  const limits = shared === undefined ? new Code().byte(0x00, 0x01) : new Code().byte(0x03, 0x01).unsigned(shared);
  const signatures = functions.map(({ parameters, returnsInteger }) =>
    new Code()
      .byte(0x60)
      .list(Array(parameters).fill([type.i32]))
      .list(returnsInteger ? [[type.i32]] : []),
  );
  const bodies = functions.map(({ locals, code }) => {
    const body = new Code().list([
      new Code().unsigned(locals.i32).byte(type.i32).bytes,
      new Code().unsigned(locals.v128).byte(type.v128).bytes,
    ]);
    body.append(code.bytes).byte(op.end);
    return new Code().unsigned(body.bytes.length).append(body.bytes);
  });
  const indices = functions.map((_, n) => new Code().unsigned(n).bytes);
  const exported = functions.flatMap(({ name }, n) =>
    name === undefined ? [] : [new Code().append(text(name)).byte(0x00).append(indices[n]!).bytes],
  );
  const sections: readonly (readonly [id: number, items: readonly ArrayLike<number>[]])[] = [
    [1, signatures.map(({ bytes }) => bytes)],
    [2, [new Code().append(text('env')).append(text('memory')).byte(0x02).append(limits.bytes).bytes]],
    [3, indices],
    [7, exported],
    [10, bodies.map(({ bytes }) => bytes)],
  ];
  const module = new Code().byte(0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00);
  for (const [id, items] of sections) {
    const content = new Code().list(items).bytes;
    module.byte(id).unsigned(content.length).append(content);
  }
  return module.bytes;
}
