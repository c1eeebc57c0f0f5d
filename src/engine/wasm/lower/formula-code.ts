// The WebAssembly function of a formula: (record, part, scratch) like every kernel, for the addresses and extents of a
// record. All values are vectors of four f32; what has one value per row has it in all lanes. A pass over a row takes
// four vectors at a time, then single ones, then what does not fill one: read beyond the end, masked in sums, stored
// lane by lane. A sum is formed in four accumulators of four lanes whatever is summed, so that its bits do not depend
// on what else the kernel does.
// The record: addresses of inputs and outputs, then the number of rows (or elements), the extent of a row, how many of
// them are a part, and of each operand that is repeated its rows in a run, how often one stands, and its runs.

import { Code, type FunctionBody, op, simd, type } from '../../../tensor/webassembly.ts';
import { ranksOf } from '../../graph/derivative.ts';
import { type Binary, type Expression, isReduction, partsOf, textOf, type Unary } from '../../graph/expression.ts';
import { expressionsOf, type Formula, type Place } from '../../graph/formula.ts';
import { expanded, type expandedKinds } from '../../graph/functions.ts';
import { costOf, elementParts, type Pass, passesOf } from '../../graph/passes.ts';

/** A formula as a kernel is made for it: any shape, operands in given places. */
export interface FormulaKernel {
  /** Equal for equal kernels. */
  readonly key: string;
  /** Whether it goes through rows; else through all elements in the order of memory. */
  readonly byRows: boolean;
  /** Values that each thread keeps of a row. */
  readonly kept: number;
  readonly body: () => FunctionBody;
}

export function formulaKernel(formula: Formula, places: readonly Place[]): FormulaKernel {
  const { outputs } = formula;
  const expressions = expanded(expressionsOf(formula));
  const ranks = ranksOf(expressions, (index) =>
    places[index] === 'one' ? 'one' : places[index] === 'row' ? 'row' : 'element',
  );
  const ofElements = (part: Expression) => ranks.get(part) === 'element';
  const isPerElement = outputs.map(({ per }) => per === 'element');
  const passes = passesOf(
    expressions.filter((_, index) => isPerElement[index]),
    expressions,
    ofElements,
  );
  const byRows =
    [...ranks].some(([{ kind }, rank]) => rank === 'row' || kind === 'rowLength') ||
    places.includes('channel') ||
    places.includes('repeated') ||
    isPerElement.includes(false);
  return {
    key: `${textOf(expressions)}\n${places.join(' ')}\n${isPerElement.join(' ')}`,
    byRows,
    kept: passes.reduce((sum, { keeps }) => sum + keeps.length, 0),
    body: () => new Writer({ expressions, isPerElement, places, passes, byRows, ofElements }).body(),
  };
}

interface Plan {
  readonly expressions: readonly Expression[];
  readonly isPerElement: readonly boolean[];
  readonly places: readonly Place[];
  readonly passes: readonly Pass[];
  readonly byRows: boolean;
  readonly ofElements: (part: Expression) => boolean;
}

const VECTOR = 16;
const UNROLL = 4;
/**
 * Operators of an element beyond which a pass without sums takes one vector at a time: there is enough to do at once.
 */
const UNROLLED_OPERATORS = 12;
const [RECORD, PART, SCRATCH] = [0, 1, 2];
const PARAMETERS = 3;

/** Operators of one instruction: the others are made of them (graph/functions.ts), or written out in `#operate`. */
type OneInstruction = Exclude<Unary | Binary, (typeof expandedKinds)[number] | 'powerOfTwo'>;

const instructions: { readonly [K in OneInstruction]: number } = {
  negate: simd.f32x4Negate,
  absolute: simd.f32x4Absolute,
  squareRoot: simd.f32x4SquareRoot,
  nearest: simd.f32x4Nearest,
  add: simd.f32x4Add,
  subtract: simd.f32x4Subtract,
  multiply: simd.f32x4Multiply,
  divide: simd.f32x4Divide,
  minimum: simd.f32x4Minimum,
  maximum: simd.f32x4Maximum,
};

/** Where a body of a loop is: the number of its vector, and whether that is filled. */
interface Spot {
  readonly vector: number;
  readonly filled: boolean;
}

class Writer {
  readonly #code = new Code();
  readonly #plan: Plan;
  /** Integer locals: base addresses of inputs and outputs, advanced row by row. */
  readonly #pointers: readonly number[];
  readonly #at: number;
  readonly #rowBytes: number;
  readonly #row: number;
  readonly #end: number;
  readonly #rest: number;
  readonly #slotBytes: number;
  readonly #integers: number;
  #vectors = 0;
  #mostVectors = 0;
  readonly #mask: number;
  /** Vectors of what has one value per row. */
  readonly #ofRow = new Map<Expression, number>();
  readonly #slots = new Map<Expression, number>();

  constructor(plan: Plan) {
    this.#plan = plan;
    let next = PARAMETERS;
    const integer = () => next++;
    this.#pointers = [...plan.places, ...plan.isPerElement].map(integer);
    [this.#at, this.#rowBytes, this.#row] = [integer(), integer(), integer()];
    [this.#end, this.#rest, this.#slotBytes] = [integer(), integer(), integer()];
    this.#integers = next - PARAMETERS;
    this.#mask = this.#vector();
  }

  body(): FunctionBody {
    const code = this.#code;
    this.#begin();
    const parts = partsOf(this.#plan.expressions);
    const inAll = parts.filter((part) => !this.#plan.ofElements(part) && !this.#ofRows().has(part));
    for (const part of inAll) this.#ensure(part);
    code.byte(op.loop, type.none);
    for (const [index, place] of this.#plan.places.entries()) {
      const part = parts.find(({ kind, value }) => kind === 'input' && value === index);
      if (place !== 'row' || !part) continue;
      code.plain(op.localGet, this.#pointers[index]!).loadSplat(0).plain(op.localSet, this.#named(part));
    }
    this.#findRepeated();
    for (const pass of this.#plan.passes) this.#pass(pass);
    this.#storeRowOutputs();
    this.#advance();
    code.plain(op.end);
    return {
      parameters: PARAMETERS,
      returnsInteger: false,
      locals: { i32: this.#integers, v128: this.#mostVectors },
      code,
    };
  }

  /** What has a value per row, or needs one. */
  #ofRows(): ReadonlySet<Expression> {
    const found = new Set<Expression>();
    for (const part of partsOf(this.#plan.expressions)) {
      const own = isReduction(part) || (part.kind === 'input' && this.#plan.places[part.value] === 'row');
      if (own || part.operands.some((operand) => found.has(operand))) found.add(part);
    }
    return found;
  }

  /** Addresses and extents from the record; the first row of the part, or its elements as a row of their own. */
  #begin(): void {
    const code = this.#code;
    const word = (at: number) => code.plain(op.localGet, RECORD).loadInteger(4 * at);
    const count = this.#pointers.length;
    const perPart = () => word(count + 2);
    // The first row, or element, and the one behind the last: of first + perPart and the number of all the smaller.
    code.plain(op.localGet, PART);
    perPart().plain(op.i32Multiply).plain(op.localTee, this.#row);
    perPart().plain(op.i32Add).plain(op.localTee, this.#end);
    word(count).plain(op.localGet, this.#end);
    word(count).plain(op.i32LessUnsigned).byte(op.select);
    code.plain(op.localSet, this.#end);
    if (this.#plan.byRows) word(count + 1);
    else code.plain(op.localGet, this.#end).plain(op.localGet, this.#row).plain(op.i32Sub);
    code.i32(2).plain(op.i32ShiftLeft).plain(op.localSet, this.#rowBytes);
    code
      .plain(op.localGet, this.#rowBytes)
      .i32(VECTOR - 1)
      .plain(op.i32Add)
      .i32(-VECTOR)
      .plain(op.i32And);
    code.plain(op.localSet, this.#slotBytes);
    this.#pointers.forEach((pointer, index) => {
      word(index);
      const step = this.#stepOf(index);
      if (step === 'element') {
        code.plain(op.localGet, this.#row);
        if (this.#plan.byRows) code.plain(op.localGet, this.#rowBytes).plain(op.i32Multiply);
        else code.i32(2).plain(op.i32ShiftLeft);
        code.plain(op.i32Add);
      }
      if (step === 'row') code.plain(op.localGet, this.#row).i32(2).plain(op.i32ShiftLeft).plain(op.i32Add);
      code.plain(op.localSet, pointer);
    });
  }

  /** Where the row lies that operands repeat here: (row / (repeats·length) % blocks)·length + row % length, in rows. */
  #findRepeated(): void {
    const code = this.#code;
    const word = (at: number) => code.plain(op.localGet, RECORD).loadInteger(4 * at);
    let at = this.#pointers.length + 3;
    this.#plan.places.forEach((place, index) => {
      if (place !== 'repeated') return;
      const [length, repeats, blocks] = [at, at + 1, at + 2];
      at += 3;
      word(index).plain(op.localGet, this.#row);
      word(length);
      word(repeats).plain(op.i32Multiply).plain(op.i32DivideUnsigned);
      word(blocks).plain(op.i32RemainderUnsigned);
      word(length).plain(op.i32Multiply).plain(op.localGet, this.#row);
      word(length).plain(op.i32RemainderUnsigned).plain(op.i32Add);
      code.plain(op.localGet, this.#rowBytes).plain(op.i32Multiply).plain(op.i32Add);
      code.plain(op.localSet, this.#pointers[index]!);
    });
  }

  /** How far a pointer moves from row to row. */
  #stepOf(index: number): Place {
    const { places, isPerElement } = this.#plan;
    if (index < places.length) return places[index]!;
    return isPerElement[index - places.length] ? 'element' : 'row';
  }

  /** To the next row, if there is one. */
  #advance(): void {
    if (!this.#plan.byRows) return;
    const code = this.#code;
    this.#pointers.forEach((pointer, index) => {
      const step = this.#stepOf(index);
      if (step !== 'element' && step !== 'row') return;
      code.plain(op.localGet, pointer);
      if (step === 'element') code.plain(op.localGet, this.#rowBytes);
      else code.i32(4);
      code.plain(op.i32Add).plain(op.localSet, pointer);
    });
    code.plain(op.localGet, this.#row).i32(1).plain(op.i32Add).plain(op.localTee, this.#row);
    code.plain(op.localGet, this.#end).plain(op.i32LessUnsigned).plain(op.branchIf, 0);
  }

  #pass({ reductions, roots, keeps }: Pass): void {
    const { ofElements } = this.#plan;
    const code = this.#code;
    if (roots.length === 0) return;
    const stops = new Set(this.#slots.keys());
    const needed = elementParts(roots, ofElements, stops);
    for (const part of [...roots, ...[...needed].flatMap(({ operands }) => operands)]) {
      if (!ofElements(part)) this.#ensure(part);
    }
    for (const part of keeps) this.#slots.set(part, this.#slots.size);
    const accumulators = reductions.map(() => Array.from({ length: UNROLL }, () => this.#vector()));
    reductions.forEach(({ kind }, index) => {
      for (const accumulator of accumulators[index]!) {
        this.#constant(kind === 'rowSum' ? 0 : Number.NEGATIVE_INFINITY);
        code.plain(op.localSet, accumulator);
      }
    });
    const operators = roots.reduce((sum, part) => sum + costOf(part, ofElements), 0);
    const unroll = reductions.length > 0 || operators <= UNROLLED_OPERATORS ? UNROLL : 1;
    const body = (spot: Spot) => this.#element({ roots, reductions, keeps, accumulators, stops }, spot);
    code.i32(0).plain(op.localSet, this.#at);
    if (unroll > 1)
      this.#whileFits(unroll, () => {
        for (let vector = 0; vector < unroll; vector++) body({ vector, filled: true });
      });
    this.#whileFits(1, () => body({ vector: 0, filled: true }));
    code.plain(op.localGet, this.#at).plain(op.localGet, this.#rowBytes).plain(op.i32LessUnsigned);
    code.byte(op.if, type.none);
    code.plain(op.localGet, this.#rowBytes).plain(op.localGet, this.#at).plain(op.i32Sub);
    code.i32(2).plain(op.i32ShiftRight).plain(op.localTee, this.#rest).vector(simd.i32x4Splat);
    code.vector(simd.constant).append(new Uint8Array(Int32Array.of(0, 1, 2, 3).buffer));
    code.vector(simd.i32x4GreaterSigned).plain(op.localSet, this.#mask);
    body({ vector: 0, filled: false });
    code.plain(op.end);
    for (const [index, part] of reductions.entries()) this.#combine(part, accumulators[index]!);
  }

  /** Repeats while so many vectors are left of the row. */
  #whileFits(vectors: number, body: () => void): void {
    const code = this.#code;
    code.byte(op.block, type.none).byte(op.loop, type.none);
    code
      .plain(op.localGet, this.#at)
      .i32(vectors * VECTOR)
      .plain(op.i32Add);
    code.plain(op.localGet, this.#rowBytes).plain(op.i32GreaterUnsigned).plain(op.branchIf, 1);
    body();
    code
      .plain(op.localGet, this.#at)
      .i32(vectors * VECTOR)
      .plain(op.i32Add)
      .plain(op.localSet, this.#at);
    code.plain(op.branch, 0).plain(op.end).plain(op.end);
  }

  /**
   * One vector: what is kept, then the sums or the outputs. Outputs may lie where inputs are, so all are formed before
   * one is stored.
   */
  #element(
    {
      roots,
      reductions,
      keeps,
      accumulators,
      stops,
    }: Pass & {
      readonly accumulators: readonly (readonly number[])[];
      readonly stops: ReadonlySet<Expression>;
    },
    { vector, filled }: Spot,
  ): void {
    const code = this.#code;
    const mark = this.#vectors;
    const values = new Body(this.#plan, stops, [...roots, ...keeps]);
    const push = (part: Expression) => this.#push(part, values, vector * VECTOR);
    for (const part of keeps) {
      this.#slotAddress(part);
      push(part);
      code.access(simd.store, vector * VECTOR);
    }
    if (reductions.length > 0) {
      reductions.forEach(({ kind }, index) => {
        const accumulator = accumulators[index]![vector]!;
        code.plain(op.localGet, accumulator);
        push(roots[index]!);
        if (!filled && kind === 'rowSum') code.plain(op.localGet, this.#mask).vector(simd.and);
        if (!filled && kind === 'rowMax') {
          this.#constant(Number.NEGATIVE_INFINITY);
          code.plain(op.localGet, this.#mask).vector(simd.bitselect);
        }
        code.vector(kind === 'rowSum' ? simd.f32x4Add : simd.f32x4Maximum).plain(op.localSet, accumulator);
      });
    } else {
      const results = roots.map((part) => {
        const result = this.#vector();
        push(part);
        code.plain(op.localSet, result);
        return result;
      });
      const { places, isPerElement } = this.#plan;
      const pointers = this.#pointers.slice(places.length).filter((_, index) => isPerElement[index]);
      for (const [index, result] of results.entries()) this.#store(pointers[index]!, result, vector * VECTOR, filled);
    }
    this.#vectors = mark;
  }

  #store(pointer: number, value: number, offset: number, filled: boolean): void {
    const code = this.#code;
    const address = () => code.plain(op.localGet, pointer).plain(op.localGet, this.#at).plain(op.i32Add);
    if (filled) {
      address().plain(op.localGet, value).access(simd.store, offset);
      return;
    }
    address().plain(op.localGet, value).storeLane(0, 0);
    for (const lane of [1, 2]) {
      code.plain(op.localGet, this.#rest).i32(lane).plain(op.i32GreaterUnsigned).byte(op.if, type.none);
      address()
        .plain(op.localGet, value)
        .storeLane(lane, 4 * lane)
        .plain(op.end);
    }
  }

  /** A reduction's accumulators, and their lanes, in pairs: the result in all lanes. */
  #combine(part: Expression, accumulators: readonly number[]): void {
    const code = this.#code;
    const join = part.kind === 'rowSum' ? simd.f32x4Add : simd.f32x4Maximum;
    const [a, b, c, d] = accumulators as [number, number, number, number];
    code.plain(op.localGet, a).plain(op.localGet, b).vector(join);
    code.plain(op.localGet, c).plain(op.localGet, d).vector(join).vector(join);
    for (const lanes of [
      [2, 3, 0, 1],
      [1, 0, 3, 2],
    ]) {
      code.plain(op.localTee, a).plain(op.localGet, a).plain(op.localGet, a).vector(simd.shuffle);
      code.append(lanes.flatMap((lane) => [4 * lane, 4 * lane + 1, 4 * lane + 2, 4 * lane + 3])).vector(join);
    }
    code.plain(op.localSet, this.#named(part));
  }

  #storeRowOutputs(): void {
    const { expressions, isPerElement, places } = this.#plan;
    expressions.forEach((part, index) => {
      if (isPerElement[index]) return;
      this.#ensure(part);
      this.#code.plain(op.localGet, this.#pointers[places.length + index]!);
      this.#pushRow(part);
      this.#code.storeLane(0, 0);
    });
  }

  /** Computes what has one value per row, unless that is done. */
  #ensure(part: Expression): void {
    if (part.kind === 'constant' || this.#ofRow.has(part)) return;
    const code = this.#code;
    if (part.kind === 'input') code.plain(op.localGet, this.#pointers[part.value]!).loadSplat(0);
    else if (part.kind === 'rowLength') {
      code.plain(op.localGet, this.#rowBytes).i32(2).plain(op.i32ShiftRight);
      code.vector(simd.i32x4Splat).vector(simd.f32x4FromSigned);
    } else {
      for (const operand of part.operands) this.#ensure(operand);
      this.#operate(part, (operand) => this.#pushRow(operand));
    }
    code.plain(op.localSet, this.#named(part));
  }

  #pushRow(part: Expression): void {
    if (part.kind === 'constant') this.#constant(part.value);
    else this.#code.plain(op.localGet, this.#ofRow.get(part)!);
  }

  /** The local of a value per row. */
  #named(part: Expression): number {
    const local = this.#ofRow.get(part) ?? this.#vector();
    this.#ofRow.set(part, local);
    return local;
  }

  /** The vector of a part at an offset behind the current place. */
  #push(part: Expression, values: Body, offset: number): void {
    const code = this.#code;
    if (!this.#plan.ofElements(part)) {
      this.#pushRow(part);
      return;
    }
    const known = values.locals.get(part);
    if (known !== undefined) {
      code.plain(op.localGet, known);
      return;
    }
    if (values.stops.has(part)) {
      this.#slotAddress(part);
      code.access(simd.load, offset);
    } else if (part.kind === 'input') {
      code.plain(op.localGet, this.#pointers[part.value]!).plain(op.localGet, this.#at).plain(op.i32Add);
      code.access(simd.load, offset);
    } else this.#operate(part, (operand) => this.#push(operand, values, offset));
    if (values.usesOf(part) === 1) return;
    const local = this.#vector();
    values.locals.set(part, local);
    code.plain(op.localTee, local);
  }

  #operate({ kind, operands }: Expression, push: (part: Expression) => void): void {
    const code = this.#code;
    if (kind === 'whereGreater') {
      const [a, b, c, d] = operands as [Expression, Expression, Expression, Expression];
      for (const part of [c, d, a, b]) push(part);
      code.vector(simd.f32x4Greater).vector(simd.bitselect);
      return;
    }
    for (const operand of operands) push(operand);
    if (kind === 'powerOfTwo') {
      // The exponent's bits.
      code
        .vector(simd.i32x4Truncate)
        .vector(simd.constant)
        .append(new Uint8Array(Int32Array.of(127, 127, 127, 127).buffer));
      code.vector(simd.i32x4Add).i32(23).vector(simd.i32x4ShiftLeft);
      return;
    }
    code.vector(instructions[kind as OneInstruction]);
  }

  #slotAddress(part: Expression): void {
    const code = this.#code;
    code.plain(op.localGet, SCRATCH).plain(op.localGet, this.#slotBytes).i32(this.#slots.get(part)!);
    code.plain(op.i32Multiply).plain(op.i32Add).plain(op.localGet, this.#at).plain(op.i32Add);
  }

  #constant(value: number): void {
    this.#code.vector(simd.constant).append(new Uint8Array(Float32Array.of(value, value, value, value).buffer));
  }

  #vector(): number {
    this.#mostVectors = Math.max(this.#mostVectors, this.#vectors + 1);
    return PARAMETERS + this.#integers + this.#vectors++;
  }
}

/** The values of one vector: how often each is used, and in which local one is that is used again. */
class Body {
  readonly stops: ReadonlySet<Expression>;
  readonly locals = new Map<Expression, number>();
  readonly #uses = new Map<Expression, number>();

  constructor({ ofElements }: Plan, stops: ReadonlySet<Expression>, roots: readonly Expression[]) {
    this.stops = stops;
    const use = (part: Expression) => this.#uses.set(part, (this.#uses.get(part) ?? 0) + 1);
    roots.forEach(use);
    for (const part of elementParts(roots, ofElements, stops)) part.operands.forEach(use);
  }

  usesOf(part: Expression): number {
    return this.#uses.get(part) ?? 0;
  }
}
