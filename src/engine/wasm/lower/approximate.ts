// Convolutions with an approximate multiplier and the removal matrix of a structure: ../kernels/approximate-*.ts.

import { isInteger } from '../../../multiplier/error.ts';
import type { Node } from '../../graph/graph.ts';
import { CODE_BITS, COUNTS, CUTS, codeBits, cuts, FILLING, filling, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import { checkSums } from '../../graph/sums.ts';
import { type Axis, axesOf, tapsAlong } from '../../graph/window.ts';
import {
  depthwiseGradients,
  depthwiseGradientWays,
  depthwiseProduct,
  depthwiseSlopes,
  depthwiseWays,
  isDepthwise,
} from './approximate-depthwise.ts';
import {
  channelsPerGroup,
  convolution as geometryOf,
  outputsPerGroup,
  pixels,
  positions,
  SMALL_IMAGE,
  steps,
  stepsOf,
  taps,
} from './geometry.ts';
import { type Launch, launch } from './launch.ts';
import { asOne, Layout, type Lowered, type Lowerings, pathAsOne, type WaysOf } from './lowering.ts';
import type { AxmGradients, AxmSlopes, Geometry } from './records.ts';

interface Kind {
  readonly way: 'real rows by code' | 'integer rows' | 'table rows';
  readonly kernel: 'axmForwardReal' | 'axmForwardInteger' | 'axmForwardTable';
  /** Outputs of a tile. */
  readonly lanes: number;
  /** Channels of a block. */
  readonly channels: number;
  /** Bytes of the rows of one block of channels. */
  readonly rowBytes: number;
  /** Positions of a part: many, to build the rows rarely, but as few as it takes for its sums to stay in the cache. */
  readonly fewest: number;
  readonly most: number;
}

const real: Kind = {
  ...{ way: 'real rows by code', kernel: 'axmForwardReal' },
  ...{ lanes: 16, channels: 8, rowBytes: 8 * 16384, fewest: 256, most: 4096 },
};
const integer: Kind = {
  ...{ way: 'integer rows', kernel: 'axmForwardInteger' },
  ...{ lanes: 32, channels: 16, rowBytes: 16 * 2048, fewest: 256, most: 2048 },
};
const table: Kind = {
  ...{ way: 'table rows', kernel: 'axmForwardTable' },
  ...{ lanes: 16, channels: 8, rowBytes: 8 * 16384, fewest: 1024, most: 4096 },
};

const tiling = { groups: COUNTS, outputs: FILLING, channels: FILLING, rows: CUTS, ...steps } as const;

/** How many taps stand side by side in a row. */
const TAPS = ['one', 'three'] as const;

/** What a row of products is picked by, and of what numbers it is. */
const forwardWays = {
  'real rows by code': { bits: CODE_BITS, taps: TAPS, ...tiling },
  'real rows by half a code': { bits: ['5 to 7', '8'], taps: ['one'], ...tiling },
  'integer rows': { bits: CODE_BITS, taps: ['one'], ...tiling },
  'table rows': { bits: CODE_BITS, taps: TAPS, ...tiling },
} as const;

const sorting = {
  ...{ groups: COUNTS, outputs: FILLING, channels: FILLING, slices: COUNTS, blocks: CUTS },
  ...steps,
} as const;
const gradientWays = {
  'sorted by code, per residue class': { bits: CODE_BITS, taps: TAPS, ...sorting },
  'sorted by code, per tap': { bits: CODE_BITS, taps: ['one'], ...sorting },
  'sorted by half a code, per residue class': { bits: ['5 to 7', '8'], taps: TAPS, ...sorting },
  'sorted by half a code, per tap': { bits: ['5 to 7', '8'], taps: ['one'], ...sorting },
} as const;

const slopeRows = {
  'rows of slopes': { bits: CODE_BITS, groups: COUNTS, outputs: FILLING, channels: FILLING, ...steps },
} as const;
const slopesOfPixels = { 'rows of slopes': { ...slopeRows['rows of slopes'], parts: CUTS } } as const;

type Approximate =
  | 'axmConv2d'
  | 'axmConv2dGradients'
  | 'axmErrorWeightGradient'
  | 'axmErrorInputGradient'
  | 'structureMatrix'
  | 'structureMatrixGradient';

export const approximateWays: WaysOf<Approximate> = {
  axmConv2d: { ...depthwiseWays, ...forwardWays },
  axmConv2dGradients: { ...depthwiseGradientWays, ...gradientWays },
  axmErrorWeightGradient: { ...depthwiseGradientWays, ...slopeRows },
  axmErrorInputGradient: { ...depthwiseGradientWays, ...slopesOfPixels },
  structureMatrix: asOne,
  structureMatrixGradient: asOne,
};

/**
 * From this many positions of a part on, 256 rows per channel repay their making; below, two halves of 16 rows are
 * used.
 */
const ROW_PER_CODE_POSITIONS = 512;
/** Channels of a block where a row holds three taps; see ../kernels/approximate-forward.ts. */
const TRIPLE_CHANNELS = 4;

/** Whether three taps follow each other pixel by pixel, so that a pixel can add to three sums at once. */
function takesTriples({ kernelWidth, strideX, dilationX, paddingX }: Geometry): boolean {
  return kernelWidth === 3 && strideX === 1 && dilationX === 1 && paddingX <= 2;
}

/** Parts wanted at least, if the positions allow. */
const ENOUGH_PARTS = 32;
const PIXELS_PER_PART = 4096;

function forwardRows(geometry: Geometry, kind: Kind, tiles: number): number {
  const wanted = Math.ceil((positions(geometry) * tiles) / ENOUGH_PARTS);
  const limited = Math.min(Math.max(wanted, kind.fewest), kind.most);
  return Math.max(1, Math.min(geometry.batch * geometry.outHeight, Math.floor(limited / geometry.outWidth)));
}

/** The most input rows from the first to the last that a run of output rows meets, through several images. */
function inputRows(geometry: Geometry, rows: number): number {
  const { batch, height, outHeight, strideY, kernelHeight, dilationY } = geometry;
  const window = (kernelHeight - 1) * dilationY + 1;
  return Math.min(batch * height, rows * strideY + (Math.ceil(rows / outHeight) + 1) * window);
}

/**
 * Bytes of cotangents of one tile that stay in the second-level cache while all taps pass over them. Small images would
 * gain from more too; theirs decide in which order the default run on the digits sums.
 */
const TILE_BYTES = { small: 224 * 1024, others: 300 * 1024 };
/** Input channels of a part of the gradients. */
const CHANNELS = 4;
const ENOUGH_GRADIENT_PARTS = 16;
/** From this many positions of a block on, the gradients sort them by code; below, by each half of the code. */
const SORT_BY_CODE_POSITIONS = 2048;

/** Sorting a position per tap costs about as much as using it in this many tiles of outputs. */
const SORT_IN_TILES = 3;

/**
 * Share of the pairs of an input row and a window row of its residue class that meet in an output row; likewise for
 * columns.
 */
function usedShare(axis: Axis): number {
  const used = tapsAlong(axis).reduce((sum, taps) => sum + taps.length, 0);
  return Math.min(1, used / ((axis.extent * axis.size) / axis.stride));
}

/** Rows (columns) of a cotangent tile with its halo, see ../kernels/approximate-gradients.ts. */
function tileExtent({ extent, size, stride, padding, dilation }: Axis): number {
  const last = Math.floor((extent - 1 + padding) / stride) - Math.floor(padding / stride);
  return Math.floor(((size - 1) * dilation) / stride) + last + 1;
}

/**
 * Positions that one part packs, and pixels of a part of the activation's gradient: as many as repay building the rows
 * of slopes.
 */
const PACKED_POSITIONS = 256;
const SLOPE_PIXELS = { fewest: 512, most: 4096 };
/** Channels whose slopes stand in scratch together, and bytes of their rows. */
const SLOPE_CHANNELS = 4;
const SLOPE_BYTES = SLOPE_CHANNELS * 256 * 32;

/** Either gradient through the error; see ../kernels/approximate-slopes.ts. */
function throughError(
  kernel: 'axmErrorWeight' | 'axmErrorInput',
  node: Node<'axmErrorWeightGradient' | 'axmErrorInputGradient'>,
): Lowered {
  const {
    inputs: [, x, w],
    attributes,
  } = node;
  const geometry = geometryOf(x!.shape, w!.shape, attributes);
  if (isDepthwise(geometry)) {
    return depthwiseSlopes(`axmDepthwise${kernel === 'axmErrorWeight' ? 'ErrorWeight' : 'ErrorInput'}`, node, geometry);
  }
  const { batch, height, width, groups, outHeight, outWidth } = geometry;
  const panels = Math.ceil(outputsPerGroup(geometry) / 8);
  const bundles = groups * Math.ceil(channelsPerGroup(geometry) / SLOPE_CHANNELS);
  const rowsPerBlock = Math.ceil(PACKED_POSITIONS / outWidth);
  const wanted = Math.ceil((pixels(geometry) * bundles) / ENOUGH_PARTS);
  const limited = Math.min(Math.max(wanted, SLOPE_PIXELS.fewest), SLOPE_PIXELS.most);
  const rowsPerPart = Math.min(batch * height, Math.ceil(limited / width));
  const ofWeight = kernel === 'axmErrorWeight';
  const layout = new Layout();
  const packed = layout.take(groups * panels * positions(geometry) * 32);
  const common = {
    bits: codeBits(attributes.activationBits),
    groups: oneOrSeveral(groups),
    outputs: filling(outputsPerGroup(geometry), 8),
    channels: filling(channelsPerGroup(geometry), SLOPE_CHANNELS),
    ...stepsOf(geometry),
  };
  return {
    path: ofWeight
      ? pathOf(slopeRows, 'rows of slopes', common)
      : pathOf(slopesOfPixels, 'rows of slopes', { ...common, parts: cuts(batch * height, rowsPerPart) }),
    workspaceBytes: layout.bytes,
    launches: ({ inputs: [g, xq, wq, scale, slopes], outputs: [out], workspace }) => {
      const record: AxmSlopes = {
        geometry,
        x: xq!,
        g: g!,
        dw: out!,
        panels: workspace + packed,
        panelsPerPart: 0,
        rowsPerBlock,
        lists: 0,
        w: wq!,
        scale: scale!,
        slopes: slopes!,
        activationBits: attributes.activationBits,
        rowsPerPart,
      };
      return [
        launch('packCotangent', Math.ceil((batch * outHeight) / rowsPerBlock), record),
        launch(
          kernel,
          bundles * (ofWeight ? taps(geometry) * panels : Math.ceil((batch * height) / rowsPerPart)),
          record,
          SLOPE_BYTES + (ofWeight ? SLOPE_CHANNELS * 32 : rowsPerPart * width * 16),
        ),
      ];
    },
  };
}

export const approximate: Lowerings<Approximate> = {
  axmConv2d: (node): Lowered => {
    const {
      inputs: [x, w],
      attributes,
    } = node;
    const { weightBits, activationBits, error } = attributes;
    const kind = error.kind === 'table' ? table : isInteger(error) ? integer : real;
    const geometry = geometryOf(x!.shape, w!.shape, attributes);
    const { batch, groups, outHeight, outWidth } = geometry;
    if (kind !== real) {
      const inner = taps(geometry) * channelsPerGroup(geometry);
      checkSums(node, inner, { device: 'wasm', other: 'reference', weightBits });
    }
    if (isDepthwise(geometry)) return depthwiseProduct(node, geometry);
    const tiles = Math.ceil(outputsPerGroup(geometry) / kind.lanes) * groups;
    const rowsPerPart = forwardRows(geometry, kind, tiles);
    const rowPerCode = activationBits <= 4 || rowsPerPart * outWidth >= ROW_PER_CODE_POSITIONS;
    const triples = takesTriples(geometry) && kind !== integer && (kind === table || rowPerCode);
    const places = triples ? geometry.width + 2 : outWidth;
    const rowBytes = triples ? TRIPLE_CHANNELS * 3 * 16384 : kind.rowBytes;
    const path = pathOf(forwardWays, kind !== real || rowPerCode ? kind.way : 'real rows by half a code', {
      bits: codeBits(activationBits),
      groups: oneOrSeveral(groups),
      outputs: filling(outputsPerGroup(geometry), kind.lanes),
      channels: filling(channelsPerGroup(geometry), triples ? TRIPLE_CHANNELS : kind.channels),
      taps: TAPS[triples ? 1 : 0],
      rows: cuts(batch * outHeight, rowsPerPart),
      ...stepsOf(geometry),
    });
    const byHalves = path.way === 'integer rows' || path.way === 'real rows by half a code';
    // To list the codes of a pixel costs half as much as to use them for one tap.
    const listed = byHalves && taps(geometry) > 1;
    // Of whole numbers the lists of one block of channels are there at a time.
    const listedBlocks = kind === integer ? 1 : Math.ceil(channelsPerGroup(geometry) / kind.channels);
    const listedPixels = inputRows(geometry, rowsPerPart) * geometry.width;
    const listBytes = listed ? listedPixels * listedBlocks * (4 + 4 * kind.channels) : 0;
    const layout = new Layout();
    const products = layout.take(2 ** weightBits * 32);
    const sums = layout.take(kind === real ? 0 : pixels(geometry) * groups * 4);
    const blocks = Math.ceil(channelsPerGroup(geometry) / TRIPLE_CHANNELS);
    const codeBlocks = layout.take(triples ? pixels(geometry) * groups * blocks * TRIPLE_CHANNELS : 0);
    return {
      path,
      workspaceBytes: layout.bytes,
      launches: ({ inputs, outputs: [out], workspace }) => {
        const [xq, wq, xScale, xZero, wScale, wZero, errors = 0] = inputs;
        const launches: Launch[] = [];
        if (error.kind !== 'table') {
          const kernel = kind === real ? 'planeCoefficientsReal' : 'planeCoefficientsInteger';
          const record = { matrix: errors, out: workspace + products, weightBits, activationBits };
          launches.push(launch(kernel, 1, record));
        }
        const runs = Math.ceil(pixels(geometry) / PIXELS_PER_PART);
        const ofPixels = {
          ...{ x: xq!, pixels: pixels(geometry), groups },
          ...{ channelsPerGroup: channelsPerGroup(geometry), pixelsPerPart: PIXELS_PER_PART },
        };
        if (triples) launches.push(launch('packCodes', runs, { ...ofPixels, out: workspace + codeBlocks }));
        if (kind !== real) launches.push(launch('pixelSums', runs, { ...ofPixels, out: workspace + sums }));
        launches.push(
          launch(
            kind.kernel,
            tiles * Math.ceil((batch * outHeight) / rowsPerPart),
            {
              geometry,
              x: xq!,
              w: wq!,
              out: out!,
              xScale: xScale!,
              xZero: xZero!,
              wScale: wScale!,
              wZero: wZero!,
              products: error.kind === 'table' ? errors : workspace + products,
              pixelSums: workspace + sums,
              rowsPerPart,
              activationBits,
              digitBits: path.way === 'real rows by half a code' ? 4 : 8,
              listed: Number(listed),
              tapsPerRow: triples ? 3 : 1,
              codeBlocks: workspace + codeBlocks,
            },
            rowsPerPart * places * kind.lanes * 4 + rowBytes + (taps(geometry) + 4) * kind.lanes * 8 + listBytes,
          ),
        );
        return launches;
      },
    };
  },

  axmConv2dGradients: (node): Lowered => {
    const {
      inputs: [, x, w],
      attributes,
    } = node;
    const { weightBits, activationBits } = attributes;
    const geometry = geometryOf(x!.shape, w!.shape, attributes);
    if (isDepthwise(geometry)) return depthwiseGradients(node, geometry);
    const { batch, height, width, groups, channels } = geometry;
    const tiles = Math.ceil(outputsPerGroup(geometry) / 16);
    const bundles = groups * Math.ceil(channelsPerGroup(geometry) / CHANNELS);
    const slices = Math.min(tiles, Math.ceil(ENOUGH_GRADIENT_PARTS / bundles));
    const { strideY, strideX, kernelHeight, kernelWidth } = geometry;
    const [rows, columns] = axesOf([batch, height, width, channels], [kernelHeight, kernelWidth], attributes);
    const tileHeight = tileExtent(rows);
    const tileWidth = tileExtent(columns);
    const imageBytes = tileHeight * tileWidth * 64;
    const tileBytes = height * width <= SMALL_IMAGE ? TILE_BYTES.small : TILE_BYTES.others;
    const imagesPerBlock = Math.max(1, Math.min(batch, Math.floor(tileBytes / imageBytes)));
    const idle = 1 - usedShare(rows) * usedShare(columns);
    const sortPerTap = idle * Math.ceil(tiles / slices) > SORT_IN_TILES;
    const tapsPerRow = takesTriples(geometry) && !sortPerTap ? 3 : 1;
    const layout = new Layout();
    const planar = layout.take(channels * pixels(geometry));
    const tiled = layout.take(groups * tiles * batch * imageBytes);
    const ones = layout.take(groups * tiles * taps(geometry) * 64);
    const shares = layout.take(bundles * slices * 256);
    const blockPositions = (imagesPerBlock * height * width) / (strideY * strideX);
    const byCode = activationBits <= 4 || blockPositions >= SORT_BY_CODE_POSITIONS;
    const path = pathOf(
      gradientWays,
      `sorted by ${byCode ? 'code' : 'half a code'}, per ${sortPerTap ? 'tap' : 'residue class'}`,
      {
        bits: codeBits(activationBits),
        groups: oneOrSeveral(groups),
        outputs: filling(outputsPerGroup(geometry), 16),
        channels: filling(channelsPerGroup(geometry), CHANNELS),
        taps: TAPS[tapsPerRow === 3 ? 1 : 0],
        slices: oneOrSeveral(slices),
        blocks: cuts(batch, imagesPerBlock),
        ...stepsOf(geometry),
      },
    );
    const digitBits = byCode ? 8 : 4;
    const digits = Math.ceil(activationBits / digitBits);
    const channelBytes =
      2 * 4096 + taps(geometry) * Math.ceil(tiles / slices) * 512 + digits * imagesPerBlock * height * width * 4;
    return {
      path,
      workspaceBytes: layout.bytes,
      launches: ({ inputs: [g, xq, wq, xScale, xZero, wScale], outputs: [dw, dm], workspace }) => {
        const record: AxmGradients = {
          geometry,
          g: g!,
          x: xq!,
          w: wq!,
          xScale: xScale!,
          xZero: xZero!,
          wScale: wScale!,
          dw: dw!,
          dm: dm!,
          planar: workspace + planar,
          tiled: workspace + tiled,
          tileHeight,
          tileWidth,
          ones: workspace + ones,
          structures: workspace + shares,
          slices,
          imagesPerBlock,
          pixelsPerPart: PIXELS_PER_PART,
          weightBits,
          activationBits,
          digitBits,
          sortPerTap: Number(sortPerTap),
          tapsPerRow,
        };
        const bucketBytes = tapsPerRow * Math.max(2 ** activationBits, 16) * 64;
        return [
          launch('planarCodes', Math.ceil(pixels(geometry) / PIXELS_PER_PART), record),
          launch('tileCotangent', batch, record),
          launch('cotangentSums', groups * tiles, record),
          launch('axmGradients', bundles * slices, record, bucketBytes + CHANNELS * channelBytes),
          launch('structureGradient', 1, record),
        ];
      },
    };
  },

  axmErrorWeightGradient: (node) => throughError('axmErrorWeight', node),
  axmErrorInputGradient: (node) => throughError('axmErrorInput', node),

  structureMatrix: ({ inputs: [theta], attributes: { index } }) => ({
    path: pathAsOne,
    launches: ({ inputs: [from], outputs: [to], place }) => {
      const mapping = { index: place(Int32Array.from(index)), entries: index.length, count: theta!.shape[0]! };
      return [launch('structureMatrix', 1, { from: from!, to: to!, ...mapping })];
    },
  }),

  structureMatrixGradient: ({ attributes: { index, count } }) => ({
    path: pathAsOne,
    launches: ({ inputs: [from], outputs: [to], place }) => {
      const mapping = { index: place(Int32Array.from(index)), entries: index.length, count };
      return [launch('structureMatrixGradient', 1, { from: from!, to: to!, ...mapping })];
    },
  }),
};
