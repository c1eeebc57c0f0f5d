import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { compileC, describeC, folderOf } from '../../../test/c-compiler.ts';
import { type FixtureName, fixture, fixtureNames } from '../../../test/integer/fixtures.ts';
import { randomNetwork } from '../../../test/integer/random-network.ts';
import type { FrozenMultiplier, FrozenNetwork } from '../../integer/frozen.ts';
import { lower } from '../../integer/lower.ts';
import type { IntegerNetwork } from '../../integer/network.ts';
import type { ExportFiles, ExportImages } from '../exporter.ts';
import { type COptions, exportC } from './exporter.ts';

interface Made {
  readonly network: IntegerNetwork;
  readonly multipliers: readonly FrozenMultiplier[];
  readonly images: ExportImages;
}

const asC = ({ network, multipliers, images }: Made, options?: COptions): ExportFiles =>
  exportC({ frozen: { multipliers } as unknown as FrozenNetwork, network, images }, options);

async function made(name: FixtureName): Promise<Made> {
  const { frozen, images } = await fixture(name);
  return { network: lower(frozen), multipliers: frozen.multipliers, images };
}

/** More of them: FUZZ_NETWORKS=100 FUZZ_SEED=7 npx vitest run src/export/c --testTimeout 1000000 */
const NETWORKS = Number(process.env.FUZZ_NETWORKS ?? 4);
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

/** Self-tests as one program, which runs each in its folder and ends at the first difference. */
class Program {
  readonly #files = new Map<string, string | Uint8Array>();
  readonly #names: string[] = [];

  add(name: string, files: ExportFiles): void {
    this.#names.push(name);
    for (const [path, content] of files) this.#files.set(`${name}/${path}`, content);
    this.#files.set(`${name}.c`, `#define main main_${name}\n#include "${name}/main.c"\n`);
  }

  folder(): string {
    const runs = this.#names.map(
      (name) => `  if (chdir("${name}") || main_${name}(1, arguments) || chdir("..")) return 1;\n`,
    );
    const driver = [
      '#define _POSIX_C_SOURCE 200809L\n#include <stdio.h>\n#include <unistd.h>\n',
      ...this.#names.map((name) => `int main_${name}(int count, char **arguments);\n`),
      `int main(int count, char **arguments)\n{\n  (void)count;\n${runs.join('')}  return puts("all") < 0;\n}\n`,
    ].join('');
    return folderOf(new Map([...this.#files, ['driver.c', driver]]));
  }

  get sources(): string[] {
    return ['driver.c', ...this.#names.map((name) => `${name}.c`)];
  }
}

const ALL_EQUAL = /^(equal: [1-9]\d* images, [1-9]\d* tensors\n)+all\n$/;
/** The networks that have no floats. */
const integers = fixtureNames.filter((name) => name !== 'islands');

describeC('compiled as C99 without a warning, every tensor is what the interpreter has', () => {
  test('of small networks and of random ones, by look-up and by gates; a wrong one is found', async () => {
    const program = new Program();
    for (const name of integers) program.add(name, asC(await made(name), { images: 2 }));
    const own = { name: 'printf', ...randomNetwork(FIRST) };
    program.add('hostile', asC(hostile(own)));
    for (let n = 0; n < NETWORKS; n++) program.add(`random${n}`, asC(randomNetwork(FIRST + n)));
    const folder = program.folder();
    const run = compileC(folder, program.sources);
    expect(run().text).toMatch(ALL_EQUAL);

    // One bit of one tensor's golden value.
    const path = join(folder, 'residual', 'golden.bin');
    const golden = readFileSync(path);
    golden[8 * 8 * 3 + 8 * 8 * 3 + 9]! ^= 1;
    writeFileSync(path, golden);
    expect(run()).toEqual({
      status: 1,
      text: expect.stringMatching(
        /^image 0: tensor stem\.sums \[8, 8, 4\] differs first at element 2: expected -?\d+, got -?\d+\n$/,
      ),
    });
    golden[8 * 8 * 3 + 8 * 8 * 3 + 9]! ^= 1;
    writeFileSync(path, golden.subarray(0, -1));
    expect(run().text).toContain('golden.bin ends before its last image');
    writeFileSync(path, golden);

    expect(compileC(folder, ['-DPRODUCTS_BY_GATES', ...program.sources], [])().text).toMatch(ALL_EQUAL);
  });
});
