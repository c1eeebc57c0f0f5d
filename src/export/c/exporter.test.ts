import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { compileC, describeC, folderOf } from '../../../test/c-compiler.ts';
import { type Fixture, type FixtureName, fixture, fixtureNames } from '../../../test/integer/fixtures.ts';
import { randomModel } from '../../../test/integer/random-model.ts';
import { randomNetwork } from '../../../test/integer/random-network.ts';
import type { FrozenMultiplier, FrozenNetwork } from '../../integer/frozen.ts';
import { lower } from '../../integer/lower.ts';
import type { IntegerNetwork } from '../../integer/network.ts';
import { type Network, relabelled } from '../../netlist/network.ts';
import type { ExportFiles, ExportImages } from '../exporter.ts';
import { type COptions, exportC } from './exporter.ts';

interface Made {
  readonly network: IntegerNetwork;
  readonly multipliers: readonly FrozenMultiplier[];
  readonly images: ExportImages;
}

const asC = ({ network, multipliers, images }: Made, options?: COptions): ExportFiles =>
  exportC({ frozen: { multipliers } as unknown as FrozenNetwork, network, images }, options);

const made = async (name: FixtureName): Promise<Made> => lowered(await fixture(name));

function lowered({ frozen, images }: Fixture): Made {
  return { network: lower(frozen), multipliers: frozen.multipliers, images };
}

/** More of them: FUZZ_NETWORKS=50 FUZZ_MODELS=20 FUZZ_SEED=7 npx vitest run src/export/c --testTimeout 1000000 */
const NETWORKS = Number(process.env.FUZZ_NETWORKS ?? 3);
const MODELS = Number(process.env.FUZZ_MODELS ?? 0);
const FIRST = Number(process.env.FUZZ_SEED ?? 1);
const HOSTILE = '*/ "x" \\n%s ??/\n\\';

/** The same network under names that would leave comments, strings and folders. */
function hostile({ network, ...rest }: Made): Made {
  const named = {
    ...network,
    name: '../main',
    tensors: network.tensors.map((tensor, at) => ({ ...tensor, name: `${HOSTILE}${at}` })),
    operations: network.operations.map((one) => ({ ...one, label: HOSTILE })),
  };
  return { ...rest, network: named };
}

/** The same network with every factor a quarter and nothing added: what is rounded is a half one time in four. */
function quartered({ network, ...rest }: Made): Made {
  const operations = network.operations.map((one) => {
    if (one.kind !== 'requantise') return one;
    const { bias, multiplier, shift } = one;
    return {
      ...one,
      fraction: 0,
      bias: bias.map(() => 0),
      multiplier: multiplier.map(() => 1),
      shift: shift.map(() => 2),
    };
  });
  return { ...rest, network: { ...network, operations } };
}

/** Sources of one program of several self-tests, which runs each in its folder and ends at the first difference. */
function together(folder: string, names: readonly string[]): string[] {
  const runs = names.map((name) => `  if (chdir("${name}") || main_${name}(1, arguments) || chdir("..")) return 1;\n`);
  const driver = [
    '#define _POSIX_C_SOURCE 200809L\n#include <stdio.h>\n#include <unistd.h>\n',
    ...names.map((name) => `int main_${name}(int count, char **arguments);\n`),
    `int main(int count, char **arguments)\n{\n  (void)count;\n${runs.join('')}  return puts("all") < 0;\n}\n`,
  ].join('');
  writeFileSync(join(folder, 'driver.c'), driver);
  for (const name of names) {
    writeFileSync(join(folder, `${name}.c`), `#define main main_${name}\n#include "${name}/main.c"\n`);
  }
  return ['driver.c', ...names.map((name) => `${name}.c`)];
}

const ALL_EQUAL = /^(equal: [1-9]\d* images, [1-9]\d* tensors\n)+all\n$/;
/** The networks that have no floats. */
const integers = fixtureNames.filter((name) => name !== 'islands');

describeC('compiled as C99 without a warning, every tensor is what the interpreter has', () => {
  test('of small networks and of random ones, by look-up and by gates; a wrong one is found', async () => {
    const exports = new Map<string, ExportFiles>([['hostile', asC(hostile(quartered(randomNetwork(FIRST))))]]);
    for (let n = 0; n < NETWORKS; n++) exports.set(`random${n}`, asC(randomNetwork(FIRST + n)));
    for (let n = 0; n < MODELS; n++) exports.set(`model${n}`, asC(lowered(await randomModel(FIRST + n))));
    const small = [...exports.keys(), 'residual', 'narrow', 'mobile'];
    for (const name of integers) exports.set(name, asC(await made(name), { images: 1 }));
    const folder = folderOf(
      new Map(
        [...exports].flatMap(([name, files]) => [...files].map(([path, content]) => [`${name}/${path}`, content])),
      ),
    );
    const run = compileC(folder, together(folder, [...exports.keys()]));
    expect(run().text).toMatch(ALL_EQUAL);

    // One bit of the third sum of the first layer, behind the pixels and their codes.
    const path = join(folder, 'residual', 'golden.bin');
    const golden = readFileSync(path);
    const at = 2 * 8 * 8 * 3 + 4 * 2;
    golden[at]! ^= 1;
    writeFileSync(path, golden);
    expect(run()).toMatchObject({
      status: 1,
      text: expect.stringMatching(
        /\nimage 0: tensor stem\.sums \[8, 8, 4\] differs first at element 2: expected -?\d+, got -?\d+\n$/,
      ),
    });
    golden[at]! ^= 1;
    writeFileSync(path, golden.subarray(0, -1));
    expect(run().text).toContain('golden.bin ends before its last image');
    writeFileSync(path, golden);

    const byGates = compileC(folder, ['-DPRODUCTS_BY_GATES', ...together(folder, small)], []);
    expect(byGates().text).toMatch(ALL_EQUAL);
  });
});

test('a network with float islands is refused, by the names of its layers', async () => {
  const { network, multipliers, images } = await made('islands');
  expect(() => asC({ network, multipliers, images })).toThrow(
    /^islands as C: hardSwish, .*norm, query, .*softmax.* compute or take float32, .* export it as integer, onnx or pytorch/,
  );
});

test('what C could not hold, or not without a lie, is refused', () => {
  const own = randomNetwork(FIRST);
  expect(() => asC(own, { mostBytes: 1000 })).toThrow(
    /^random 1 as C: about .* of source for .* expected at most 1000 bytes; export it as integer/,
  );
  const { network, multipliers } = own;
  const [first, ...others] = network.multipliers;
  const wrong = { ...first!, table: { ...first!.table, data: first!.table.data.map((product) => product + 1) } };
  const lying = { ...network, multipliers: [{ ...wrong, exact: true }, ...others] };
  expect(() => asC({ ...own, network: lying })).toThrow('has a table of other products');
  const wide = (kind: string) => ({
    ...network,
    operations: network.operations.map((one) =>
      one.kind !== kind
        ? one
        : one.kind === 'product'
          ? { ...one, accumulators: { ...one.accumulators, terms: [-(2 ** 31) - 1, 0] as const } }
          : one.kind === 'requantise'
            ? { ...one, fraction: 30, multiplier: one.multiplier.map(() => -(2 ** 31)) }
            : one,
    ),
  });
  expect(() => asC({ ...own, network: wide('product') })).toThrow(/^the sums of .* expected 32 bits/);
  expect(() => asC({ ...own, network: wide('requantise') })).toThrow('to more than 63 bits');
  const netlist = multipliers.find((one) => one.netlist)!;
  const other = multipliers.map((one) => (one === netlist ? { ...one, netlist: flipped(one) } : one));
  expect(() => asC({ ...own, multipliers: other })).toThrow(`the gates of ${netlist.name} give another product`);
});

/** Its gates with the two lowest product bits exchanged for others. */
function flipped({ netlist }: FrozenMultiplier): Network {
  const copy = relabelled(netlist!, netlist!.name);
  const [low, ...rest] = copy.outputs.splice(0);
  copy.addOutput(low!.name, copy.addGate('not', low!.signal));
  copy.outputs.push(...rest);
  return copy;
}

test('every operation is in the random networks, and both signs, halves, groups, gates and rows of a zero', () => {
  const seen = new Set<string>();
  for (let seed = 0; seed < 60; seed++) {
    const { network, multipliers } = randomNetwork(seed);
    for (const { netlist, exact, table } of multipliers) {
      seen.add(`${netlist ? 'gates' : exact ? 'exact' : 'table'} ${table.signed ? 'signed' : 'unsigned'}`);
    }
    for (const one of network.operations) {
      seen.add(one.kind);
      if (one.kind === 'product') {
        seen.add(`step ${one.step}`).add(one.zeroRow ? 'row' : 'zero point');
        seen.add(one.geometry.groups > 1 ? 'groups' : 'dense');
      }
    }
  }
  const kinds = ['lookUp', 'product', 'requantise', 'add', 'limit', 'maxPool', 'sumPool', 'move', 'reshape'];
  const ways = ['gates', 'exact', 'table'].flatMap((way) => [`${way} signed`, `${way} unsigned`]);
  expect([...seen].sort()).toEqual(
    [...kinds, ...ways, 'step 1', 'step 2', 'row', 'zero point', 'groups', 'dense'].sort(),
  );
});
