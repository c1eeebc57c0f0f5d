// Published checkpoints as the start of a run: a quantised one gives the published accuracy and logits, is neither
// trained nor calibrated, and phase 1 goes on from it (with the reference files beside the repository). And the way
// back: networks of a run written for elsewhere.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Dataset } from '../../src/data/dataset.ts';
import type { ImageSplit } from '../../src/data/image-split.ts';
import { datasetOf } from '../../src/data/memory.ts';
import type { Backend } from '../../src/engine/backend.ts';
import { Graph } from '../../src/engine/graph/graph.ts';
import { referenceBackend } from '../../src/engine/reference/backend.ts';
import { wasmBackend } from '../../src/engine/wasm/runtime/backend.ts';
import { runFlow } from '../../src/flow/flow.ts';
import { exportNetwork } from '../../src/flow/results/export.ts';
import { loadModel } from '../../src/flow/run/checkpoint.ts';
import { readManifest } from '../../src/flow/run/manifest.ts';
import { exactMultiplier } from '../../src/multiplier/multiplier.ts';
import { Layers } from '../../src/nn/layers.ts';
import { findModel } from '../../src/nn/models/registry.ts';
import { multiplyQuantized } from '../../src/quant/quantized.ts';
import { openTensorFile } from '../../src/tensor/checkpoint-file.ts';
import { sha256 } from '../../src/tensor/files.ts';
import { readSafetensors } from '../../src/tensor/safetensors.ts';

const shared = fileURLToPath(new URL('../../../shared/', import.meta.url));
const reference = join(shared, 'reference/pytorch/');
const parent = mkdtempSync(join(tmpdir(), 'tram-checkpoints-'));
afterAll(() => rmSync(parent, { recursive: true }));

/** Rows 0 … 1436 to train and 1437 … 1796 to test, pixels / 16 and not normalised, as the reference files were made. */
function digits(): Dataset {
  const text = gunzipSync(readFileSync(join(shared, 'data/digits.csv.gz'))).toString();
  const rows = text
    .trim()
    .split('\n')
    .map((line) => line.split(',').map(Number));
  const part = (from: number, to: number) => ({
    images: Uint8Array.from(rows.slice(from, to).flatMap((row) => row.slice(0, 64))),
    labels: rows.slice(from, to).map((row) => row[64]!),
  });
  const size = { height: 8, width: 8, channels: 1, maximum: 16 };
  const dataset = datasetOf({ name: 'rows', ...size, train: part(0, 1437), test: part(1437, 1797) });
  return { ...dataset, mean: [0], deviation: [1] };
}

const [height, width] = [8, 8];

describe.skipIf(!existsSync(reference))('the published quantised checkpoint', () => {
  const file = join(reference, 'resnet8-digits_w8a8_ptq.pth');
  const facts = () => JSON.parse(readFileSync(join(reference, 'facts.json'), 'utf8'));
  const folder = join(parent, 'published');
  // As published: the clips are trained further, not the steps that they come to.
  const settings = {
    train: { checkpoint: file },
    quantize: { quantizer: 'clips' },
    explore: { epochs: 1, batchSize: 128 },
  } as const;

  beforeAll(async () => {
    await runFlow({
      ...{ folder, dataset: digits(), settings, phases: ['train', 'quantize', 'explore'] },
      listener: (event) => void (event.kind === 'note' && notesOfPublished.push(event.text)),
    });
  });
  const notesOfPublished: string[] = [];

  test('is neither trained nor calibrated: the manifest says so, and phase 1 goes on from it', () => {
    const { phases } = readManifest(folder);
    expect([phases.train!.from, phases.quantize!.from, phases.explore!.from]).toEqual([
      'checkpoint',
      'checkpoint',
      undefined,
    ]);
    expect(phases.train!.metrics).toBeUndefined();
    expect(phases.quantize!.metrics).toBeUndefined();
    expect(phases.train!.stages[0]!.accuracy).toBeCloseTo(facts().float_accuracy_rows_1437_to_1796, 6);
    expect(phases.quantize!.stages[0]!.accuracy).toBeCloseTo(facts().ptq_accuracy, 6);
    expect(phases.explore!.stages.length).toBeGreaterThan(0);
    const { tensors } = readSafetensors(join(folder, 'checkpoints/quantized.safetensors'));
    // ln(f / (1 − f + 1e-5)) of the clip factor 1, as its search found it for the first layer.
    expect(tensors.get('conv1.weight_clip_upper')!.data[0]).toBeCloseTo(Math.log(1e5), 3);
    expect(tensors.get('fc.input_clip_lower')!.data[0]).toBeCloseTo(3.8913, 3);
  });

  test.each<[string, () => Backend]>([
    ['wasm', () => wasmBackend({ threads: 1 })],
    ['reference', referenceBackend],
  ])('gives the published logits of the first test images: %s', async (_, open) => {
    const session = await open().openSession();
    const graph = new Graph();
    const layers = new Layers(graph, {
      training: false,
      multiply: multiplyQuantized({
        ...{ mode: 'evaluate', channelwise: true, multiplierOf: () => exactMultiplier() },
        widthsOf: () => ({ weightBits: 8, activationBits: 8 }),
      }),
    });
    const image = graph.input('image', [4, height, width, 1]);
    graph.output('logits', findModel('resnet8').build(layers, image, 10));
    const path = join(folder, 'checkpoints/quantized.safetensors');
    loadModel(readFileSync(path), path, session, layers.multiplying);
    const program = await session.compile(graph);
    const { images } = digits().test as ImageSplit;
    program.write(
      'image',
      Float32Array.from(images!.subarray(0, 256), (raw) => raw / 16),
    );
    await program.run();
    const expected = facts().ptq_logits_first4.flat() as number[];
    const logits = await program.read('logits');
    for (const [at, value] of expected.entries()) {
      expect(Math.abs(logits[at]! - value)).toBeLessThan(2e-5 * Math.max(1, Math.abs(value)));
    }
    await session.dispose();
  });

  test('of other widths than the run’s is refused with the option that helps', async () => {
    const other = { folder: join(parent, 'w4'), dataset: digits(), phases: ['train'] as const };
    await expect(runFlow({ ...other, settings: { ...settings, bits: { weights: 4 } } })).rejects.toThrow(
      /weights of conv1 are quantised to 8 bits, the run's are 4; give --weight-bits 8/,
    );
    expect(existsSync(other.folder)).toBe(false);
  });

  test('of inputs that were normalised in another way says so', async () => {
    const notes: string[] = [];
    const normalised = { ...digits(), mean: [0.3], deviation: [0.38] };
    await runFlow({
      ...{ folder: join(parent, 'normalised'), dataset: normalised, settings, phases: ['train'] },
      listener: (event) => void (event.kind === 'note' && notes.push(event.text)),
    });
    expect(notes.join()).toMatch(/quantised on inputs of 0 … 1, those of this run are −0\.789 … 1\.84: .*--mean/);
    expect(notesOfPublished.join()).not.toContain('normalised');
  });

  test('calibrates anew where the run goes on with other widths', async () => {
    const notes: string[] = [];
    await runFlow({
      ...{
        folder,
        dataset: digits(),
        phases: ['quantize'],
        settings: { bits: { activations: 6 }, quantize: { images: 64 } },
        redo: true,
      },
      listener: (event) => void (event.kind === 'note' && notes.push(event.text)),
    });
    expect(notes.join()).toContain('the quantisers of the checkpoint are for other operand widths');
    expect(readManifest(folder).phases.quantize!.from).toBeUndefined();
  });
});

describe.skipIf(!existsSync(reference))('float checkpoints of PyTorch', () => {
  test.each([
    ['resnet8-digits-fp32.pth', 1e-6],
    ['resnet8-digits-fp16.pth', 0.003],
  ])('%s', async (name, tolerance) => {
    const folder = join(parent, name);
    const settings = { train: { checkpoint: join(reference, name) } };
    await runFlow({ folder, dataset: digits(), settings, phases: ['train'] });
    const { train } = readManifest(folder).phases;
    const { float_accuracy_rows_1437_to_1796: accuracy } = JSON.parse(
      readFileSync(join(reference, 'facts.json'), 'utf8'),
    );
    expect(Math.abs(train!.stages[0]!.accuracy - accuracy)).toBeLessThanOrEqual(tolerance);
    expect(train!.from).toBeUndefined();
  });

  test('a whole module is refused before anything is written', async () => {
    const options = { folder: join(parent, 'module'), dataset: digits() };
    const settings = { train: { checkpoint: join(reference, 'whole-module.pth') } };
    await expect(runFlow({ ...options, settings })).rejects.toThrow(/'__main__\.Small', whose code/);
    expect(existsSync(options.folder)).toBe(false);
  });
});

/**
 * Reads a .pth with Python's own zip and pickle as torch.load does with weights_only=True, and prints what it holds.
 */
const PYTHON = `
import collections, io, json, pickle, pickletools, struct, sys, zipfile
archive = zipfile.ZipFile(sys.argv[1])
assert archive.testzip() is None
assert all(info.compress_type == zipfile.ZIP_STORED for info in archive.infolist())
folder = archive.namelist()[0].split('/')[0]
read = lambda name: archive.read(folder + '/' + name)
assert read('byteorder') == b'little' and read('version') == b'3\\n'
data = read('data.pkl')
opcodes = sorted({op.name for op, _, _ in pickletools.genops(data)})
formats = {'FloatStorage': 'f', 'IntStorage': 'i', 'ByteStorage': 'B'}
class Reader(pickle.Unpickler):
    def find_class(self, module, name):
        if (module, name) == ('collections', 'OrderedDict'): return collections.OrderedDict
        if (module, name) == ('torch._utils', '_rebuild_tensor_v2'): return lambda *tensor: tensor
        assert module == 'torch' and name in formats, (module, name)
        return name
    def persistent_load(self, pid):
        kind, storage, key, place, count = pid
        assert (kind, place) == ('storage', 'cpu')
        values = struct.unpack('<%d%s' % (count, formats[storage]), read('data/' + key))
        return values
state = Reader(io.BytesIO(data)).load()
assert type(state) is collections.OrderedDict
for values, offset, shape, stride, grad, hooks in state.values():
    expected = 1
    for extent, step in reversed(list(zip(shape, stride))):
        assert step == expected
        expected *= extent
    assert len(values) == expected and offset == 0 and grad is False and hooks == collections.OrderedDict()
with open(sys.argv[1], 'rb') as file:
    for info in archive.infolist():
        file.seek(info.header_offset)
        header = file.read(30)
        start = info.header_offset + 30 + struct.unpack('<HH', header[26:30])[0] + struct.unpack('<HH', header[26:30])[1]
        assert start % 64 == 0, info.filename
print(json.dumps({'opcodes': opcodes, 'state': [[name, list(t[2]), sum(t[0])] for name, t in state.items()]}))
`;

const hasPython = spawnSync('python3', ['--version']).status === 0;

describe('an exported network', () => {
  const folder = join(parent, 'exported');
  beforeAll(async () => {
    const brief = { train: { epochs: 1 }, quantize: { images: 64 }, explore: { epochs: 1, batchSize: 128 } };
    await runFlow({ folder, settings: brief, phases: ['train', 'quantize', 'explore'] });
  });
  const stored = (stage: string) => readSafetensors(join(folder, `checkpoints/${stage}.safetensors`)).tensors;

  test('holds the parameters alone, in both formats, and gives the same network when it is read again', async () => {
    const path = join(parent, 'float.pth');
    expect(exportNetwork({ folder, path, stage: 'float' })).toMatchObject({ format: 'pth', stage: 'float' });
    const other = join(parent, 'explored.safetensors');
    expect(exportNetwork({ folder, path: other })).toMatchObject({ format: 'safetensors', stage: 'explored' });
    const names = [...readSafetensors(other).tensors.keys()].toSorted();
    expect(names).toEqual([...stored('float').keys()].toSorted());
    expect(readSafetensors(other).tensors.get('conv1.weight')).toEqual(stored('explored').get('conv1.weight'));
    const again = join(parent, 'again');
    await runFlow({ folder: again, settings: { train: { checkpoint: path } }, phases: ['train'] });
    expect(hashOf(again, 'float')).toBe(hashOf(folder, 'float'));
  });

  test('with its quantisers it is the start of phase 1, bit for bit', async () => {
    const path = join(parent, 'quantized.pth');
    exportNetwork({ folder, path, stage: 'quantized', quantizers: true });
    const again = join(parent, 'from-quantized');
    await runFlow({ folder: again, settings: { train: { checkpoint: path } }, phases: ['train', 'quantize'] });
    expect(readManifest(again).phases.quantize!.from).toBe('checkpoint');
    expect(hashOf(again, 'quantized')).toBe(hashOf(folder, 'quantized'));
  });

  /** What a run whose quantisers were trained has of them, and what a new run finds in the file that it wrote. */
  async function handedOn(run: string) {
    const path = `${run}-learned.pth`;
    exportNetwork({ folder: run, path, stage: 'explored', quantizers: true });
    const again = `${run}-from-learned`;
    await runFlow({ folder: again, settings: { train: { checkpoint: path } }, phases: ['train'] });
    const given = readSafetensors(join(again, 'checkpoints/given-quantizers.safetensors')).tensors;
    expect(given.size).toBe(10 * 10);
    return { given, learned: readSafetensors(join(run, 'checkpoints/explored.safetensors')).tensors };
  }

  test('after training each learned step comes back as it was', async () => {
    const { given, learned } = await handedOn(folder);
    const steps = [...given].filter(([name]) => /\.(weight|input)_(scale|zero_point)$/.test(name));
    expect(steps.length).toBe(10 * 4);
    for (const [name, tensor] of steps) expect(tensor, name).toEqual(learned.get(name));
    const calibrated = stored('quantized');
    expect(steps.some(([name, { data }]) => data[0] !== calibrated.get(name)!.data[0])).toBe(true);
  });

  test('after training, where upper and lower clip factors differ, each quantiser comes back as it was', async () => {
    const clipped = join(parent, 'clipped');
    const settings = { quantize: { quantizer: 'clips' } } as const;
    await runFlow({ folder: clipped, from: folder, settings, phases: ['train', 'quantize', 'explore'] });
    const { given, learned } = await handedOn(clipped);
    for (const [name, tensor] of given) expect(tensor).toEqual(learned.get(name));
    const bytes = (name: string) => Buffer.from(given.get(name)!.data.buffer).toString('hex');
    const uppers = [...given.keys()].filter((name) => name.endsWith('_clip_upper'));
    expect(uppers.some((name) => bytes(name) !== bytes(name.replace('upper', 'lower')))).toBe(true);
  });

  test.skipIf(!existsSync(reference))('with its quantisers has the names and shapes of the published program', () => {
    const path = join(parent, 'published.pth');
    exportNetwork({ folder, path, stage: 'quantized', quantizers: true });
    const file = openTensorFile(path);
    const found = [...file.dictionaries[0]!.tensors].map(([name, { shape }]) => `${name} [${shape}]`);
    file.close();
    const { ptq_state: facts } = JSON.parse(readFileSync(join(reference, 'facts.json'), 'utf8'));
    const expected = (facts as [string, number[], string][])
      .filter(([name]) => !name.endsWith('num_batches_tracked'))
      .map(([name, shape]) => `${name} [${shape}]`);
    expect(found.toSorted()).toEqual(expected.toSorted());
  });

  test.skipIf(!hasPython)('is what PyTorch writes, as Python itself reads zip and pickle', () => {
    const path = join(parent, 'python.pth');
    exportNetwork({ folder, path, stage: 'quantized', quantizers: true });
    const { status, stdout, stderr } = spawnSync('python3', ['-c', PYTHON, path], { encoding: 'utf8' });
    expect(`${status} ${stderr}`).toBe('0 ');
    const { opcodes, state } = JSON.parse(stdout);
    // Those that torch.load's own restricted unpickler has.
    expect(opcodes).toEqual([
      ...['BININT1', 'BININT2', 'BINPERSID', 'BINUNICODE', 'EMPTY_TUPLE', 'GLOBAL', 'MARK', 'NEWFALSE', 'PROTO'],
      ...['REDUCE', 'SETITEMS', 'STOP', 'TUPLE'],
    ]);
    const sums = new Map((state as [string, number[], number][]).map(([name, shape, sum]) => [name, { shape, sum }]));
    const weight = stored('quantized').get('layer1.0.conv1.weight')!;
    // The least of each filter, or 0.
    const { shape: one, sum: least } = sums.get('model.layer1.0.conv1.weight_quantizer.observer.min_val')!;
    expect(one).toEqual([16, 1, 1, 1]);
    const filters = Array.from({ length: 16 }, (_, k) =>
      (weight.data as Float32Array).subarray(k * 144, (k + 1) * 144),
    );
    expect(least).toBeCloseTo(
      filters.reduce((total, filter) => total + Math.min(0, ...filter), 0),
      4,
    );
    const { shape, sum } = sums.get('model.layer1.0.conv1.weight')!;
    expect(shape).toEqual(weight.shape);
    expect(sum).toBeCloseTo(
      (weight.data as Float32Array).reduce((a, b) => a + b, 0),
      3,
    );
  });

  test.each<[string, () => unknown, RegExp]>([
    [
      'a stage that is not there',
      () => exportNetwork({ folder, path: 'x.pth', stage: 'recovered' }),
      /has no recovered network; it has float, quantized, explored/,
    ],
    [
      'quantisers of a float network',
      () => exportNetwork({ folder, path: 'x.pth', stage: 'float', quantizers: true }),
      /has no quantisers/,
    ],
    ['no run', () => exportNetwork({ folder: parent, path: 'x.pth' }), /is not a run folder/],
    [
      'an ending of no format',
      () => exportNetwork({ folder, path: 'x.foo' }),
      /^x\.foo does not end as .*\.pt,.*pth or/,
    ],
    ['a name without an ending', () => exportNetwork({ folder, path: 'x' }), /^x does not end as a format does/],
    [
      'an ending of another format',
      () => exportNetwork({ folder, path: 'x.safetensors', format: 'pth' }),
      /^x\.safetensors ends as safetensors does, and pth is asked for/,
    ],
  ])('%s is refused', (_, work, message) => {
    expect(work).toThrow(message);
    for (const name of ['x.pth', 'x.foo', 'x', 'x.safetensors']) expect(existsSync(name)).toBe(false);
  });

  test.each<[string, 'pth' | 'safetensors' | undefined, string]>([
    ['a.pt', undefined, 'pth'],
    ['a.PTH', undefined, 'pth'],
    ['a.SafeTensors', undefined, 'safetensors'],
    ['a.foo', 'safetensors', 'safetensors'],
    ['a.ckpt', 'pth', 'pth'],
  ])('as %s, asked for as %s, is %s', async (name, format, expected) => {
    const path = join(parent, name);
    expect(exportNetwork({ folder, path, ...(format ? { format } : {}) }).format).toBe(expected);
    const isSafetensors = readFileSync(path).subarray(8, 9).toString() === '{';
    expect(isSafetensors).toBe(expected === 'safetensors');
  });
});

const hashOf = (folder: string, stage: string) =>
  sha256(readFileSync(join(folder, `checkpoints/${stage}.safetensors`)));
