// A run folder verified from its files: each against its hash, each parsed as what it claims to be, each netlist proved
// anew, the log of the epochs whole. Nothing is written, and nothing that the manifest says is believed where a file
// can be asked.

import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { errorMetrics } from '../../multiplier/metrics.ts';
import { firstDifference, type ProductTable } from '../../multiplier/table.ts';
import { readBlif } from '../../netlist/blif/read.ts';
import { certify } from '../../netlist/certify.ts';
import { readNpy } from '../../netlist/formats/npy.ts';
import { readTextTable } from '../../netlist/formats/text.ts';
import { UserError } from '../../tensor/errors.ts';
import { readBytes, readText } from '../../tensor/files.ts';
import { decodeAll } from '../../tensor/safetensors.ts';
import { multiplierFiles } from '../../workbench/files.ts';
import { parseTheta } from '../multipliers/theta.ts';
import { readResumePoint } from '../run/checkpoint.ts';
import { eventFile, files } from '../run/folder.ts';
import { recordFaults } from '../run/integrity.ts';
import { LOCK_FILE } from '../run/lock.ts';
import { type Manifest, type MultiplierRecord, readManifest } from '../run/manifest.ts';
import { readMetrics } from '../run/metrics.ts';
import { type Phase, phases, phasesOf } from '../settings/phases.ts';

export interface CheckFault {
  /** Of the file, in the run folder. */
  readonly path: string;
  /** `unproved`: the file is as it was written, but does not hold what the run says of it. */
  readonly kind: 'missing' | 'differs' | 'unreadable' | 'unproved';
  /** What is wrong, as the rest of a sentence that begins with the path. */
  readonly detail: string;
  /** The phase that made the file. */
  readonly phase?: Phase;
}

export interface CheckedMultiplier {
  readonly name: string;
  /** The files that compute the same products, in the order of comparison; a table alone has its two forms. */
  readonly forms: readonly string[];
  /** Operand pairs over which they do: all. */
  readonly pairs: number;
}

export interface CheckResult {
  readonly folder: string;
  /** Whether nothing is wrong. Files that no phase wrote are no fault. */
  readonly whole: boolean;
  readonly faults: readonly CheckFault[];
  /** Files that are there, but that the run does not know. */
  readonly extra: readonly string[];
  /** Files that were compared with their hashes. */
  readonly files: number;
  /** The multipliers that were proved anew. */
  readonly multipliers: readonly CheckedMultiplier[];
  /** Epochs in the log. */
  readonly epochs: number;
  /** The finished phases. */
  readonly donePhases: readonly Phase[];
}

/** Verifies a run folder. Throws a UserError only where there is no run at all; everything else is among the faults. */
export function checkRun(folder: string): CheckResult {
  const nothing = { folder, extra: [], files: 0, multipliers: [], epochs: 0, donePhases: [] };
  if (!existsSync(join(folder, 'manifest.json'))) readManifest(folder);
  const read = attempt(() => readManifest(folder));
  if ('error' in read) {
    return { ...nothing, whole: false, faults: [{ path: 'manifest.json', kind: 'unreadable', detail: read.error }] };
  }
  const { value: manifest } = read;
  const faults: CheckFault[] = recordFaults(folder, manifest.phases);
  const broken = new Set(faults.map(({ path }) => path));
  // An exploration that a given multiplier leaves idle belongs to the run, too.
  const recorded = phases.flatMap((phase) =>
    Object.keys(manifest.phases[phase]?.files ?? {}).map((path) => ({ path, phase })),
  );
  for (const { path, phase } of recorded) {
    if (broken.has(path)) continue;
    const parsed = attempt(() => parse(folder, path));
    if ('error' in parsed) faults.push({ path, kind: 'unproved', detail: parsed.error, phase });
  }
  const multipliers: CheckedMultiplier[] = [];
  for (const record of manifest.phases.map?.multipliers ?? []) {
    const proved = prove(folder, record, new Set(recorded.map(({ path }) => path)), broken);
    if ('pairs' in proved) multipliers.push(proved);
    else faults.push(...proved.faults);
  }
  faults.push(...resumeFaults(folder, manifest));
  const log = attempt(() => readMetrics(folder).length);
  return {
    folder,
    whole: faults.length === 0,
    faults,
    extra: extraFiles(folder, new Set([...recorded.map(({ path }) => path), eventFile(manifest)])),
    files: recorded.length,
    multipliers,
    epochs: 'error' in log ? 0 : log.value,
    donePhases: phasesOf(manifest.configuration).filter((phase) => manifest.phases[phase]),
  };
}

/** The value, or what a UserError says; anything else is a fault of this program and goes on. */
function attempt<T>(work: () => T): { readonly value: T } | { readonly error: string } {
  try {
    return { value: work() };
  } catch (error) {
    if (error instanceof UserError) return { error: `cannot be used: ${error.message}` };
    throw error;
  }
}

/** Reads a file as what its name says; the netlists and tables of multipliers are read by their proofs. */
function parse(folder: string, path: string): void {
  const full = join(folder, path);
  if (path.endsWith('.safetensors')) decodeAll(readBytes(full), full);
  else if (path === files.theta) parseTheta(readBytes(full), full);
  else if (path.endsWith('.json')) parseJson(full);
}

function parseJson(path: string): void {
  try {
    JSON.parse(readText(path));
  } catch (error) {
    throw new UserError(`${path} is not valid JSON: ${(error as Error).message}`);
  }
}

/** Compares the products of every form of a multiplier, and its recorded errors with those of its table. */
function prove(
  folder: string,
  { name, signed, metrics, certificate }: MultiplierRecord,
  recorded: ReadonlySet<string>,
  broken: ReadonlySet<string>,
): CheckedMultiplier | { readonly faults: CheckFault[] } {
  const paths = multiplierFiles(name);
  const forms = [paths.blif, paths.verilog, paths.table, paths.text].filter((path) => recorded.has(path));
  const unproved = (path: string, detail: string) => ({
    faults: [{ path, kind: 'unproved' as const, detail, phase: 'map' as const }],
  });
  if (!forms.includes(paths.table)) return unproved(paths.table, `is not among the files of ${name}`);
  // What is damaged has been named already.
  if (forms.some((path) => broken.has(path))) return { faults: [] };
  const full = (path: string) => join(folder, path);
  const table = attempt(() => readNpy(readBytes(full(paths.table)), full(paths.table), { signed }));
  if ('error' in table) return unproved(paths.table, table.error);
  const text = attempt(() => requireSameTable(full(paths.text), table.value));
  if ('error' in text) return unproved(paths.text, text.error);
  if (JSON.stringify(errorMetrics(table.value)) !== JSON.stringify(metrics)) {
    return unproved(paths.table, 'has other errors than the manifest says');
  }
  if (table.value.data.length !== certificate.pairs) {
    return unproved(paths.table, `has ${table.value.data.length} operand pairs, its certificate ${certificate.pairs}`);
  }
  const hasNetlist = forms.includes(paths.blif) && forms.includes(paths.verilog);
  if (hasNetlist !== (certificate.sha256.blif !== undefined && certificate.sha256.verilog !== undefined)) {
    return unproved(paths.blif, `and ${paths.verilog} do not stand together with their certificate`);
  }
  if (hasNetlist) {
    const proof = attempt(() => certifyFiles(full(paths.blif), full(paths.verilog), table.value));
    if ('error' in proof) return unproved(paths.blif, proof.error);
    const { blif, verilog, table: npy } = proof.value.sha256;
    const certified = certificate.sha256;
    if (blif !== certified.blif || verilog !== certified.verilog || npy !== certified.table) {
      return unproved(paths.blif, 'is not what the certificate was made for');
    }
  }
  return { name, forms, pairs: table.value.data.length };
}

function certifyFiles(blifPath: string, verilogPath: string, table: ProductTable) {
  const [blif, verilog] = [readText(blifPath), readText(verilogPath)];
  return certify({ network: readBlif(blif, { file: blifPath }).network, table, blif, verilog });
}

function requireSameTable(path: string, table: ProductTable): void {
  const text = { ...readTextTable(readText(path), path), signed: table.signed };
  const isSame = text.weightBits === table.weightBits && text.activationBits === table.activationBits;
  const difference = isSame ? firstDifference(text, table) : { w: 0, x: 0 };
  if (difference) throw new UserError(`${path} differs from the .npy table first at ${difference.w} × ${difference.x}`);
}

function resumeFaults(folder: string, manifest: Manifest): CheckFault[] {
  const path = join(folder, files.resume);
  if (!existsSync(path)) return [];
  const read = attempt(() =>
    readResumePoint(path, (detail) => new UserError(`${detail}; remove it, and its phase starts again`)),
  );
  if ('error' in read) return [{ path: files.resume, kind: 'differs', detail: read.error }];
  // One whose phase is done was about to be removed.
  const { phase } = read.value.point;
  const { epoch } = read.value.point.position;
  const log = attempt(() => readMetrics(folder).filter((record) => record.phase === phase));
  if (manifest.phases[phase] || 'error' in log || log.value.length >= epoch) return [];
  const detail = `lacks epochs of the phase ${phase}: it has ${log.value.length}, ${epoch} are done`;
  return [{ path: files.metrics, kind: 'differs', detail, phase }];
}

function extraFiles(folder: string, recorded: ReadonlySet<string>): string[] {
  const known = new Set([...recorded, 'manifest.json', files.metrics, files.mlflow, files.resume, LOCK_FILE]);
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map(({ parentPath, name }) => join(parentPath, name).slice(join(folder, '/').length))
    .filter((path) => !known.has(path))
    .toSorted();
}
