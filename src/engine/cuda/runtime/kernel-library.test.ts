import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeEach, expect, test, vi } from 'vitest';
import type { CompilerProcesses } from './compiler-processes.ts';
import { isAnyKept, KernelLibrary, type KernelNews } from './kernel-library.ts';

const target = { capability: 90, device: 'A GPU', driverVersion: 13000 };
const parent = mkdtempSync(join(tmpdir(), 'tram-kernel-library-'));
afterAll(() => rmSync(parent, { recursive: true }));

/** A compiler whose compilations end when they are told to. */
class Later {
  readonly version = '13.0';
  isBusy = false;
  readonly asked: string[] = [];
  readonly ends = new Map<string, { done: (image: Uint8Array) => void; fail: (error: Error) => void }>();
  readonly images = new Map<Promise<Uint8Array>, string>();
  /** Of what is under way. */
  readonly begun = new Set<string>();

  readonly compile = (_: string, file: string, options: readonly string[]): Promise<Uint8Array> => {
    const name = options.at(-1)!;
    this.asked.push(name);
    const image = new Promise<Uint8Array>((done, fail) => this.ends.set(name, { done, fail }));
    this.images.set(image, name);
    expect(file).toBe('approximate-codes.cu');
    return image;
  };

  readonly withdraw = (image: Promise<Uint8Array>): boolean => !this.begun.has(this.images.get(image)!);
}

const source = (value: number) => ({ file: 'approximate-codes.cu', defines: { X: value } });
const image = (value: number) => Uint8Array.of(value);
let [now, ahead, folder, pulled] = [new Later(), new Later(), '', 0];

beforeEach(async () => {
  [now, ahead, folder, pulled] = [new Later(), new Later(), mkdtempSync(join(parent, 'kernels-')), 0];
  await keepOne();
  now = new Later();
});

/** As an earlier run of this program leaves the folder. */
async function keepOne(): Promise<void> {
  const compiling = library().image(source(0));
  now.ends.get('-DX=0')!.done(image(0));
  await compiling;
}
const filesOf = (ending: string) => readdirSync(folder).filter((name) => name.endsWith(ending));
const forget = () => {
  for (const name of readdirSync(folder)) rmSync(join(folder, name));
};

const library = () => new KernelLibrary(() => now, target, folder, ahead as unknown as CompilerProcesses);

function* programs(...values: number[][]) {
  for (const one of values) {
    pulled++;
    yield one.map(source);
  }
}

const soon = () => new Promise((done) => setTimeout(done, 80));
const askedAhead = (...names: string[]) => vi.waitFor(() => expect(ahead.asked).toEqual(names), 4000);

test('nothing is compiled ahead where nothing was missing', async () => {
  const first = library();
  const compiling = first.image(source(1));
  now.ends.get('-DX=1')!.done(image(1));
  await compiling;
  const second = library();
  second.expect(programs([2]));
  expect([...(await second.image(source(1)))]).toEqual([1]);
  await soon();
  expect([pulled, ahead.asked]).toEqual([0, []]);
});

test('machine code that lacks products is refused wherever it comes from, and compiled once', async () => {
  const lacking = Uint8Array.of(0xf0, 0x79, 0xff, 0x3f, 0, 0, 0, 0);
  const reason = /^internal: NVRTC 13\.0 left products out of approximate-codes\.cu with .* -DX=[12]$/;
  const kernels = library();
  const compiling = kernels.image(source(1));
  now.ends.get('-DX=1')!.done(lacking);
  await expect(compiling).rejects.toThrow(reason);
  await expect(kernels.image(source(1))).rejects.toThrow(reason);
  kernels.expect(programs([2]));
  await askedAhead('-DX=2');
  ahead.begun.add('-DX=2');
  ahead.ends.get('-DX=2')!.done(lacking);
  await soon();
  await expect(kernels.image(source(2))).rejects.toThrow(reason);
  // As the next process finds it.
  for (const value of [1, 2]) await expect(library().image(source(value))).rejects.toThrow(reason);
  expect(now.asked).toEqual(['-DX=1']);
});

test('what is expected is compiled once something was, each kernel once, and not while what is needed takes the compiler up', async () => {
  const kernels = library();
  kernels.expect(programs([1, 2], [2, 3]));
  void kernels.image(source(1));
  now.isBusy = true;
  await soon();
  expect(pulled).toBe(0);
  now.isBusy = false;
  await askedAhead('-DX=2', '-DX=3');
  ahead.ends.get('-DX=2')!.done(image(2));
  // Kept for the next run, and there in this one.
  await vi.waitFor(() => expect(filesOf('.cubin')).toHaveLength(2));
  expect([...(await kernels.image(source(2)))]).toEqual([2]);
  expect(now.asked).toEqual(['-DX=1']);
});

test('what is needed is compiled now: nobody relies on what has the lowest priority', async () => {
  const kernels = library();
  kernels.expect(programs([2, 3, 4, 5]));
  void kernels.image(source(1));
  await askedAhead('-DX=2', '-DX=3', '-DX=4', '-DX=5');
  ahead.begun.add('-DX=2').add('-DX=3').add('-DX=4');
  const images = [2, 3, 4, 5].map((value) => kernels.image(source(value)));
  expect(now.asked).toEqual(['-DX=1', '-DX=2', '-DX=3', '-DX=4', '-DX=5']);
  // The first of both: the fourth never ends ahead, the fifth had not begun there.
  ahead.ends.get('-DX=2')!.done(image(2));
  ahead.ends.get('-DX=3')!.fail(new Error('ended'));
  for (const value of [3, 4, 5]) now.ends.get(`-DX=${value}`)!.done(image(value));
  const there: number[] = [];
  for (const each of images) void each.then(([value]) => there.push(value!));
  await vi.waitFor(() => expect(there.sort()).toEqual([2, 3, 4, 5]), 4000);
});

test('a kernel that fails ahead fails where it is needed, with the compiler’s words', async () => {
  const kernels = library();
  kernels.expect(programs([2]));
  void kernels.image(source(1));
  await askedAhead('-DX=2');
  ahead.ends.get('-DX=2')!.fail(new Error('does not compile'));
  const needed = kernels.image(source(2));
  now.ends.get('-DX=2')!.fail(new Error('does not compile'));
  await expect(needed).rejects.toThrow('does not compile');
});

test('a program that cannot be formed ends what is expected, and nothing else', async () => {
  const kernels = library();
  kernels.expect(
    (function* () {
      yield [source(2)];
      throw new Error('no such layer');
    })(),
  );
  kernels.expect(programs([3]));
  void kernels.image(source(1));
  await askedAhead('-DX=2', '-DX=3');
});

test('where no kernel is kept the first program is compiled at once, and who waits for it is told from then on', async () => {
  const told: KernelNews[] = [];
  const hear = (message: unknown) => void told.push(message as KernelNews);
  subscribe('tram:kernels', hear);
  forget();
  const kernels = library();
  kernels.expect(programs([1, 2], [3]));
  expect(now.asked).toEqual(['-DX=1', '-DX=2']);
  now.ends.get('-DX=1')!.done(image(1));
  await soon();
  // Nobody has waited for the first, and nobody does any more.
  expect([...(await kernels.image(source(1)))]).toEqual([1]);
  const asked = performance.now();
  const images = [1, 2].map(() => kernels.image(source(2)));
  now.ends.get('-DX=2')!.done(image(2));
  await Promise.all(images);
  unsubscribe('tram:kernels', hear);
  expect(told.map(({ kind }) => kind)).toEqual(['compiled', 'compiled', 'needed']);
  expect(told[2]!.begin).toBeGreaterThanOrEqual(asked);
  expect(now.asked).toHaveLength(2);
  await askedAhead('-DX=3');
});

test('what another compiler, driver or GPU has left is not what is kept for this one', () => {
  const [compilerVersion, driverVersion, device] = [now.version, target.driverVersion, 'Another GPU'];
  // Before a GPU is opened it is that of any.
  expect(isAnyKept({ compilerVersion, driverVersion }, folder)).toBe(true);
  expect(isAnyKept({ compilerVersion: '12.9', driverVersion }, folder)).toBe(false);
  expect(isAnyKept({ compilerVersion, driverVersion: 12080 }, folder)).toBe(false);
  expect(isAnyKept({ ...target, compilerVersion }, folder)).toBe(true);
  expect(isAnyKept({ ...target, compilerVersion, device }, folder)).toBe(false);
  const there = new KernelLibrary(() => now, { ...target, device }, folder, ahead as unknown as CompilerProcesses);
  there.expect(programs([0, 1]));
  expect(now.asked).toEqual(['-DX=0', '-DX=1']);
});

test('of other kernels of the program only what is still the same is taken, and from then on it is kept for these', async () => {
  for (const name of filesOf('.mark')) renameSync(join(folder, name), join(folder, `0${name.slice(1)}`));
  const ofThis = { ...target, compilerVersion: now.version };
  expect(isAnyKept(ofThis, folder)).toBe(false);
  const kernels = library();
  kernels.expect(programs([0, 1]));
  expect(now.asked).toEqual(['-DX=1']);
  expect([...(await kernels.image(source(0)))]).toEqual([0]);
  expect(isAnyKept(ofThis, folder)).toBe(true);
  // Without machine code a mark tells nothing.
  for (const name of filesOf('.cubin')) rmSync(join(folder, name));
  expect(isAnyKept(ofThis, folder)).toBe(false);
});

test('machine code that cannot be written, as on a full disk, is not told of as kept', async () => {
  const [kept] = filesOf('.cubin');
  forget();
  mkdirSync(join(folder, kept!));
  await keepOne();
  expect(readdirSync(folder)).toEqual([kept]);
  expect(isAnyKept({ ...target, compilerVersion: now.version }, folder)).toBe(false);
});

test('of the first program what does not compile is compiled again where it is needed, and fails there', async () => {
  forget();
  const kernels = library();
  kernels.expect(programs([1]));
  now.ends.get('-DX=1')!.fail(new Error('does not compile'));
  await soon();
  const needed = kernels.image(source(1));
  expect(now.asked).toEqual(['-DX=1', '-DX=1']);
  now.ends.get('-DX=1')!.fail(new Error('does not compile'));
  await expect(needed).rejects.toThrow('does not compile');
});

test('neither a source that is not there ahead nor a folder that is none is anything to a run', async () => {
  writeFileSync(join(folder, 'file'), '');
  const kernels = new KernelLibrary(() => now, target, join(folder, 'file'), ahead as unknown as CompilerProcesses);
  kernels.expect([[{ file: 'no-such-kernel.cu', defines: {} }]].values());
  kernels.expect(programs([3], [4]));
  const needed = kernels.image(source(1));
  await askedAhead('-DX=4');
  for (const compiler of [now, ahead]) for (const { done } of compiler.ends.values()) done(image(1));
  expect([...(await needed)]).toEqual([1]);
});

test('a file that is empty, as after a fall of the machine, is made anew', async () => {
  forget();
  for (const value of [1, 2]) {
    const needed = library().image(source(1));
    now.ends.get('-DX=1')!.done(image(value));
    expect([...(await needed)]).toEqual([value]);
    writeFileSync(join(folder, filesOf('.cubin')[0]!), '');
  }
  expect(now.asked).toHaveLength(2);
});

test('what is expected again under its name is not formed again', async () => {
  const kernels = library();
  for (const name of ['a', 'a', 'b', undefined, undefined]) kernels.expect(programs([2]), name);
  void kernels.image(source(1));
  await askedAhead('-DX=2');
  await vi.waitFor(() => expect(pulled).toBe(4));
  await soon();
  expect(pulled).toBe(4);
});

test('nothing is begun behind the end', async () => {
  const kernels = library();
  kernels.expect(programs([2]));
  void kernels.image(source(1));
  kernels.close();
  await soon();
  expect(ahead.asked).toEqual([]);
});

test('what takes longest to compile comes first, what is under way ahead last', async () => {
  const kernels = library();
  const short = { file: 'approximate-codes.cu', text: 'short', defines: { X: 5 } };
  kernels.expect(programs([2]));
  void kernels.image(source(1));
  await askedAhead('-DX=2');
  ahead.begun.add('-DX=2');
  kernels.images([source(2), short, source(3)]);
  expect(now.asked.slice(1)).toEqual(['-DX=3', '-DX=5', '-DX=2']);
});
