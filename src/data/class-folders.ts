// Which image files a folder holds, and of which class each is: a folder for each class below `train/` and `val/` (or
// `test/`) or below the folder itself, as torchvision's ImageFolder takes them; test images in one folder with a file
// that says their classes, as ImageNet and TinyImageNet are published.
// Invariant: an image's class is never guessed: what says nothing about it, or something else, is refused by name. Only
// names of files are looked at here; whether they are pictures is found out when they are decoded.

import { type Dirent, existsSync, readdirSync, realpathSync } from 'node:fs';
import { basename, extname, isAbsolute, join, relative, sep } from 'node:path';
import { UserError } from '../tensor/errors.ts';
import { fileError, readText, statOf } from '../tensor/files.ts';
import { nearestName } from '../tensor/names.ts';
import { stratified } from './choice.ts';

/** Images of one split. */
export interface FileList {
  /** The folder that the names are relative to. */
  readonly root: string;
  /** Paths below the root with '/' between their parts, in the order of their code units. */
  readonly files: readonly string[];
  readonly labels: Int32Array;
}

export interface Listing {
  readonly classNames: readonly string[];
  readonly train: FileList;
  readonly test: FileList;
  readonly split: string;
  readonly labels: string;
  readonly notes: readonly string[];
}

const IMAGE = /\.(png|jpe?g|jpe|jfif|webp)$/i;
const trainNames = ['train', 'training'];
const testNames = ['val', 'valid', 'validation', 'test', 'testing'];
/** Folders below each other that are searched: no data set has more. */
const DEEPEST = 8;

/** Whether a link leads to a folder, or to one that holds it: its images would be found again, in another class. */
function isAbove(link: string, folder: string): boolean {
  const way = relative(realpathSync(link), realpathSync(folder));
  return way.split(sep)[0] !== '..' && !isAbsolute(way);
}

interface Found {
  readonly images: string[];
  /** Endings of other files, with how many have them. */
  readonly others: Map<string, number>;
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    throw fileError('read', folder, error);
  }
}

/** All image files below a folder, relative to it; hidden files and folders are passed over. */
function imagesBelow(folder: string, found: Found = { images: [], others: new Map() }, inside = '', depth = 0): Found {
  const entries = entriesOf(join(folder, inside)).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    if (entry.name.startsWith('.')) continue;
    const path = inside === '' ? entry.name : `${inside}/${entry.name}`;
    const kind = entry.isSymbolicLink() ? statOf(join(folder, path)) : entry;
    if (kind?.isDirectory()) {
      const leadsBack = entry.isSymbolicLink() && isAbove(join(folder, path), join(folder, inside));
      if (depth < DEEPEST && !leadsBack) imagesBelow(folder, found, path, depth + 1);
    } else if (IMAGE.test(entry.name)) found.images.push(path);
    else {
      const ending = extname(entry.name).toLowerCase() || 'no ending';
      found.others.set(ending, (found.others.get(ending) ?? 0) + 1);
    }
  }
  return found;
}

const isFolder = (path: string): boolean => statOf(path)?.isDirectory() === true;

function foldersIn(folder: string): string[] {
  return entriesOf(folder)
    .filter((entry) => !entry.name.startsWith('.') && (entry.isDirectory() || isFolder(join(folder, entry.name))))
    .map(({ name }) => name)
    .sort();
}

const named = (folder: string, names: readonly string[]): string | undefined =>
  names.find((name) => isFolder(join(folder, name)));

/** Whether some image lies in a folder of a folder: looks until it finds one. */
export function holdsClassFolders(path: string): boolean {
  if (!isFolder(path)) return false;
  const inside = named(path, trainNames);
  const folder = inside === undefined ? path : join(path, inside);
  const hasImage = (at: string, depth: number): boolean =>
    entriesOf(at).some((entry) => !entry.isDirectory() && IMAGE.test(entry.name)) ||
    (depth < 2 && foldersIn(at).some((name) => hasImage(join(at, name), depth + 1)));
  return foldersIn(folder).some((name) => hasImage(join(folder, name), 0));
}

/** Images in a folder of folders, by class; the classes are `classNames` where they are known. */
function byClass(
  root: string,
  classNames?: readonly string[],
): FileList & { names: string[]; others: Found['others'] } {
  const { images, others } = imagesBelow(root);
  const loose = images.find((path) => !path.includes('/'));
  if (loose !== undefined) {
    throw new UserError(
      `${join(root, loose)} lies in no class's folder; images in folders named as their classes were expected below ${root}`,
    );
  }
  const classOf = (path: string) => path.slice(0, path.indexOf('/'));
  const names = [...new Set(images.map(classOf))].sort();
  const number = new Map((classNames ?? names).map((name, label) => [name, label]));
  const unknown = names.find((name) => !number.has(name));
  if (unknown !== undefined) {
    const nearest = nearestName(unknown, number.keys());
    throw new UserError(
      `${join(root, unknown)}: no training image is of the class '${unknown}'${nearest ? `; did you mean '${nearest}'?` : '; leave its folder out, or give it training images'}`,
    );
  }
  images.sort((a, b) => (a < b ? -1 : 1));
  return { root, files: images, labels: Int32Array.from(images, (path) => number.get(classOf(path))!), names, others };
}

/** Where a data set may say the classes of images in one folder: beside them or above. */
const labelFiles = [
  'val_annotations.txt',
  'LOC_val_solution.csv',
  'val.txt',
  'imagenet_2012_validation_synset_labels.txt',
  'synset_labels.txt',
  'ILSVRC2012_validation_ground_truth.txt',
  'test.txt',
  'labels.txt',
  'labels.csv',
];
/** A list of classes in the order of their numbers, where those are not the sorted names. */
const classFiles = ['synsets.txt', 'imagenet_lsvrc_2015_synsets.txt', 'LOC_synset_mapping.txt', 'classes.txt'];

const findBeside = (folder: string, root: string, names: readonly string[]): string | undefined =>
  names.flatMap((name) => [join(folder, name), join(root, name)]).find((path) => existsSync(path));

/** Test images of one folder, by a file of labels. */
function byLabelFile(
  root: string,
  above: string,
  classNames: readonly string[],
  given: string | undefined,
): FileList & { labelFile: string } {
  const { images } = imagesBelow(root);
  images.sort((a, b) => (a < b ? -1 : 1));
  const labelFile = given ?? findBeside(root, above, labelFiles);
  if (labelFile === undefined) {
    throw new UserError(
      `${root} holds ${images.length} images in no class's folder, and no file says their classes; give one with --test-labels (a line for each: name and class), or put them into folders`,
    );
  }
  const lines = readText(labelFile).split(/\r?\n/);
  const rows = lines.map(fieldsOf);
  const classes = classNumbers(
    classNames,
    () => orderOf(findBeside(root, above, classFiles)),
    rows.map((row) => row[1] ?? row[0]!),
    labelFile,
  );
  const number = new Map<string, number>();
  images.forEach((path, k) => {
    for (const name of [path, basename(path), basename(path, extname(path))])
      if (!number.has(name)) number.set(name, k);
  });
  const labels = new Int32Array(images.length).fill(-1);
  const filled = rows.flatMap((row, k) => (row[0] === '' ? [] : [{ row, line: k + 1 }]));
  const isBare = filled.every(({ row }) => row.length === 1);
  if (isBare && filled.length !== images.length) {
    throw new UserError(
      `${labelFile} has ${filled.length} labels for the ${images.length} images in ${root}; one line for each image was expected`,
    );
  }
  filled.forEach(({ row, line }, k) => {
    const image = isBare ? k : number.get(row[0]!);
    const text = row[isBare ? 0 : 1]!;
    // A header has no image of its name.
    if (image === undefined && line === 1) return;
    if (image === undefined) throw new UserError(`${labelFile}:${line}: no image in ${root} is called '${row[0]}'`);
    const label = classes(text, line);
    if (labels[image]! >= 0 && labels[image] !== label) {
      throw new UserError(
        `${labelFile}:${line}: ${row[0]} is of the class ${classNames[label]} here, of ${classNames[labels[image]!]} further up; one was expected`,
      );
    }
    labels[image] = label;
  });
  const missing = labels.indexOf(-1);
  if (missing >= 0) throw new UserError(`${labelFile} says no class of ${join(root, images[missing]!)}`);
  return { root, files: images, labels, labelFile };
}

/** The name of an image and its class: between tabulators or commas, else between blanks. */
function fieldsOf(line: string): string[] {
  const text = line.trim();
  const separator = ['\t', ',', ';'].find((one) => text.includes(one)) ?? /\s+/;
  return text.split(separator).map((field) => field.trim());
}

/** The classes of a file in their order: the first word of each line. */
function orderOf(path: string | undefined): { readonly path: string; readonly names: readonly string[] } | undefined {
  if (path === undefined) return undefined;
  const names = readText(path)
    .split(/\r?\n/)
    .map((line) => line.trim().split(/[\s,]/)[0]!);
  return { path, names: names.filter((name) => name !== '') };
}

/** How the texts of a label file become classes: names, or numbers in a stated order. */
function classNumbers(
  classNames: readonly string[],
  ordered: () => { readonly path: string; readonly names: readonly string[] } | undefined,
  texts: readonly string[],
  labelFile: string,
): (text: string, line: number) => number {
  const known = new Map(classNames.map((name, label) => [name, label]));
  const isNumber = (text: string) => /^\d+$/.test(text);
  const numbers = texts.filter((text) => isNumber(text) && !known.has(text)).map(Number);
  if (numbers.length > 0) {
    const order = ordered();
    const least = numbers.reduce((a, b) => Math.min(a, b));
    if (!order && least !== 0) {
      throw new UserError(
        `${labelFile} numbers the classes from ${least}; in which order? put a file synsets.txt beside it with the name of a class's folder on each line`,
      );
    }
    const names = order?.names ?? classNames;
    const most = numbers.reduce((a, b) => Math.max(a, b));
    if (order && least !== 0 && most < order.names.length) {
      throw new UserError(
        `${labelFile} numbers the classes from ${least} to ${most}, of ${order.names.length} in ${order.path}: whether the first is 0 or 1 cannot be told; write the names of the classes' folders instead of numbers`,
      );
    }
    const offset = least === 0 ? 0 : 1;
    return (text, line) => {
      const label = known.get(isNumber(text) ? (names[Number(text) - offset] ?? '') : text);
      if (label !== undefined) return label;
      throw new UserError(`${labelFile}:${line}: no training image is of the class '${text}'`);
    };
  }
  return (text, line) => {
    // Behind the class may stand where in the image it is to be seen.
    const label = known.get(text) ?? known.get(text.split(' ')[0]!);
    if (label !== undefined) return label;
    const nearest = nearestName(text, classNames);
    throw new UserError(
      `${labelFile}:${line}: no training image is of the class '${text}'${nearest ? `; did you mean '${nearest}'?` : ''}`,
    );
  };
}

/** Whether a folder's images lie in folders named as classes; one folder of images called otherwise is no class. */
function isByClass(folder: string, classNames: readonly string[]): boolean {
  const folders = foldersIn(folder);
  return folders.some((name) => classNames.includes(name)) || folders.length > 1;
}

/** Lists the images of a folder. Throws a UserError for one in which no classes can be made out. */
export function listImages(
  folder: string,
  { testFolder, testLabels }: { readonly testFolder?: string | undefined; readonly testLabels?: string | undefined },
): Listing {
  const trainName = named(folder, trainNames);
  const train = byClass(trainName === undefined ? folder : join(folder, trainName));
  if (train.names.length === 0) {
    throw new UserError(
      `${folder} holds no images (PNG, JPEG or WebP) in folders named as their classes, as ${join(folder, 'cat', '1.jpg')} or ${join(folder, 'train', 'cat', '1.jpg')}`,
    );
  }
  const classNames = train.names;
  const others = [...train.others].map(([ending, count]) => `${count} ${ending}`);
  const empty = foldersIn(train.root).filter((name) => !classNames.includes(name));
  const notes = [
    ...(others.length > 0
      ? [`files that are no images by their names were passed over: ${others.slice(0, 5).join(', ')}`]
      : []),
    ...(empty.length > 0
      ? [
          `folders without images are no classes: ${empty.slice(0, 5).join(', ')}${empty.length > 5 ? `, … (${empty.length})` : ''}`,
        ]
      : []),
  ];
  const found = { classNames, labels: 'the names of the folders' };
  const all = trainName === undefined ? [] : testNames.filter((name) => isFolder(join(folder, name)));
  const testRoot = testFolder ?? (all.length > 0 ? join(folder, all[0]!) : undefined);
  if (testRoot === undefined) {
    if (testLabels !== undefined) {
      throw new UserError(
        `--test-labels is ${testLabels}, but there is no folder val or test beside the training images; name it with --test-data`,
      );
    }
    return { ...found, ...heldBack(train), split: 'a fifth of each class held back', notes };
  }
  if (!isFolder(testRoot)) throw new UserError(`cannot read ${testRoot}: no such folder; check --test-data`);
  const inside = named(testRoot, testNames);
  const root =
    testFolder !== undefined && inside !== undefined && !named(testRoot, [...classNames])
      ? join(testRoot, inside)
      : testRoot;
  const left =
    testFolder === undefined && all.length > 1
      ? [`${all.slice(1).join(' and ')} beside ${all[0]} are not used (--test-data names others)`]
      : [];
  const test =
    testLabels === undefined && isByClass(root, classNames)
      ? byClass(root, classNames)
      : byLabelFile(root, folder, classNames, testLabels);
  if (test.files.length === 0) throw new UserError(`${root} holds no test images`);
  const by = 'labelFile' in test ? `, classes by ${basename(String(test.labelFile))}` : '';
  return {
    ...found,
    train: plain(train),
    test: plain(test),
    split: `the images of ${basename(root)}${by}`,
    notes: [...notes, ...left],
  };
}

const plain = ({ root, files, labels }: FileList): FileList => ({ root, files, labels });

/** A fifth of each class, the same images whatever a run's seed. */
function heldBack({ root, files, labels }: FileList): { train: FileList; test: FileList } {
  const isTest = stratified(labels, Math.ceil(files.length / 5), 0);
  const pick = (mark: number): FileList => ({
    root,
    files: files.filter((_, k) => isTest[k] === mark),
    labels: labels.filter((_, k) => isTest[k] === mark),
  });
  return { train: pick(0), test: pick(1) };
}

/** The images of these numbers. */
export function takeFiles({ root, files, labels }: FileList, numbers: ArrayLike<number>): FileList {
  const list = Array.from(numbers);
  return { root, files: list.map((k) => files[k]!), labels: Int32Array.from(list, (k) => labels[k]!) };
}
