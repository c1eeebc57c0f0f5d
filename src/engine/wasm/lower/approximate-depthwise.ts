// Depthwise convolutions with an approximate multiplier: ../kernels/approximate-depthwise.ts.

import type { Node } from '../../graph/graph.ts';
import { CODE_BITS, COUNTS, CUTS, codeBits, cuts, FILLING, filling, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import { channelsPerGroup, outputsPerGroup, steps, stepsOf, taps } from './geometry.ts';
import { launch } from './launch.ts';
import { Layout, type Lowered } from './lowering.ts';
import type { AxmDepthwiseSlopes, Geometry } from './records.ts';

/** Outputs (or channels) of a part: a cache line of f32. */
const LANES = 16;
/** With more outputs per channel the kernels of all layers fill their vectors. */
const MOST_OUTPUTS = 4;
/** Positions of a part: many, to make the rows rarely; of a block of the gradients: few, to stay in the cache. */
const POSITIONS = { fewest: 512, most: 2048, ofBlock: 512 } as const;
const ENOUGH_PARTS = 32;

const aspects = { bits: CODE_BITS, channels: FILLING, outputs: COUNTS, rows: CUTS, ...steps } as const;
export const depthwiseWays = { depthwise: { products: ['exact', 'removal', 'table'], ...aspects } } as const;
export const depthwiseGradientWays = { depthwise: aspects } as const;

/** Whether a layer has one input channel per group and few outputs of each. */
export const isDepthwise = (geometry: Geometry): boolean =>
  geometry.groups > 1 && channelsPerGroup(geometry) === 1 && outputsPerGroup(geometry) <= MOST_OUTPUTS;

const aspectsOf = (geometry: Geometry, activationBits: number, channels: number, rows: number, length: number) => ({
  bits: codeBits(activationBits),
  channels: filling(channels, LANES),
  outputs: oneOrSeveral(outputsPerGroup(geometry)),
  rows: cuts(rows, length),
  ...stepsOf(geometry),
});

/** Rows of images such that parts are enough, not too short and not too long. */
function rowsOfPart(rows: number, width: number, bundles: number): number {
  const wanted = Math.ceil((rows * width * bundles) / ENOUGH_PARTS);
  const limited = Math.min(Math.max(wanted, POSITIONS.fewest), POSITIONS.most);
  return Math.max(1, Math.min(rows, Math.floor(limited / width)));
}

export function depthwiseProduct({ attributes }: Node<'axmConv2d'>, geometry: Geometry): Lowered {
  const { weightBits, activationBits, error } = attributes;
  const { batch, outHeight, outWidth, outputs } = geometry;
  const bundles = Math.ceil(outputs / LANES);
  const rows = batch * outHeight;
  const rowsPerPart = rowsOfPart(rows, outWidth, bundles);
  return {
    path: pathOf(depthwiseWays, 'depthwise', {
      products: error.kind === 'none' ? 'exact' : error.kind,
      ...aspectsOf(geometry, activationBits, outputs, rows, rowsPerPart),
    }),
    launches: ({ inputs: [x, w, xScale, xZero, wScale, wZero, given = 0], outputs: [out] }) => [
      launch(
        'axmDepthwise',
        bundles * Math.ceil(rows / rowsPerPart),
        {
          geometry,
          x: x!,
          w: w!,
          out: out!,
          xScale: xScale!,
          xZero: xZero!,
          wScale: wScale!,
          wZero: wZero!,
          matrix: error.kind === 'removal' ? given : 0,
          errors: error.kind === 'table' ? given : 0,
          weightBits,
          activationBits,
          rowsPerPart,
        },
        taps(geometry) * 8 * 2 ** activationBits,
      ),
    ],
  };
}

const rowsOfBlock = ({ outWidth }: Geometry): number => Math.max(1, Math.floor(POSITIONS.ofBlock / outWidth));

export function depthwiseGradients({ attributes }: Node<'axmConv2dGradients'>, geometry: Geometry): Lowered {
  const { weightBits, activationBits } = attributes;
  const { batch, outHeight, outputs, kernelHeight, kernelWidth } = geometry;
  const parts = Math.ceil(outputs / LANES) * kernelHeight;
  const rowsPerBlock = rowsOfBlock(geometry);
  const layout = new Layout();
  const shares = layout.take(parts * 512);
  return {
    path: pathOf(
      depthwiseGradientWays,
      'depthwise',
      aspectsOf(geometry, activationBits, outputs, batch * outHeight, rowsPerBlock),
    ),
    workspaceBytes: layout.bytes,
    launches: ({ inputs: [g, x, w, xScale, xZero, wScale], outputs: [dw, dm], workspace }) => {
      const record = {
        ...{ geometry, g: g!, x: x!, w: w!, xScale: xScale!, xZero: xZero!, wScale: wScale!, dw: dw!, dm: dm! },
        ...{ shares: workspace + shares, weightBits, activationBits, rowsPerBlock },
      };
      return [
        launch('axmDepthwiseGradients', parts, record, LANES * kernelWidth * 8 * 2 ** activationBits),
        launch('axmDepthwiseStructure', 1, record),
      ];
    },
  };
}

export function depthwiseSlopes(
  kernel: 'axmDepthwiseErrorWeight' | 'axmDepthwiseErrorInput',
  { attributes: { activationBits } }: Node<'axmErrorWeightGradient' | 'axmErrorInputGradient'>,
  geometry: Geometry,
): Lowered {
  const { batch, height, width, channels, outHeight, outputs, kernelHeight, kernelWidth } = geometry;
  const ofWeight = kernel === 'axmDepthwiseErrorWeight';
  const lanes = ofWeight ? outputs : channels;
  const bundles = Math.ceil(lanes / LANES);
  const rows = batch * (ofWeight ? outHeight : height);
  const rowsPerPart = ofWeight ? rowsOfBlock(geometry) : rowsOfPart(rows, width, bundles);
  return {
    path: pathOf(depthwiseGradientWays, 'depthwise', aspectsOf(geometry, activationBits, lanes, rows, rowsPerPart)),
    launches: ({ inputs: [g, x, w, scale, slopes], outputs: [out] }) => {
      const record: AxmDepthwiseSlopes = {
        ...{ geometry, g: g!, x: x!, w: w!, scale: scale!, slopes: slopes!, out: out!, activationBits, rowsPerPart },
      };
      const parts = bundles * (ofWeight ? kernelHeight : Math.ceil(rows / rowsPerPart));
      return [launch(kernel, parts, record, 8 * (ofWeight ? LANES * kernelWidth : width))];
    },
  };
}
