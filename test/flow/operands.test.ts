// Operand histograms of a network against counting every multiplication of every output, tap by tap.

import { expect, test } from 'vitest';
import { memorySplit } from '../../src/data/image-split.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { measureOperands, slopeOperands } from '../../src/flow/multipliers/operands.ts';
import { parseConfiguration } from '../../src/flow/settings/config.ts';
import { exactMultiplier } from '../../src/multiplier/multiplier.ts';
import { asSignedPatterns, sumOfOperands } from '../../src/multiplier/operands.ts';
import type { Model } from '../../src/nn/models/registry.ts';
import { stateName } from '../../src/quant/quantized.ts';
import { Random } from '../../src/tensor/random.ts';
import { f32 } from '../../src/tensor/tensor.ts';
import { imageTask } from '../../src/train/images.ts';
import type { QuantizedArithmetic } from '../../src/train/task.ts';

const [SIZE, CHANNELS, OUTPUTS, GROUPS] = [6, 4, 6, 2];
const [KH, KW] = [3, 2];
const window = { stride: [2, 1], padding: [1, 2], dilation: [1, 3] } as const;
/**
 * Rows 0, 2 and 4 of the padded 8, less the kernel's 3; columns 0…6 of the padded 10, less the 4 that two taps span.
 */
const [OH, OW] = [3, 7];

const model: Model = {
  name: 'small',
  description: 'one strided, padded, dilated, grouped convolution and a linear layer',
  minimumSize: SIZE,
  build: (layers, image, classes) => {
    const spec = { out: OUTPUTS, kernel: [KH, KW], ...window, groups: GROUPS } as const;
    return layers.linear('fc', layers.globalAveragePool(layers.conv('conv', image, spec)), classes);
  },
};
const arithmetic: QuantizedArithmetic = {
  kind: 'quantized',
  weightBits: 3,
  activationBits: 4,
  channelwise: true,
  multiplierOf: exactMultiplier,
};

test('every multiplication that is not padding counts once, by the codes of its operands', async () => {
  const random = new Random(4);
  const [images, counted] = [3, 2];
  const pixels = Uint8Array.from({ length: images * SIZE * SIZE * CHANNELS }, () => random.integer(16));
  const perGroup = CHANNELS / GROUPS;
  const weights = Array.from({ length: KH * KW * perGroup * OUTPUTS }, () => random.integer(8));
  const session = await referenceBackend().openSession();
  const set = (name: string, shape: number[], value: (at: number) => number) =>
    session.write(
      name,
      f32(
        shape,
        Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, at) => value(at)),
      ),
    );
  set('conv.weight', [KH, KW, perGroup, OUTPUTS], (at) => weights[at]!);
  set('fc.weight', [1, 1, OUTPUTS, 2], (at) => at % 8);
  set('fc.bias', [2], () => 0);
  for (const [layer, outputs] of [
    ['conv', OUTPUTS],
    ['fc', 2],
  ] as const) {
    set(stateName(layer, 'weight', 'scale'), [outputs], () => 1);
    set(stateName(layer, 'weight', 'zero_point'), [outputs], () => 0);
    set(stateName(layer, 'input', 'scale'), [], () => 1);
    set(stateName(layer, 'input', 'zero_point'), [], () => 0);
  }
  const format = { scale: 1, mean: [0, 0, 0, 0], deviation: [1, 1, 1, 1], classes: 2 };
  const size = { height: SIZE, width: SIZE, channels: CHANNELS };
  const task = imageTask(model, { ...size, ...format });
  const split = memorySplit({ count: images, images: pixels, labels: new Int32Array(images) }, size);
  // What this process has beside it to do, such as handing out kernels to compile, has its turn.
  let turned = false;
  setImmediate(() => {
    turned = true;
  });
  const measured = await measureOperands(session, task, arithmetic, split, counted);
  expect(turned).toBe(true);
  // Of training images, and only where there is an error to have slopes.
  const other = memorySplit(
    { count: images, images: pixels.map((pixel) => 15 - pixel), labels: new Int32Array(images) },
    size,
  );
  const configuration = parseConfiguration({ quantize: { images: counted } }, 'test');
  const layers = [{ name: 'conv' }, { name: 'fc' }];
  const run = { configuration, layers, task, dataset: { train: split, test: other } } as never;
  const truncated = { kind: 'removal', removed: new Float32Array(12).fill(1) } as const;
  const byLayer = { ...arithmetic, multiplierOf: (layer: string) => (layer === 'fc' ? exactMultiplier() : truncated) };
  expect((await slopeOperands(run, session, byLayer))?.get('conv')).toEqual(measured.get('conv'));
  expect(await slopeOperands(run, session, arithmetic)).toBeUndefined();
  await session.dispose();

  const expected = { weight: new Float64Array(8), activation: new Float64Array(16) };
  for (let image = 0; image < counted; image++) {
    for (let n = 0; n < OH * OW * OUTPUTS * KH * KW * perGroup; n++) {
      const [i, rest] = [n % perGroup, Math.floor(n / perGroup)];
      const [kx, ky] = [rest % KW, Math.floor(rest / KW) % KH];
      const place = Math.floor(rest / (KH * KW));
      const [o, ox, oy] = [place % OUTPUTS, Math.floor(place / OUTPUTS) % OW, Math.floor(place / OUTPUTS / OW)];
      const [y, x] = [oy * 2 + ky - 1, ox + 3 * kx - 2];
      if (y < 0 || y >= SIZE || x < 0 || x >= SIZE) continue;
      const channel = Math.floor(o / (OUTPUTS / GROUPS)) * perGroup + i;
      expected.activation[pixels[((image * SIZE + y) * SIZE + x) * CHANNELS + channel]!]!++;
      expected.weight[weights[((ky * KW + kx) * perGroup + i) * OUTPUTS + o]!]!++;
    }
  }
  expect(measured.get('conv')).toEqual(expected);
  const linear = measured.get('fc')!;
  expect(Array.from(linear.weight).reduce((a, b) => a + b)).toBe(counted * OUTPUTS * 2);
  expect(Array.from(linear.activation).reduce((a, b) => a + b)).toBe(counted * OUTPUTS * 2);

  const both = sumOfOperands([measured.get('conv')!, linear]);
  expect(both.weight[5]).toBe(expected.weight[5]! + linear.weight[5]!);
  expect(asSignedPatterns(both).activation[0]).toBe(both.activation[8]);
});
