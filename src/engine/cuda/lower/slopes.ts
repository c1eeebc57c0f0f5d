// The operands' gradients through the error of an approximate multiplier: constant slopes that are a sum of a few products of the operands'
// codes by products of matrices, all others by table look-up; see kernels/slopes.cu.

import { type Factors, factorsOf } from '../../../multiplier/factors.ts';
import { sizeOf } from '../../../tensor/tensor.ts';
import { Graph, type Node } from '../../graph/graph.ts';
import { CODE_BITS, COUNTS, codeBits, oneOrSeveral, pathOf } from '../../graph/paths.ts';
import { convGeometryOf } from '../../graph/window.ts';
import type { KernelSource } from '../runtime/compiler.ts';
import type { Address } from '../runtime/driver.ts';
import { convolutionLowerings } from './convolution.ts';
import { type Convolution, ceilDivide, convolutionOf, geometryArgument, roundUp } from './geometry.ts';
import { type Argument, address, i32, type KernelLaunch, launch, type Target } from './launch.ts';
import type { Lowering, Lowerings, Operands, ProgramMemory } from './lowering.ts';
import { sourceOf } from './plane-form.ts';

/** As in the kernel: threads of a block, and the channels and outputs whose slopes it holds at once. */
const THREADS = 256;
const CHANNELS = 4;
const OUTPUTS = 8;
/** Blocks per multiprocessor that even out their work. */
const BLOCKS = 8;

type SlopeNode = Node<'axmErrorWeightGradient' | 'axmErrorInputGradient'>;

const geometryOf = ({ inputs: [g, x, w], attributes }: SlopeNode): Convolution =>
  convolutionOf(x!.shape, w!.shape, g!.shape, attributes);

function definesOf({ inputs, outputs }: Convolution, { attributes }: SlopeNode) {
  return {
    ABITS: attributes.activationBits,
    WIDE: inputs % CHANNELS === 0 ? 1 : 0,
    QUADS: outputs % 4 === 0 ? 1 : 0,
  };
}

const rowBytes = ({ attributes }: SlopeNode): number => CHANNELS * OUTPUTS * 4 * 2 ** attributes.activationBits;
const bundlesOf = ({ inputs }: Convolution): number => ceilDivide(inputs, CHANNELS);
const panelsOf = ({ outputs }: Convolution): number => ceilDivide(outputs, OUTPUTS);

/** The pixels are cut into slabs where there are too few weights to occupy the device. */
function slabsOf(g: Convolution, { multiprocessors }: Target): { slabs: number; slabPixels: number } {
  const blocks = bundlesOf(g) * panelsOf(g) * g.groups * g.kh * g.kw;
  const wanted = Math.min(ceilDivide(BLOCKS * multiprocessors, blocks), ceilDivide(g.pixels, THREADS));
  const slabPixels = ceilDivide(g.pixels, wanted);
  return { slabs: ceilDivide(g.pixels, slabPixels), slabPixels };
}

type WeightNode = Node<'axmErrorWeightGradient'>;
type InputNode = Node<'axmErrorInputGradient'>;

const lookUp = {
  bits: CODE_BITS,
  channels: ['in fours', 'one by one'],
  outputs: ['in fours', 'one by one'],
  groups: COUNTS,
} as const;
const weightWays = { terms: { groups: COUNTS }, 'look-ups': { ...lookUp, slabs: COUNTS } } as const;
const inputWays = { terms: { groups: COUNTS }, 'look-ups': { ...lookUp, pixels: ['1', '2', '4', '8'] } } as const;

function lookUpAspects(node: SlopeNode) {
  const { inputs, outputs, groups } = geometryOf(node);
  return {
    bits: codeBits(node.attributes.activationBits),
    channels: inputs % CHANNELS === 0 ? 'in fours' : 'one by one',
    outputs: outputs % 4 === 0 ? 'in fours' : 'one by one',
    groups: oneOrSeveral(groups),
  } as const;
}

const weightLookUp: Pick<Lowering<'axmErrorWeightGradient'>, 'scratchBytes' | 'launches'> = {
  scratchBytes: (node, target) => {
    const g = geometryOf(node);
    return 4 * slabsOf(g, target).slabs * g.inner * g.o;
  },
  launches: (node, { inputs, outputs, scratch }, target) => {
    const g = geometryOf(node);
    const { slabs, slabPixels } = slabsOf(g, target);
    const [gradient, x, w, xScale, slopes] = inputs.map(address);
    const source = { file: 'slopes.cu', defines: definesOf(g, node) };
    const count = g.inner * g.o;
    return [
      launch(
        source,
        'weight_shares',
        [slabs, bundlesOf(g) * panelsOf(g), g.groups * g.kh * g.kw],
        THREADS,
        [gradient!, x!, w!, slopes!, address(scratch), geometryArgument(g), i32(slabPixels)],
        rowBytes(node) + 4 * CHANNELS * OUTPUTS * (THREADS / 32),
      ),
      launch(source, 'add_shares', ceilDivide(count, THREADS), THREADS, [
        ...[address(scratch), xScale!, address(outputs[0]!)],
        ...[count, slabs].map(i32),
      ]),
    ];
  },
};

/** Pixels of a thread and tiles: the more pixels, the rarer the rows are built; but every multiprocessor should have a block. */
function inputTiles(g: Convolution, { multiprocessors }: Target) {
  const total = g.n * g.h * g.w;
  const tiles = (pixels: number) => ceilDivide(total, THREADS * pixels);
  const busy = (pixels: number) => tiles(pixels) * bundlesOf(g) * g.groups >= 2 * multiprocessors;
  const pixels = ([8, 4, 2] as const).find(busy) ?? (1 as const);
  return { pixels, tiles: tiles(pixels) };
}

function inputLookUp(node: InputNode, { inputs, outputs }: Operands, target: Target): KernelLaunch[] {
  const g = geometryOf(node);
  const { pixels, tiles } = inputTiles(g, target);
  return [
    launch(
      { file: 'slopes.cu', defines: { ...definesOf(g, node), PIXELS: pixels } },
      'input_gradient',
      [tiles, bundlesOf(g), g.groups],
      THREADS,
      [...inputs.map(address), address(outputs[0]!), geometryArgument(g)],
      rowBytes(node),
    ),
  ];
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

/** The gradient of the weights of a convolution with `rank` times the channels; its operands are x's factors and g. */
function weightProduct({ inputs: [g, x, w], attributes }: WeightNode, rank: number): Node<'conv2dWeightGradient'> {
  const graph = new Graph();
  const wide = graph.input('x', withLast(x!.shape, 3, rank));
  const weightShape = withLast(w!.shape, 2, rank);
  graph.apply('conv2dWeightGradient', [wide, graph.input('g', g!.shape)], {
    ...convGeometryOf(attributes),
    weightShape,
  });
  return graph.nodes[0] as Node<'conv2dWeightGradient'>;
}

/** The same for the input; its operands are g and w's factors. */
function inputProduct({ inputs: [g, x, w], attributes }: InputNode, rank: number): Node<'conv2dInputGradient'> {
  const graph = new Graph();
  const wide = graph.input('w', withLast(w!.shape, 2, rank));
  const inputShape = withLast(x!.shape, 3, rank);
  graph.apply('conv2dInputGradient', [graph.input('g', g!.shape), wide], { ...convGeometryOf(attributes), inputShape });
  return graph.nodes[0] as Node<'conv2dInputGradient'>;
}

const withLast = (shape: readonly number[], axis: number, factor: number): number[] =>
  shape.map((extent, at) => (at === axis ? extent * factor : extent));

const table = (memory: ProgramMemory, factors: Float32Array): Address =>
  memory.table(new Uint8Array(factors.buffer, factors.byteOffset, factors.byteLength));

type Convolved = 'conv2dWeightGradient' | 'conv2dInputGradient';

/** A gradient of the error as that of a convolution with `rank` times the channels. Operand `wide` holds factors, the other one is g. */
interface TermProduct<K extends Convolved> {
  readonly node: Node<K>;
  readonly lowering: Lowering<K>;
  readonly wide: 0 | 1;
}

const throughWeights = (node: WeightNode, { rank }: Factors): TermProduct<'conv2dWeightGradient'> => ({
  node: weightProduct(node, rank),
  lowering: convolutionLowerings.conv2dWeightGradient,
  wide: 0,
});
const throughInput = (node: InputNode, { rank }: Factors): TermProduct<'conv2dInputGradient'> => ({
  node: inputProduct(node, rank),
  lowering: convolutionLowerings.conv2dInputGradient,
  wide: 1,
});

/** Elements of the operand's factors and of the products. */
function extentsOf(node: Pick<Node, 'inputs' | 'outputs'>, wide: 0 | 1): readonly [factors: number, products: number] {
  return [sizeOf(node.inputs[wide]!.shape), sizeOf(node.outputs[0]!.shape)];
}

/** Scratch memory: the factors, the products, what the convolution asks for. */
function termScratch<K extends Convolved>(product: TermProduct<K>, target: Target): number {
  const [factors, products] = extentsOf(product.node, product.wide);
  const own = roundUp(4 * factors, 256) + roundUp(4 * products, 256);
  return own + product.lowering.scratchBytes!(product.node, target);
}

/** `expand` forms the factors of the operand's codes, the convolution the products, `collect` the gradient from those. */
function termLaunches<K extends Convolved>(
  product: TermProduct<K>,
  { inputs: [gradient], scratch }: Operands,
  target: Target,
  memory: ProgramMemory,
  expand: (factors: Address, count: number) => KernelLaunch,
  collect: (products: Address, count: number) => KernelLaunch,
): KernelLaunch[] {
  const [wide, result] = extentsOf(product.node, product.wide);
  const products = scratch + BigInt(roundUp(4 * wide, 256));
  const rest = products + BigInt(roundUp(4 * result, 256));
  const inputs = product.wide === 0 ? [scratch, gradient!] : [gradient!, scratch];
  return [
    expand(scratch, wide),
    ...product.lowering.launches(product.node, { inputs, outputs: [products], scratch: rest }, target, memory),
    collect(products, result),
  ];
}

/** A kernel over `count` elements. */
const over = (source: KernelSource, name: string, count: number, args: readonly Argument[]): KernelLaunch =>
  launch(source, name, ceilDivide(count, THREADS), THREADS, args);

const termSource = (node: SlopeNode, rank: number): KernelSource => ({
  file: 'slopes.cu',
  defines: { ...definesOf(geometryOf(node), node), RANK: rank },
});

export const slopeLowerings: Lowerings<'axmErrorWeightGradient' | 'axmErrorInputGradient'> = {
  axmErrorWeightGradient: {
    ways: weightWays,
    path: (node, target) => {
      const g = geometryOf(node);
      if (termsOf(node)) return pathOf(weightWays, 'terms', { groups: oneOrSeveral(g.groups) });
      const slabs = oneOrSeveral(slabsOf(g, target).slabs);
      return pathOf(weightWays, 'look-ups', { ...lookUpAspects(node), slabs });
    },
    scratchBytes: (node, target) => {
      const terms = termsOf(node);
      return terms ? termScratch(throughWeights(node, terms), target) : weightLookUp.scratchBytes!(node, target);
    },
    launches: (node, operands, target, memory) => {
      const terms = termsOf(node);
      if (!terms) return weightLookUp.launches(node, operands, target, memory);
      const { rank, left, right } = terms;
      const [, x, w, xScale] = operands.inputs as [Address, Address, Address, Address];
      const source = termSource(node, rank);
      return termLaunches(
        throughWeights(node, terms),
        operands,
        target,
        memory,
        (factors, count) =>
          over(source, 'expand_codes', count, [...[x, table(memory, right), factors].map(address), i32(count / rank)]),
        (products, count) =>
          over(source, 'collect_weights', count / rank, [
            ...[w, xScale, table(memory, left), products, operands.outputs[0]!].map(address),
            ...[count / rank, node.inputs[2]!.shape[3]!].map(i32),
          ]),
      );
    },
  },
  axmErrorInputGradient: {
    ways: inputWays,
    path: (node, target) => {
      const g = geometryOf(node);
      if (termsOf(node)) return pathOf(inputWays, 'terms', { groups: oneOrSeveral(g.groups) });
      const { pixels } = inputTiles(g, target);
      return pathOf(inputWays, 'look-ups', { ...lookUpAspects(node), pixels: `${pixels}` as const });
    },
    scratchBytes: (node, target) => {
      const terms = termsOf(node);
      return terms ? termScratch(throughInput(node, terms), target) : 0;
    },
    launches: (node, operands, target, memory) => {
      const terms = termsOf(node);
      if (!terms) return inputLookUp(node, operands, target);
      const { rank, left, right } = terms;
      const [, x, w, wScale] = operands.inputs as [Address, Address, Address, Address];
      const source = termSource(node, rank);
      return termLaunches(
        throughInput(node, terms),
        operands,
        target,
        memory,
        (factors, count) =>
          over(source, 'expand_weights', count, [
            ...[w, wScale, table(memory, left), factors].map(address),
            ...[count / rank, node.inputs[2]!.shape[3]!].map(i32),
          ]),
        (products, count) =>
          over(source, 'collect_codes', count / rank, [
            ...[x, table(memory, right), products, operands.outputs[0]!].map(address),
            i32(count / rank),
          ]),
      );
    },
  },
};
