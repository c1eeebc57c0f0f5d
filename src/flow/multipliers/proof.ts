// Before a layer is trained on an approximate multiplier it proves that its approximation is active: on real images, in
// the very graph that evaluation uses, sampled outputs of every layer must equal the sum over the multiplier's table,
// product by product in plain arithmetic. Where they differ from the exact layer's, that catches a multiplier that
// silently was not used, or was used wrongly; a layer whose operands happen to meet no error (one that a harsh
// multiplier has silenced, say) shows nothing, and is named as such.

import { firstExamples } from '../../data/batches.ts';
import type { Split } from '../../data/split.ts';
import type { Session } from '../../engine/backend.ts';
import type { Node } from '../../engine/graph/graph.ts';
import { convolutionTaps } from '../../engine/graph/window.ts';
import { isInteger } from '../../multiplier/error.ts';
import { multiplierError } from '../../multiplier/multiplier.ts';
import { UserError } from '../../tensor/errors.ts';
import { Random, streams } from '../../tensor/random.ts';
import type { Shape, TensorData } from '../../tensor/tensor.ts';
import { writeBatch } from '../../train/feed.ts';
import { buildNetwork, type QuantizedArithmetic, type Task } from '../../train/task.ts';
import { productsOf } from './products.ts';

/** One product of a layer, of which most have one. */
export interface LayerActivity {
  readonly layer: string;
  /** Outputs that were computed anew. */
  readonly outputs: number;
  /**
   * Largest |output − exact output| among them, in units of the layer's output; 0 where no operand pair of theirs has
   * an error.
   */
  readonly largestEffect: number;
}

const IMAGES = 2;
const OUTPUTS_PER_LAYER = 200;
const LAST_OUTPUTS = 8;
/**
 * Relative to the sum of the terms' magnitudes: float32 rounding of a sum of integers, and that of terms with shares of
 * θ, which devices with matrix units hold as fixed-point numbers.
 */
const TOLERANCES = { integer: 1e-5, real: 1e-4 };

/** Throws a UserError that names the layer whose output is not what its multiplier's table says. */
export async function proveActive(
  session: Session,
  task: Task,
  arithmetic: QuantizedArithmetic,
  split: Split,
): Promise<LayerActivity[]> {
  const { graph, products } = activityGraph(task, arithmetic);
  const program = await session.compile(graph);
  writeBatch(program, await split.read(firstExamples(Math.min(IMAGES, split.count)), IMAGES));
  await program.run();

  const found: LayerActivity[] = [];
  for (const [at, { layer, node }] of products.entries()) {
    const multiplier = arithmetic.multiplierOf(layer);
    if (multiplier.kind === 'exact') continue;
    const theta = multiplier.kind === 'structure' ? (await session.read(multiplier.theta)).data : undefined;
    const error = multiplierError(multiplier, node.attributes, theta);
    const data: TensorData[] = [];
    for (let k = 0; k < 7; k++) data.push(await program.read(`${at}.${k}`));
    found.push(checkLayer(layer, node, data, error));
  }
  await program.dispose();
  return found;
}

/** The graph of that proof, and the products whose operands and outputs it yields. */
export function activityGraph(task: Task, arithmetic: QuantizedArithmetic) {
  const { graph, layers } = buildNetwork(task, arithmetic, 'evaluate', IMAGES);
  const products = productsOf(graph, layers.multiplying);
  products.forEach(({ node }, at) => {
    [...node.inputs.slice(0, 6), node.outputs[0]!].forEach((value, k) => {
      graph.output(`${at}.${k}`, value);
    });
  });
  return { graph, products };
}

/** "mapped multiplier active in 8 layers; without effect on the sampled outputs of conv2". */
export function describeActivity(what: string, found: readonly LayerActivity[]): string {
  const layers = [...new Set(found.map(({ layer }) => layer))];
  const silent = layers.filter((name) =>
    found.every(({ layer, largestEffect }) => layer !== name || largestEffect === 0),
  );
  if (silent.length === layers.length) return `${what} without effect: every sampled output is that of exact products`;
  const active = `${what} active in ${layers.length - silent.length} layers`;
  return silent.length === 0 ? active : `${active}; without effect on the sampled outputs of ${silent.join(', ')}`;
}

/**
 * Throws a UserError where a sampled output is not the sum over the table; `data`: the node's first six inputs and its
 * output.
 */
export function checkLayer(
  layer: string,
  node: Node<'axmConv2d'>,
  data: readonly TensorData[],
  error: Float64Array,
): LayerActivity {
  const [x, w, xScale, xZero, wScale, wZero, y] = data as [
    TensorData,
    TensorData,
    TensorData,
    TensorData,
    TensorData,
    TensorData,
    TensorData,
  ];
  const random = new Random(1, streams.sample);
  const taps = convolutionTaps(node.inputs[0]!.shape, node.inputs[1]!.shape, node.attributes);
  const outputs = Math.min(OUTPUTS_PER_LAYER, y.length);
  const channels = node.outputs[0]!.shape[3]!;
  const tolerance = isInteger(node.attributes.error) ? TOLERANCES.integer : TOLERANCES.real;
  let largestEffect = 0;
  for (let k = 0; k < outputs; k++) {
    // The end belongs to the sample: work that is cut goes wrong there first.
    const at = k < LAST_OUTPUTS ? y.length - 1 - k : random.integer(y.length);
    const channel = at % channels;
    const scale = xScale[0]! * wScale[channel]!;
    const zeros = { x: xZero[0]!, w: wZero[channel]! };
    const { exact, effect, magnitude } = sumOverTaps(node, taps, at, { x, w, zeros, error });
    const expected = scale * (exact + effect);
    if (!(Math.abs(y[at]! - expected) <= tolerance * scale * magnitude + 1e-12)) {
      throw new UserError(
        `layer ${layer}: output ${at} is ${y[at]}, but its multiplier's table gives ${expected} (exact multiplier: ${scale * exact}); the approximation is not what was asked for`,
      );
    }
    largestEffect = Math.max(largestEffect, Math.abs(scale * effect));
  }
  return { layer, outputs, largestEffect };
}

interface Operands {
  readonly x: TensorData;
  readonly w: TensorData;
  readonly zeros: Readonly<Record<'x' | 'w', number>>;
  readonly error: Float64Array;
}

/** Over the valid taps of one output element: exact products, their errors, and how large both are. */
function sumOverTaps(
  node: Node<'axmConv2d'>,
  { rows, columns }: ReturnType<typeof convolutionTaps>,
  output: number,
  { x, w, zeros, error }: Operands,
): Readonly<Record<'exact' | 'effect' | 'magnitude', number>> {
  const { groups, activationBits } = node.attributes;
  const [, height, width, inputs] = node.inputs[0]!.shape as Shape & [number, number, number, number];
  const [, kw, perGroup, outputs] = node.inputs[1]!.shape as Shape & [number, number, number, number];
  const [, oh, ow] = node.outputs[0]!.shape as Shape & [number, number, number, number];
  const o = output % outputs;
  const ox = Math.floor(output / outputs) % ow;
  const oy = Math.floor(output / (outputs * ow)) % oh;
  const image = Math.floor(output / (outputs * ow * oh));
  const firstInput = Math.floor(o / (outputs / groups)) * perGroup;
  const { x: xZero, w: wZero } = zeros;
  let exact = 0;
  let effect = 0;
  let magnitude = 0;
  for (const row of rows[oy]!) {
    for (const column of columns[ox]!) {
      const first = ((image * height + row.at) * width + column.at) * inputs + firstInput;
      let wAt = (row.tap * kw + column.tap) * perGroup * outputs + o;
      for (let xAt = first; xAt < first + perGroup; xAt++) {
        const wCode = w[wAt]!;
        const xCode = x[xAt]!;
        const product = (wCode - wZero) * (xCode - xZero);
        const e = error[(wCode << activationBits) | xCode]!;
        exact += product;
        effect += e;
        magnitude += Math.abs(product) + Math.abs(e);
        wAt += outputs;
      }
    }
  }
  return { exact, effect, magnitude };
}
