// A program as a WebAssembly module: `run(first, count)` executes it for `count` blocks from block `first` on. The
// program is cut into functions that engines compile well; within one, values live in locals, reused as soon as a value
// is dead, and a value that is needed next stays on the stack. Values that cross a cut live in memory slots, reused
// too, so that the working set stays in the cache.
// Operations are taken depth first from the stores, in their order: what is computed is soon used.
// Invariant: memory is [slots][input, block by block][output, block by block]; a slot is written before it is read.

import { Code, encodeModule, type FunctionBody, op, simd, type } from '../../tensor/webassembly.ts';
import type { Operation, OperationKind, Program } from './program.ts';

export interface Layout {
  readonly inputBytes: number;
  readonly outputBytes: number;
  /** The most blocks of one call. */
  readonly blocks: number;
  /** Stop at the first block whose one output vector is not 0; `run` returns its number, else −1. */
  readonly search: boolean;
}

export interface Assembled {
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Where input and output of a call's first block stand, and the memory needed in all. */
  readonly inputAt: number;
  readonly outputAt: number;
  readonly memoryBytes: number;
}

/** Steps of one function; larger ones take the engine longer to compile than they save. */
const PIECE = 3000;
const VECTOR = 16;
/** Parameters of the functions of pieces. */
const [BLOCK, INPUT, OUTPUT] = [0, 1, 2];
const PARAMETERS = 3;

export function assemble(program: Program, layout: Layout): Assembled {
  const steps = schedule(program);
  const pieces: Step[][] = [];
  for (let first = 0; first < steps.length; first += PIECE) pieces.push(steps.slice(first, first + PIECE));
  const { slots, count } = crossingValues(program, pieces);
  const inputAt = count * VECTOR;
  const outputAt = inputAt + layout.blocks * layout.inputBytes;
  const functions = pieces.map((piece) => new Piece(program, piece, slots).body());
  return {
    bytes: encodeModule([...functions, loopOver(functions.length, layout, inputAt, outputAt)]),
    inputAt,
    outputAt,
    memoryBytes: outputAt + layout.blocks * layout.outputBytes,
  };
}

/** An operation that is computed, and where it is stored, if anywhere. */
interface Step {
  readonly operation: number;
  readonly storeAt?: number;
}

/**
 * Constants and inputs are cheap enough to be made anew in every function; they are no steps, unless they are stored.
 */
function isSource(operation: Operation): boolean {
  return operation.operands.length === 0;
}

function schedule({ operations, stores }: Program): Step[] {
  const steps: Step[] = [];
  const done = new Uint8Array(operations.length);
  const pending: number[] = [];
  const waits = (operation: number) => done[operation] === 0 && !isSource(operations[operation]!);
  for (const { operation, offset } of stores) {
    if (waits(operation)) pending.push(operation);
    while (pending.length > 0) {
      const top = pending.at(-1)!;
      const next = operations[top]!.operands.find(waits);
      if (next !== undefined) pending.push(next);
      else {
        pending.pop();
        done[top] = 1;
        steps.push({ operation: top });
      }
    }
    steps.push({ operation, storeAt: offset });
  }
  return steps;
}

/** Memory slots of the values that a later piece needs than the one that computes them. */
function crossingValues({ operations }: Program, pieces: readonly (readonly Step[])[]) {
  const computedIn = new Int32Array(operations.length).fill(-1);
  const lastUse = new Int32Array(operations.length).fill(-1);
  for (const [n, piece] of pieces.entries()) {
    for (const step of piece) {
      if (step.storeAt === undefined) computedIn[step.operation] = n;
      for (const operand of reads(operations, step)) lastUse[operand] = n;
    }
  }
  const slots = new Map<number, number>();
  const free: number[] = [];
  const freedAfter: number[][] = pieces.map(() => []);
  let count = 0;
  for (const [n, piece] of pieces.entries()) {
    for (const { operation, storeAt } of piece) {
      if (storeAt !== undefined || lastUse[operation]! <= n) continue;
      const slot = free.pop() ?? count++;
      slots.set(operation, slot * VECTOR);
      freedAfter[lastUse[operation]!]!.push(slot);
    }
    free.push(...freedAfter[n]!);
  }
  return { slots, count };
}

function reads(operations: readonly Operation[], { operation, storeAt }: Step): readonly number[] {
  return storeAt === undefined ? operations[operation]!.operands : [operation];
}

/** The code of one piece: parameters block number, address of its input, address of its output. */
class Piece {
  readonly #code = new Code();
  readonly #program: Program;
  readonly #steps: readonly Step[];
  readonly #slots: ReadonlyMap<number, number>;
  readonly #uses = new Map<number, number>();
  readonly #locals = new Map<number, number>();
  readonly #free: number[] = [];
  #localCount = 0;
  /** The value that the step before left on the stack. */
  #stacked = -1;

  constructor(program: Program, steps: readonly Step[], slots: ReadonlyMap<number, number>) {
    this.#program = program;
    this.#steps = steps;
    this.#slots = slots;
    for (const step of steps) {
      for (const value of reads(program.operations, step)) this.#uses.set(value, (this.#uses.get(value) ?? 0) + 1);
    }
  }

  body(): FunctionBody {
    for (const [n, step] of this.#steps.entries()) {
      if (step.storeAt !== undefined) this.#store(step.operation, step.storeAt);
      else this.#compute(step.operation, this.#steps[n + 1]);
    }
    return {
      parameters: PARAMETERS,
      returnsInteger: false,
      locals: { i32: 0, v128: this.#localCount },
      code: this.#code,
    };
  }

  #store(value: number, offset: number): void {
    this.#code.plain(op.localGet, OUTPUT);
    this.#push(value);
    this.#code.access(simd.store, offset);
  }

  #compute(value: number, next: Step | undefined): void {
    const operation = this.#program.operations[value]!;
    for (const operand of this.#inOrder(operation)) this.#push(operand);
    emit(this.#code, operation);
    const uses = this.#uses.get(value) ?? 0;
    const slot = this.#slots.get(value);
    const neededNext =
      next !== undefined &&
      next.storeAt === undefined &&
      this.#inOrder(this.#program.operations[next.operation]!, value)[0] === value;
    if (slot === undefined && uses === 1 && neededNext) {
      this.#stacked = value;
      return;
    }
    const local = this.#free.pop() ?? this.#localCount++;
    this.#code.plain(op.localSet, PARAMETERS + local);
    if (slot !== undefined) {
      this.#code
        .i32(0)
        .plain(op.localGet, PARAMETERS + local)
        .access(simd.store, slot);
    }
    if (uses > 0) this.#locals.set(value, local);
    else this.#free.push(local);
  }

  /** Operands as the instruction takes them; of a commutative one the value on the stack comes first. */
  #inOrder({ kind, operands }: Operation, stacked = this.#stacked): readonly number[] {
    const swapped = operands[1] === stacked && (kind === 'and' || kind === 'or' || kind === 'xor');
    return swapped ? [stacked, operands[0]!] : operands;
  }

  #push(value: number): void {
    if (this.#stacked === value) {
      this.#stacked = -1;
      return;
    }
    const left = this.#uses.get(value)! - 1;
    this.#uses.set(value, left);
    const known = this.#locals.get(value);
    if (known !== undefined) {
      this.#code.plain(op.localGet, PARAMETERS + known);
      if (left > 0) return;
      this.#locals.delete(value);
      this.#free.push(known);
      return;
    }
    const slot = this.#slots.get(value);
    if (slot === undefined) this.#source(this.#program.operations[value]!);
    else this.#code.i32(0).access(simd.load, slot);
    if (left === 0) return;
    const local = this.#free.pop() ?? this.#localCount++;
    this.#locals.set(value, local);
    this.#code.plain(op.localTee, PARAMETERS + local);
  }

  #source({ kind, parameter }: Operation): void {
    const code = this.#code;
    if (kind === 'constant') code.vector(simd.constant).append(this.#program.constants[parameter]!);
    else if (kind === 'load') code.plain(op.localGet, INPUT).access(simd.load, parameter);
    else {
      // 0 or −1 in all lanes.
      code
        .i32(0)
        .plain(op.localGet, BLOCK)
        .i32(parameter)
        .plain(op.i32ShiftRight)
        .i32(1)
        .plain(op.i32And)
        .plain(op.i32Sub);
      code.vector(simd.i32x4Splat);
    }
  }
}

const instructions: Readonly<Partial<Record<OperationKind, number>>> = {
  not: simd.not,
  and: simd.and,
  or: simd.or,
  xor: simd.xor,
  andnot: simd.andnot,
  select: simd.bitselect,
  shiftLeft: simd.i32x4ShiftLeft,
  shiftRight: simd.i32x4ShiftRight,
  shiftRightSigned: simd.i32x4ShiftRightSigned,
};

/** The instruction of an operation whose operands are on the stack. */
function emit(code: Code, { kind, parameter }: Operation): void {
  const instruction = instructions[kind];
  if (instruction === undefined) {
    code.vector(simd.shuffle).append(interleaving(kind === 'interleaveLow' ? 0 : VECTOR / 2, parameter));
    return;
  }
  if (kind.startsWith('shift')) code.i32(parameter);
  code.vector(instruction);
}

/** The bytes that a shuffle takes: `unit` of the first vector from `first` on, as many of the second, and so on. */
function interleaving(first: number, unit: number): number[] {
  return Array.from({ length: VECTOR }, (_, n) => {
    const [pair, within] = [Math.floor(n / (2 * unit)), n % (2 * unit)];
    return first + pair * unit + (within % unit) + (within < unit ? 0 : VECTOR);
  });
}

/** `run(first, count)`: the pieces for one block after the other. */
function loopOver(pieces: number, layout: Layout, inputAt: number, outputAt: number): FunctionBody {
  const [block, count, input, output, end] = [0, 1, 2, 3, 4];
  const code = new Code();
  const add = (local: number, amount: number) =>
    code.plain(op.localGet, local).i32(amount).plain(op.i32Add).plain(op.localSet, local);
  code.plain(op.localGet, block).plain(op.localGet, count).plain(op.i32Add).plain(op.localSet, end);
  add(input, inputAt);
  add(output, outputAt);
  code.byte(op.loop, type.none);
  for (let piece = 0; piece < pieces; piece++) {
    code.plain(op.localGet, block).plain(op.localGet, input).plain(op.localGet, output).plain(op.call, piece);
  }
  if (layout.search) {
    code.plain(op.localGet, output).access(simd.load, 0).vector(simd.anyTrue).byte(op.if, type.none);
    code.plain(op.localGet, block).plain(op.return).plain(op.end);
  } else add(output, layout.outputBytes);
  add(input, layout.inputBytes);
  add(block, 1);
  code.plain(op.localGet, block).plain(op.localGet, end).plain(op.i32LessUnsigned).plain(op.branchIf, 0);
  code.plain(op.end).i32(-1);
  return { name: 'run', parameters: 2, returnsInteger: true, locals: { i32: 3, v128: 0 }, code };
}
