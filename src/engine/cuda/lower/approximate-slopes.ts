// The operands' gradients through the error of an approximate multiplier, but for those of depthwise layers
// (approximate-depthwise-slopes.ts): constant slopes that are a sum of a few products of the operands' codes by
// convolutions of their factors (convolution.ts), all others by table look-up; see kernels/approximate-slopes.cu.

import { type Factors, factorsOf } from '../../../multiplier/factors.ts';
import type { Node } from '../../graph/graph.ts';
import { CODE_BITS, COUNTS, codeBits, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import {
  depthwiseInputSlopes,
  depthwiseInputSlopeWays,
  depthwiseWeightSlopes,
  depthwiseWeightSlopeWays,
} from './approximate-depthwise-slopes.ts';
import { sourceOf } from './approximate-plane-form.ts';
import { productOf } from './convolution.ts';
import {
  type Convolution,
  ceilDivide,
  convolutionOf,
  geometryArgument,
  INPUT_GRADIENT,
  steps,
  stepsOf,
  WEIGHT_GRADIENT,
} from './geometry.ts';
import type { Address } from './launch.ts';
import { addresses, integers, type KernelLaunch, launch, type Target } from './launch.ts';
import { alone, Layout, type Lowered, type Operands, tensors } from './lowering.ts';

/** As in the kernel: threads of a block, and the channels and outputs whose slopes it holds at once. */
const THREADS = 256;
const CHANNELS = 4;
const OUTPUTS = 8;
/** Blocks per multiprocessor that even out their work. */
const BLOCKS = 8;

type SlopeNode = Node<'axmErrorWeightGradient' | 'axmErrorInputGradient'>;

const lookUp = {
  bits: CODE_BITS,
  channels: ['in fours', 'one by one'],
  outputs: ['in fours', 'one by one'],
  groups: COUNTS,
  ...steps,
} as const;
export const weightSlopeWays = {
  ...depthwiseWeightSlopeWays,
  terms: { groups: COUNTS },
  'look-ups': { ...lookUp, slabs: COUNTS },
} as const;
export const inputSlopeWays = {
  ...depthwiseInputSlopeWays,
  terms: { groups: COUNTS },
  'look-ups': { ...lookUp, pixels: ['1', '2', '4', '8'] },
} as const;

/** What both gradients of a node share. */
function slopesOf({ inputs: [gradient, x, w], attributes }: SlopeNode) {
  const g = convolutionOf(x!.shape, w!.shape, gradient!.shape, attributes);
  const { activationBits } = attributes;
  const [fourChannels, fourOutputs] = [g.inputs % CHANNELS === 0, g.outputs % 4 === 0];
  return {
    g,
    defines: { ABITS: activationBits, WIDE: fourChannels ? 1 : 0, QUADS: fourOutputs ? 1 : 0 },
    groups: oneOrSeveral(g.groups),
    lookUpAspects: {
      bits: codeBits(activationBits),
      channels: fourChannels ? 'in fours' : 'one by one',
      outputs: fourOutputs ? 'in fours' : 'one by one',
      groups: oneOrSeveral(g.groups),
      ...stepsOf(g),
    },
    rowBytes: CHANNELS * OUTPUTS * 4 * 2 ** activationBits,
    bundles: ceilDivide(g.inputs, CHANNELS),
    panels: ceilDivide(g.outputs, OUTPUTS),
  } as const;
}
type SlopeWork = ReturnType<typeof slopesOf>;

function weightsByLookUp({ g, defines, lookUpAspects, rowBytes, bundles, panels }: SlopeWork, target: Target): Lowered {
  // The pixels are cut into slabs where there are too few weights to occupy the device.
  const blocks = bundles * panels * g.groups * g.kh * g.kw;
  const wanted = Math.min(ceilDivide(BLOCKS * target.multiprocessors, blocks), ceilDivide(g.pixels, THREADS));
  const slabPixels = ceilDivide(g.pixels, wanted);
  const slabs = ceilDivide(g.pixels, slabPixels);
  const count = g.inner * g.o;
  const source = { file: 'approximate-slopes.cu', defines };
  const size = {
    grid: [slabs, bundles * panels, g.groups * g.kh * g.kw],
    block: THREADS,
    shared: rowBytes + 4 * CHANNELS * OUTPUTS * (THREADS / 32),
  };
  return {
    path: pathOf(weightSlopeWays, 'look-ups', { ...lookUpAspects, slabs: oneOrSeveral(slabs) }),
    workspaceBytes: 4 * slabs * count,
    launches: ({ inputs, outputs: [dw], workspace: shares }) => {
      const [gradient, x, w, xScale, slopes] = inputs as [Address, Address, Address, Address, Address];
      return [
        launch(source, 'weight_shares', size, {
          ...addresses({ gradient, x, w, slopes, shares }),
          geometry: geometryArgument(g),
          ...integers({ slabPixels }),
        }),
        launch(
          source,
          'add_shares',
          { grid: ceilDivide(count, THREADS), block: THREADS },
          { ...addresses({ shares, xScale, dw: dw! }), ...integers({ count, slabs }) },
        ),
      ];
    },
  };
}

function inputByLookUp({ g, defines, lookUpAspects, rowBytes, bundles }: SlopeWork, target: Target): Lowered {
  // The more pixels a thread has, the rarer the rows are built; but every multiprocessor should have a block.
  const tiles = (pixels: number) => ceilDivide(g.n * g.h * g.w, THREADS * pixels);
  const busy = (pixels: number) => tiles(pixels) * bundles * g.groups >= 2 * target.multiprocessors;
  const pixels = ([8, 4, 2] as const).find(busy) ?? (1 as const);
  const source = { file: 'approximate-slopes.cu', defines: { ...defines, PIXELS: pixels } };
  const size = { grid: [tiles(pixels), bundles, g.groups], block: THREADS, shared: rowBytes };
  return {
    path: pathOf(inputSlopeWays, 'look-ups', { ...lookUpAspects, pixels: `${pixels}` as const }),
    launches: (at) => [
      launch(source, 'input_gradient', size, {
        ...tensors(at, 'gradient', 'x', 'w', 'wScale', 'slopes', 'dx'),
        geometry: geometryArgument(g),
      }),
    ],
  };
}

/** Up to this many terms the matrix products are much faster than look-ups, and their operands not too large. */
const MOST_TERMS = 8;
const known = new WeakMap<object, Factors | 'many'>();

/** The factors of constant slopes of few terms; undefined for all others. */
function termsOf({ inputs, attributes }: SlopeNode): Factors | undefined {
  const source = sourceOf(inputs[4]!);
  if (source.kind !== 'constant') return undefined;
  const { data } = source.tensor;
  let found = known.get(data);
  if (!found) {
    found = factorsOf(data, 2 ** attributes.weightBits, 2 ** attributes.activationBits, MOST_TERMS) ?? 'many';
    known.set(data, found);
  }
  return found === 'many' ? undefined : found;
}

/** A convolution with `rank` times the input channels: one for each factor of a code. */
const widened = (g: Convolution, rank: number): Convolution => ({
  ...g,
  ...{ c: g.c * rank, inputs: g.inputs * rank, inner: g.inner * rank },
});

/** Elements of the images and of the weights. */
const imageCount = (g: Convolution): number => g.n * g.h * g.w * g.c;
const weightCount = (g: Convolution): number => g.inner * g.o;

/**
 * A gradient of the error as that of a convolution of factors: `expand` forms the factors of the operand's codes, the
 * convolution the products of those with g, `collect` the gradient from the products. The workspace holds the factors,
 * the products, what the convolution wants.
 */
function throughTerms(
  convolution: Lowered,
  expanded: number,
  products: number,
  operandsOf: (factors: Address, at: Operands) => readonly Address[],
  expand: (values: Address, at: Operands) => KernelLaunch,
  collect: (products: Address, at: Operands) => KernelLaunch,
): Pick<Lowered, 'workspaceBytes' | 'launches'> {
  const product = alone(convolution);
  const layout = new Layout();
  const expandedAt = layout.take(4 * expanded);
  const productsAt = layout.take(4 * products);
  const restAt = layout.take(product.workspaceBytes ?? 0);
  return {
    workspaceBytes: layout.bytes,
    launches: (at) => {
      const [values, products, workspace] = [expandedAt, productsAt, restAt].map((offset) => at.workspace + offset) as [
        Address,
        Address,
        Address,
      ];
      return [
        expand(values, at),
        ...product.launches({ ...at, inputs: operandsOf(values, at), outputs: [products], workspace }),
        collect(products, at),
      ];
    },
  };
}

/** A thread for each of `count` elements. */
const forEach = (count: number) => ({ grid: ceilDivide(count, THREADS), block: THREADS });

export function slopesOfWeights(node: Node<'axmErrorWeightGradient'>, target: Target): Lowered {
  const slopes = slopesOf(node);
  const depthwise = depthwiseWeightSlopes(node, slopes.g, target);
  if (depthwise) return depthwise;
  const terms = termsOf(node);
  if (!terms) return weightsByLookUp(slopes, target);
  const { g, defines, groups } = slopes;
  const { rank, left, right } = terms;
  const source = { file: 'approximate-slopes.cu', defines: { ...defines, RANK: rank } };
  const wide = widened(g, rank);
  const count = weightCount(g);
  return {
    path: pathOf(weightSlopeWays, 'terms', { groups }),
    ...throughTerms(
      productOf(WEIGHT_GRADIENT, wide, target),
      imageCount(wide),
      weightCount(wide),
      (values, { inputs: [gradient] }) => [values, gradient!],
      (values, { inputs: [, x], memory }) =>
        launch(source, 'expand_codes', forEach(imageCount(wide)), {
          ...addresses({ codes: x!, factors: memory.place(right), values }),
          ...integers({ count: imageCount(g) }),
        }),
      (products, { inputs: [, , w, xScale], outputs: [dw], memory }) =>
        launch(source, 'collect_weights', forEach(count), {
          ...addresses({ w: w!, xScale: xScale!, factors: memory.place(left), products, dw: dw! }),
          ...integers({ count, outputs: g.o }),
        }),
    ),
  };
}

export function slopesOfInput(node: Node<'axmErrorInputGradient'>, target: Target): Lowered {
  const slopes = slopesOf(node);
  const depthwise = depthwiseInputSlopes(node, slopes.g);
  if (depthwise) return depthwise;
  const terms = termsOf(node);
  if (!terms) return inputByLookUp(slopes, target);
  const { g, defines, groups } = slopes;
  const { rank, left, right } = terms;
  const source = { file: 'approximate-slopes.cu', defines: { ...defines, RANK: rank } };
  const wide = widened(g, rank);
  const count = imageCount(g);
  return {
    path: pathOf(inputSlopeWays, 'terms', { groups }),
    ...throughTerms(
      productOf(INPUT_GRADIENT, wide, target),
      weightCount(wide),
      imageCount(wide),
      (values, { inputs: [gradient] }) => [gradient!, values],
      (values, { inputs: [, , w, wScale], memory }) =>
        launch(source, 'expand_weights', forEach(weightCount(wide)), {
          ...addresses({ w: w!, wScale: wScale!, factors: memory.place(left), values }),
          ...integers({ count: weightCount(g), outputs: g.o }),
        }),
      (products, { inputs: [, x], outputs: [dx], memory }) =>
        launch(source, 'collect_codes', forEach(count), {
          ...addresses({ x: x!, factors: memory.place(right), products, dx: dx! }),
          ...integers({ count }),
        }),
    ),
  };
}
