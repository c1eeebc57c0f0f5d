// Movements: one kernel for all boxes of a node, each with blocks of its own. A box is read and written in the order of
// the output, vectors of four where both sides allow it; or, where the output's contiguous axis is not the input's, in
// tiles that are transposed in shared memory. Extents and strides are constants of the text, so that the compiler
// divides by them without a division.

import { sizeOf } from '../../../tensor/tensor.ts';
import { type Box, boxSize, covers, type Movement, simplified } from '../../graph/movement.ts';
import { COUNTS, FILLING, filling, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import { ceilDivide } from './geometry.ts';
import { addresses, integers, type KernelLaunch, launch } from './launch.ts';
import type { Lowerings, Operands, WaysOf } from './lowering.ts';

const around = { boxes: COUNTS, zeros: ['none', 'around'] } as const;
const ways = {
  'in the order of the output': { ...around, width: ['four elements at a time', 'one element at a time'] },
  'in tiles': { ...around, rows: FILLING, columns: FILLING },
} as const;

export const movementWays: WaysOf<'move'> = { move: ways };

const THREADS = 256;
/** Vectors of a thread. */
const UNROLL = 4;
/** Rows and columns of a tile, and what an axis has at least to be worth one. */
const TILE = 32;
const WORTH_TILING = 16;

interface Axis {
  readonly extent: number;
  readonly to: number;
  readonly from: number;
}

/** How a box is moved. */
type Plan =
  | { readonly kind: 'ordered'; readonly width: 1 | 4; readonly axes: readonly Axis[]; readonly blocks: number }
  | {
      readonly kind: 'tiled';
      /** Contiguous in the output; contiguous in the input; the others. */
      readonly columns: Axis;
      readonly rows: Axis;
      readonly axes: readonly Axis[];
      readonly blocks: number;
    };

function planOf(box: Box): Plan {
  const { extents, from, to } = simplified(box);
  const axes = extents.map((extent, axis) => ({ extent, to: to.strides[axis]!, from: from.strides[axis]! }));
  const columns = axes.at(-1)!;
  const rows = axes.find((axis) => axis !== columns && axis.from === 1);
  if (columns.to === 1 && rows && Math.min(columns.extent, rows.extent) >= WORTH_TILING) {
    const others = axes.filter((axis) => axis !== columns && axis !== rows);
    const tiles = ceilDivide(columns.extent, TILE) * ceilDivide(rows.extent, TILE);
    return { kind: 'tiled', columns, rows, axes: others, blocks: tiles * sizeOf(others.map(({ extent }) => extent)) };
  }
  const outer = axes.slice(0, -1).flatMap((axis) => [axis.from, axis.to]);
  const contiguous = columns.from === 1 && columns.to === 1;
  const aligned = [columns.extent, from.first, to.first, ...outer].every((value) => value % 4 === 0);
  const width = contiguous && aligned ? 4 : 1;
  const inner = width === 4 ? { extent: columns.extent / 4, to: 4, from: 4 } : columns;
  const count = boxSize(box) / width;
  return { kind: 'ordered', width, axes: [...axes.slice(0, -1), inner], blocks: ceilDivide(count, THREADS * UNROLL) };
}

/** Statements that take `n` apart into the axes' positions and add up both offsets. */
function offsets(axes: readonly Axis[], names: readonly [to: string, from: string]): string[] {
  const lines: string[] = [];
  for (const [at, { extent, to, from }] of [...axes.entries()].reverse()) {
    const position = at === 0 ? 'n' : `n % ${extent}u`;
    lines.push(`{ const u32 p = ${position}; ${names[0]} += (size_t)p * ${to}; ${names[1]} += (size_t)p * ${from}; }`);
    if (at > 0) lines.push(`n /= ${extent}u;`);
  }
  return lines;
}

function ordered({ input, from, to }: Box, { width, axes }: Plan & { readonly kind: 'ordered' }): string[] {
  const count = sizeOf(axes.map(({ extent }) => extent));
  return [
    `Vector<${width}> values[${UNROLL}];`,
    `size_t places[${UNROLL}];`,
    '#pragma unroll',
    `for (int part = 0; part < ${UNROLL}; part++) {`,
    `u32 n = (u32)block * ${THREADS * UNROLL}u + part * ${THREADS} + threadIdx.x;`,
    `if (n < ${count}u) {`,
    `size_t target = ${to.first}, source = ${from.first};`,
    ...offsets(axes, ['target', 'source']),
    'places[part] = target;',
    `values[part] = *(const Vector<${width}> *)(x${input} + source);`,
    '}',
    '}',
    '#pragma unroll',
    `for (int part = 0; part < ${UNROLL}; part++) {`,
    `const u32 n = (u32)block * ${THREADS * UNROLL}u + part * ${THREADS} + threadIdx.x;`,
    `if (n < ${count}u) *(Vector<${width}> *)(y + places[part]) = values[part];`,
    '}',
  ];
}

function tiled({ input, from, to }: Box, { columns, rows, axes }: Plan & { readonly kind: 'tiled' }): string[] {
  const [across, down] = [ceilDivide(columns.extent, TILE), ceilDivide(rows.extent, TILE)];
  const lines = (TILE * TILE) / THREADS;
  // A tile that its axis always fills needs no question, and its loads can all be under way at once.
  const within = (column: string, row: string) => {
    const asked = [
      ...(columns.extent % TILE === 0 ? [] : [`column + ${column} < ${columns.extent}`]),
      ...(rows.extent % TILE === 0 ? [] : [`row + ${row} < ${rows.extent}`]),
    ];
    return asked.length === 0 ? '' : `if (${asked.join(' && ')}) `;
  };
  return [
    `__shared__ float tile[${TILE}][${TILE + 1}];`,
    `const int x = threadIdx.x % ${TILE}, y0 = threadIdx.x / ${TILE};`,
    // Neighbouring blocks read on along the input's rows.
    `const int row = block % ${down} * ${TILE}, column = block / ${down} % ${across} * ${TILE};`,
    ...(axes.length > 0 ? [`u32 n = (u32)block / ${across * down}u;`] : []),
    `size_t target = ${to.first}, source = ${from.first};`,
    ...offsets(axes, ['target', 'source']),
    `float values[${lines}];`,
    '#pragma unroll',
    `for (int part = 0; part < ${lines}; part++) {`,
    `const int c = y0 + part * ${TILE / lines};`,
    `${within('c', 'x')}values[part] = x${input}[source + (size_t)(column + c) * ${columns.from} + row + x];`,
    '}',
    '#pragma unroll',
    `for (int part = 0; part < ${lines}; part++) tile[y0 + part * ${TILE / lines}][x] = values[part];`,
    '__syncthreads();',
    '#pragma unroll',
    `for (int part = 0; part < ${lines}; part++) {`,
    `const int r = y0 + part * ${TILE / lines};`,
    `${within('x', 'r')}y[target + (size_t)(row + r) * ${rows.to} + column + x] = tile[x][r];`,
    '}',
  ];
}

const KERNEL = `extern "C" __global__ void __launch_bounds__(${THREADS})`;

/** Kernels `move` with the inputs x0, x1, … and the output y, and `clear` where something is left zero. */
export function movementText(movement: Movement, inputs: number): string {
  const parameters = [...Array.from({ length: inputs }, (_, index) => `const float *x${index}`), 'float *y'];
  const lines = [`// ${movement.name}`, '#include "formula.cuh"', `${KERNEL} move(${parameters.join(', ')}) {`];
  let first = 0;
  for (const box of movement.boxes) {
    const plan = planOf(box);
    lines.push(`if (blockIdx.x < ${first + plan.blocks}) {`, `const int block = blockIdx.x - ${first};`);
    lines.push(...(plan.kind === 'tiled' ? tiled(box, plan) : ordered(box, plan)), 'return;', '}');
    first += plan.blocks;
  }
  lines.push('}');
  if (!covers(movement)) {
    lines.push(`${KERNEL} clear(float *y, int count) {`);
    lines.push(`for (int part = 0; part < ${UNROLL}; part++) {`);
    lines.push(`const int n = blockIdx.x * ${THREADS * UNROLL} + part * ${THREADS} + threadIdx.x;`);
    lines.push('if (n < count) y[n] = 0.0f;', '}', '}');
  }
  return [...lines, ''].join('\n');
}

export const movement: Lowerings<'move'> = {
  move: ({ inputs, attributes }) => {
    const { boxes, shape } = attributes;
    const source = { file: 'movement.cu', text: movementText(attributes, inputs.length), defines: {} };
    const plans = boxes.map(planOf);
    const grid = plans.reduce((sum, { blocks }) => sum + blocks, 0);
    const largest = boxes.reduce((most, box, at) => (boxSize(box) > boxSize(boxes[most]!) ? at : most), 0);
    const plan = plans[largest]!;
    const zeros = covers(attributes) ? 'none' : 'around';
    const common = { boxes: oneOrSeveral(boxes.length), zeros } as const;
    return {
      path:
        plan.kind === 'tiled'
          ? pathOf(ways, 'in tiles', {
              ...common,
              rows: filling(plan.rows.extent, TILE),
              columns: filling(plan.columns.extent, TILE),
            })
          : pathOf(ways, 'in the order of the output', {
              ...common,
              width: plan.width === 4 ? 'four elements at a time' : 'one element at a time',
            }),
      launches: ({ inputs: from, outputs: [y] }: Operands): KernelLaunch[] => {
        const places = addresses(Object.fromEntries(from.map((at, index) => [`x${index}`, at])));
        const move = launch(source, 'move', { grid, block: THREADS }, { ...places, ...addresses({ y: y! }) });
        if (zeros === 'none') return [move];
        const count = sizeOf(shape);
        const size = { grid: ceilDivide(count, THREADS * UNROLL), block: THREADS };
        return [launch(source, 'clear', size, { ...addresses({ y: y! }), ...integers({ count }) }), move];
      },
    };
  },
};
