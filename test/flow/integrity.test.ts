// Damage to a finished run: whatever a command reads or vouches for is compared with what the run wrote, and what
// differs is named.

import {
  appendFileSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runFlow } from '../../src/flow/flow.ts';
import { checkRun } from '../../src/flow/results/check.ts';
import { summarize } from '../../src/flow/results/summarize.ts';
import { type Manifest, readManifest, writeManifest } from '../../src/flow/run/manifest.ts';
import type { ConfigurationInput } from '../../src/flow/settings/config.ts';
import { UserError } from '../../src/tensor/errors.ts';
import { sha256 } from '../../src/tensor/files.ts';
import { Random } from '../../src/tensor/random.ts';
import { decodeSafetensors, encodeSafetensors } from '../../src/tensor/safetensors.ts';
import { tram } from '../cli/program.ts';

const parent = mkdtempSync(join(tmpdir(), 'tram-integrity-'));
afterAll(() => rmSync(parent, { recursive: true }));

const brief: ConfigurationInput = {
  sample: 448,
  train: { epochs: 3 },
  explore: { epochs: 1 },
  recover: { epochs: 1 },
};
const whole = join(parent, 'whole');

beforeAll(async () => {
  await runFlow({ folder: whole, settings: brief });
});

let copies = 0;
function copy(of = whole): string {
  const folder = join(parent, `copy-${copies++}`);
  cpSync(of, folder, { recursive: true });
  return folder;
}

type Damage = (bytes: Buffer, random: Random) => Buffer | undefined;
const damages: Record<string, Damage> = {
  flipped: (bytes, random) => {
    const damaged = Buffer.from(bytes);
    damaged[random.integer(bytes.length)]! ^= 1 << random.integer(8);
    return damaged;
  },
  truncated: (bytes) => bytes.subarray(0, bytes.length >> 1),
  emptied: () => Buffer.alloc(0),
  removed: () => undefined,
};

describe('a finished run', () => {
  test('is whole, and its netlists are proved anew', async () => {
    const result = checkRun(whole);
    expect(result).toMatchObject({ whole: true, faults: [], extra: [], epochs: 5 });
    const forms = ['blif', 'v', 'npy', 'lut.txt'].map((extension) => `multiplier.${extension}`);
    expect(result.multipliers).toEqual([{ name: 'multiplier', forms, pairs: 65536 }]);
    const { code, out } = await tram('check', whole);
    expect(code).toBe(0);
    expect(out).toMatch(
      /^proved: multiplier: multiplier\.blif ≡ .* over 65 536 operand pairs\nwhole: .* 5 epochs logged/,
    );
  });

  test('names a file that no phase wrote, which is no fault', async () => {
    const folder = copy();
    writeFileSync(join(folder, 'checkpoints/notes.txt'), 'mine');
    expect(checkRun(folder)).toMatchObject({ whole: true, extra: ['checkpoints/notes.txt'] });
    expect((await tram('check', folder)).out).toContain('not of this run: checkpoints/notes.txt\n');
  });

  test.each(Object.entries(damages))(
    'with any of its files %s is refused by every command and named by check',
    async (_, damage) => {
      const random = new Random(7);
      const folder = copy();
      const names = readdirSync(folder, { recursive: true, withFileTypes: true })
        .filter((entry) => entry.isFile())
        .map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1));
      expect(names.length).toBeGreaterThan(18);
      for (const name of names) {
        const path = join(folder, name);
        const bytes = readFileSync(path);
        const damaged = damage(bytes, random);
        if (damaged) writeFileSync(path, damaged);
        else renameSync(path, join(parent, 'removed'));
        if (damaged || name !== 'manifest.json') {
          const { faults, whole: isWhole } = checkRun(folder);
          expect(isWhole, name).toBe(false);
          expect(faults.map((fault) => fault.path)).toEqual([name]);
          const { code, out } = await tram('check', folder);
          expect(code, name).toBe(1);
          expect(out).toContain(`wrong: ${name} `);
          expect(out).not.toMatch(/^whole/m);
        } else {
          expect((await tram('check', folder)).code).toBe(2);
        }
        const isRemade = name === 'report.html' || name.startsWith('figures/');
        if (!isRemade) {
          const before = listing(folder);
          for (const command of [['report'], ['run'], ['evaluate', '--stage', 'float'], ['compare']]) {
            const { code, out, err } = await tram(command[0]!, folder, ...command.slice(1));
            expect(code, `${command[0]} with ${name}`).toBe(2);
            expect(out).not.toContain('proved');
            expect(err.split('\n').length).toBe(2);
            expect(err).toContain(name);
          }
          expect(() => summarize(folder), name).toThrow(UserError);
          expect(listing(folder)).toEqual(before);
        }
        writeFileSync(path, bytes);
      }
      expect(checkRun(folder).whole).toBe(true);
    },
    300_000,
  );

  const listing = (folder: string) => readdirSync(folder, { recursive: true }).toSorted();

  test('says which phase makes a damaged file again, and doing that mends it', async () => {
    const folder = copy();
    writeFileSync(join(folder, 'multiplier.v'), 'module multiplier; endmodule\n');
    const { err } = await tram('report', folder);
    expect(err).toMatch(
      /multiplier\.v is not the file that the run wrote .*redo the phase with tram map .*copy-\d+ --redo\n$/,
    );
    expect((await tram('map', folder, '--redo', '--quiet')).code).toBe(0);
    expect((await tram('run', folder, '--quiet')).out).toContain('proved');
    expect(checkRun(folder).whole).toBe(true);
  });

  test('with a log that lacks, repeats or changes a line, or has one in the wrong place, is refused', () => {
    const folder = copy();
    const path = join(folder, 'metrics.jsonl');
    const lines = readFileSync(path, 'utf8').trimEnd().split('\n');
    const [first, second, third, explored, recovered] = lines as [string, string, string, string, string];
    const cases: [string, readonly string[], RegExp][] = [
      ['lost', [first, third, explored, recovered], /phase train logged \(it has epochs 1, 3\)/],
      ['repeated', [first, second, second, third, explored, recovered], /train logged \(it has epochs 1, 2, 2, 3\)/],
      ['changed', [first.replace('"loss":', '"loss":1'), second, third, explored, recovered], /phase train logged/],
      ['foreign', [...lines, explored], /the phase explore logged \(it has epochs 1, 1\)/],
      ['misplaced', [explored, first, second, third, recovered], /a line of explore, epoch 1, among those of train/],
      ['no record', [...lines, '{}'], /metrics\.jsonl:6: not a record of an epoch \(phase:/],
      ['null', ['null', ...lines], /metrics\.jsonl:1: not a record of an epoch/],
      ['a number', ['5', ...lines], /metrics\.jsonl:1: not a record of an epoch/],
      ['a list', ['[]', ...lines], /metrics\.jsonl:1: not a record of an epoch/],
    ];
    for (const [name, changed, message] of cases) {
      writeFileSync(path, `${changed.join('\n')}\n`);
      expect(() => summarize(folder), name).toThrow(message);
      expect(checkRun(folder).faults.map((fault) => fault.path)).toEqual(['metrics.jsonl']);
    }
    writeFileSync(path, `${lines.join('\n')}\n`);
    appendFileSync(path, '{"phase":"train","epo');
    expect(() => summarize(folder), 'a torn last line of a killed process').not.toThrow();
  });

  test('whose files are as written but do not belong together is not called proved', () => {
    const folder = copy();
    const forge = (path: string, change: (text: string) => string) => {
      const text = change(readFileSync(join(folder, path), 'utf8'));
      writeFileSync(join(folder, path), text);
      const manifest = readManifest(folder);
      const record = manifest.phases.map!;
      writeManifest(folder, {
        ...manifest,
        phases: { ...manifest.phases, map: { ...record, files: { ...record.files, [path]: sha256(text) } } },
      });
    };
    forge('multiplier.v', (text) => text.replace(/ & /, ' | '));
    const faults = checkRun(folder).faults;
    expect(faults).toHaveLength(1);
    expect(faults[0]).toMatchObject({ path: 'multiplier.blif', kind: 'unproved', phase: 'map' });
    expect(faults[0]!.detail).toMatch(/the Verilog text of .* differs from its table first at/);
  });
});

describe('a manifest', () => {
  const edited = (edit: (manifest: Manifest & { digest?: string }) => void, keepDigest = false) => {
    const folder = copy();
    const path = join(folder, 'manifest.json');
    const manifest = JSON.parse(readFileSync(path, 'utf8'));
    edit(manifest);
    if (!keepDigest) delete manifest.digest;
    writeFileSync(path, JSON.stringify(manifest));
    return folder;
  };

  test('that was changed is refused; without its digest the change counts as meant', () => {
    const improve = (manifest: Manifest) => {
      manifest.phases.recover!.stages[0]!.accuracy = 0.999;
    };
    expect(() => readManifest(edited(improve, true))).toThrow(/manifest\.json was changed since the program wrote it/);
    expect(readManifest(edited(improve)).phases.recover!.stages[0]!.accuracy).toBe(0.999);
    expect(() => readManifest(edited(() => {}, true))).not.toThrow();
  });

  const mapped = ({ phases }: Manifest) => phases.map!.multipliers![0]! as { layers: string[] };

  test.each<[string, (manifest: Manifest) => void, RegExp]>([
    [
      'another layer',
      (manifest) => void mapped(manifest).layers.splice(0, 1, 'convX'),
      /contradicts itself: the layer 'conv1'/,
    ],
    ['a layer more', (manifest) => void mapped(manifest).layers.push('convX'), /contradicts itself: the layer 'convX'/],
    ['a layer twice', (manifest) => void mapped(manifest).layers.push('fc'), /contradicts itself: the layer 'fc'/],
    [
      'no multiplier',
      ({ phases }) => Object.assign(phases.map!, { multipliers: [] }),
      /contradicts itself: the layer 'conv1'/,
    ],
    ['no layers', ({ inputs }) => Object.assign(inputs, { layers: [] }), /contradicts itself: the layer 'conv1'/],
    [
      'no table',
      ({ phases }) => void delete phases.map!.files['multiplier.npy'],
      /multiplier has no layer, or no table/,
    ],
    [
      'a multiplier outside',
      ({ phases }) => Object.assign(phases.map!.multipliers![0]!, { name: '../../PWNED' }),
      /phases\.map\.multipliers\.0\.name/,
    ],
    [
      'a hidden multiplier',
      ({ phases }) => Object.assign(phases.map!.multipliers![0]!, { name: '.bashrc' }),
      /multipliers\.0\.name/,
    ],
    [
      'a file outside',
      ({ phases }) => Object.assign(phases.map!.files, { '../x': '0'.repeat(64) }),
      /phases\.map\.files/,
    ],
    [
      'an absolute file',
      ({ phases }) => Object.assign(phases.map!.files, { '/tmp/x': '0'.repeat(64) }),
      /phases\.map\.files/,
    ],
    [
      'a file to remove outside',
      (manifest) => Object.assign(manifest, { discarding: { from: 'map', files: ['../x'] } }),
      /discarding\.files\.0/,
    ],
    ['a phase that is a number', ({ phases }) => Object.assign(phases, { map: 5 }), /phases\.map/],
    [
      'settings that are not JSON',
      ({ phases }) => Object.assign(phases.map!, { settings: '{x' }),
      /phases\.map\.settings/,
    ],
    [
      'settings that are null',
      ({ phases }) => Object.assign(phases.map!, { settings: 'null' }),
      /phases\.map\.settings/,
    ],
  ])('with %s is refused by all that read it', async (_, edit, message) => {
    const folder = edited(edit);
    const before = readdirSync(parent).toSorted();
    for (const command of ['run', 'report', 'evaluate', 'compare', 'map']) {
      const { code, err } = await tram(command, folder);
      expect(code).toBe(2);
      expect(err).toMatch(message);
    }
    expect(checkRun(folder).faults[0]).toMatchObject({ path: 'manifest.json', kind: 'unreadable' });
    expect(readdirSync(parent).toSorted()).toEqual(before);
  });

  test('with θ of another structure than the run’s is refused by all that show them', async () => {
    const folder = edited(({ phases }) => Object.assign(phases.map!.multipliers![0]!, { theta: [0, 1] }));
    for (const command of ['report', 'run']) {
      const { code, err } = await tram(command, folder);
      expect(code).toBe(2);
      expect(err).toMatch(/multiplier 'multiplier' has 2 θ, but the structure of the run has 64; map it again/);
    }
    await runFlow({ folder, phases: ['map'], redo: true });
    expect(readManifest(folder).phases.map!.multipliers![0]!.theta).toHaveLength(64);
  });
});

describe('a resume point', () => {
  /** A run that was stopped in its third epoch, saved. */
  async function stopped(): Promise<string> {
    const folder = join(parent, `stopped-${copies++}`);
    const controller = new AbortController();
    const listener = (event: { kind: string; epoch?: number; step?: number }) => {
      if (event.kind === 'step' && event.epoch === 3 && event.step === 1) controller.abort();
    };
    await expect(runFlow({ folder, settings: brief, signal: controller.signal, listener })).rejects.toThrow();
    return folder;
  }

  const resume = 'checkpoints/resume.safetensors';
  let base: string;
  beforeAll(async () => {
    base = await stopped();
  });

  test('that is whole is gone on from to the same bits', async () => {
    const folder = copy(base);
    expect(checkRun(folder)).toMatchObject({ whole: true, epochs: 2 });
    await runFlow({ folder });
    for (const name of ['float', 'recovered']) {
      const file = `checkpoints/${name}.safetensors`;
      expect(readFileSync(join(folder, file)).equals(readFileSync(join(whole, file)))).toBe(true);
    }
    expect(readFileSync(join(folder, 'metrics.jsonl'), 'utf8')).toBe(
      readFileSync(join(whole, 'metrics.jsonl'), 'utf8'),
    );
    // The manifests are the same text, but for the times.
    const text = (of: string) =>
      readFileSync(join(of, 'manifest.json'), 'utf8').replace(
        /"(created|finished|seconds|digest)": .*|"report.html": .*/g,
        '',
      );
    expect(text(folder)).toBe(text(whole));
  });

  type Stored = ReturnType<typeof decodeSafetensors>;
  const rewritten =
    (
      change: (stored: {
        tensors: Map<string, Stored['tensors'] extends ReadonlyMap<string, infer T> ? T : never>;
        metadata: Record<string, string>;
      }) => void,
    ) =>
    (bytes: Buffer) => {
      const { tensors, metadata } = decodeSafetensors(bytes, resume);
      const stored = { tensors: new Map(tensors), metadata: { ...metadata } };
      change(stored);
      return encodeSafetensors(stored.tensors, stored.metadata);
    };
  const inPoint = (change: (position: { epoch: number; step: number; sums: { loss: number } }) => void) =>
    rewritten((stored) => {
      const point = JSON.parse(stored.metadata.resume!);
      change(point.position);
      stored.metadata.resume = JSON.stringify(point);
    });

  test.each<[string, (bytes: Buffer) => Uint8Array]>([
    ['a bit in its last tensor flipped', (bytes) => flipAt(bytes, bytes.length - 999)],
    ['a bit in the middle flipped', (bytes) => flipAt(bytes, bytes.length >> 1)],
    ['its end cut off', (bytes) => bytes.subarray(0, -4)],
    ['nothing in it', () => new Uint8Array()],
    [
      'one tensor alone',
      rewritten(({ tensors }) => [...tensors.keys()].slice(1).forEach((name) => void tensors.delete(name))),
    ],
    ['a tensor less', rewritten(({ tensors }) => void tensors.delete('conv1.weight'))],
    ['all values zero', rewritten(({ tensors }) => tensors.forEach(({ data }) => void data.fill(0)))],
    ['epoch 7 of 3', inPoint((position) => Object.assign(position, { epoch: 7 }))],
    ['other sums', inPoint(({ sums }) => Object.assign(sums, { loss: 1 }))],
    ['a place that is no JSON', rewritten(({ metadata }) => Object.assign(metadata, { resume: '{' }))],
    ['no place', rewritten(({ metadata }) => void delete metadata.resume)],
    ['no digest', rewritten(({ metadata }) => void delete metadata.digest)],
  ])('with %s is refused, with what to do', async (_, damage) => {
    const folder = copy(base);
    const path = join(folder, resume);
    writeFileSync(path, damage(readFileSync(path)));
    const { code, err } = await tram('run', folder);
    expect(code).toBe(2);
    expect(err).toMatch(/resume\.safetensors is damaged: .*; remove it, and the phase train starts again\n$/);
    expect(checkRun(folder).faults.map((fault) => fault.path)).toEqual([resume]);
    expect(existsSync(path)).toBe(true);
  });

  function flipAt(bytes: Buffer, at: number): Buffer {
    const damaged = Buffer.from(bytes);
    damaged[at]! ^= 4;
    return damaged;
  }

  test('of a position that the phase does not have is refused even when its digest is right', async () => {
    const folder = copy(base);
    const path = join(folder, resume);
    const { tensors, metadata } = decodeSafetensors(readFileSync(path), resume);
    const point = JSON.parse(metadata.resume!);
    point.position.epoch = 7;
    const text = JSON.stringify(point);
    const parts = [...tensors]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .flatMap(([name, { dtype, shape, data }]) => [
        JSON.stringify([name, dtype, shape]),
        new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
      ]);
    writeFileSync(path, encodeSafetensors(tensors, { resume: text, digest: sha256(text, ...parts) }));
    await expect(runFlow({ folder })).rejects.toThrow(
      /stands in epoch 8, step \d+, but the phase has 3 epochs of 7 steps/,
    );
  });

  test('whose epochs are missing from the log is refused, with what to do', async () => {
    const folder = copy(base);
    const path = join(folder, 'metrics.jsonl');
    const [first, second] = readFileSync(path, 'utf8').split('\n') as [string, string];
    for (const lines of ['', `${first}\n`, `${second}\n`, `${first}\n${first}\n${second}\n`]) {
      writeFileSync(path, lines);
      await expect(runFlow({ folder })).rejects.toThrow(
        /metrics\.jsonl does not hold the 2 epochs of the phase train that are done .*; restore it, or remove checkpoints\/resume/,
      );
    }
    rmSync(join(folder, resume));
    await runFlow({ folder, phases: ['train'] });
    const file = 'checkpoints/float.safetensors';
    expect(readFileSync(join(folder, file)).equals(readFileSync(join(whole, file)))).toBe(true);
  });
});
