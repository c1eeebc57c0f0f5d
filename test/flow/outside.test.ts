// A run folder that somebody has prepared: whatever its names and links say, nothing outside of it is written, and no
// other file is followed.

import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { checkRun } from '../../src/flow/results/check.ts';
import { readManifest, writeManifest } from '../../src/flow/run/manifest.ts';
import { reportElsewhere } from '../../src/index.ts';
import { sha256 } from '../../src/tensor/files.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-outside-'));
afterAll(() => rmSync(parent, { recursive: true }));
const whole = join(parent, 'whole');

beforeAll(async () => {
  await runFlow({
    folder: whole,
    settings: { sample: 100, train: { epochs: 1 }, explore: { epochs: 1 }, recover: { epochs: 1 } },
  });
});

let copies = 0;
/** A copy in a folder of its own, beside which nothing is. */
function copy(): { readonly around: string; readonly folder: string } {
  const around = join(parent, `copy-${copies++}`);
  const folder = join(around, 'deep', 'run');
  cpSync(whole, folder, { recursive: true });
  return { around, folder };
}

const everything = (folder: string) => readdirSync(folder, { recursive: true }).toSorted();

test.each(['/../../PWNED', '../PWNED', 'a/b', '.hidden', '-rf', '', 'x\u001b]0;title\u0007', '..'])(
  'a structure called %j in theta.json, with its hash in the manifest, is refused',
  async (name) => {
    const { around, folder } = copy();
    const theta = JSON.parse(readFileSync(join(folder, 'theta.json'), 'utf8'));
    theta.structures[0].name = name;
    const text = JSON.stringify(theta);
    writeFileSync(join(folder, 'theta.json'), text);
    const manifest = readManifest(folder);
    const { train, quantize, explore } = manifest.phases;
    const phases = {
      ...(train ? { train } : {}),
      ...(quantize ? { quantize } : {}),
      explore: { ...explore!, files: { ...explore!.files, 'theta.json': sha256(text) } },
    };
    writeManifest(folder, { ...manifest, phases });
    const lines = readFileSync(join(folder, 'metrics.jsonl'), 'utf8').split('\n').slice(0, 2);
    writeFileSync(join(folder, 'metrics.jsonl'), `${lines.join('\n')}\n`);
    const before = everything(around);
    await expect(runFlow({ folder })).rejects.toThrow(/theta\.json does not hold structures: structures\.0\.name/);
    expect(everything(around)).toEqual(before);
    expect(checkRun(folder).faults[0]).toMatchObject({ path: 'theta.json', kind: 'unproved' });
  },
);

describe('symbolic links', () => {
  test('in the place of files are replaced, and what they lead to stays', async () => {
    const { around, folder } = copy();
    const precious = join(around, 'precious');
    writeFileSync(precious, 'mine');
    const names = readdirSync(folder, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map(({ parentPath, name }) => join(parentPath, name))
      .filter((path) => !path.endsWith('metrics.jsonl') && !path.endsWith('manifest.json'));
    const { given } = readManifest(folder);
    for (const path of names) {
      rmSync(path);
      symlinkSync(precious, path);
    }
    symlinkSync(precious, join(folder, 'checkpoints/resume.safetensors'));
    await runFlow({
      folder,
      settings: given,
      phases: ['train', 'quantize', 'explore', 'map', 'recover', 'report'],
      redo: true,
    });
    expect(readFileSync(precious, 'utf8')).toBe('mine');
    for (const path of names) expect(lstatSync(path).isFile(), path).toBe(true);
    expect(checkRun(folder).whole).toBe(true);
    expect(everything(around)).toContain('precious');
  });

  test.each(['checkpoints', 'figures'])(
    'in the place of the folder %s are refused before anything is written',
    async (name) => {
      const { around, folder } = copy();
      const elsewhere = join(around, 'elsewhere');
      renameSync(join(folder, name), elsewhere);
      symlinkSync(elsewhere, join(folder, name));
      const before = everything(around);
      // The report does not write checkpoints.
      const commands = [['report'], ['train', 'quantize']] as const;
      for (const phases of commands.slice(name === 'figures' ? 0 : 1)) {
        await expect(runFlow({ folder, phases, redo: true })).rejects.toThrow(
          new RegExp(`${name}.* (is a symbolic link|a symbolic link leads it out)`),
        );
      }
      expect(everything(around)).toEqual(before);
    },
  );

  test('in the place of the log and of the lock are refused', async () => {
    const { around, folder } = copy();
    const precious = join(around, 'precious');
    writeFileSync(precious, '');
    symlinkSync(precious, join(folder, '.lock'));
    await expect(runFlow({ folder })).rejects.toThrow(/\.lock: it is a symbolic link, which is not followed here/);
    rmSync(join(folder, '.lock'));
    rmSync(join(folder, 'metrics.jsonl'));
    symlinkSync(precious, join(folder, 'metrics.jsonl'));
    await expect(runFlow({ folder, phases: ['train'], redo: true })).rejects.toThrow(/metrics\.jsonl/);
    expect(readFileSync(precious, 'utf8')).toBe('');
  });

  test('may lead to the run folder itself', async () => {
    const { around, folder } = copy();
    symlinkSync(folder, join(around, 'latest'));
    const { donePhases } = await runFlow({ folder: join(around, 'latest') });
    expect(donePhases.length).toBe(6);
  });
});

test('a file that was closed to others stays closed when it is written again', async () => {
  const { folder } = copy();
  const path = join(folder, 'manifest.json');
  chmodSync(path, 0o600);
  chmodSync(join(folder, 'report.html'), 0o640);
  await runFlow({ folder, phases: ['report'] });
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder, 'report.html')).mode & 0o777).toBe(0o640);
});

test('a second report is the same as the first, to the byte', async () => {
  const { folder } = copy();
  const files = ['report.html', ...readdirSync(join(folder, 'figures')).map((name) => `figures/${name}`)];
  const before = files.map((name) => readFileSync(join(folder, name), 'utf8'));
  await runFlow({ folder, phases: ['report'] });
  expect(files.map((name) => readFileSync(join(folder, name), 'utf8'))).toEqual(before);
});

test('temporary files of killed writes are swept when a run begins', async () => {
  const { folder } = copy();
  const left = ['.manifest.json.2.0.tmp', 'checkpoints/.float.safetensors.0123456789abcdef.tmp'];
  for (const name of left) writeFileSync(join(folder, name), 'half');
  mkdirSync(join(folder, 'checkpoints', '.mine.tmp'));
  await runFlow({ folder });
  for (const name of left) expect(existsSync(join(folder, name))).toBe(false);
  expect(existsSync(join(folder, 'checkpoints', '.mine.tmp'))).toBe(true);
});

test('a report elsewhere writes nothing of the run, also of one that may not be written, and its links lead there', async () => {
  const { around, folder } = copy();
  const before = everything(around);
  const out = join(parent, 'elsewhere');
  const root = process.geteuid!() === 0;
  for (const path of [folder, join(folder, 'figures')]) chmodSync(path, 0o555);
  for (const path of [parent, mkdirSync(out, { recursive: true })!]) chmodSync(path, 0o777);
  if (root) process.seteuid!(65534);
  try {
    const { donePhases } = await reportElsewhere({ folder, out });
    expect(donePhases).toContain('report');
  } finally {
    if (root) process.seteuid!(0);
    for (const path of [folder, join(folder, 'figures')]) chmodSync(path, 0o755);
  }
  expect(everything(around)).toEqual(before);
  expect(everything(out)).toEqual(
    ['figures', 'report.html', ...readdirSync(join(folder, 'figures')).map((name) => join('figures', name))].toSorted(),
  );
  const page = readFileSync(join(out, 'report.html'), 'utf8');
  const links = [...page.matchAll(/href="(\.\/[^"]+)"/g)].map(([, link]) => join(out, decodeURI(link!)));
  expect(links).toContain(join(folder, 'theta.json'));
  expect(links.filter((path) => !existsSync(path))).toEqual([]);
  await expect(reportElsewhere({ folder, out: folder })).rejects.toThrow(/is a run folder, and its report is its own/);
  const file = join(out, 'report.html');
  await expect(reportElsewhere({ folder, out: file })).rejects.toThrow(`${file} is a file; a folder`);
});
