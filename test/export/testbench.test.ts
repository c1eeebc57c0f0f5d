// Benches of layers: they pass where the Verilog is right, for every kind of layer, and where it is not they name the
// place and the operands. Needs Icarus Verilog; one bench needs Verilator.

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { ExportFiles, ExportImages } from '../../src/export/exporter.ts';
import { verilogFiles } from '../../src/export/rtl/exporter.ts';
import { checkBenches, readPlan } from '../../src/export/testbench/check.ts';
import { exportTestbench } from '../../src/export/testbench/exporter.ts';
import { type BenchOptions, benchFiles } from '../../src/export/testbench/files.ts';
import { commandsOf } from '../../src/export/testbench/simulators.ts';
import type { FrozenMultiplier } from '../../src/integer/frozen.ts';
import { interpreter } from '../../src/integer/interpret.ts';
import { lower } from '../../src/integer/lower.ts';
import type { IntegerNetwork, ProductOperation } from '../../src/integer/network.ts';
import { exactTable, firstDifference, productTable } from '../../src/multiplier/table.ts';
import { simulate } from '../../src/netlist/simulate.ts';
import { readVerilog } from '../../src/netlist/verilog/read.ts';
import { given } from '../../src/tensor/given.ts';
import { Random } from '../../src/tensor/random.ts';
import { type FixtureName, fixture } from '../integer/fixtures.ts';
import { computed, handMade, type LayerRecipe } from './rtl-layers.ts';

const installed = (program: string, flag: string) => spawnSync(program, [flag]).status === 0;
const icarus = installed('iverilog', '-V');
const verilator = installed('verilator', '--version');
const place = mkdtempSync(join(tmpdir(), 'tram-testbench-'));
afterAll(() => rmSync(place, { recursive: true, force: true }));

function write(name: string, files: ExportFiles): string {
  const folder = join(place, name);
  for (const [file, content] of files) {
    mkdirSync(dirname(join(folder, file)), { recursive: true });
    writeFileSync(join(folder, file), content);
  }
  return folder;
}

/** The same with one text in a file exchanged, which must stand there once. */
function changed(files: ExportFiles, file: string, from: string | RegExp, to: string): ExportFiles {
  const text = files.get(file) as string;
  expect(text.split(from).length, `${from} in ${file}`).toBe(2);
  return new Map([...files, [file, text.replace(from, to)]]);
}

const array = { rows: 4, columns: 4 };

const exports = new Map<string, Promise<Exported>>();

interface Exported {
  readonly network: IntegerNetwork;
  readonly images: ExportImages;
  readonly files: ExportFiles;
}

/** The form of a network, made once. */
function exported(name: FixtureName, layers?: readonly string[]): Promise<Exported> {
  const key = `${name} ${layers}`;
  const known = exports.get(key) ?? makeExport(name, layers);
  exports.set(key, known);
  return known;
}

async function makeExport(name: FixtureName, layers: readonly string[] | undefined): Promise<Exported> {
  const { frozen, images } = await fixture(name);
  const network = lower(frozen);
  return {
    network,
    images,
    files: exportTestbench({ frozen, network, images }, { array, ...given({ layers }) }),
  };
}

const made: FrozenMultiplier = (() => {
  const random = new Random(3, 1);
  const data = exactTable(4, 5, true).data.map((p) => p + Math.floor(20 * random.uniform()) - 10);
  return { name: 'tb_unusual', table: productTable(4, 5, true, data), exact: false };
})();

function unusual(recipe: Omit<LayerRecipe, 'table' | 'multiplier'>, options: BenchOptions): ExportFiles {
  const layer = handMade({ ...recipe, table: made.table, multiplier: made.name }, 4);
  const { network } = layer;
  const random = new Random(8, 1);
  const golden = [0, 1].map(() => {
    const size = network.tensors[0]!.shape.reduce((a, b) => a * b, 1);
    const input = Int32Array.from({ length: size }, () => Math.floor(32 * random.uniform()) - 16);
    const output = computed(layer, input);
    return (tensor: number) => [input, new Int32Array(output.length), output][tensor]!;
  });
  return benchFiles(
    { network, multipliers: [made], rtl: verilogFiles({ multipliers: [made] }, network, options), golden },
    options,
  );
}

/** What a bench says of a difference: its place, and the operands of the sum. */
function differenceOf(lines: readonly string[]) {
  const numbers = (text: string) => [...text.matchAll(/-?\d+/g)].map(Number);
  const [first, ...rest] = lines;
  const [image, y, x, channel, expected, found] = numbers(first!.slice(first!.indexOf('image')));
  const taps = rest.filter((line) => /^( {2}tap|WRONG)/.test(line));
  return {
    ...{ image: image!, y: y!, x: x!, channel: channel!, expected: expected!, found: found! },
    taps: taps.map((line) => {
      const [ky, kx, input, w, x, product, module] = numbers(line);
      return {
        ky: ky!,
        kx: kx!,
        input: input!,
        w: w!,
        x: x!,
        product: product!,
        module: module!,
        wrong: line.startsWith('WRONG'),
      };
    }),
    end: rest.at(-1)!,
  };
}

describe.skipIf(!icarus)('benches by Icarus (needs iverilog)', () => {
  it.each([
    ['residual', ['block.conv1', 'block.shortcut']],
    ['narrow', ['block.conv1', 'fc']],
  ] as const)('pass layers of the network %s', async (name, layers) => {
    const { network, files } = await exported(name, layers);
    const negative = network.operations.some((one) => one.kind === 'requantise' && one.multiplier.some((m) => m < 0));
    expect(negative).toBe(true);
    const outcomes = await checkBenches(write(name, files));
    expect(outcomes.filter(({ equal }) => !equal)).toEqual([]);
    expect(outcomes.filter(({ kind }) => kind === 'layer').map(({ title }) => title)).toEqual(layers);
    for (const { values } of outcomes) expect(values).toBeGreaterThan(9);
  });

  it('pass layers that no training gives, with a signed table and padding', async () => {
    const folders = [
      unusual(
        {
          ...{ name: '"; $finish; é', image: [5, 6, 4], outputs: 6, kernel: [2, 3], padding: [1, 2] },
          ...{ stride: [1, 2], dilation: [2, 1], groups: 2, step: 2, limits: [-90, 90] },
        },
        { array: { rows: 5, columns: 2 }, block: 8 },
      ),
      unusual(
        { name: '', kind: 'linear', image: [1, 3, 7], outputs: 3, zeroRow: true },
        { array: { rows: 3, columns: 4 } },
      ),
    ];
    for (const [n, files] of folders.entries()) {
      for (const { equal, lines } of await checkBenches(write(`unusual${n}`, files)))
        expect({ equal, lines }).toEqual({ equal: true, lines: [] });
    }
  });

  it('names the operands where a gate is another', async () => {
    const { network, images, files } = await exported('residual', ['block.conv1', 'block.shortcut']);
    const file = 'rtl/truncated_8x8_columns_7.v';
    const broken = changed(files, file, 'wire p_5_6 = w[5] & x[6];', 'wire p_5_6 = w[5] | x[6];');
    const outcomes = await checkBenches(write('gate', broken));
    expect(outcomes.map(({ kind, equal }) => ({ kind, equal }))).toEqual([
      { kind: 'multiplier', equal: false },
      { kind: 'layer', equal: false },
      { kind: 'layer', equal: false },
    ]);

    const { table } = network.multipliers.find(({ name }) => name === 'truncated_8x8_columns_7')!;
    const wrong = simulate(readVerilog(broken.get(file) as string).network);
    const first = firstDifference(table, wrong)!;
    const at = first.w * 256 + first.x;
    expect(outcomes[0]!.lines[0]).toBe(
      `DIFFERENCE truncated_8x8_columns_7: w ${first.w}, x ${first.x}: expected ${table.data[at]}, found ${wrong.data[at]}`,
    );

    const said = differenceOf(outcomes[1]!.lines);
    expect(said.expected).not.toBe(said.found);
    const product = network.operations.find(
      (one): one is ProductOperation => one.kind === 'product' && one.layer === 'block.conv1',
    )!;
    const size = images.pixels.length / images.count;
    const values = interpreter(network)(images.pixels.subarray(said.image * size, (said.image + 1) * size));
    const [height, width, channels] = network.tensors[product.inputs[0]!]!.shape as [number, number, number];
    const [kh, kw, depth, outputs] = product.weightShape as [number, number, number, number];
    const operands: unknown[] = [];
    for (let ky = 0; ky < kh; ky++) {
      for (let kx = 0; kx < kw; kx++) {
        const [y, x] = [2 * said.y + ky - 1, 2 * said.x + kx - 1];
        if (y < 0 || y >= height || x < 0 || x >= width) continue;
        for (let i = 0; i < depth; i++) {
          const input = Math.floor(said.channel / (outputs / 2)) * depth + i;
          const code = values[product.inputs[0]!]![(y * width + x) * channels + input]!;
          const w = product.weights[((ky * kw + kx) * depth + i) * outputs + said.channel]!;
          const [right, module] = [table.data[w * 256 + code]!, wrong.data[w * 256 + code]!];
          operands.push({ ky, kx, input, w, x: code, product: right, module, wrong: right !== module });
        }
      }
    }
    expect(said.taps).toEqual(operands);
    expect(said.taps.some((tap) => tap.wrong)).toBe(true);
    expect(said.end).toContain('look at the multiplier');
  });

  it.each([
    [
      'a shift of the requantisation',
      'tram_requantise',
      'rounded >>> shift_3;',
      'rounded >>> (shift_3 + 1);',
      'look behind the multipliers',
    ],
    [
      'an end of an image',
      'tram_results',
      'ends && column == final_column',
      'column == final_column',
      'y_last does not stand at the last result',
    ],
    ['a result that never comes', 'tram_results', '.out_valid(out_valid)', '.out_valid()', 'y_valid is unknown'],
    ['a result that does not wait', 'tram_results', '.out_ready(out_ready)', ".out_ready(1'b1)", 'a result'],
  ])('notice %s', async (_, module, from, to, said) => {
    const { files } = await exported('narrow', ['fc']);
    const broken = changed(files, `rtl/${module}.v`, from, to);
    const [multiplier, layer] = await checkBenches(write(`broken-${module}-${said.length}`, broken));
    expect(multiplier!.equal).toBe(true);
    expect(layer!.equal).toBe(false);
    expect(layer!.lines.at(-1)).toMatch(/^FAIL fc: /);
    expect(layer!.lines.at(-1)).toContain(said);
  });

  it('are targets of the Makefile, which fail where they do', async () => {
    const { files } = await exported('narrow', ['fc']);
    const folder = write('make', files);
    const make = (target: string) => spawnSync('make', ['-s', target], { cwd: folder, encoding: 'utf8' });
    expect(make('icarus')).toMatchObject({ status: 0, stdout: 'PASS 10\nPASS 4096\n' });
    const results = readFileSync(join(folder, 'tb_fc/results.mem'), 'utf8').split('\n');
    results[4] = (Number.parseInt(results[4]!, 16) ^ 1).toString(16);
    writeFileSync(join(folder, 'tb_fc/results.mem'), results.join('\n'));
    const { status, stdout } = make('icarus-tb_fc');
    expect(status).not.toBe(0);
    expect(stdout).toMatch(/^DIFFERENCE fc: image 0, position \(0, 0\), channel 3: /);
  });
});

describe.skipIf(!verilator)('benches by Verilator (needs verilator)', () => {
  it('pass and name the place of a difference', async () => {
    const { files } = await exported('narrow', ['fc']);
    const folder = write('verilator', files);
    const [bench] = readPlan(folder).layers;
    const build = join(place, 'built');
    mkdirSync(build);
    const [compile, run] = commandsOf('verilator', bench!, build, join(folder, 'tb_fc.cpp'), { optimise: false });
    execFileSync(compile!.program, compile!.args, { cwd: folder, stdio: 'pipe' });
    const simulated = () => spawnSync(run!.program, run!.args, { cwd: folder, encoding: 'utf8' });
    expect(simulated()).toMatchObject({ status: 0, stdout: 'PASS 10\n' });
    const shifts = readFileSync(join(folder, 'tb_fc/constants.mem'), 'utf8').split('\n');
    // Shift of output 2: the third kind of constants, four columns each, behind a line of comment.
    shifts[1 + 2 * 4 + 2] = (Number.parseInt(shifts[1 + 2 * 4 + 2]!, 16) - 1).toString(16);
    writeFileSync(join(folder, 'tb_fc/constants.mem'), shifts.join('\n'));
    const { status, stdout } = simulated();
    expect(status).toBe(1);
    const said = differenceOf(stdout.trimEnd().split('\n'));
    expect(said).toMatchObject({ image: 0, channel: 2 });
    expect(said.taps).toHaveLength(8);
  });
});

it('say what to install where a simulator is missing', async () => {
  const { files } = await exported('narrow', ['fc']);
  const folder = write('missing', files);
  const { PATH } = process.env;
  process.env.PATH = join(place, 'no programs here');
  try {
    await expect(checkBenches(folder)).rejects.toThrow(
      "no program 'iverilog' found; install Icarus Verilog (Debian, Ubuntu: apt-get install iverilog)",
    );
    await expect(checkBenches(folder, { simulators: ['verilator'] })).rejects.toThrow('apt-get install verilator');
  } finally {
    process.env.PATH = PATH;
  }
});

it('are made for layers that there are', async () => {
  await expect(exported('residual', ['block.conv3'])).rejects.toThrow(
    /unknown layer of --layers 'block.conv3'; did you mean 'block.conv/,
  );
  const { files } = await exported('residual');
  expect(JSON.parse(files.get('testbench.json') as string).layers.map(({ title }: { title: string }) => title)).toEqual(
    ['block.conv1', 'block.shortcut'],
  );
});
