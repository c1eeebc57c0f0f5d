// The table from operations to launches of kernels. An operation of the contract without an entry is a type error here.

import type { Node } from '../../graph.ts';
import type { OpName } from '../../ops.ts';
import type { Lowered, Lowering, Lowerings } from '../launch.ts';
import { approximate } from './approximate.ts';
import { convolution } from './convolution.ts';
import { elementwise } from './elementwise.ts';
import { images } from './images.ts';
import { loss } from './loss.ts';
import { normalization } from './normalization.ts';
import { pooling } from './pooling.ts';
import { quantization } from './quantization.ts';
import { reduction } from './reduction.ts';

/** Renames need no kernel: the plan gives both names one storage. */
type Computed = Exclude<OpName, 'reshape' | 'stopGradient'>;

const lowerings: Lowerings<Computed> = {
  ...elementwise,
  ...reduction,
  ...convolution,
  ...normalization,
  ...pooling,
  ...images,
  ...loss,
  ...quantization,
  ...approximate,
};

export function lower(node: Node): Lowered {
  return (lowerings[node.op as Computed] as Lowering<OpName>)(node);
}
