// Convolutions with approximate multipliers of random shapes and of all widths 2…8 × 2…8: the wasm backend, on one and
// two threads and on poisoned memory, gives what the reference gives, forward and backward.
//   RANDOM_TRIALS=2000 RANDOM_SEED=7 npx vitest run test/engine/random.test.ts    for a longer search

import { expect, test } from 'vitest';
import type { Pair } from '../../src/engine/graph/ops.ts';
import { axesOf, outputsOf, square } from '../../src/engine/graph/window.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { Random } from '../../src/tensor/random.ts';
import { differences, problemsOf } from './conformance.ts';
import { wasmDevices } from './devices.ts';
import { approximateCase, type ConvolutionShape, type ErrorForm } from './path-cases.ts';
import { runCase } from './run-case.ts';

const trials = Number(process.env.RANDOM_TRIALS ?? 98);
const seed = Number(process.env.RANDOM_SEED ?? 1);
/** Products of a trial: what the reference does in a moment. */
const MOST_PRODUCTS = 600_000;
/** Of one trial in four, which has as many positions as work that is cut for a training batch. */
const MOST_OF_MANY_POSITIONS = 6_000_000;
const forms: readonly ErrorForm[] = ['structure', 'truncation', 'table', 'table with slopes', 'exact'];

/**
 * Sizes spread evenly over their magnitudes, so that few positions with many channels are as likely as many with few.
 */
function randomShape(random: Random, manyPositions: boolean): ConvolutionShape {
  const most = manyPositions ? MOST_OF_MANY_POSITIONS : MOST_PRODUCTS;
  for (;;) {
    const upTo = (most: number) => Math.round(2 ** (random.uniform() * Math.log2(most + 0.4) - 0.2)) || 1;
    const [batch, height, width] = [upTo(200), upTo(24), upTo(24)];
    const [inputs, outputs] = [upTo(40), manyPositions ? upTo(8) : upTo(80)];
    const groups = random.integer(3) === 0 ? 1 + random.integer(8) : 1;
    const [kh, kw] = [upTo(5), upTo(5)];
    // One in three has windows that differ along the axes or skip pixels between their taps.
    const other = random.integer(3) === 0;
    const perAxis = (draw: () => number): Pair => {
      const [first, second] = [draw(), draw()];
      return [first, other ? second : first];
    };
    const stride = perAxis(() => 1 + random.integer(3));
    const padding = perAxis(() => random.integer(3));
    const dilation = other ? perAxis(() => 1 + random.integer(3)) : 1;
    const axes = axesOf([batch, height, width, inputs], [kh, kw], square({ stride, padding, dilation }));
    const [outHeight, outWidth] = axes.map(outputsOf) as [number, number];
    const products = batch * outHeight * outWidth * groups * inputs * outputs * kh * kw;
    const possible = outHeight > 0 && outWidth > 0;
    if (!possible || products > most || products < most / 100) continue;
    if (manyPositions && (batch * outHeight * outWidth * groups < 16_384 || inputs < 4)) continue;
    const shape = { x: [batch, height, width, groups * inputs], w: [kh, kw, inputs, groups * outputs] };
    return { ...shape, stride, padding, dilation, groups };
  }
}

test(`${trials} random shapes and widths`, { timeout: 600_000 + 2000 * trials }, async () => {
  for (let trial = 0; trial < trials; trial++) {
    const random = new Random(seed, trial);
    const shape = randomShape(random, trial % 4 === 3);
    // Every pair of widths in turn.
    const widths = [2 + (trial % 7), 2 + (Math.floor(trial / 7) % 7)] as const;
    const form = forms[random.integer(forms.length)]!;
    const note = `trial ${trial} of seed ${seed}: ${JSON.stringify(shape)}`;
    const item = approximateCase(note, shape, widths, form);
    const expected = await runCase(referenceBackend({ poison: true }), item);
    const [one, two] = [await runCase(wasmDevices[0]!.open(), item), await runCase(wasmDevices[1]!.open(), item)];
    expect(problemsOf(item, one, expected, 1e-5), item.name).toEqual([]);
    expect(differences(one, two), `${item.name}: bits on two threads`).toEqual([]);
  }
});
