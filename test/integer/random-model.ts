// Models at random as runs have them at rest: convolutions of every geometry, batch norms, activations, pools,
// residual sums, concatenations and movements, with random multipliers and quantisers. What comes of lowering them is
// within its bounds and equal in every execution, or a user's error.
// Invariant: a seed says the model.

import { exactFrozen } from '../../src/flow/results/frozen.ts';
import type { FrozenMultiplier } from '../../src/integer/frozen.ts';
import type { ModelBuilder } from '../../src/nn/models/model.ts';
import { given } from '../../src/tensor/given.ts';
import { Random } from '../../src/tensor/random.ts';
import { type Fixture, generated, makeFixture, type Recipe, signedTable, w8a8 } from './fixtures.ts';

type Value = Parameters<ModelBuilder>[1];

const from = (random: Random, low: number, high: number) => low + random.integer(high - low + 1);
const oneOf = <T>(random: Random, ...values: readonly T[]): T => values[random.integer(values.length)]!;

/** The same at every call: a model is built for calibration and again for evaluation. */
const builder =
  (seed: number): ModelBuilder =>
  (nn, image, classes) => {
    const random = new Random(seed, 21);
    let count = 0;
    const conv = (x: Value, out: number, kernel: number, keeps: boolean): Value => {
      const name = `c${count++}`;
      const channels = x.shape[3]!;
      const groups = oneOf(random, 1, 1, channels);
      const dilation = keeps || kernel === 1 ? 1 : oneOf(random, 1, 1, 2);
      const padding = keeps ? (kernel - 1) / 2 : oneOf(random, dilation * (kernel - 1), Math.floor(kernel / 2));
      const fits = Math.min(x.shape[1]!, x.shape[2]!) + 2 * padding > dilation * (kernel - 1);
      const spec = {
        out: groups === 1 ? out : channels * Math.ceil(out / channels),
        kernel,
        bias: random.integer(3) === 0,
      };
      const stride = keeps ? 1 : oneOf(random, 1, 2);
      return nn.conv(name, x, {
        ...spec,
        groups: groups as number,
        ...(fits ? { stride, padding, dilation } : { padding: kernel }),
      });
    };
    const behind = (x: Value): Value => {
      const normed = random.integer(3) > 0 ? nn.batchNorm(`bn${count++}`, x, { momentum: 1 }) : x;
      return oneOf(
        random,
        () => nn.relu(normed),
        () => nn.relu6(normed),
        () => normed,
      )();
    };
    let x = behind(conv(image, from(random, 2, 5), oneOf(random, 1, 3), false));
    for (let layer = from(random, 1, 4); layer > 0; layer--) {
      const [, height, width, channels] = x.shape as [number, number, number, number];
      const before = x;
      switch (
        oneOf(random, 'plain', 'residual', 'concat', 'maxPool', 'averagePool', 'pad', 'roll', 'permute', 'slice')
      ) {
        case 'residual': {
          const main = behind(conv(before, channels, oneOf(random, 1, 3), true));
          if (main.shape[3] === channels) x = nn.add(main, random.integer(2) === 0 ? before : nn.relu(before));
          if (random.integer(2) === 0) x = nn.relu(x);
          break;
        }
        case 'concat':
          x = nn.concat([before, behind(conv(before, from(random, 1, 3), 3, true))], 3);
          break;
        case 'maxPool':
          if (Math.min(height, width) >= 2)
            x = nn.maxPool(x, 2, oneOf(random, 1, 2), oneOf(random, 0, 1), { ceil: true });
          break;
        case 'averagePool':
          if (Math.min(height, width) >= 2) x = nn.averagePool(x, 2, oneOf(random, 1, 2), oneOf(random, 0, 1));
          break;
        case 'pad':
          x = nn.pad(x, from(random, 1, 3), from(random, 0, 1), 1);
          break;
        case 'roll':
          x = nn.roll(x, [1, -1], [1, 2]);
          break;
        case 'permute':
          x = nn.permute(x, [0, 2, 1, 3]);
          break;
        case 'slice':
          if (channels > 1) x = nn.slice(x, 3, 0, channels - 1);
          break;
        default:
          x = behind(conv(x, from(random, 2, 6), oneOf(random, 1, 3), false));
      }
    }
    const flat = oneOf(
      random,
      () => nn.globalAveragePool(x),
      () => nn.flatten(x),
    )();
    return nn.linear('fc', flat, classes);
  };

/** A model of this seed at rest. */
export function randomModel(seed: number): Promise<Fixture> {
  const random = new Random(seed, 22);
  const weightBits = oneOf(random, 8, 8, 4);
  const any = (): FrozenMultiplier =>
    weightBits === 4
      ? generated('truncated:4x8:columns=4')
      : oneOf(
          random,
          () => exactFrozen(w8a8),
          () => signedTable(),
          () => generated('truncated:8x8:columns=7'),
          () => generated('drum:8x8:bits=4'),
        )();
  const weightZero = weightBits === 8 ? oneOf(random, undefined, undefined, 127.5, 128, 0) : undefined;
  const recipe: Recipe = {
    model: builder(seed),
    weightBits,
    multipliers: { '*': any(), c1: any(), fc: any() },
    ...given({ weightZero }),
  };
  return makeFixture(`model${seed}`, recipe);
}
