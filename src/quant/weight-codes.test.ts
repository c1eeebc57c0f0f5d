// Layers whose weights are stored as other codes, against the sums and derivatives that they are by definition.

import { describe, expect, test } from 'vitest';
import type { Backend } from '../engine/backend.ts';
import { gradients } from '../engine/graph/gradients.ts';
import { Graph, type Node } from '../engine/graph/graph.ts';
import { square } from '../engine/graph/window.ts';
import { referenceBackend } from '../engine/reference/backend.ts';
import { roundHalfEven } from '../engine/reference/kernel.ts';
import { wasmBackend } from '../engine/wasm/runtime/backend.ts';
import { exactMultiplier, type Multiplier, multiplierError } from '../multiplier/multiplier.ts';
import type { MultiplyingLayer } from '../nn/layers.ts';
import { Random } from '../tensor/random.ts';
import { f32 } from '../tensor/tensor.ts';
import { multiplyQuantized, type QuantMode } from './quantized.ts';
import { codesName, quantizedCodes } from './weight-codes.ts';

const [inputs, outputs, positions] = [5, 3, 12];
const bits = { weightBits: 4, activationBits: 4 };
const layer: MultiplyingLayer = {
  ...{ name: 'layer', kind: 'linear', geometry: square({}), weightShape: [1, 1, inputs, outputs], macs: 0 },
};
const random = new Random(7, 0);
const draw = (count: number, size: number) => Float32Array.from({ length: count }, () => size * random.normal());
const [x, w, r] = [draw(positions * inputs, 1), draw(inputs * outputs, 0.4), draw(positions * outputs, 1)];
const [xScale, xZero] = [Math.fround(0.2), 6];
/** The two lowest weight bits are not multiplied. */
const multiplier: Multiplier = {
  kind: 'removal',
  removed: Float32Array.from({ length: 16 }, (_, at) => (at < 8 ? 1 : 0)),
};
/** A code for each, none its own. */
const table = Array.from({ length: 16 }, (_, code) => (7 * code + 3) % 16);

async function outcome(
  backend: Backend,
  channelwise: boolean,
  mode: QuantMode,
  of: Multiplier,
  choice: 'nearest' | 'best',
) {
  const scales = channelwise ? [0.1, 0.07, 0.13] : [0.1];
  const zeros = channelwise ? [8, 7, 5] : [8];
  const session = await backend.openSession();
  const shape = channelwise ? [outputs] : [];
  session.write('layer.weight', f32(layer.weightShape, w));
  session.write('layer.weight_scale', f32(shape, scales));
  session.write('layer.weight_zero_point', f32(shape, zeros));
  session.write('layer.input_scale', f32([], [xScale]));
  session.write('layer.input_zero_point', f32([], [xZero]));
  session.write(codesName('layer', of), f32([16], table));
  const graph = new Graph();
  const multiply = multiplyQuantized({
    ...{ mode, channelwise, quantizer: 'steps', widthsOf: () => bits, multiplierOf: () => of, weightCodes: choice },
  });
  const weight = graph.variable('layer.weight', layer.weightShape);
  const y = multiply(layer, graph.constant(f32([positions, 1, 1, inputs], x)), weight);
  const product = graph.nodes.find(({ op }) => op === 'axmConv2d')! as Node;
  graph.output('y', y);
  graph.output('stored', product.inputs[1]!);
  graph.output('quantized', quantizedCodes(product.inputs[1]!));
  if (mode === 'train') {
    const loss = graph.apply1('dot', [y, graph.constant(f32(y.shape, r))], {});
    const scale = graph.variable('layer.weight_scale', shape);
    const [dw, ds] = gradients(loss, [weight, scale]);
    graph.output('dw', dw!);
    graph.output('ds', ds!);
  }
  const program = await session.compile(graph);
  await program.run();
  const found = new Map<string, number[]>();
  for (const name of graph.outputs.keys()) found.set(name, Array.from(await program.read(name)));
  await session.dispose();
  const at = (values: readonly number[], o: number) => Math.fround(values[o % values.length]!);
  return {
    found,
    nodes: graph.nodes.length,
    scaleOf: (o: number) => at(scales, o),
    zeroOf: (o: number) => zeros[o % zeros.length]!,
  };
}

const devices = [
  ['reference', async () => referenceBackend()],
  ['wasm', () => wasmBackend({ threads: 1 })],
] as const;

describe.each(devices)('weights of other codes on %s', (_, open) => {
  test.each([true, false])(
    'multiply as these, and learn as rounding does (a scale per channel: %s)',
    async (channelwise) => {
      const { found, scaleOf, zeroOf } = await outcome(await open(), channelwise, 'train', multiplier, 'best');
      const error = multiplierError(multiplier, bits);
      const clamped = (code: number) => Math.min(Math.max(code, 0), 15);
      const codes = Array.from(w, (value, at) => {
        const o = at % outputs;
        return clamped(roundHalfEven(Math.fround(value / scaleOf(o))) + zeroOf(o));
      });
      expect(found.get('quantized')).toEqual(codes);
      expect(found.get('stored')).toEqual(codes.map((code) => table[code]));
      const met = Array.from(x, (value) => clamped(roundHalfEven(Math.fround(value / xScale)) + xZero));
      const ds = new Float64Array(channelwise ? outputs : 1);
      const dw = new Float64Array(w.length);
      for (let p = 0; p < positions; p++) {
        for (let o = 0; o < outputs; o++) {
          let sum = 0;
          for (let i = 0; i < inputs; i++) {
            const [at, a] = [i * outputs + o, met[p * inputs + i]!];
            const stored = table[codes[at]!]!;
            const wrong = error[stored * 16 + a]!;
            sum += (stored - zeroOf(o)) * (a - xZero) + wrong;
            const g = r[p * outputs + o]! * xScale;
            const rounded = roundHalfEven(Math.fround(w[at]! / scaleOf(o))) + zeroOf(o);
            const inside = rounded >= 0 && rounded <= 15;
            if (inside) dw[at]! += g * (a - xZero);
            // Of s·(c' − z), where the weight itself does not move with its step; the error is worth s, too.
            const way = stored - zeroOf(o) - (inside ? w[at]! / scaleOf(o) : 0);
            ds[o % ds.length]! += g * (a - xZero) * way + g * wrong;
          }
          expect(found.get('y')![p * outputs + o]).toBeCloseTo(xScale * scaleOf(o) * sum, 4);
        }
      }
      found.get('dw')!.forEach((value, at) => {
        expect(value).toBeCloseTo(dw[at]!, 4);
      });
      found.get('ds')!.forEach((value, at) => {
        expect(value / ds[at]!).toBeCloseTo(1, 4);
      });
    },
  );
});

test('nothing is added to a graph whose weights keep their codes, or whose multiplier is exact', async () => {
  const graphOf = async (of: Multiplier, choice: 'nearest' | 'best') => {
    const { found, nodes } = await outcome(referenceBackend(), true, 'evaluate', of, choice);
    expect(found.get('stored')).toEqual(found.get('quantized'));
    return nodes;
  };
  const least = await graphOf(multiplier, 'nearest');
  expect(await graphOf(exactMultiplier(), 'best')).toBe(least);
  const { found, nodes } = await outcome(referenceBackend(), true, 'evaluate', multiplier, 'best');
  expect(nodes).toBeGreaterThan(least);
  expect(found.get('stored')).not.toEqual(found.get('quantized'));
});
