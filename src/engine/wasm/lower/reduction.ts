// Sums and extremes over all elements or over all axes but the last: ../kernels/reduction.ts.

import type { TensorType } from '../../../tensor/tensor.ts';
import type { Granularity } from '../../graph/ops.ts';
import { CUTS, cuts, FILLING, filling, type Path, pathOf } from '../../graph/paths.ts';
import { type Launch, launch } from './launch.ts';
import { elements, Layout, type Lowered, type Lowerings, rowsPerPart, type WaysOf } from './lowering.ts';
import type { Extremes } from './records.ts';
import type { Address } from './words.ts';

const WIDTHS = [16, 8, 4, 2, 1] as const;

/**
 * Ways of kernels that go through a matrix: as many channels as the tensor has, or a whole tensor in rows of a width
 * that divides it.
 */
export const perChannel = { 'per channel': { runs: CUTS, channels: FILLING } } as const;
export const perTensor = { 'whole tensor': { runs: CUTS, width: ['16', '8', '4', '2', '1'] } } as const;
export const perEither = { ...perChannel, ...perTensor } as const;

/** A tensor as the matrix that reductions work on. */
export interface Matrix {
  readonly path: Path;
  readonly rows: number;
  readonly channels: number;
  readonly rowsPerPart: number;
  readonly parts: number;
  /** The columns are merged at the end: the reduction is over all elements. */
  readonly merge: boolean;
}

/**
 * Per channel: [all but the last axis, channels]. Over the tensor: up to 16 columns that divide the number of elements.
 */
export function matrixOf(type: TensorType, granularity: Granularity): Matrix {
  const count = elements(type);
  const merge = granularity === 'tensor';
  const channels = merge ? WIDTHS.find((width) => count % width === 0)! : type.shape.at(-1)!;
  const rows = count / channels;
  const perPart = rowsPerPart(channels);
  const runs = cuts(rows, perPart);
  const path = merge
    ? pathOf(perTensor, 'whole tensor', { runs, width: `${channels as (typeof WIDTHS)[number]}` })
    : pathOf(perChannel, 'per channel', { runs, channels: filling(channels, 4) });
  return { path, rows, channels, rowsPerPart: perPart, parts: Math.ceil(rows / perPart), merge };
}

/** The fields of a record that say how a matrix is cut. */
export const extentsOf = ({ rows, channels, rowsPerPart }: Matrix) => ({ rows, channels, rowsPerPart });

const padded = ({ channels }: Matrix): number => Math.ceil(channels / 4) * 4;

/** Bytes of partial results: two kinds per part and channel. */
export const partialBytes = (matrix: Matrix, bytesPerValue: number): number =>
  matrix.parts * 2 * padded(matrix) * bytesPerValue;

/** Partial sums Σ a and Σ a·b. */
export function sumsLaunch(matrix: Matrix, a: Address, b: Address, partials: Address): Launch {
  return launch('sums', matrix.parts, { a, b, partials, ...extentsOf(matrix) });
}

interface Partials {
  readonly address: Address;
  readonly parts: number;
}

/** Combines partial sums of a kind (0: Σ a, 1: Σ a·b), less those of another pair. */
export function finishSums(matrix: Matrix, partials: Address, kind: 0 | 1, out: Address, minus?: Partials): Launch {
  const { parts, channels, merge } = matrix;
  return launch('finishSums', 1, {
    partials,
    parts,
    channels,
    kind,
    merge: Number(merge),
    out,
    minus: minus?.address ?? 0,
    minusParts: minus?.parts ?? 0,
  });
}

function sumOver(type: TensorType, granularity: Granularity, kind: 0 | 1): Lowered {
  const matrix = matrixOf(type, granularity);
  return {
    path: matrix.path,
    workspaceBytes: partialBytes(matrix, 8),
    launches: ({ inputs: [a, b = a], outputs: [out], workspace }) => [
      sumsLaunch(matrix, a!, b!, workspace),
      finishSums(matrix, workspace, kind, out!),
    ],
  };
}

type Reducing = 'dot' | 'sum' | 'channelSum' | 'channelDotDifference' | 'minMax' | 'minMaxGradient';

export const reductionWays: WaysOf<Reducing> = {
  dot: perTensor,
  sum: perTensor,
  channelSum: perChannel,
  channelDotDifference: perChannel,
  minMax: perEither,
  minMaxGradient: perEither,
};

export const reduction: Lowerings<Reducing> = {
  dot: ({ inputs: [a] }) => sumOver(a!, 'tensor', 1),
  sum: ({ inputs: [a] }) => sumOver(a!, 'tensor', 0),
  channelSum: ({ inputs: [a] }) => sumOver(a!, 'channel', 0),

  channelDotDifference: ({ inputs }) => {
    const first = matrixOf(inputs[0]!, 'channel');
    const second = matrixOf(inputs[2]!, 'channel');
    const layout = new Layout();
    const plus = layout.take(partialBytes(first, 8));
    const minus = layout.take(partialBytes(second, 8));
    return {
      path: first.path,
      workspaceBytes: layout.bytes,
      launches: ({ inputs: [a, b, c, d], outputs: [out], workspace }) => [
        sumsLaunch(first, a!, b!, workspace + plus),
        sumsLaunch(second, c!, d!, workspace + minus),
        finishSums(first, workspace + plus, 1, out!, { address: workspace + minus, parts: second.parts }),
      ],
    };
  },

  minMax: ({ inputs: [x], attributes: { granularity, holdsZero } }) => {
    const matrix = matrixOf(x!, granularity);
    return {
      path: matrix.path,
      workspaceBytes: partialBytes(matrix, 4),
      launches: ({ inputs: [a], outputs: [low, high], workspace }) => {
        const reduced = { a: a!, b: 0, partials: workspace, ...extentsOf(matrix) };
        return [
          launch('extremes', matrix.parts, reduced),
          launch('finishExtremes', 1, {
            reduction: reduced,
            parts: matrix.parts,
            merge: Number(matrix.merge),
            low: low!,
            high: high!,
            lowGradient: 0,
            highGradient: 0,
            counts: 0,
            out: 0,
            holdsZero: Number(holdsZero ?? false),
          }),
        ];
      },
    };
  },

  minMaxGradient: ({ inputs: [, , x], attributes: { granularity } }) => {
    const matrix = matrixOf(x!, granularity);
    const layout = new Layout();
    const partials = layout.take(partialBytes(matrix, 4));
    const shares = layout.take(2 * padded(matrix) * 4);
    return {
      path: matrix.path,
      workspaceBytes: layout.bytes,
      launches: ({ inputs: [lowGradient, highGradient, a, low, high], outputs: [out], workspace }) => {
        const record: Extremes = {
          reduction: { a: a!, b: 0, partials: workspace + partials, ...extentsOf(matrix) },
          parts: matrix.parts,
          merge: Number(matrix.merge),
          low: low!,
          high: high!,
          lowGradient: lowGradient!,
          highGradient: highGradient!,
          counts: workspace + shares,
          out: out!,
          holdsZero: 0,
        };
        return [
          launch('countExtremes', matrix.parts, record),
          launch('shareExtremes', 1, record),
          launch('extremesGradient', matrix.parts, record),
        ];
      },
    };
  },
};
