import { expect, test } from 'vitest';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { interpreter, logitsOf } from '../../src/integer/interpret.ts';
import { lower } from '../../src/integer/lower.ts';
import type { IntegerNetwork } from '../../src/integer/network.ts';
import { Random } from '../../src/tensor/random.ts';
import { type Fixture, fixture, fixtureNames } from './fixtures.ts';
import { plainTensors } from './plain.ts';
import { randomModel } from './random-model.ts';
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

/** Of all fixtures: FUZZ_FIXTURES=1. */
const fixtures = fixtureNames.filter(
  (name) => name !== 'islands' && (process.env.FUZZ_FIXTURES || ['kinds', 'between', 'ownZero'].includes(name)),
);

test.each(fixtures)('the interpreter computes %s as the format says, within all bounds', async (name) => {
  compare(lower((await fixture(name)).frozen));
});

/** More: FUZZ_NETWORKS=1000 FUZZ_SEED=7 npx vitest run test/integer/plain.test.ts */
const NETWORKS = Number(process.env.FUZZ_NETWORKS ?? 8);
const FIRST = Number(process.env.FUZZ_SEED ?? 1);

test(`the interpreter computes ${NETWORKS} random networks as the format says`, () => {
  for (let n = 0; n < NETWORKS; n++) {
    const { network } = randomNetwork(FIRST + n);
    compare(network);
  }
}, 1_000_000);

/** More: FUZZ_MODELS=100 FUZZ_SEED=7 npx vitest run test/integer/plain.test.ts */
const MODELS = Number(process.env.FUZZ_MODELS ?? 2);
/** The first has a mean of means. */
const FIRST_MODEL = Number(process.env.FUZZ_SEED ?? 25);

test(`${MODELS} random models keep within their bounds and near the engine's logits`, async () => {
  for (let n = 0; n < MODELS; n++) {
    const made = await randomModel(FIRST_MODEL + n);
    try {
      const network = lower(made.frozen);
      compare(network);
      expect(await distance(made, network)).toBeLessThan(0.05);
    } catch (error) {
      throw new Error(`model ${FIRST_MODEL + n}`, { cause: error });
    }
  }
}, 1_000_000);

/** How far logits are from the engine's, of their spread. */
async function distance({ frozen, images: { pixels, count } }: Fixture, network: IntegerNetwork): Promise<number> {
  const session = await referenceBackend().openSession();
  try {
    for (const [name, variable] of frozen.variables) session.write(name, variable);
    const program = await session.compile(frozen.graph);
    const image = pixels.subarray(0, pixels.length / count);
    program.write('images', image);
    await program.run();
    const expected = Array.from((await program.read('logits')) as Float32Array);
    const own = logitsOf(network, interpreter(network)(image, { checked: true }));
    const spread = Math.max(...expected) - Math.min(...expected);
    return Math.max(...expected.map((logit, at) => Math.abs(logit - own[at]!))) / spread;
  } finally {
    await session.dispose();
  }
}
