// f32 convolutions, depthwise ones by kernels of their own: ../kernels/convolution*.ts.

import type { Shape } from '../../../tensor/tensor.ts';
import type { ConvGeometry } from '../../graph/ops.ts';
import { COUNTS, CUTS, cuts, FILLING, filling, oneOrSeveral, type Path, pathOf } from '../../graph/paths.ts';
import { axesOf, type Tap, tapsAlong, tapsOnto } from '../../graph/window.ts';
import {
  channelsPerGroup,
  convolution as geometryOf,
  outputsPerGroup,
  positions,
  SMALL_IMAGE,
  steps,
  stepsOf,
  taps,
} from './geometry.ts';
import { launch } from './launch.ts';
import { Layout, type Lowered, type Lowerings, type WaysOf } from './lowering.ts';
import type { Convolution, Depthwise, Geometry, WeightGradient, Winograd } from './records.ts';
import type { Address } from './words.ts';

/** Result positions of a part, enough to use a panel of weights from the first-level cache many times. */
const POSITIONS_PER_PART = 128;
/** Of a position that waits for its tile in the scratch memory: `PLACE` of the kernel. */
const PLACE_BYTES = 20;
/** Positions of a block of the weight gradient: its slices of x and g stay in the cache. */
const POSITIONS_PER_BLOCK = 256;
/** A step with fewer parts is cut along its panels too. */
const ENOUGH_PARTS = 32;
/** From this many images on, where these are small, a tile is one position of 4 images. */
const IMAGES = 12;

/** Squares of 2×2 outputs of a part: their transformed pixels stay in the second-level cache. */
const SQUARES_PER_PART = 32;
/** Of the lists of 16 places with one tap each. */
const SQUARE_LISTS_BYTES = 16 * 40;
/** Channels and outputs of a group, from which on fewer products repay the transforms. */
const SQUARE_CHANNELS = 16;

const TILES = ['along rows', 'across images'] as const;
/** Whose the lists of positions are. */
const LISTS = ['of all blocks', 'of each block'] as const;
const PANELS = ['all in a part', 'cut', 'cut and a shorter range'] as const;

/** Of either direction of the product of convolution.ts, of the weight gradient, and of the depthwise kernels. */
const byPanels = {
  panels: {
    ...{ tiles: TILES, ranges: PANELS, outputs: FILLING, rows: CUTS, positions: FILLING },
    ...{ groups: COUNTS, residues: COUNTS },
    ...steps,
  },
} as const;
const byTapsAndPanels = {
  panels: {
    ...{ lists: LISTS, ranges: PANELS, outputs: FILLING, blocks: CUTS, channels: FILLING, groups: COUNTS },
    ...steps,
  },
} as const;
const bySquares = {
  squares: {
    ...{ outputs: FILLING, channels: FILLING, rows: CUTS, squares: FILLING },
    ...{ heights: FILLING, widths: FILLING, groups: COUNTS },
  },
} as const;
const lanesOfChannels = { depthwise: { channels: FILLING, ...steps } } as const;

export const convolutionWays: WaysOf<'conv2d' | 'conv2dInputGradient' | 'conv2dWeightGradient'> = {
  // Only the gradient of the input tells residues apart.
  conv2d: { panels: { ...byPanels.panels, residues: ['one'] }, ...bySquares, ...lanesOfChannels },
  conv2dInputGradient: { ...byPanels, ...bySquares, ...lanesOfChannels },
  conv2dWeightGradient: { ...byTapsAndPanels, ...lanesOfChannels },
};

function rangesOf(panels: number, perPart: number): (typeof PANELS)[number] {
  if (perPart >= panels) return 'all in a part';
  return panels % perPart === 0 ? 'cut' : 'cut and a shorter range';
}

/** Panels per part such that `others` parts become about ENOUGH_PARTS. */
function panelsPerPart(panels: number, others: number): number {
  return Math.ceil(panels / Math.min(panels, Math.ceil(ENOUGH_PARTS / others)));
}

type Taps = readonly (readonly Tap[])[];

/**
 * The lists of convolution.ts for tiles of one position of 4 images, and of as many as are left behind the fours, the
 * last one repeated: for each position of an image the number of taps, 4 results, and per tap its offset in a panel and
 * 4 sources.
 */
function listImages(geometry: Geometry, lanes: number, depth: number, transposed: boolean): Int32Array {
  const { batch, height, width, outHeight, outWidth, groups, kernelHeight, kernelWidth } = geometry;
  const [rows, columns] = axesOf([batch, height, width], [kernelHeight, kernelWidth], {
    stride: [geometry.strideY, geometry.strideX],
    padding: [geometry.paddingY, geometry.paddingX],
    dilation: [geometry.dilationY, geometry.dilationX],
  }).map(transposed ? tapsOnto : tapsAlong) as [Taps, Taps];
  const sourceWidth = transposed ? outWidth : width;
  const sourcePixels = sourceWidth * (transposed ? outHeight : height);
  const words = 5 + 5 * taps(geometry);
  const pixels = rows.length * columns.length;
  const tiles = batch % 4 === 0 ? [4] : [4, batch % 4];
  const lists = new Int32Array(tiles.length * pixels * words);
  for (const [tile, images] of tiles.entries()) {
    const write = (at: number, first: number, ofImage: number, position: number, channels: number) => {
      lists[at] = first;
      for (let p = 0; p < 4; p++) {
        lists[at + 1 + p] = (Math.min(p, images - 1) * ofImage + position) * channels * groups * 4;
      }
    };
    for (const [y, inRow] of rows.entries()) {
      for (const [x, inColumn] of columns.entries()) {
        const position = y * columns.length + x;
        let at = (tile * pixels + position) * words;
        write(at, inRow.length * inColumn.length, pixels, position, lanes);
        for (const row of inRow) {
          for (const column of inColumn) {
            const panel = (row.tap * kernelWidth + column.tap) * depth * 32;
            at += 5;
            write(at, panel, sourcePixels, row.at * sourceWidth + column.at, depth);
          }
        }
      }
    }
  }
  return lists;
}

/**
 * The product of convolution.ts in either direction: results [rows, width] with `lanes` channels per group from `depth`
 * channels.
 */
function product(x: Shape, w: Shape, conv: ConvGeometry, transposed: boolean): Lowered {
  const geometry = geometryOf(x, w, conv);
  const oriented = transposed ? turned(geometry) : geometry;
  if (takesSquares(oriented)) return squareProduct(oriented, transposed);
  const { batch, groups } = geometry;
  const [lanes, depth] = transposed
    ? [channelsPerGroup(geometry), outputsPerGroup(geometry)]
    : [outputsPerGroup(geometry), channelsPerGroup(geometry)];
  const rows = batch * (transposed ? geometry.height : geometry.outHeight);
  const width = transposed ? geometry.width : geometry.outWidth;
  const panels = Math.ceil(lanes / 8);
  const height = rows / batch;
  const acrossImages = height * width <= SMALL_IMAGE && batch >= IMAGES;
  const rowsPerPart = acrossImages
    ? 4 * height * Math.ceil(POSITIONS_PER_PART / (4 * height * width))
    : Math.ceil(POSITIONS_PER_PART / width);
  const rowRuns = Math.ceil(rows / rowsPerPart);
  const perPart = panelsPerPart(panels, groups * rowRuns);
  const layout = new Layout();
  const packed = layout.take(groups * panels * taps(geometry) * depth * 32);
  const zeros = layout.take(depth * 4);
  const tileBytes = (5 + 5 * taps(geometry)) * 4;
  return {
    path: pathOf(byPanels, 'panels', {
      tiles: acrossImages ? 'across images' : 'along rows',
      ranges: rangesOf(panels, perPart),
      outputs: filling(lanes, 8),
      rows: cuts(rows, rowsPerPart),
      positions: acrossImages ? filling(batch, 4) : filling(Math.min(rows, rowsPerPart) * width, 4),
      groups: oneOrSeveral(groups),
      residues: oneOrSeveral(transposed ? Math.min(geometry.strideX, width) : 1),
      ...stepsOf(geometry),
    }),
    workspaceBytes: layout.bytes,
    launches: ({ inputs: [source, w], outputs: [out], workspace, place }) => {
      const record: Convolution = {
        geometry,
        source: source!,
        w: w!,
        out: out!,
        panels: workspace + packed,
        zeros: workspace + zeros,
        rowsPerPart,
        panelsPerPart: perPart,
        tiles: acrossImages ? place(listImages(geometry, lanes, depth, transposed)) : 0,
      };
      return [
        launch(transposed ? 'packTransposed' : 'packForward', groups * panels, record),
        launch(
          transposed ? 'convolutionInputGradient' : 'convolutionForward',
          groups * rowRuns * Math.ceil(panels / perPart),
          record,
          acrossImages ? 0 : (Math.ceil((rowsPerPart * width) / 4) + 1) * tileBytes + 4 * PLACE_BYTES,
        ),
      ];
    },
  };
}

/** Whether the product of a geometry goes by squares of 2×2 outputs: see ../kernels/convolution-winograd.ts. */
function takesSquares(geometry: Geometry): boolean {
  const { kernelHeight, kernelWidth, strideY, strideX, dilationY, dilationX, outHeight, outWidth } = geometry;
  const window = kernelHeight === 3 && kernelWidth === 3 && strideY * strideX * dilationY * dilationX === 1;
  const channels = Math.min(channelsPerGroup(geometry), outputsPerGroup(geometry));
  return window && outHeight * outWidth > SMALL_IMAGE && channels >= SQUARE_CHANNELS;
}

/** The convolution with the weights turned round that the data gradient is. */
function turned(geometry: Geometry): Geometry {
  const { height, width, channels, outHeight, outWidth, outputs, kernelHeight, kernelWidth } = geometry;
  return {
    ...geometry,
    ...{ height: outHeight, width: outWidth, channels: outputs, outHeight: height, outWidth: width, outputs: channels },
    paddingY: kernelHeight - 1 - geometry.paddingY,
    paddingX: kernelWidth - 1 - geometry.paddingX,
  };
}

/** The product of ../kernels/convolution-winograd.ts. */
function squareProduct(geometry: Geometry, isTurned: boolean): Lowered {
  const { batch, groups, outHeight, outWidth } = geometry;
  const [lanes, depth] = [outputsPerGroup(geometry), channelsPerGroup(geometry)];
  const panels = Math.ceil(lanes / 8);
  const across = Math.ceil(outWidth / 2);
  const rows = batch * Math.ceil(outHeight / 2);
  const rowsPerPart = Math.min(Math.ceil(SQUARES_PER_PART / across), Math.ceil((groups * rows) / ENOUGH_PARTS));
  const layout = new Layout();
  const packed = layout.take(groups * panels * 16 * depth * 32);
  const pixelBytes = Math.ceil(depth / 4) * 16;
  const squares = Math.ceil((rowsPerPart * across) / 4) * 4;
  const patchBytes = 8 * (across + 1) * pixelBytes;
  const placesBytes = 16 * (squares * pixelBytes + 64 + squares * 32);
  return {
    path: pathOf(bySquares, 'squares', {
      outputs: filling(lanes, 8),
      channels: filling(depth, 4),
      rows: cuts(rows, rowsPerPart),
      squares: filling(rowsPerPart * across, 4),
      heights: filling(outHeight, 2),
      widths: filling(outWidth, 2),
      groups: oneOrSeveral(groups),
    }),
    workspaceBytes: layout.bytes,
    launches: ({ inputs: [source, w], outputs: [out], workspace }) => {
      const record: Winograd = {
        geometry,
        source: source!,
        w: w!,
        out: out!,
        panels: workspace + packed,
        turned: Number(isTurned),
        rowsPerPart,
      };
      return [
        launch('packWinograd', groups * panels, record, (9 + 12) * 32),
        launch(
          'convolveWinograd',
          groups * Math.ceil(rows / rowsPerPart),
          record,
          SQUARE_LISTS_BYTES + patchBytes + placesBytes,
        ),
      ];
    },
  };
}

function weightGradient(x: Shape, w: Shape, conv: ConvGeometry): Lowered {
  const geometry = geometryOf(x, w, conv);
  const { batch, groups, outHeight, outWidth } = geometry;
  const panels = Math.ceil(outputsPerGroup(geometry) / 8);
  const rowsPerBlock = Math.ceil(POSITIONS_PER_BLOCK / outWidth);
  const others = groups * taps(geometry) * Math.ceil(channelsPerGroup(geometry) / 16);
  const perPart = panelsPerPart(panels, others);
  const listBytes = rowsPerBlock * outWidth * 8;
  const ofImages = rowsPerBlock % outHeight === 0;
  const layout = new Layout();
  const packed = layout.take(groups * panels * positions(geometry) * 32);
  const lists = layout.take(ofImages ? taps(geometry) * listBytes : 0);
  return {
    path: pathOf(byTapsAndPanels, 'panels', {
      lists: LISTS[ofImages ? 0 : 1],
      ranges: rangesOf(panels, perPart),
      outputs: filling(outputsPerGroup(geometry), 8),
      blocks: cuts(batch * outHeight, rowsPerBlock),
      channels: filling(channelsPerGroup(geometry), 16),
      groups: oneOrSeveral(groups),
      ...stepsOf(geometry),
    }),
    workspaceBytes: layout.bytes,
    launches: ({ inputs: [source, g], outputs: [dw], workspace }) => {
      const operands = { x: source!, g: g!, dw: dw!, panels: workspace + packed };
      const blocks = { panelsPerPart: perPart, rowsPerBlock, lists: ofImages ? workspace + lists : 0 };
      const record: WeightGradient = { geometry, ...operands, ...blocks };
      return [
        launch('packCotangent', Math.ceil((batch * outHeight) / rowsPerBlock), record),
        launch(
          'weightGradient',
          others * Math.ceil(panels / perPart),
          record,
          perPart * 16 * 32 + (ofImages ? 0 : listBytes),
        ),
      ];
    },
  };
}

/** One input and one output channel per group. */
function isDepthwise(w: Shape, { groups }: ConvGeometry): boolean {
  return groups > 1 && w[2] === 1 && w[3] === groups;
}

/** One launch of a kernel with the Depthwise record; `operands` names the inputs. */
function depthwise(
  kernel: 'depthwiseForward' | 'depthwiseInputGradient' | 'depthwiseWeightGradient',
  x: Shape,
  w: Shape,
  conv: ConvGeometry,
  parts: (geometry: Geometry) => number,
  operands: (inputs: readonly Address[]) => Pick<Depthwise, 'x' | 'w' | 'g'>,
): Lowered {
  const geometry = geometryOf(x, w, conv);
  const path: Path = pathOf(lanesOfChannels, 'depthwise', {
    channels: filling(geometry.channels, 16),
    ...stepsOf(geometry),
  });
  return {
    path,
    launches: ({ inputs, outputs: [out] }) => [
      launch(kernel, parts(geometry), { geometry, ...operands(inputs), out: out! }),
    ],
  };
}

export const convolution: Lowerings<'conv2d' | 'conv2dInputGradient' | 'conv2dWeightGradient'> = {
  conv2d: ({ inputs: [x, w], attributes }) =>
    isDepthwise(w!.shape, attributes)
      ? depthwise(
          'depthwiseForward',
          x!.shape,
          w!.shape,
          attributes,
          ({ batch, outHeight }) => batch * outHeight,
          ([source, weights]) => ({ x: source!, w: weights!, g: 0 }),
        )
      : product(x!.shape, w!.shape, attributes, false),
  conv2dInputGradient: ({ inputs: [, w], attributes }) =>
    isDepthwise(w!.shape, attributes)
      ? depthwise(
          'depthwiseInputGradient',
          attributes.inputShape,
          w!.shape,
          attributes,
          ({ batch, height }) => batch * height,
          ([cotangent, weights]) => ({ x: 0, w: weights!, g: cotangent! }),
        )
      : product(attributes.inputShape, w!.shape, attributes, true),
  conv2dWeightGradient: ({ inputs: [x], attributes }) =>
    isDepthwise(attributes.weightShape, attributes)
      ? depthwise(
          'depthwiseWeightGradient',
          x!.shape,
          attributes.weightShape,
          attributes,
          (geometry) => taps(geometry) * Math.ceil(geometry.channels / 16),
          ([source, cotangent]) => ({ x: source!, w: 0, g: cotangent! }),
        )
      : weightGradient(x!.shape, attributes.weightShape, attributes),
};
