// Results of synthesis on disk, under a key of everything that they depend on: the circuit's text, the texts of the
// library, every setting, the version of Yosys and SYNTHESIS_VERSION of our own flow. Synthesis is deterministic, so a
// hit is what would be computed.
// Invariant: an entry is written whole or not at all and carries a digest; one that is damaged, or that answers another
// key, is not used and is written anew. A cache that cannot be read or written costs time, not the result.

import { randomUUID } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { gunzipSync, gzipSync } from 'node:zlib';
import { writeVerilog } from '../netlist/verilog/write.ts';
import { sha256 } from '../tensor/files.ts';
import { userCacheFolder } from '../tensor/user-cache.ts';
import { SYNTHESIS_VERSION, type Synthesis, type SynthesisOptions, synthesize } from './synthesize.ts';
import { unitGateLiberty } from './technology/unit-gate.ts';
import { yosysIdentity } from './yosys/choose.ts';
import type { Circuit } from './yosys/design.ts';

/** Entries that are kept, about 10 KiB each; those that were not used for longest go first. */
const MOST_ENTRIES = 4096;

/** What a circuit is, whatever the file it came from is called. */
function circuitText(circuit: Circuit): readonly unknown[] {
  if ('network' in circuit) return ['network', writeVerilog(circuit.network)];
  if ('blif' in circuit) return ['blif', circuit.blif, circuit.lenient ?? false];
  return ['verilog', circuit.verilog, circuit.top ?? null];
}

/** JSON in which Infinity is not null, and the order of the keys does not matter. */
function plainText(value: unknown): string {
  return JSON.stringify(value, (_, part: unknown) => {
    if (typeof part === 'number' && !Number.isFinite(part)) return String(part);
    if (typeof part !== 'object' || part === null || Array.isArray(part)) return part;
    if (ArrayBuffer.isView(part)) return Array.from(part as unknown as ArrayLike<number>);
    return Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  });
}

/** 64 hexadecimal digits: a hash of all that decides a synthesis. Whatever option there is counts. */
export async function synthesisKey(options: SynthesisOptions): Promise<string> {
  const { circuit, liberty = 'builtin', yosys = 'bundled', ...settings } = options;
  const texts = liberty === 'builtin' ? [unitGateLiberty] : liberty;
  const library = texts.map(({ name, text }) => [name, sha256(text)]);
  const parts = [SYNTHESIS_VERSION, await yosysIdentity(yosys), liberty === 'builtin', library, circuitText(circuit)];
  return sha256(plainText([...parts, settings]));
}

/** The result of `synthesize`, from the cache where it is there; `cache` is a folder, null for none. */
export async function synthesizeOnce(
  options: SynthesisOptions,
  cache: string | null = userCacheFolder('synthesis'),
): Promise<Synthesis> {
  if (cache === null) return synthesize(options);
  const key = await synthesisKey(options);
  const path = join(cache, `${key.slice(0, 32)}.json.gz`);
  const known = find(path, key);
  if (known) return known;
  const result = await synthesize(options);
  keep(cache, path, key, result);
  return result;
}

interface Entry {
  readonly key: string;
  /** SHA-256 of the result's text. */
  readonly digest: string;
  readonly result: string;
}

function find(path: string, key: string): Synthesis | undefined {
  try {
    if (!existsSync(path)) return undefined;
    const entry = JSON.parse(gunzipSync(readFileSync(path)).toString('utf8')) as Entry;
    if (entry.key !== key || entry.digest !== sha256(entry.result)) return undefined;
    const result = JSON.parse(entry.result) as Synthesis;
    const now = new Date();
    utimesSync(path, now, now);
    return result;
  } catch {
    return undefined;
  }
}

function keep(folder: string, path: string, key: string, synthesis: Synthesis): void {
  const result = JSON.stringify(synthesis);
  const entry: Entry = { key, digest: sha256(result), result };
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    mkdirSync(folder, { recursive: true });
    writeFileSync(temporary, gzipSync(JSON.stringify(entry)));
    renameSync(temporary, path);
    trim(folder);
  } catch {
    try {
      rmSync(temporary, { force: true });
    } catch {
      return;
    }
  }
}

/** Removes what was not used for longest where there are too many; what others remove meanwhile is no matter. */
function trim(folder: string, most = MOST_ENTRIES): void {
  const names = readdirSync(folder).filter((name) => name.endsWith('.json.gz'));
  if (names.length <= most) return;
  const used = names.map((name) => ({ name, at: statSync(join(folder, name)).mtimeMs }));
  const oldest = used.toSorted((a, b) => a.at - b.at).slice(0, names.length - most);
  for (const { name } of oldest) rmSync(join(folder, name), { force: true });
}
