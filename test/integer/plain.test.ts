import { expect, test } from 'vitest';
import { interpreter } from '../../src/integer/interpret.ts';
import { lower } from '../../src/integer/lower.ts';
import type { IntegerNetwork } from '../../src/integer/network.ts';
import { Random } from '../../src/tensor/random.ts';
import { fixture, fixtureNames } from './fixtures.ts';
import { plainTensors } from './plain.ts';
import { randomNetwork } from './random-network.ts';

/** Noise of black and white, noise of all values. */
function images({ tensors: [image] }: IntegerNetwork): Uint8Array[] {
  const random = new Random(1, 4);
  const size = image!.shape.reduce((product, extent) => product * extent, 1);
  const of = (value: () => number) => Uint8Array.from({ length: size }, value);
  return [of(() => 255 * random.integer(2)), of(() => random.integer(256))];
}

/** Every integer, and that none leaves its bounds. */
function compare(network: IntegerNetwork): void {
  const run = interpreter(network);
  for (const image of images(network)) {
    const expected = plainTensors(network, image);
    const found = run(image, { checked: true });
    for (const [number, { name }] of network.tensors.entries()) {
      if (expected.has(number)) expect([name, ...found[number]!]).toEqual([name, ...expected.get(number)!]);
    }
  }
}

test.each(fixtureNames.filter((name) => name !== 'islands'))(
  'the interpreter computes %s as the format says, within all bounds',
  async (name) => {
    compare(lower((await fixture(name)).frozen));
  },
);

/** More: FUZZ_NETWORKS=1000 FUZZ_SEED=7 npx vitest run test/integer/plain.test.ts */
const NETWORKS = Number(process.env.FUZZ_NETWORKS ?? 8);
const FIRST = Number(process.env.FUZZ_SEED ?? 1);

test(`the interpreter computes ${NETWORKS} random networks as the format says`, () => {
  for (let n = 0; n < NETWORKS; n++) {
    const { network } = randomNetwork(FIRST + n);
    compare(network);
  }
}, 1_000_000);
