// Float models made elsewhere: what of a safetensors file is read, left out with a note, or refused by name. Resume
// points: whose they are.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Graph } from '../../engine/graph/graph.ts';
import { referenceBackend } from '../../engine/reference/backend.ts';
import { initialTensor, toStored } from '../../nn/parameters.ts';
import { encodeSafetensors } from '../../tensor/safetensors.ts';
import { f32, type HostTensor, sizeOf, tensor } from '../../tensor/tensor.ts';
import { buildNetwork } from '../../train/task.ts';
import { parseConfiguration } from '../settings/config.ts';
import { loadResumePoint, readFloatModel, saveResumePoint } from './checkpoint.ts';
import { openTask } from './inputs.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-checkpoint-'));
afterAll(() => rmSync(parent, { recursive: true }));

const { task, layers } = await openTask(parseConfiguration({}, 'test'));
const { parameters } = buildNetwork(task, { kind: 'float' }, 'evaluate', 1).layers;
const own = new Map<string, HostTensor>(
  parameters.map((parameter, at) => [
    parameter.name,
    toStored(parameter.name, initialTensor(parameter, 1, at), layers),
  ]),
);

type Change = (tensors: Map<string, HostTensor>) => Iterable<readonly [string, HostTensor]> | undefined;

let files = 0;
function read(change: Change, edit: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes) {
  const tensors = new Map(own);
  const changed = new Map(change(tensors) ?? tensors);
  const path = join(parent, `${files++}.safetensors`);
  writeFileSync(path, edit(encodeSafetensors(changed)));
  return { path, read: () => readFloatModel(path, parameters, layers) };
}

const expected = readFloatModel(read(() => {}).path, parameters, layers).parameters;

describe('a float model', () => {
  test.each<[string, Change, string[]]>([
    ['as it is', () => {}, []],
    [
      'behind module.',
      (all) => [...all].map(([name, value]) => [`module.${name}`, value] as const),
      ["names begin with 'module.'"],
    ],
    [
      'behind _orig_mod.module.',
      (all) => [...all].map(([name, value]) => [`_orig_mod.module.${name}`, value] as const),
      ["names begin with '_orig_mod.module.'"],
    ],
    ['with counters', (all) => void all.set('bn1.num_batches_tracked', tensor('i32', [], new Int32Array([7]))), []],
    [
      'with a mask',
      (all) => void all.set('mask', tensor('u8', [2], new Uint8Array(2))),
      ["tensor 'mask' is no parameter"],
    ],
    [
      'with a mask beside a prefix',
      (all) => [
        ...[...all].map(([name, value]) => [`model.${name}`, value] as const),
        ['mask', f32([1], [Number.NaN])] as const,
      ],
      ["'model.'", "tensor 'mask'"],
    ],
  ])('%s is read, with what was left out', (_, change, notes) => {
    const model = read(change).read();
    expect(model.parameters).toEqual(expected);
    expect(model.notes.length).toBe(notes.length);
    for (const [at, note] of notes.entries()) expect(model.notes[at]).toContain(note);
  });

  test('of 64-bit floats is read as of 32-bit ones', () => {
    const name = 'bn1.bias';
    const shape = own.get(name)!.shape;
    const wide = Float64Array.from({ length: sizeOf(shape) }, (_, k) => k / 7);
    // The encoder writes no F64: two 32-bit integers stand for each, and the header is changed.
    const halves = tensor('i32', [...shape, 2], new Int32Array(wide.buffer));
    const { read: readIt } = read(
      (all) => void all.set(name, halves),
      (bytes) => {
        const text = Buffer.from(bytes).toString('latin1');
        return Buffer.from(
          text.replace(`"dtype":"I32","shape":[${shape},2]`, `"dtype":"F64","shape":[${shape}]  `),
          'latin1',
        );
      },
    );
    expect(readIt().parameters.get(name)).toEqual(f32(shape, wide));
  });

  test.each<[string, Change, RegExp]>([
    [
      'whole numbers',
      (all) =>
        void all.set(
          'bn1.bias',
          tensor('i32', own.get('bn1.bias')!.shape, new Int32Array(own.get('bn1.bias')!.data.length)),
        ),
      /the tensor bn1\.bias holds whole numbers \(I32\), expected F32/,
    ],
    ['a parameter less', (all) => void all.delete('fc.bias'), /has no tensor fc\.bias; was it made for another model/],
    [
      'another prefix for each half',
      (all) => [...all].map(([name, value], at) => [`${at % 2 ? 'a' : 'b'}.${name}`, value] as const),
      /has no tensor conv1\.weight/,
    ],
    [
      'layers of a larger model',
      (all) => void all.set('layer4.0.conv1.weight', f32([1], [1])),
      /has 1 parameters that the model lacks, first 'layer4\.0\.conv1\.weight'/,
    ],
    [
      'a value that is none',
      (all) =>
        void all.set(
          'fc.bias',
          f32(own.get('fc.bias')!.shape, new Float32Array(own.get('fc.bias')!.data.length).fill(Number.NaN)),
        ),
      /fc\.bias holds NaN/,
    ],
  ])('with %s is refused by name', (_, change, message) => {
    expect(read(change).read).toThrow(message);
  });
});

test('a resume point is one of its phase and its settings alone', async () => {
  const session = await referenceBackend().openSession();
  const graph = new Graph();
  const value = graph.variable('a', [2]);
  graph.output('b', value);
  session.write('a', f32([2], [1, 2]));
  await session.compile(graph);
  const path = join(parent, 'resume.safetensors');
  const settings = (momentum: number) => JSON.stringify({ train: { momentum } });
  const position = { epoch: 1, step: 2, sums: { objective: 2, loss: 1, metrics: { accuracy: 4 }, targets: 6 } };
  await saveResumePoint(path, session, { phase: 'explore', settings: settings(0.9), position });
  session.write('a', f32([2], [7, 7]));
  const load = (phase: 'explore' | 'recover', momentum: number) =>
    loadResumePoint(path, session, { phase, settings: settings(momentum), epochs: 3, steps: 4 });
  expect(load('recover', 0.9)).toBeUndefined();
  expect(load('explore', 0.8)).toBeUndefined();
  // What is not taken has changed nothing.
  expect(Array.from((await session.read('a')).data)).toEqual([7, 7]);
  expect(load('explore', 0.9)).toEqual(position);
  expect(Array.from((await session.read('a')).data)).toEqual([1, 2]);
  // As versions until 0.2 wrote their sums.
  const sums = { loss: 2, crossEntropy: 1, correct: 4, images: 6 } as unknown as typeof position.sums;
  const old = { ...position, sums };
  await saveResumePoint(path, session, { phase: 'explore', settings: settings(0.9), position: old });
  expect(load('explore', 0.9)).toEqual(position);
  await session.dispose();
});
