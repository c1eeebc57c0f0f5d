// A network of integers in files and back, and exports as folders that are whole or not there.

import { spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { afterAll, expect, test } from 'vitest';
import { writeForms } from '../../src/flow/results/export-forms.ts';
import { integerFiles, NETWORK_FILE, readIntegerNetwork } from '../../src/integer/files.ts';
import { interpreter } from '../../src/integer/interpret.ts';
import { lower } from '../../src/integer/lower.ts';
import { UserError } from '../../src/tensor/errors.ts';
import { fixture } from './fixtures.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-forms-'));
afterAll(() => rmSync(parent, { recursive: true }));

type Files = Map<string, string | Uint8Array>;
const reader = (files: Files) => (path: string) => {
  const content = files.get(path);
  if (content === undefined) throw new Error(`no file ${path}`);
  return Buffer.from(content);
};

test.each(['narrow', 'ownZero', 'dense', 'islands'] as const)(
  '%s: what is read is the network that was written',
  async (name) => {
    const { frozen, images } = await fixture(name);
    const network = lower(frozen);
    const read = readIntegerNetwork(reader(integerFiles(network)));
    // Attributes of formulas hold what only gradients need, which no file has.
    const plain = (one: typeof network) => ({
      ...one,
      operations: one.operations.map((operation) => ({
        ...operation,
        ...('attributes' in operation && { attributes: 0 }),
      })),
    });
    expect(isDeepStrictEqual(plain(read), plain(network))).toBe(true);
    const image = images.pixels.subarray(0, images.pixels.length / images.count);
    expect(isDeepStrictEqual(interpreter(read)(image), interpreter(network)(image))).toBe(true);
  },
);

test('memories are the arrays in hexadecimal, in words of their width', async () => {
  const { frozen } = await fixture('narrow');
  const network = lower(frozen);
  const files = integerFiles(network);
  const product = network.operations.findIndex(({ kind }) => kind === 'product');
  const place = [...files.keys()].find(
    (path) => path.includes(`/${String(product).padStart(3, '0')}_`) && /weights\.mem$/.test(path),
  )!;
  const words = (files.get(place) as string).trim().split('\n');
  const { weights } = network.operations[product] as { readonly weights: Int16Array };
  expect(words).toEqual(Array.from(weights, (weight) => (weight & 15).toString(16)));
});

test('a file that says something else is refused with its place', async () => {
  const { frozen } = await fixture('narrow');
  const files = integerFiles(lower(frozen));
  const changed = (change: (json: { [key: string]: never }) => void) => {
    const json = JSON.parse(files.get(NETWORK_FILE) as string);
    change(json);
    return () => readIntegerNetwork(reader(new Map(files).set(NETWORK_FILE, JSON.stringify(json))));
  };
  const set =
    (...path: (string | number)[]) =>
    (to: unknown) =>
      changed((json) => {
        const at = path.slice(0, -1).reduce<never>((one, key) => one[key as never], json as never);
        at[path.at(-1) as never] = to as never;
      });
  expect(set('operations', 1, 'inputs')([9])).toThrow(/reads the tensor 9, which nothing has made/);
  expect(set('operations', 1, 'step')(3)).toThrow(/network\.json: operations\.1\.step/);
  expect(set('operations', 1, 'weights', 'npy')('../../secret.npy')).toThrow(/operations\.1\.weights\.npy/);
  expect(set('operations', 1, 'multiplier')(7)).toThrow(/multiplier 7 of/);
  expect(set('operations', 1, 'weights', 'shape')([1])).toThrow(/weights\.npy: \d+ elements; network\.json says 1/);
  expect(set('surprise')(1)).toThrow(/surprise/);
});

const form = (name: string, files: Record<string, string>, run = 'a') => {
  return { name, files: new Map(Object.entries(files)), about: { run } };
};

test('an export replaces one of its own form, and nothing else', () => {
  const path = join(parent, 'own');
  writeForms(path, [form('integer', { 'a.txt': '1', 'deep/er/b.txt': '2' })]);
  writeForms(path, [form('integer', { 'c.txt': '3' })]);
  expect(readdirSync(join(path, 'integer')).toSorted()).toEqual(['c.txt', 'export.json']);
  expect(readdirSync(path)).toEqual(['integer']);

  mkdirSync(join(path, 'rtl'));
  writeFileSync(join(path, 'rtl', 'mine.v'), 'module mine; endmodule');
  expect(() => writeForms(path, [form('integer', { 'd.txt': '4' }), form('rtl', { 'e.v': '' })])).toThrow(
    /rtl exists and is no export of this form/,
  );
  expect(readFileSync(join(path, 'rtl', 'mine.v'), 'utf8')).toContain('mine');
  expect(existsSync(join(path, 'integer', 'c.txt'))).toBe(true);
  // Nor what a link leads to.
  symlinkSync(join(path, 'integer'), join(path, 'onnx'));
  expect(() => writeForms(path, [form('onnx', { 'e.txt': '' })])).toThrow(/onnx exists and is no export/);
  // A file in the place of the folder is one line for the user, not an error of the program.
  expect(() => writeForms(join(path, 'integer', 'c.txt'), [form('rtl', {})])).toThrow(UserError);
});

test('an export does not replace what a user has put into one, nor what was changed; what was built of it goes', () => {
  const path = join(parent, 'notes');
  const write = () => writeForms(path, [form('c', { 'net.c': 'int x;', 'deep/table.h': '' })]);
  const at = (name: string) => join(path, 'c', name);
  write();
  for (const name of ['notes.txt', 'deep/mine.h', '.hidden']) {
    writeFileSync(at(name), 'mine');
    expect(write).toThrow(`${at(name)} is no file of the export`);
    rmSync(at(name));
  }
  writeFileSync(at('deep/table.h'), 'mine');
  expect(write).toThrow(`${at('deep/table.h')} was changed since it was exported`);
  writeFileSync(at('deep/table.h'), '');
  // One that was put aside and comes back is looked at as well.
  writeFileSync(at('notes.txt'), 'mine');
  renameSync(join(path, 'c'), join(path, '.c.replaced'));
  expect(write).toThrow('is no file of the export');
  expect(readFileSync(at('notes.txt'), 'utf8')).toBe('mine');
  rmSync(at('notes.txt'));
  mkdirSync(at('build'));
  writeFileSync(at('build/by-table'), '');
  write();
  expect(readdirSync(join(path, 'c')).toSorted()).toEqual(['deep', 'export.json', 'net.c']);
});

test('a path that cannot be a folder is said', () => {
  const file = join(parent, 'file');
  writeFileSync(file, '');
  symlinkSync(join(parent, 'nowhere'), join(parent, 'loose'));
  const write = (path: string) => () => writeForms(path, [form('c', { 'net.c': '' })]);
  expect(write(file)).toThrow(/file is a file, and forms get a folder/);
  expect(write(join(file, 'below'))).toThrow(/cannot write .*below/);
  expect(write(join(parent, 'loose'))).toThrow(/cannot write .*loose/);
});

test('an export that fails or is killed leaves what was there, whole', () => {
  const path = join(parent, 'half');
  writeForms(path, [form('integer', { 'a.txt': '1' })]);
  // The second form cannot be written: a file and a folder of one name.
  const broken = form('c', { 'x.h': '1', 'x.h/y.h': '2' });
  expect(() => writeForms(path, [form('integer', { 'a.txt': '2' }), broken])).toThrow();
  expect(readFileSync(join(path, 'integer', 'a.txt'), 'utf8')).toBe('1');
  expect(readdirSync(path)).toEqual(['integer']);
  // Killed while it wrote, and between the two renames.
  const { pid } = spawnSync(process.execPath, ['--version']);
  for (const name of [
    `.rtl.${pid}-0123456789abcdef.tmp`,
    `.c.${process.ppid}-0123456789abcdef.tmp`,
    '.mine.replaced',
  ]) {
    mkdirSync(join(path, name));
    writeFileSync(join(path, name, 'half.v'), 'mod');
  }
  writeForms(join(path), [form('onnx', { 'net.onnx': '' })]);
  // What a process that is running writes, and what no export has made, stay.
  const others = [`.c.${process.ppid}-0123456789abcdef.tmp`, '.mine.replaced'];
  expect(readdirSync(path).toSorted()).toEqual([...others, 'integer', 'onnx']);
  for (const name of others) rmSync(join(path, name), { recursive: true });
  symlinkSync(path, join(parent, 'link'));
  const aside = join(path, '.integer.replaced');
  mkdirSync(aside);
  writeFileSync(join(aside, 'a.txt'), 'older');
  rmSync(join(path, 'integer'), { recursive: true });
  writeForms(path, [form('c', { 'x.h': '' })]);
  expect(readFileSync(join(path, 'integer', 'a.txt'), 'utf8')).toBe('older');
});

test.each(['../out.txt', '/etc/x', 'a//b', '.hidden', 'a/../../b', 'a b.v', 'é.v', 'export.json', ''])(
  'a file %j is refused before anything is written',
  (name) => {
    const path = join(parent, 'hostile');
    expect(() => writeForms(path, [form('rtl', { 'fine.v': '', [name]: '' })])).toThrow(/would have a file/);
    expect(existsSync(path)).toBe(false);
  },
);
