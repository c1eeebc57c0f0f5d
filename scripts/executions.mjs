// One network of integers executed in other ways, each compared with the interpreter integer by integer: the engine's
// wasm sums, the plain execution of the format's sentences, C, PyTorch, and the Verilog in Icarus and Verilator.
// Invariant: an execution counts what it has compared, and the counts are those that the network asks for; one that
// cannot be done here is named with the reason, and compares nothing.

import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { exportC } from '../dist/export/c/exporter.js';
import { sumsOfCodes } from '../dist/export/pytorch/execution.js';
import { exportPyTorch, networkText } from '../dist/export/pytorch/exporter.js';
import { layerTops } from '../dist/export/rtl/tops.js';
import { checkBenches } from '../dist/export/testbench/check.js';
import { exportTestbench } from '../dist/export/testbench/exporter.js';
import { BENCH_ARRAY } from '../dist/export/testbench/files.js';
import { titleOf } from '../dist/export/testbench/plan.js';
import { chooseSlices, slicesOf } from '../dist/export/testbench/slices.js';
import { interpreter } from '../dist/integer/interpret.js';
import { UserError } from '../dist/tensor/errors.js';

/**
 * What is executed. `images` are those of all executions; the simulators and the plain execution take the first
 * `simulated` and `plainly`. `layers`: names, or 'all', or undefined for the first and the last approximate one.
 */
export class Subject {
  constructor({ frozen, network, images }, folder, options) {
    Object.assign(this, { frozen, network, images, folder, options });
    const size = images.pixels.length / images.count;
    this.pixels = Array.from({ length: images.count }, (_, n) => images.pixels.subarray(n * size, (n + 1) * size));
    const run = interpreter(network);
    // The interpreter's memory is that of its last run.
    this.golden = this.pixels.map((image) => run(image, { checked: true }).map((tensor) => tensor.slice()));
    const products = network.operations.filter(({ kind }) => kind === 'product');
    const nodes = frozen.graph.nodes.filter(({ op }) => op === 'axmConv2d');
    if (nodes.length !== products.length) throw new Error(`${nodes.length} nodes for ${products.length} products`);
    const slices = slicesOf(network, layerTops(network, { array: BENCH_ARRAY }));
    this.layers = products.map((product, at) => {
      const slice = slices.find((one) => one.product === product);
      return {
        name: slice?.name ?? product.layer,
        product,
        slice,
        followed: { name: product.layer, kind: product.layerKind, product: nodes[at], step: product.step },
      };
    });
    this.chosen = options.layers === 'all' ? slices : slices.length ? chooseSlices(slices, options.layers) : [];
  }

  /** The sums of a layer for an image, and the codes that it reads. */
  sums({ product }, image) {
    return this.golden[image][product.output];
  }

  codes({ product }, image) {
    return this.golden[image][product.inputs[0]];
  }

  write(name, files) {
    const folder = join(this.folder, name);
    for (const [path, content] of files) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), content);
    }
    return folder;
  }
}

/** Counts by layer, what was compared besides, and the first differences. */
class Outcome {
  counts = new Map();
  differences = [];
  besides = 0;

  /** Compares; where a value differs, says the first. */
  compare(layer, what, found, expected) {
    if (found.length !== expected.length)
      return this.differ(layer, `${what}: ${found.length} values for ${expected.length}`);
    for (let at = 0; at < expected.length; at++) {
      // −0 is an integer's 0.
      if (found[at] !== expected[at] && !(found[at] === 0 && expected[at] === 0)) {
        return this.differ(layer, `${what}, element ${at}: expected ${expected[at]}, found ${found[at]}`);
      }
    }
    this.count(layer, expected.length);
  }

  count(layer, values) {
    if (layer === undefined) this.besides += values;
    else this.counts.set(layer, (this.counts.get(layer) ?? 0) + values);
  }

  differ(layer, text) {
    this.differences.push({ layer, text: `${layer ? `${layer.name}: ` : ''}${text}` });
  }

  get total() {
    return [...this.counts.values()].reduce((sum, count) => sum + count, this.besides);
  }
}

const started = (program, args, options = {}) => spawnSync(program, args, { encoding: 'utf8', ...options });
const isMissing = (program, ...args) => started(program, args).status !== 0;

/** The engine's sums on the interpreter's codes. */
async function engineSums(subject) {
  const outcome = new Outcome();
  const { layers, network, frozen, pixels } = subject;
  const codes = layers.map((layer) => {
    const { signed, activationBits } = network.multipliers[layer.product.multiplier].table;
    const shift = signed ? 2 ** (activationBits - 1) : 0;
    return pixels.map((_, image) => Uint8Array.from(subject.codes(layer, image), (code) => code + shift));
  });
  const sums = await sumsOfCodes(
    frozen,
    layers.map(({ followed }) => followed),
    codes,
  );
  layers.forEach((layer, at) => {
    for (const image of pixels.keys())
      outcome.compare(layer, `sums of image ${image}`, sums[at][image], subject.sums(layer, image));
  });
  return outcome;
}

/** All tensors as the format says them, slowly. */
function plainExecution(subject) {
  const outcome = new Outcome();
  const { network, options, golden, pixels } = subject;
  if (!options.plain) return { skipped: 'no program that reads TypeScript' };
  if (network.tensors.some(({ form }) => form === 'float')) return { skipped: 'islands in float32' };
  for (const [image, content] of pixels.slice(0, options.plainly).entries()) {
    for (const [number, values] of options.plain(network, content)) {
      if (number === 0) continue;
      const layer = subject.layers.find(({ product, slice }) => {
        return number === product.output || (slice && number === slice.requantise.output);
      });
      outcome.compare(layer, `${network.tensors[number].name} of image ${image}`, values, golden[image][number]);
    }
  }
  return outcome;
}

/** The c form, compiled by look-up and by gates: all tensors of all images, which its own test compares. */
function asC(subject) {
  const outcome = new Outcome();
  const { network, images, pixels, golden } = subject;
  if (isMissing('make', '--version') || isMissing('cc', '--version')) return { skipped: 'no make and cc' };
  const folder = subject.write('c', exportC(subject, { images: images.count }));
  for (const target of ['table', 'gates']) {
    const { stdout, stderr } = started('make', ['-s', '-C', folder, target]);
    const tensors = images.count * network.operations.length;
    if (stdout.split('\n').includes(`equal: ${images.count} images, ${tensors} tensors`)) continue;
    const [, tensor] = /tensor (.*) \[/.exec(stdout) ?? [];
    const number = network.tensors.findIndex(({ name }) => name === tensor);
    const layer = subject.layers.find(({ product }) => product.output === number);
    outcome.differ(layer, `by ${target}: ${stdout.trim()}${stderr.trim()}`);
  }
  if (outcome.differences.length > 0) return outcome;
  for (const image of pixels.keys()) {
    const counted = new Set();
    for (const layer of subject.layers) {
      for (const number of [layer.product.output, layer.slice?.requantise.output]) {
        if (number === undefined) continue;
        outcome.count(layer, golden[image][number].length);
        counted.add(number);
      }
    }
    for (const { output } of network.operations) {
      if (!counted.has(output)) outcome.count(undefined, golden[image][output].length);
    }
  }
  return outcome;
}

/** The pytorch form: what it says of itself, and its sums on the interpreter's codes. */
async function asPyTorch(subject) {
  const outcome = new Outcome();
  const { options, layers, pixels } = subject;
  if (!options.python) return { skipped: 'no Python with torch; TRAM_PYTHON names one' };
  const folder = subject.write('pytorch', await exportPyTorch(subject));
  const own = started(options.python, [join(folder, 'network.py')]);
  if (own.status !== 0) outcome.differ(undefined, `network.py: ${own.stdout.trim()}${own.stderr.trim()}`);
  outcome.note = own.stdout.trim().split('\n').join('; ');
  // Modules have names of their own.
  const { followed } = (await networkText(subject.frozen)).modules;
  const moduleOf = (layer) => followed.find(({ product }) => product === layer.followed.product).name;
  const files = new Map();
  const entries = layers.map((layer, at) => {
    const [, height, width, channels] = layer.followed.product.inputs[0].shape;
    const shape = layer.followed.kind === 'linear' ? [-1, 1, 1, channels] : [pixels.length, height, width, channels];
    const codes = Int32Array.from(pixels.flatMap((_, image) => Array.from(subject.codes(layer, image))));
    files.set(`${at}.codes`, new Uint8Array(codes.buffer));
    return { module: moduleOf(layer), shape, codes: `${at}.codes`, sums: `${at}.sums` };
  });
  files.set('layers.json', JSON.stringify(entries));
  const given = subject.write('pytorch-codes', files);
  const script = join(import.meta.dirname, 'sums-in-pytorch.py');
  const { status, stderr } = started(options.python, [script, folder, given]);
  if (status !== 0) {
    outcome.differ(undefined, stderr.trim());
    return outcome;
  }
  layers.forEach((layer, at) => {
    const { buffer } = new Uint8Array(readFileSync(join(given, entries[at].sums)));
    const expected = pixels.flatMap((_, image) => Array.from(subject.sums(layer, image)));
    outcome.compare(layer, 'sums', new Int32Array(buffer), expected);
  });
  return outcome;
}

/** Layers in Verilog, all results of the simulated images, each bench by itself. */
async function simulated(subject, simulator) {
  const outcome = new Outcome();
  const { chosen, options } = subject;
  if (isMissing(simulator === 'icarus' ? 'iverilog' : 'verilator', simulator === 'icarus' ? '-V' : '--version')) {
    return { skipped: `no ${simulator}` };
  }
  const slices = simulator === 'verilator' ? chosen.slice(0, options.verilated) : chosen;
  if (slices.length === 0) return { skipped: 'no layer in Verilog' };
  const layers = slices.map(({ name }) => name);
  const folder = subject.write(
    `${simulator}-benches`,
    exportTestbench(subject, { layers, simulated: options.simulated }),
  );
  const titles = new Map(slices.map((slice) => [titleOf(slice.name), slice.product]));
  const found = await checkBenches(folder, { simulators: [simulator], optimise: options.optimise });
  for (const { kind, title, equal, values, lines } of found) {
    const layer = kind === 'layer' ? subject.layers.find(({ product }) => product === titles.get(title)) : undefined;
    if (equal) outcome.count(layer, values);
    else outcome.differ(layer, `${kind} ${title}: ${lines.slice(0, 12).join('\n  ')}`);
  }
  const compared = found.filter(({ kind }) => kind === 'layer').length;
  if (compared !== slices.length) outcome.differ(undefined, `${compared} benches for ${slices.length} layers`);
  return outcome;
}

export const executions = [
  { name: 'wasm', run: engineSums },
  { name: 'Icarus', run: (subject) => simulated(subject, 'icarus') },
  { name: 'Verilator', run: (subject) => simulated(subject, 'verilator') },
  { name: 'C', run: asC },
  { name: 'PyTorch', run: asPyTorch },
  { name: 'plain', run: plainExecution },
];

/** Runs all but those that are left out; a form that refuses the network is skipped with what it says. */
export async function execute(subject, without = []) {
  const outcomes = new Map();
  for (const { name, run } of executions) {
    if (without.includes(name.toLowerCase())) continue;
    const start = performance.now();
    try {
      outcomes.set(name, await run(subject));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      outcomes.set(name, { skipped: error.message });
    }
    outcomes.get(name).seconds = (performance.now() - start) / 1000;
  }
  return outcomes;
}

const grouped = (count) => String(count).replaceAll(/\B(?=(\d{3})+$)/g, ' ');

/** A row for each layer, a column for each execution: how many integers were equal, or that one differs. */
export function tableOf(subject, outcomes) {
  const names = [...outcomes].filter(([, { skipped }]) => !skipped).map(([name]) => name);
  const row = (cells) => `| ${cells.join(' | ')} |`;
  const cell = ({ counts, differences }, layer) =>
    differences.some((one) => one.layer === layer) ? 'DIFFERS' : counts.has(layer) ? grouped(counts.get(layer)) : '–';
  const own = (layer) => subject.pixels.length * subject.sums(layer, 0).length;
  const besides = ({ besides, differences }) =>
    differences.some(({ layer }) => !layer) ? 'DIFFERS' : besides ? grouped(besides) : '–';
  return [
    row(['layer', 'multiplier', 'sums', ...names]),
    row(['---', '---', '---', ...names.map(() => '---')]),
    ...subject.layers.map((layer) =>
      row([
        layer.name,
        subject.network.multipliers[layer.product.multiplier].name,
        grouped(own(layer)),
        ...names.map((name) => cell(outcomes.get(name), layer)),
      ]),
    ),
    row(['besides', '', '', ...names.map((name) => besides(outcomes.get(name)))]),
  ].join('\n');
}
