// Gradients of the weights and of a trained structure by counts of bits: the structure's are sums of counts, see
// kernels/approximate-bit-gradients.cu; the weights' are those of an exact product, an ordinary weight gradient over
// the activations' values or, where it can read them, their codes.

import type { Node } from '../../graph/graph.ts';
import { pathOf } from '../../graph/paths.ts';
import { bitDefines, countedGroups, dotGroups, loopNames, loopOf } from './approximate-bit-form.ts';
import {
  aspectsOfLayout,
  bitLaunchSize,
  bitLayout,
  bitsArgument,
  layoutAspects,
  layoutDefines,
  packBits,
  packingNames,
  packingOf,
} from './approximate-bits.ts';
import { gradientOfCodes, productOf } from './convolution.ts';
import { type Convolution, geometryArgument, WEIGHT_GRADIENT } from './geometry.ts';
import type { Address, KernelLaunch } from './launch.ts';
import { addresses, integers, launch, type Target } from './launch.ts';
import { Layout, type Lowered, type Operands } from './lowering.ts';
import { dequantizeTensor } from './quantization.ts';

const FILE = 'approximate-bit-gradients.cu';
export const bitGradientWays = {
  bits: { loop: loopNames, packed: packingNames, pairs: ['even', 'odd'], ...layoutAspects },
} as const;

/** Undefined where the gradients are formed through planes. */
export function bitGradients(node: Node<'axmConv2dGradients'>, g: Convolution, target: Target): Lowered | undefined {
  const { weightBits, activationBits, index } = node.attributes;
  const widths = { weightBits, activationBits };
  const layout = target.precision === 'fp32' ? undefined : bitLayout(g, widths, target);
  const groups = dotGroups(widths, index);
  if (!layout || groups.length === 0) return undefined;
  const counted = countedGroups(groups);
  const summed = [...counted.groups, ...counted.singles];
  // In bf16 too: with as many digits as the planes' gradient has in either precision.
  const ofWeights = gradientOfWeights(g, { ...target, precision: 'tf32' });
  const size = bitLaunchSize(layout, target);
  const blocks = size.grid;
  const groupOf = new Int32Array(weightBits * activationBits).fill(-1);
  summed.forEach((group, at) => {
    if (group) groupOf[group.entry!] = at;
  });

  const space = new Layout();
  const xAt = space.take(layout.packedBytes);
  const wAt = space.take(layout.weightBytes);
  const sumsAt = space.take(layout.sumBytes);
  const partialsAt = space.take(4 * blocks * summed.length);
  const valuesAt = space.take(ofWeights.valueBytes);
  const ofWeightsAt = space.take(ofWeights.workspaceBytes ?? 0);
  return {
    path: pathOf(bitGradientWays, 'bits', {
      loop: loopOf(counted),
      packed: packingOf(g, layout),
      pairs: g.outputs % 2 === 0 ? 'even' : 'odd',
      ...aspectsOfLayout(g, layout),
    }),
    workspaceBytes: space.bytes,
    launches: (at) => {
      const [gradient, codes, w, xScale, xZero, wScale] = at.inputs as Six;
      const [dw, dm] = at.outputs as [Address, Address];
      const [packedX, packedW, sums, partials, values, workspace] = [
        ...[xAt, wAt, sumsAt, partialsAt, valuesAt, ofWeightsAt],
      ].map((offset) => at.workspace + offset) as Six;
      const packed = { x: packedX, w: packedW, sums };
      return [
        ...packBits(g, widths, layout, [codes, w], packed, target),
        launch(
          {
            file: FILE,
            defines: {
              ...bitDefines(counted, widths),
              ...layoutDefines(g, layout),
              PAIRS: g.outputs % 2 === 0 ? 1 : 0,
            },
          },
          'structure_dots',
          size,
          {
            bits: bitsArgument(packed, layout),
            ...addresses({ gradient, wScale, partials }),
            geometry: geometryArgument(g),
          },
        ),
        launch(
          { file: FILE, defines: { WBITS: weightBits, ABITS: activationBits } },
          'add_dots',
          { grid: 1, block: 512 },
          {
            ...addresses({ partials, groupOf: at.memory.place(groupOf), xScale, dm }),
            ...integers({ blocks, groups: summed.length }),
          },
        ),
        ...ofWeights.launches({ ...at, inputs: [codes, xScale, xZero, gradient], outputs: [dw], workspace }, values),
      ];
    },
  };
}

/** What the gradient of the weights takes, and room that it needs for the values of all codes. */
interface OfCodes {
  readonly workspaceBytes: number;
  readonly valueBytes: number;
  /** inputs: codes, scale, zero point, gradient. */
  readonly launches: (at: Operands, values: Address) => readonly KernelLaunch[];
}

/** From the codes where the product can read them, else from their values. */
function gradientOfWeights(g: Convolution, target: Target): OfCodes {
  const ofCodes = gradientOfCodes(g, target);
  if (ofCodes) return { ...ofCodes, workspaceBytes: ofCodes.workspaceBytes ?? 0, valueBytes: 0 };
  const product = productOf(WEIGHT_GRADIENT, g, target);
  const count = g.n * g.h * g.w * g.c;
  return {
    workspaceBytes: product.workspaceBytes ?? 0,
    valueBytes: 4 * count,
    launches: (at, x) => {
      const [codes, scale, zero, gradient] = at.inputs as [Address, Address, Address, Address];
      return [
        dequantizeTensor(count, { codes, scale, zero, x }),
        ...product.launches({ ...at, inputs: [x, gradient] }),
      ];
    },
  };
}

type Six = [Address, Address, Address, Address, Address, Address];
