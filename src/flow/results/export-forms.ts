// `tram export --to`: a network of a run in forms for elsewhere, each a folder of its own below one.
// Invariant: a form's folder is written whole under a temporary name beside its place and then renamed, so an export
// that is interrupted leaves no half of one; what is replaced is an export of that form as it was written, with what
// was built from it: a folder with a file of the user's, or a changed one, stays.

import { randomBytes } from 'node:crypto';
import { existsSync, lstatSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { evaluationBatches } from '../../data/batches.ts';
import type { ImageSplit } from '../../data/image-split.ts';
import type { ExportFiles, ExportImages } from '../../export/exporter.ts';
import { readLibertyFile } from '../../hardware/liberty/file.ts';
import { lower } from '../../integer/lower.ts';
import { requireWhole, UserError } from '../../tensor/errors.ts';
import {
  fileError,
  isInside,
  makeFolder,
  makeFolderInside,
  readBytes,
  readJson,
  sha256,
  writeInside,
  writeJsonInside,
} from '../../tensor/files.ts';
import { given } from '../../tensor/given.ts';
import { unknownName } from '../../tensor/names.ts';
import { version } from '../../version.ts';
import { EXPORT_IMAGES, type ExportForm, type ExportFormName, exportForms, type FormOptions } from './exports.ts';
import { type FreezeOptions, freezeRun } from './frozen.ts';

const READ_AT_ONCE = 128;
const ABOUT = 'export.json';
const FORMAT = 'tram-export';

export interface ExportRunOptions extends FreezeOptions, Omit<FormOptions, 'liberty'> {
  readonly folder: string;
  readonly forms: readonly ExportFormName[];
  /** A form that this network cannot have is left out, unless none is left; default: nothing is written then. */
  readonly whereFits?: boolean;
  /** The folder that gets one for each form; default: RUN-export in the working directory. */
  readonly path?: string;
  /** Test images, from the first on; default 100. */
  readonly images?: number;
  /** Bits of values in fixed point between layers, 12 … 31. */
  readonly streamBits?: number;
  /** Liberty files of one corner, for figures of hardware; default: the built-in gates. */
  readonly liberty?: readonly string[];
}

export interface ExportedForm {
  readonly form: ExportFormName;
  readonly path: string;
  readonly files: number;
  readonly bytes: number;
  /** The form's own report, where it has one, in Markdown. */
  readonly report?: string;
}

export interface ExportedRun {
  readonly path: string;
  readonly stage: string;
  readonly images: number;
  readonly forms: readonly ExportedForm[];
  /** Forms that were left out, and why. */
  readonly leftOut: readonly { readonly form: ExportFormName; readonly reason: string }[];
}

/** Writes a network of a run in forms for elsewhere; the run is only read. Throws a UserError. */
export async function exportRun(options: ExportRunOptions): Promise<ExportedRun> {
  const {
    folder,
    forms: names,
    whereFits = false,
    path = `${basename(resolve(folder))}-export`,
    streamBits,
    array,
    layers,
    effort,
    ...asked
  } = options;
  if (options.images !== undefined) requireWhole('images', options.images, 1);
  const known = exportForms.map(({ name }) => name);
  const unknown = names.find((name) => !known.includes(name));
  if (unknown !== undefined) throw unknownName('form', unknown, known);
  const liberty = options.liberty && (await Promise.all(options.liberty.map(readLibertyFile)));
  const forms = exportForms.filter(({ name }) => names.includes(name));
  for (const { name } of forms) refuseForeign(path, name);
  const { frozen, stage, dataset } = await freezeRun(folder, asked);
  const network = lower(frozen, given({ streamBits }));
  const images = await firstImages(dataset.test, options.images ?? EXPORT_IMAGES);
  const about = { run: basename(resolve(folder)), stage, model: frozen.model, images: images.count };
  const made: { form: ExportForm & { readonly name: ExportFormName }; files: ExportFiles }[] = [];
  const leftOut: { form: ExportFormName; reason: string }[] = [];
  for (const form of forms) {
    const make = await form.load();
    try {
      made.push({ form, files: await make({ frozen, network, images }, given({ array, layers, liberty, effort })) });
    } catch (error) {
      const isLast = form === forms.at(-1) && made.length === 0;
      if (!whereFits || isLast || !(error instanceof UserError)) throw error;
      leftOut.push({ form: form.name, reason: error.message });
    }
  }
  writeForms(
    path,
    made.map(({ form, files }) => ({ name: form.name, files, about })),
  );
  const exported = made.map(({ form, files }): ExportedForm => {
    const report = files.get('report.md');
    const bytes = [...files.values()].reduce((sum, content) => sum + Buffer.byteLength(content), 0);
    return {
      ...{ form: form.name, path: join(path, form.name), files: files.size, bytes },
      ...(typeof report === 'string' && { report }),
    };
  });
  return { path, stage, images: images.count, forms: exported, leftOut };
}

/** The first images of a split with their labels, all where there are fewer. */
export async function firstImages(split: ImageSplit, count: number): Promise<ExportImages> {
  const wanted = Math.min(count, split.count);
  const parts: Uint8Array[] = [];
  for (const selection of evaluationBatches({ count: wanted }, READ_AT_ONCE)) {
    const { inputs } = await split.read(selection, selection.numbers.length);
    parts.push(inputs.images as Uint8Array);
  }
  return { count: wanted, pixels: new Uint8Array(Buffer.concat(parts)), labels: split.labels.slice(0, wanted) };
}

export interface FormToWrite {
  readonly name: string;
  readonly files: ExportFiles;
  /** What it is an export of. */
  readonly about: Readonly<Record<string, unknown>>;
}

/** Writes each form into its folder below `path`: all of them whole, or none. Throws a UserError. */
export function writeForms(path: string, forms: readonly FormToWrite[]): void {
  for (const { name } of forms) refuseForeign(path, name);
  for (const { name, files } of forms) checkPaths(name, files);
  makeFolder(path);
  sweepHalves(path);
  // Also what came back.
  for (const { name } of forms) refuseForeign(path, name);
  const temporaries = new Map<string, string>();
  try {
    for (const { name, files, about } of forms) {
      const temporary = temporaryName(name);
      temporaries.set(name, temporary);
      makeFolderInside(path, temporary);
      const at = join(path, temporary);
      const made = new Set<string>();
      for (const [file, content] of files) {
        for (const folder of foldersOf(file)) {
          if (!made.has(folder)) makeFolderInside(at, folder);
          made.add(folder);
        }
        writeInside(at, file, content);
      }
      const hashes = Object.fromEntries([...files].map(([file, content]) => [file, sha256(content)]));
      writeJsonInside(at, ABOUT, { format: FORMAT, version: 1, form: name, ...about, program: version, files: hashes });
    }
    for (const [name, temporary] of temporaries) place(path, name, temporary);
  } catch (error) {
    for (const temporary of temporaries.values()) rmSync(join(path, temporary), { recursive: true, force: true });
    throw error;
  }
}

/** Renames a whole folder into its place; one that was there is put aside first and then removed. */
function place(path: string, name: string, temporary: string): void {
  const [target, aside] = [join(path, name), join(path, `.${name}.replaced`)];
  try {
    const isThere = existsSync(target);
    if (isThere) renameSync(target, aside);
    renameSync(join(path, temporary), target);
    if (isThere) rmSync(aside, { recursive: true, force: true });
  } catch (error) {
    if (existsSync(aside) && !existsSync(target)) renameSync(aside, target);
    throw fileError('write', target, error);
  }
}

const FORM = `(${exportForms.map(({ name }) => name).join('|')})`;
const temporaryName = (name: string): string => `.${name}.${process.pid}-${randomBytes(8).toString('hex')}.tmp`;
const TEMPORARY = new RegExp(`^\\.${FORM}\\.(\\d+)-[0-9a-f]{16}\\.tmp$`);
const ASIDE = new RegExp(`^\\.${FORM}\\.replaced$`);

/**
 * What exports that were killed have left; one that was put aside comes back where nothing took its place. What another
 * process writes right now stays.
 */
function sweepHalves(path: string): void {
  for (const entry of readdirSync(path)) {
    const replaced = ASIDE.exec(entry)?.[1];
    const writer = TEMPORARY.exec(entry)?.[2];
    if (replaced && !existsSync(join(path, replaced))) renameSync(join(path, entry), join(path, replaced));
    else if (replaced || (writer && !isRunning(Number(writer)))) {
      rmSync(join(path, entry), { recursive: true, force: true });
    }
  }
}

function isRunning(pid: number): boolean {
  if (pid === process.pid) return false;
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** The folders above a file, from the outermost on. */
function foldersOf(file: string): string[] {
  const above = dirname(file);
  return above === '.' ? [] : [...foldersOf(above), above];
}

function checkPaths(form: string, files: ExportFiles): void {
  for (const file of files.keys()) {
    const isPlain = /^[A-Za-z0-9_.-]+(\/[A-Za-z0-9_.-]+)*$/.test(file) && isInside(file) && file !== ABOUT;
    if (!isPlain || file.split('/').some((part) => part.startsWith('.'))) {
      throw new UserError(`the form ${form} would have a file ${JSON.stringify(file)}; rename the layer that it is of`);
    }
  }
}

const about = z.object({ format: z.literal(FORMAT), form: z.string(), files: z.record(z.string(), z.string()) });

/** What is made of an export by its Makefile or by Python, and what a system puts into a folder that is looked at. */
const BUILT = new Set(['build', '__pycache__', '.DS_Store']);

function requireFolder(path: string): void {
  let isFolder: boolean;
  try {
    isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? true;
  } catch (error) {
    throw fileError('write', path, error);
  }
  if (!isFolder) throw new UserError(`${path} is a file, and forms get a folder; choose another path with --out`);
}

/** Throws where something stands in a form's place that is no export of it, or more than that. */
function refuseForeign(path: string, name: string): void {
  requireFolder(path);
  const target = join(path, name);
  const existing = lstatSync(target, { throwIfNoEntry: false });
  if (!existing) return;
  const record = join(target, ABOUT);
  const found = existing.isDirectory() && existsSync(record) ? about.safeParse(readJson(record)) : undefined;
  if (!found?.success || found.data.form !== name) {
    throw new UserError(
      `${target} exists and is no export of this form; move it away, or choose another folder with --out`,
    );
  }
  const own = new Map([...Object.entries(found.data.files), [ABOUT, undefined]]);
  const other = entriesBelow(target).find((file) => {
    if (!own.has(file)) return true;
    const hash = own.get(file);
    return hash !== undefined && sha256(readBytes(join(target, file))) !== hash;
  });
  if (other === undefined) return;
  const what = own.has(other) ? 'was changed since it was exported' : 'is no file of the export that it lies in';
  throw new UserError(`${join(target, other)} ${what}; move it away, or choose another folder with --out`);
}

/** Everything below a folder but other folders, and what was built. */
function entriesBelow(folder: string, below = ''): string[] {
  return readdirSync(join(folder, below), { withFileTypes: true }).flatMap((entry) => {
    const name = below === '' ? entry.name : `${below}/${entry.name}`;
    if (BUILT.has(entry.name)) return [];
    return entry.isDirectory() ? entriesBelow(folder, name) : [name];
  });
}
