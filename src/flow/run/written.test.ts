// Models that a process has written: what is handed on, and when it is not.

import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { referenceBackend } from '../../engine/reference/backend.ts';
import { storedInPlace, toStored } from '../../nn/parameters.ts';
import { fileState, readBytes } from '../../tensor/files.ts';
import { encodeSafetensors } from '../../tensor/safetensors.ts';
import { f32, type HostTensor, tensor } from '../../tensor/tensor.ts';
import type { RunLayer } from '../settings/layers.ts';
import { readModel, saveModel } from './checkpoint.ts';
import { modelFrom, type OpenRun } from './context.ts';
import { hashFiles, type PhaseRecord } from './manifest.ts';
import { WrittenModels } from './written.ts';

const folder = mkdtempSync(join(tmpdir(), 'tram-written-'));
afterAll(() => rmSync(folder, { recursive: true }));

const path = 'model.safetensors';
const file = join(folder, path);
const layers = [
  { name: 'b', kind: 'conv2d', weightShape: [3, 3, 2, 4] },
  { name: 'a', kind: 'linear', weightShape: [1, 1, 5, 3] },
] as unknown as readonly RunLayer[];
const tensors = new Map<string, HostTensor>([
  ['steps', tensor('i32', [], Int32Array.of(7))],
  [
    'b.weight',
    f32(
      [3, 3, 2, 4],
      Float32Array.from({ length: 72 }, (_, at) => at / 7),
    ),
  ],
  ['mask', tensor('u8', [3], Uint8Array.of(1, 2, 3))],
  [
    'a.weight',
    f32(
      [1, 1, 5, 3],
      Float32Array.from({ length: 15 }, (_, at) => -at / 3),
    ),
  ],
  ['b.bias', f32([4], [1, -0, 1e-45, 3])],
  ['b.weight#velocity', f32([2], [1, 2])],
]);

/** A run that has saved these tensors; again, where the clock of the file system has stood still. */
async function saved(): Promise<OpenRun> {
  const written = new WrittenModels(folder);
  const session = await referenceBackend().openSession();
  for (const [name, value] of tensors) session.write(name, value);
  while (!written.find(path)) await saveModel({ folder, layers, written }, path, session);
  await session.dispose();
  const record = { files: hashFiles(folder, [path]) } as unknown as PhaseRecord;
  return { folder, layers, written, manifest: { phases: { train: record } } } as unknown as OpenRun;
}

const given = (run: OpenRun) => modelFrom(run, 'train', path);

test('what was saved is handed on, as reading the file gives it, and its hash is known', async () => {
  const run = await saved();
  const kept = run.written!.find(path)!;
  expect(given(run)).toBe(kept.tensors);
  const read = readModel(readBytes(file), file, layers);
  expect([...kept.tensors]).toEqual([...read]);
  expect(kept.tensors.has('b.weight#velocity')).toBe(false);
  expect(hashFiles(folder, [path])).toEqual({ [path]: kept.sha256 });
  run.written!.keep(path, { ...kept, sha256: 'known' });
  expect(hashFiles(folder, [path], run.written)).toEqual({ [path]: 'known' });
  // The manifest has the last word.
  expect(given(run)).not.toBe(kept.tensors);
  expect([...given(run)]).toEqual([...read]);
});

test('weights are turned about where they are to lie', () => {
  const model = new Map([...tensors].filter(([name]) => !name.includes('#')));
  const by = (form: typeof storedInPlace) =>
    encodeSafetensors(new Map([...model].map(([name, value]) => [name, form(name, value, layers)])));
  expect(by(storedInPlace)).toEqual(by(toStored));
});

const changes: Record<string, () => void> = {
  'written to': () => writeFileSync(file, flipped()),
  'written to, with its time set back': () => {
    const { atime, mtime } = statSync(file);
    writeFileSync(file, flipped());
    utimesSync(file, atime, mtime);
  },
  'cut off': () => truncateSync(file, 100),
  replaced: () => {
    writeFileSync(`${file}.new`, flipped());
    renameSync(`${file}.new`, file);
  },
  removed: () => rmSync(file),
};

function flipped(): Buffer {
  const bytes = readFileSync(file);
  bytes[bytes.length - 9]! ^= 1;
  return bytes;
}

test.each(Object.entries(changes))(
  'a model whose file was %s is not handed on: reading it says so',
  async (_, change) => {
    const run = await saved();
    change();
    expect(run.written!.find(path)).toBeUndefined();
    expect(() => given(run)).toThrow(file);
  },
);

test('a file with the same bytes is read', async () => {
  const run = await saved();
  const { tensors: kept } = run.written!.find(path)!;
  copyFileSync(file, `${file}.copy`);
  renameSync(`${file}.copy`, file);
  expect(given(run)).not.toBe(kept);
  expect([...given(run)]).toEqual([...kept]);
});

test('beyond its limit it forgets what was written first', async () => {
  const kept = (await saved()).written!.find(path)!;
  const written = new WrittenModels(folder, 2 * 371);
  const isKept = (name: string) => written.find(name) !== undefined;
  const keep = (name: string) => {
    copyFileSync(file, join(folder, name));
    written.keep(name, { ...kept, state: fileState(join(folder, name))! });
  };
  keep('1');
  keep('2');
  expect(['1', '2'].map(isKept)).toEqual([true, true]);
  keep('1');
  keep('3');
  expect(['1', '2', '3'].map(isKept)).toEqual([true, false, true]);
});
