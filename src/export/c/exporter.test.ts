import { expect, test } from 'vitest';
import { describeC, folderOf, runC } from '../../../test/c-compiler.ts';
import { plainTensors } from '../../../test/integer/plain.ts';
import { randomNetwork } from '../../../test/integer/random-network.ts';
import type { FrozenNetwork } from '../../integer/frozen.ts';
import type { IntegerNetwork } from '../../integer/network.ts';
import type { ExportFiles } from '../exporter.ts';
import { exportC } from './exporter.ts';

const plainly = (network: IntegerNetwork, image: Uint8Array) => {
  const tensors = plainTensors(network, image);
  return (number: number) => tensors.get(number)!;
};

const SEEDS = Number(process.env.FUZZ_NETWORKS ?? 8);
const FIRST = Number(process.env.FUZZ_SEED ?? 1);

function randomExport(seed: number): ExportFiles {
  const { network, multipliers, images } = randomNetwork(seed);
  return exportC({ frozen: { multipliers } as unknown as FrozenNetwork, network, images }, plainly);
}

/** Self-tests of several networks as one program, which runs each in its folder and ends at the first difference. */
function together(exports: ReadonlyMap<string, ExportFiles>): { files: ExportFiles; sources: string[] } {
  const files = new Map<string, string | Uint8Array>();
  const names = [...exports.keys()];
  for (const [name, own] of exports) {
    for (const [path, content] of own) files.set(`${name}/${path}`, content);
    files.set(`${name}.c`, `#define main main_${name}\n#include "${name}/main.c"\n`);
  }
  const runs = names.map((name) => `  if (chdir("${name}") || main_${name}(1, arguments) || chdir("..")) return 1;\n`);
  const driver = [
    '#define _POSIX_C_SOURCE 200809L\n#include <stdio.h>\n#include <unistd.h>\n',
    ...names.map((name) => `int main_${name}(int count, char **arguments);\n`),
    `int main(int count, char **arguments)\n{\n  (void)count;\n${runs.join('')}  return puts("all") < 0;\n}\n`,
  ].join('');
  files.set('driver.c', driver);
  return { files, sources: ['driver.c', ...names.map((name) => `${name}.c`)] };
}

describeC('compiled as C99 under the sanitizers, every tensor is what was computed', () => {
  test(`of ${SEEDS} random networks`, () => {
    const exports = new Map(Array.from({ length: SEEDS }, (_, n) => [`net${FIRST + n}`, randomExport(FIRST + n)]));
    const { files, sources } = together(exports);
    const folder = folderOf(files);
    const t = Date.now();
    expect(runC(folder, sources).text).toMatch(/^(equal: \d+ images, \d+ tensors\n)+all\n$/);
    console.log('table', Date.now() - t);
    expect(runC(folder, ['-DPRODUCTS_BY_GATES', ...sources]).text).toMatch(/^(equal: .*\n)+all\n$/);
    console.log('gates', Date.now() - t);
  });
});
