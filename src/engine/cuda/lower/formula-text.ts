// The CUDA C++ of a formula: a kernel `formula` whose parameters are the inputs x0, x1, …, the outputs y0, … and what
// its form needs. Without reductions a thread has a few vectors of elements. With them the threads that have a row hold
// it in registers: some lanes of a warp, a warp, or a block; only a row that is too long for a block is read again in
// every pass. Operators: kernels/formula.cuh.

import { ranksOf } from '../../graph/derivative.ts';
import { type Expression, isReduction, partsOf } from '../../graph/expression.ts';
import { expressionsOf, type Formula, type Place } from '../../graph/formula.ts';
import { expanded } from '../../graph/functions.ts';
import { elementParts, passesOf } from '../../graph/passes.ts';

/** Neighbouring elements that are read at once. */
export type Width = 1 | 4;

/** Who has a row: `lanes` of a warp, or all `threads` of a block; `held` vectors each in registers, or none of them. */
export interface RowForm {
  readonly width: Width;
  readonly threads: number;
  readonly lanes: number;
  readonly held: number;
  /** Vectors of a row. */
  readonly vectors: number;
}

/** Vectors that a thread of a kernel without reductions has. */
export const vectorsPerThread = (width: Width): number => (width === 4 ? 2 : 4);
export const ELEMENT_THREADS = 256;

const literal = (value: number): string => {
  if (!Number.isFinite(value)) return value > 0 ? '__int_as_float(0x7f800000)' : '__int_as_float(0xff800000)';
  return `__int_as_float(0x${new Uint32Array(Float32Array.of(value).buffer)[0]!.toString(16)} /* ${value} */)`;
};

/** Lines and names of an expression's parts. */
class Writer {
  readonly expressions: readonly Expression[];
  readonly #numbers: ReadonlyMap<Expression, number>;
  readonly #names = new Map<Expression, string>();

  constructor(formula: Formula) {
    this.expressions = expanded(expressionsOf(formula));
    this.#numbers = new Map(partsOf(this.expressions).map((part, number) => [part, number]));
  }

  numberOf(part: Expression): number {
    return this.#numbers.get(part)!;
  }

  /** What stands for a part from here on. */
  name(part: Expression, name: string): void {
    this.#names.set(part, name);
  }

  nameOf(part: Expression): string {
    if (part.kind === 'constant') return literal(part.value);
    return this.#names.get(part) ?? `t${this.numberOf(part)}`;
  }

  /** The statements that compute parts, operands first, of those that are wanted and have no name yet. */
  statements(wanted: (part: Expression) => boolean): string[] {
    const parts = partsOf(this.expressions).filter((part) => wanted(part) && part.kind !== 'constant');
    return parts.flatMap((part) => {
      if (this.#names.has(part) || isReduction(part)) return [];
      const operands = part.operands.map((operand) => this.nameOf(operand)).join(', ');
      return [`const float t${this.numberOf(part)} = ${part.kind}(${operands});`];
    });
  }

  inputs(): Expression[] {
    return partsOf(this.expressions).filter(({ kind }) => kind === 'input');
  }
}

/** How an operand is repeated: the vectors or rows of a run, how often each stands, and how many there are. */
export const repetitionNames = (index: number) => [`length${index}`, `repeats${index}`, `blocks${index}`] as const;

function signature(formula: Formula, places: readonly Place[], threads: number, integers: readonly string[]): string {
  const repetitions = places.flatMap((place, index) => (place === 'repeated' ? repetitionNames(index) : []));
  const parameters = [
    ...places.map((_, index) => `const float *x${index}`),
    ...formula.outputs.map((_, index) => `float *y${index}`),
    ...[...integers, ...repetitions].map((name) => `int ${name}`),
  ];
  const bounds = `extern "C" __global__ void __launch_bounds__(${threads})`;
  return `// ${formula.name}\n#include "formula.cuh"\n${bounds} formula(${parameters.join(', ')}) {`;
}

/** Whatever needs no sums over rows; its last parameters: vectors in all and in a row. */
export function elementsText(formula: Formula, places: readonly Place[], width: Width): string {
  const writer = new Writer(formula);
  const ranks = ranksOf(writer.expressions, (index) => (places[index] === 'one' ? 'one' : 'element'));
  const ofElements = (part: Expression) => ranks.get(part) === 'element';
  const unroll = vectorsPerThread(width);
  const lines = [signature(formula, places, ELEMENT_THREADS, ['count', 'inRow'])];
  lines.push(`const int start = blockIdx.x * ${ELEMENT_THREADS * unroll} + threadIdx.x;`);
  const reads: string[] = [];
  for (const part of writer.inputs()) {
    const index = part.value;
    const place = places[index]!;
    if (place === 'one') {
      lines.push(`const float r${index} = *x${index};`);
      writer.name(part, `r${index}`);
      continue;
    }
    const from = {
      element: 'at',
      row: '(u32)at / (u32)inRow',
      channel: '(u32)at % (u32)inRow',
      repeated: `repeatedAt(at, ${repetitionNames(index).join(', ')})`,
    }[place];
    const type = place === 'row' ? 'float' : `Vector<${width}>`;
    lines.push(`${type} v${index}[${unroll}];`);
    reads.push(`v${index}[u] = ((const ${type} *)x${index})[${from}];`);
    writer.name(part, place === 'row' ? `v${index}[u]` : `v${index}[u].of[w]`);
  }
  for (const part of partsOf(writer.expressions)) {
    if (part.kind === 'rowLength') writer.name(part, `(float)(inRow * ${width})`);
  }
  lines.push(...writer.statements((part) => !ofElements(part)));
  const each = (body: readonly string[]) => [
    '#pragma unroll',
    `for (int u = 0; u < ${unroll}; u++) {`,
    `const int at = start + u * ${ELEMENT_THREADS};`,
    'if (at < count) {',
    ...body,
    '}',
    '}',
  ];
  lines.push(...each(reads));
  const results = writer.expressions.map((of, index) => ({ of, index }));
  lines.push(...each(outputs(writer, width, ofElements, new Set(), 'at', results)));
  return [...lines, '}', ''].join('\n');
}

/** The vector at a place of each output that has a value per element: computed from what is kept, then stored. */
function outputs(
  writer: Writer,
  width: Width,
  ofElements: (part: Expression) => boolean,
  kept: ReadonlySet<Expression>,
  place: string,
  results: readonly { readonly of: Expression; readonly index: number }[],
): string[] {
  const wanted = elementParts(
    results.map(({ of }) => of),
    ofElements,
    kept,
  );
  return [
    ...results.map(({ index }) => `Vector<${width}> o${index};`),
    '#pragma unroll',
    `for (int w = 0; w < ${width}; w++) {`,
    ...writer.statements((part) => wanted.has(part)),
    ...results.map(({ of, index }) => `o${index}.of[w] = ${writer.nameOf(of)};`),
    '}',
    ...results.map(({ index }) => `((Vector<${width}> *)y${index})[${place}] = o${index};`),
  ];
}

/** What reduces rows, or has outputs of one value per row; its last parameter: the number of rows. */
export function rowsText(formula: Formula, places: readonly Place[], form: RowForm): string {
  const { width, threads, lanes, held, vectors } = form;
  const writer = new Writer(formula);
  const ranks = ranksOf(writer.expressions, (index) => {
    const place = places[index];
    return place === 'one' ? 'one' : place === 'row' ? 'row' : 'element';
  });
  const ofElements = (part: Expression) => ranks.get(part) === 'element';
  const results = writer.expressions.map((of, index) => ({ of, index }));
  const perElement = results.filter(({ index }) => formula.outputs[index]!.per === 'element');
  const passes = passesOf(
    perElement.map(({ of }) => of),
    writer.expressions,
    ofElements,
    held > 0 ? undefined : Number.POSITIVE_INFINITY,
  );
  const whole = lanes > 32;
  const lines = [signature(formula, places, threads, ['rows'])];
  if (whole) lines.push('const int lane = threadIdx.x, row = blockIdx.x;');
  else
    lines.push(
      `const int lane = threadIdx.x % ${lanes}, row = blockIdx.x * ${threads / lanes} + threadIdx.x / ${lanes};`,
    );
  lines.push('const bool active = row < rows;');

  const vector = `Vector<${width}>`;
  const inRegisters: string[] = [];
  const loads = new Map<Expression, string>();
  for (const part of writer.inputs()) {
    const index = part.value;
    const place = places[index]!;
    if (place === 'one' || place === 'row') {
      lines.push(`const float r${index} = ${place === 'one' ? `*x${index}` : `active ? x${index}[row] : 0.0f`};`);
      writer.name(part, `r${index}`);
    } else if (place === 'element' && held > 0) {
      lines.push(`${vector} v${index}[${held}];`);
      inRegisters.push(`if (active) v${index}[k] = ((const ${vector} *)x${index})[(size_t)row * ${vectors} + at];`);
      writer.name(part, `v${index}[k].of[w]`);
    } else {
      if (place === 'repeated')
        lines.push(`const int q${index} = repeatedAt(row, ${repetitionNames(index).join(', ')});`);
      const at = place === 'channel' ? 'at' : `(size_t)${place === 'repeated' ? `q${index}` : 'row'} * ${vectors} + at`;
      loads.set(part, `const ${vector} v${index} = ((const ${vector} *)x${index})[${at}];`);
      writer.name(part, `v${index}.of[w]`);
    }
  }
  /** A loop over the vectors that a thread has of its row. */
  const each = (body: readonly string[]) =>
    held > 0
      ? [
          '#pragma unroll',
          `for (int k = 0; k < ${held}; k++) {`,
          // Where all lanes have the same number of vectors, nothing may ask for the place.
          ...(held * lanes === vectors
            ? [body.some((line) => /\bat\b/.test(line)) ? `const int at = lane + k * ${lanes};` : '', '{']
            : [`const int at = lane + k * ${lanes};`, `if (at < ${vectors}) {`]),
          ...body,
          '}',
          '}',
        ]
      : [`for (int at = lane; at < ${vectors}; at += ${lanes}) {`, ...body, '}'];
  const loaded = (parts: ReadonlySet<Expression>) =>
    [...loads].flatMap(([part, load]) => (parts.has(part) ? [load] : []));
  if (inRegisters.length > 0) lines.push(...each(inRegisters));
  const reduced = new Set<Expression>();
  const known = new Set<Expression>();
  /** Computes what has one value per row and only now can be. */
  const perRow = () => {
    const fresh = new Set<Expression>();
    for (const part of partsOf(writer.expressions)) {
      if (ofElements(part) || known.has(part)) continue;
      const ready = isReduction(part) ? reduced.has(part) : part.operands.every((operand) => known.has(operand));
      if (!ready) continue;
      known.add(part);
      fresh.add(part);
      if (part.kind === 'rowLength') writer.name(part, literal(vectors * width));
    }
    lines.push(...writer.statements((part) => fresh.has(part)));
  };
  perRow();
  const kept = new Set<Expression>();
  for (const { reductions, roots, keeps } of passes) {
    const parts = elementParts([...roots, ...keeps], ofElements, kept);
    if (reductions.length === 0) {
      if (roots.length > 0) {
        const body = outputs(writer, width, ofElements, kept, `(size_t)row * ${vectors} + at`, perElement);
        lines.push('if (active) {', ...each([...loaded(parts), ...body]), '}');
      }
      continue;
    }
    const joins = reductions.map((part) => (part.kind === 'rowSum' ? 'Sum' : 'Max'));
    reductions.forEach((part, at) => {
      lines.push(`float s${writer.numberOf(part)} = ${joins[at]}::nothing();`);
    });
    for (const part of keeps) lines.push(`${vector} k${writer.numberOf(part)}[${held}];`);
    lines.push(
      ...each([
        ...loaded(parts),
        '#pragma unroll',
        `for (int w = 0; w < ${width}; w++) {`,
        ...writer.statements((part) => parts.has(part)),
        ...keeps.map((part) => `k${writer.numberOf(part)}[k].of[w] = ${writer.nameOf(part)};`),
        ...reductions.map((part, at) => {
          const sum = `s${writer.numberOf(part)}`;
          return `${sum} = ${joins[at]}::of(${sum}, ${writer.nameOf(roots[at]!)});`;
        }),
        '}',
      ]),
    );
    for (const part of keeps) {
      kept.add(part);
      writer.name(part, `k${writer.numberOf(part)}[k].of[w]`);
    }
    reductions.forEach((part, at) => {
      const number = writer.numberOf(part);
      const over = whole ? `overBlock<${joins[at]}, ${threads / 32}>` : `overLanes<${joins[at]}, ${lanes}>`;
      lines.push(`const float r_${number} = ${over}(s${number});`);
      writer.name(part, `r_${number}`);
      reduced.add(part);
    });
    perRow();
  }
  const perRowResults = results.filter(({ index }) => formula.outputs[index]!.per === 'row');
  if (perRowResults.length > 0) {
    lines.push('if (active && lane == 0) {');
    lines.push(...perRowResults.map(({ of, index }) => `y${index}[row] = ${writer.nameOf(of)};`), '}');
  }
  return [...lines, '}', ''].join('\n');
}
