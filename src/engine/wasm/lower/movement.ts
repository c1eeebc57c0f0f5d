// Movements: each box of runs that are contiguous in both tensors, or of matrices to transpose; ../kernels/movement.ts.

import { bytesPerElement, sizeOf } from '../../../tensor/tensor.ts';
import { type Box, boxSize, covers, simplified } from '../../graph/movement.ts';
import { COUNTS, CUTS, cuts, FILLING, filling, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import { type Launch, launch } from './launch.ts';
import { type Addresses, type Lowerings, rowsPerPart, type WaysOf } from './lowering.ts';

/**
 * Rows that a transposition writes side by side, and elements from which a run is copied as a whole, as the kernels
 * have it.
 */
const BAND = 16;
const LONG = 2048;
/** Longer runs are cut. */
const LONGEST_PIECE = 16384;

const around = { boxes: COUNTS, zeros: ['none', 'around'] } as const;
const ways = {
  runs: { ...around, parts: CUTS, length: ['short', 'long'] },
  transposed: { ...around, parts: CUTS, rows: FILLING, columns: FILLING, bands: COUNTS },
} as const;

export const movementWays: WaysOf<'move'> = { move: ways };

/** How a box is moved: its outer axes, and what lies inside them. */
interface Plan {
  readonly axes: readonly { readonly extent: number; readonly to: number; readonly from: number }[];
  /** Elements of the output's contiguous axis. */
  readonly length: number;
  /** Elements of a run that are moved at a time. */
  readonly piece?: number;
  /** The rows of a matrix to transpose: extent, distance in the output, and that of its columns in the input. */
  readonly matrix?: { readonly rows: number; readonly rowStride: number; readonly columnStride: number };
  readonly positions: number;
  readonly perPart: number;
}

function planOf(box: Box): Plan {
  const { extents, from, to } = simplified(box);
  const axes = extents.map((extent, axis) => ({ extent, to: to.strides[axis]!, from: from.strides[axis]! }));
  const inner = axes.at(-1)!;
  const others = axes.slice(0, -1);
  const across = others.find((axis) => axis.from === 1);
  const positionsOf = (some: Plan['axes']) => sizeOf(some.map(({ extent }) => extent));
  if (inner.to === 1 && inner.from !== 1 && across) {
    const outer = others.filter((axis) => axis !== across);
    return {
      axes: outer,
      length: inner.extent,
      matrix: { rows: across.extent, rowStride: across.to, columnStride: inner.from },
      positions: positionsOf(outer) * Math.ceil(across.extent / BAND),
      perPart: rowsPerPart(BAND * inner.extent),
    };
  }
  const run = inner.to === 1 && inner.from === 1;
  const outer = run ? others : axes;
  const length = run ? inner.extent : 1;
  const piece = Math.min(length, LONGEST_PIECE);
  return {
    axes: outer,
    length,
    piece,
    positions: positionsOf(outer) * Math.ceil(length / piece),
    perPart: rowsPerPart(piece),
  };
}

function launchOf(box: Box, plan: Plan, at: Addresses): Launch {
  const { axes, length, piece = 0, matrix, positions, perPart } = plan;
  const table = at.place(Int32Array.from(axes.flatMap(({ extent, to, from }) => [extent, 4 * to, 4 * from])));
  const { rows = 0, rowStride = 0, columnStride = 0 } = matrix ?? {};
  const record = {
    to: at.outputs[0]! + 4 * box.to.first,
    from: at.inputs[box.input]! + 4 * box.from.first,
    table,
    axes: axes.length,
    count: positions,
    perPart,
    length,
    piece,
    rows,
    rowBytes: 4 * rowStride,
    columnBytes: 4 * columnStride,
  };
  const kernel = matrix ? 'moveTransposed' : 'moveRuns';
  return launch(kernel, Math.ceil(positions / perPart), record, 4 * (axes.length + 2));
}

export const movement: Lowerings<'move'> = {
  move: ({ attributes }) => {
    const { boxes, shape } = attributes;
    const plans = boxes.map((box) => ({ box, plan: planOf(box) }));
    const { plan } = plans.reduce((most, one) => (boxSize(one.box) > boxSize(most.box) ? one : most));
    const zeros = covers(attributes) ? 'none' : 'around';
    const common = { boxes: oneOrSeveral(boxes.length), zeros, parts: cuts(plan.positions, plan.perPart) } as const;
    return {
      path: plan.matrix
        ? pathOf(ways, 'transposed', {
            ...common,
            rows: filling(plan.matrix.rows, 4),
            columns: filling(plan.length, 4),
            bands: oneOrSeveral(Math.ceil(plan.matrix.rows / BAND)),
          })
        : pathOf(ways, 'runs', { ...common, length: plan.length < LONG ? 'short' : 'long' }),
      launches: (at) => [
        ...(zeros === 'none'
          ? []
          : [launch('fill', 1, { to: at.outputs[0]!, bytes: sizeOf(shape) * bytesPerElement.f32, value: 0 })]),
        ...plans.map(({ box, plan }) => launchOf(box, plan, at)),
      ],
    };
  },
};
