import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { UserError } from './errors.ts';
import {
  fileState,
  makeFolder,
  openJsonLines,
  readBytes,
  readJson,
  readJsonLines,
  readText,
  sha256,
  writeFileAtomic,
  writeInside,
  writeJson,
} from './files.ts';

const failure = vi.hoisted(() => ({ code: '', afterBytes: 0 }));
/** What is done to a file that has just got its name, and whether the clock stood still since it was written. */
const naming = vi.hoisted(() => ({ act: (_: string) => {}, isAtOnce: false }));

vi.mock('node:fs', async (original) => {
  const real = await original<typeof import('node:fs')>();
  const writeSync = (descriptor: number, bytes: Uint8Array, offset: number, length: number) => {
    if (failure.code === '') return real.writeSync(descriptor, bytes, offset, length);
    if (offset >= failure.afterBytes) throw Object.assign(new Error('injected'), { code: failure.code });
    return real.writeSync(descriptor, bytes, offset, Math.min(length, failure.afterBytes - offset));
  };
  const renameSync = (from: string, to: string) => {
    // No clock of a file system stands still for so long.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30);
    real.renameSync(from, to);
    naming.act(to);
  };
  const statSync = ((path: string, options: { bigint: true }) => {
    const stats = real.statSync(path, options);
    return stats && naming.isAtOnce ? Object.assign(stats, { ctimeNs: stats.mtimeNs }) : stats;
  }) as typeof real.statSync;
  const changed = { writeSync, renameSync, statSync };
  return { ...real, default: { ...real, ...changed }, ...changed };
});

let folder: string;
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'tram-files-'));
});
afterEach(() => {
  failure.code = '';
  fs.rmSync(folder, { recursive: true });
});

describe('the state of a file that was written', () => {
  afterEach(() => {
    naming.act = () => {};
    naming.isAtOnce = false;
  });

  test('is that of the file at its path until somebody changes it', () => {
    const path = join(folder, 'a');
    const state = writeInside(folder, 'a', 'one');
    expect(state).toMatch(/^\d+ \d+ 3 \d+ \d+$/);
    expect(fileState(path)).toBe(state);
    const other = writeInside(folder, 'a', 'one');
    expect(other).not.toBe(state);
    fs.writeFileSync(path, 'two');
    expect(fileState(path)).not.toBe(other);
    fs.unlinkSync(path);
    expect(fileState(path)).toBeUndefined();
  });

  test('is not said where a change at once would not show in it', () => {
    naming.isAtOnce = true;
    expect(writeInside(folder, 'a', 'one')).toBeUndefined();
    naming.isAtOnce = false;
    expect(writeInside(folder, 'a', 'one')).toBeDefined();
  });

  test.each<readonly [string, (path: string) => void]>([
    [
      'replaced by a file of the same time',
      (path) => {
        execFileSync('cp', ['-p', path, `${path}.new`]);
        fs.renameSync(`${path}.new`, path);
      },
    ],
    [
      'written to',
      (path) => {
        fs.writeFileSync(path, 'two');
        Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 30);
        fs.chmodSync(path, 0o600);
      },
    ],
    ['removed', (path) => fs.unlinkSync(path)],
  ])('is not said of a file that was %s as soon as it had its name', (_, change) => {
    naming.act = (path) => {
      naming.act = () => {};
      change(path);
    };
    expect(writeInside(folder, 'a', 'one')).toBeUndefined();
  });
});

describe('writeFileAtomic', () => {
  test('writes text and bytes and replaces what was there', () => {
    const path = join(folder, 'a.txt');
    writeFileAtomic(path, 'first, and longer');
    writeFileAtomic(path, 'zweite Ω');
    expect(readText(path)).toBe('zweite Ω');
    writeFileAtomic(path, new Uint8Array([0, 255, 7]));
    expect([...readBytes(path)]).toEqual([0, 255, 7]);
    expect(fs.readdirSync(folder)).toEqual(['a.txt']);
  });

  test.each([
    ['ENOSPC', 'no space left on the disk'],
    ['EFBIG', 'the file would exceed the size limit'],
    ['EIO', 'injected'],
  ])('keeps the old content and leaves no temporary file when a write fails half-way with %s', (code, cause) => {
    const path = join(folder, 'checkpoint');
    writeFileAtomic(path, 'old');
    Object.assign(failure, { code, afterBytes: 5 });
    expect(() => writeFileAtomic(path, 'new content')).toThrow(UserError);
    expect(() => writeFileAtomic(path, 'new content')).toThrow(`cannot write ${path}: ${cause}`);
    expect(readText(path)).toBe('old');
    expect(fs.readdirSync(folder)).toEqual(['checkpoint']);
  });

  test('names the file and the missing folder', () => {
    const path = join(folder, 'missing', 'a.txt');
    expect(() => writeFileAtomic(path, '')).toThrow(
      `cannot write ${path}: no such file or folder; check the path (ENOENT)`,
    );
  });

  test.skipIf(process.platform === 'win32')('names the file whose folder may not be written', () => {
    const path = join(folder, 'a.txt');
    fs.chmodSync(folder, 0o555);
    const root = process.geteuid!() === 0;
    if (root) process.seteuid!(65534);
    try {
      expect(() => writeFileAtomic(path, '')).toThrow(`cannot write ${path}: permission denied`);
    } finally {
      if (root) process.seteuid!(0);
    }
  });

  test('refuses a folder and a device as the target', () => {
    expect(() => writeFileAtomic(folder, '')).toThrow(`cannot write ${folder}: it exists and is not a regular file`);
    expect(() => writeFileAtomic('/dev/null', '')).toThrow(
      'cannot write /dev/null: it exists and is not a regular file',
    );
  });

  test('writes through a symbolic link instead of replacing it', () => {
    fs.mkdirSync(join(folder, 'disk'));
    const real = join(folder, 'disk', 'a.txt');
    fs.writeFileSync(real, 'old');
    fs.symlinkSync(real, join(folder, 'link'));
    writeFileAtomic(join(folder, 'link'), 'new');
    expect(fs.lstatSync(join(folder, 'link')).isSymbolicLink()).toBe(true);
    expect(fs.readFileSync(real, 'utf8')).toBe('new');
  });
});

describe('reading', () => {
  test('names a missing file and a folder', () => {
    const path = join(folder, 'nothing');
    expect(() => readBytes(path)).toThrow(`cannot read ${path}: no such file or folder; check the path (ENOENT)`);
    expect(() => readText(folder)).toThrow(`cannot read ${folder}: it is a folder, a file was expected (EISDIR)`);
  });

  test('JSON round-trips, and damaged JSON is named', () => {
    const path = join(folder, 'theta.json');
    writeJson(path, { theta: [1, 0.5] });
    expect(readJson(path)).toEqual({ theta: [1, 0.5] });
    writeFileAtomic(path, '{"theta": [1,');
    expect(() => readJson(path)).toThrow(`${path} is not valid JSON`);
  });

  test('sha256 is that of the concatenation', () => {
    expect(sha256('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(sha256('a', new Uint8Array([98]), 'c')).toBe(sha256('abc'));
  });
});

describe('JSON-lines log', () => {
  const path = () => join(folder, 'metrics.jsonl');

  test('appends, and reads back in a new process what was appended', () => {
    const log = openJsonLines(path());
    log.append({ step: 1 });
    log.append({ step: 2 });
    log.close();
    expect(readJsonLines(path())).toEqual([{ step: 1 }, { step: 2 }]);
    const again = openJsonLines(path());
    expect(again.records).toEqual([{ step: 1 }, { step: 2 }]);
    again.append({ step: 3 });
    again.close();
    expect(fs.readFileSync(path(), 'utf8')).toBe('{"step":1}\n{"step":2}\n{"step":3}\n');
  });

  test('drops a torn last line at every possible cut', () => {
    const whole = '{"step":1}\n{"name":"Größe"}\n';
    const bytes = Buffer.from(whole);
    for (let cut = 0; cut <= bytes.length; cut++) {
      fs.writeFileSync(path(), bytes.subarray(0, cut));
      const kept = cut < 11 ? [] : cut < bytes.length ? [{ step: 1 }] : [{ step: 1 }, { name: 'Größe' }];
      expect(readJsonLines(path())).toEqual(kept);
      const log = openJsonLines(path());
      log.append('next');
      log.close();
      expect(readJsonLines(path())).toEqual([...kept, 'next']);
    }
  });

  test('cuts off everything from the first refused record on', () => {
    fs.writeFileSync(path(), '{"step":1}\n{"step":2}\n{"step":1}\n');
    const log = openJsonLines(path(), (record) => (record as { step: number }).step < 2);
    log.close();
    expect(log.records).toEqual([{ step: 1 }]);
    expect(fs.readFileSync(path(), 'utf8')).toBe('{"step":1}\n');
  });

  test('names file and line of a damaged record in the middle', () => {
    fs.writeFileSync(path(), '{"step":1}\n{"ste\n{"step":3}\n');
    expect(() => readJsonLines(path())).toThrow(`${path()}:2: not a JSON record: '{"ste'`);
    expect(() => openJsonLines(path())).toThrow(UserError);
  });

  test('a failed append leaves the records before it', () => {
    const log = openJsonLines(path());
    log.append({ step: 1 });
    Object.assign(failure, { code: 'ENOSPC', afterBytes: 4 });
    expect(() => log.append({ step: 2 })).toThrow(`cannot write ${path()}: no space left`);
    failure.code = '';
    log.append({ step: 3 });
    log.close();
    expect(fs.readFileSync(path(), 'utf8')).toBe('{"step":1}\n{"step":3}\n');
  });

  test('names the log in a missing folder', () => {
    const missing = join(folder, 'missing', 'metrics.jsonl');
    expect(() => openJsonLines(missing)).toThrow(`cannot write ${missing}: no such file or folder`);
  });
});

describe('makeFolder', () => {
  test('makes missing parents and leaves what exists', () => {
    const folder = join(fs.mkdtempSync(join(tmpdir(), 'tram-folder-')), 'a', 'b');
    makeFolder(folder);
    makeFolder(folder);
    expect(fs.existsSync(folder)).toBe(true);
  });

  test.runIf(fs.existsSync('/proc/self'))(
    'names the folder that cannot be made, also where the system denies that it exists',
    () => {
      expect(() => makeFolder('/proc/no-such-process/run')).toThrow(/\/proc\/no-such-process/);
    },
  );
});
