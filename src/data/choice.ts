// Which images of a data set a run uses: the same share of each class, some classes alone, a sample of the training
// images. Numbers of images in and out; nothing is read. Invariant: a choice depends on the labels and its seed alone,
// and keeps the order of what it chooses from.

import { requireWhole, UserError } from '../tensor/errors.ts';
import { readText, statOf } from '../tensor/files.ts';
import { unknownName } from '../tensor/names.ts';
import { MOST_SEED, Random, streams } from '../tensor/random.ts';

/** What a user may leave out of a data set. */
export interface ChoiceOptions {
  /**
   * The classes that are kept: names or numbers with commas between them, a file with one on each line, or how many
   * of the first.
   */
  readonly classesOf?: string;
  /** How many training images are kept, the same share of each class. */
  readonly sample?: number;
  /** Which ones; default 0. */
  readonly sampleSeed?: number;
  /** A file that lists the training images that are kept, one on each line. */
  readonly sampleList?: string;
}

/** What is chosen from. */
export interface Choosable {
  readonly name: string;
  readonly classes: number;
  readonly classNames?: readonly string[];
  readonly train: { readonly labels: Int32Array };
  readonly test: { readonly labels: Int32Array };
  /** The number of the training image that a line of a list names; undefined where there is none. */
  readonly find?: (line: string) => number | undefined;
}

export interface Chosen {
  /** Numbers of the images that are kept, ascending. */
  readonly train: Int32Array;
  readonly test: Int32Array;
  /** The new class of each old one; −1 for those that are left out. */
  readonly classOf: Int32Array;
  readonly classes: number;
  readonly classNames?: readonly string[];
  /** What was chosen, for people. */
  readonly note: string;
}

/** The images that are kept; undefined where nothing is left out. Throws a UserError for what is not there. */
export function choose(from: Choosable, options: ChoiceOptions): Chosen | undefined {
  const { classesOf, sample, sampleSeed = 0, sampleList } = options;
  if (sample !== undefined) requireWhole('--sample', sample, 2);
  requireWhole('--sample-seed', sampleSeed, 0, MOST_SEED);
  if (sample !== undefined && sampleList !== undefined) {
    throw new UserError('--sample and --sample-list both say which images are trained on; leave one of them out');
  }
  if (classesOf === undefined && sample === undefined && sampleList === undefined) return undefined;
  const kept = classesOf === undefined ? undefined : keptClasses(from, classesOf);
  const classOf = new Int32Array(from.classes).fill(-1);
  const list = kept ?? Array.from({ length: from.classes }, (_, label) => label);
  list.forEach((old, label) => {
    classOf[old] = label;
  });
  const numbersOf = (labels: Int32Array) =>
    Int32Array.from({ length: labels.length }, (_, k) => k).filter((k) => classOf[labels[k]!]! >= 0);
  const all = numbersOf(from.train.labels);
  const train =
    sampleList !== undefined
      ? listed(from, sampleList, all)
      : sample !== undefined
        ? sampled(from, all, sample, sampleSeed)
        : all;
  const notes = [
    kept ? `${kept.length} of ${from.classes} classes` : [],
    train.length < all.length || sample !== undefined || sampleList !== undefined
      ? `${train.length} of ${all.length} training images (${sampleList ?? `seed ${sampleSeed}`})`
      : [],
  ].flat();
  return {
    ...{ train, test: numbersOf(from.test.labels), classOf, classes: list.length },
    ...(from.classNames ? { classNames: list.map((old) => from.classNames![old]!) } : {}),
    note: `kept: ${notes.join(', ')}`,
  };
}

function keptClasses({ name, classes, classNames = [] }: Choosable, text: string): number[] {
  const isFile = statOf(text)?.isFile() === true;
  const words = (isFile ? readText(text).split('\n') : text.split(','))
    .map((word) => word.trim())
    .filter((word) => word !== '');
  const [first] = words;
  if (!isFile && words.length === 1 && /^\d+$/.test(first!) && !classNames.includes(first!)) {
    const count = Number(first);
    if (count >= 2 && count <= classes) return Array.from({ length: count }, (_, label) => label);
    throw new UserError(`--classes-of is ${count}, but ${name} has ${classes} classes; give 2 to ${classes}`);
  }
  const numbers = words.map((word) => {
    const named = classNames.indexOf(word);
    if (named >= 0) return named;
    if (/^\d+$/.test(word) && Number(word) < classes) return Number(word);
    const valid = classNames.length > 0 ? classNames : Array.from({ length: classes }, (_, label) => String(label));
    const shown = valid.length > 20 ? [...valid.slice(0, 20), '…'] : valid;
    throw unknownName(`class of ${name}`, word, valid, shown);
  });
  const twice = words.find((_, k) => numbers.indexOf(numbers[k]!) < k);
  if (twice !== undefined) throw new UserError(`--classes-of names the class ${twice} twice; name each once`);
  if (numbers.length < 2) {
    throw new UserError(`--classes-of keeps ${numbers.length} class of ${name}; at least two were expected`);
  }
  return numbers;
}

function sampled({ name, train }: Choosable, all: Int32Array, count: number, seed: number): Int32Array {
  if (count > all.length) {
    throw new UserError(
      `--sample is ${count}, but ${name} has ${all.length} training images to choose from; leave it out or give fewer`,
    );
  }
  const labels = all.map((k) => train.labels[k]!);
  const chosen = stratified(labels, count, seed, streams.sample);
  return all.filter((_, k) => chosen[k] === 1);
}

function listed({ name, find }: Choosable, path: string, all: Int32Array): Int32Array {
  const lines = readText(path).split('\n');
  const allowed = new Set(all);
  const found = new Set<number>();
  lines.forEach((raw, k) => {
    const line = raw.trim();
    if (line === '') return;
    const number = find ? find(line) : /^\d+$/.test(line) ? Number(line) : undefined;
    if (number === undefined || !allowed.has(number)) {
      const expected = find ? 'the path of one of them' : `a number from 0 to ${all.length - 1}`;
      throw new UserError(
        `${path}:${k + 1}: no training image of ${name} is called '${line}'; ${expected} was expected`,
      );
    }
    if (found.has(number)) throw new UserError(`${path}:${k + 1}: the image '${line}' is listed twice; list each once`);
    found.add(number);
  });
  if (found.size === 0) throw new UserError(`${path} lists no images; one on each line was expected`);
  return Int32Array.from(found).sort();
}

/**
 * Marks `count` images with 1, the same share of each class (largest remainders, ties to the lower class). Which ones
 * of a class depends on the seed alone.
 */
export function stratified(
  labels: Int32Array,
  count: number,
  seed: number,
  stream: number = streams.split,
): Uint8Array {
  const members: number[][] = [];
  labels.forEach((label, index) => {
    members[label] ??= [];
    members[label].push(index);
  });
  const classes = members.flatMap((indices, label) => {
    const exact = (indices.length * count) / labels.length;
    return [{ label, indices, quota: Math.floor(exact), remainder: exact % 1 }];
  });
  let missing = count - classes.reduce((sum, { quota }) => sum + quota, 0);
  for (const entry of classes.toSorted((a, b) => b.remainder - a.remainder || a.label - b.label)) {
    if (missing-- > 0) entry.quota++;
  }
  const marks = new Uint8Array(labels.length);
  for (const { label, indices, quota } of classes) {
    const order = new Random(seed, stream, label).permutation(indices.length);
    for (const k of order.subarray(0, quota)) marks[indices[k]!] = 1;
  }
  return marks;
}
