// The operands' gradients through the error of an approximate multiplier, by table look-up in its slopes; see kernels/slopes.cu.

import type { Node } from '../../graph.ts';
import { type Convolution, ceilDivide, convolutionOf, geometryArgument } from '../geometry.ts';
import { address, i32, launch, type Target } from '../launch.ts';
import type { Lowerings } from './lowering.ts';

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

export const slopeLowerings: Lowerings<'axmErrorWeightGradient' | 'axmErrorInputGradient'> = {
  axmErrorWeightGradient: {
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
  },
  axmErrorInputGradient: {
    launches: (node, { inputs, outputs }, target) => {
      const g = geometryOf(node);
      const total = g.n * g.h * g.w;
      const tiles = (pixels: number) => ceilDivide(total, THREADS * pixels);
      // The more pixels of a thread, the rarer the rows are built; but every multiprocessor should have a block.
      const busy = (pixels: number) => tiles(pixels) * bundlesOf(g) * g.groups >= 2 * target.multiprocessors;
      const pixels = [8, 4, 2].find(busy) ?? 1;
      return [
        launch(
          { file: 'slopes.cu', defines: { ...definesOf(g, node), PIXELS: pixels } },
          'input_gradient',
          [tiles(pixels), bundlesOf(g), g.groups],
          THREADS,
          [...inputs.map(address), address(outputs[0]!), geometryArgument(g)],
          rowBytes(node),
        ),
      ];
    },
  },
};
