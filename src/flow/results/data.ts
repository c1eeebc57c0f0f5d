// What a data set is, before anything is trained on it: every image is read once, as training would read it, so that
// what is said of it was seen. Files that cannot be decoded are found here, and named.

import { evaluationBatches } from '../../data/batches.ts';
import { type Dataset, describeData } from '../../data/dataset.ts';
import type { ImageSplit } from '../../data/image-split.ts';
import { hasImageFiles, openDataset } from '../../data/registry.ts';
import { contactSheet } from '../../report/sheet.ts';
import { datasetOptions } from '../run/inputs.ts';
import { type ConfigurationInput, parseConfiguration } from '../settings/config.ts';
import { refuseIdle, type Said } from '../settings/said.ts';

export interface ExamineDataOptions {
  /** Those of a run; the ones about data count. */
  readonly settings: ConfigurationInput;
  /** What the user said of them; what decides nothing is refused. */
  readonly said?: readonly Said[];
  /** Images of each class on the contact sheet; default 0: no sheet. */
  readonly sheet?: number;
  readonly tell?: (text: string) => void;
}

export interface DataReport {
  readonly name: string;
  /** "1797 images 8×8×1, 10 classes …". */
  readonly description: string;
  readonly image: { readonly height: number; readonly width: number; readonly channels: number };
  readonly classes: readonly { readonly name: string; readonly train: number; readonly test: number }[];
  /** The raw value that means 1.0. */
  readonly scale: number;
  /** Per channel, of raw / scale: what a run normalises with. */
  readonly mean: readonly number[];
  readonly deviation: readonly number[];
  /** Least and greatest raw value of all images. */
  readonly range: readonly [least: number, most: number];
  readonly labels: string;
  readonly notes: readonly string[];
  /** Files that cannot be decoded. */
  readonly badImages: readonly string[];
  /** Why, for each of them in their order. */
  readonly badReasons: readonly string[];
  readonly sha256: string;
  /** The contact sheet as SVG, where one was asked for. */
  readonly sheet?: string;
}

/** Reads at most so many bytes of images at once. */
const AT_ONCE = 2 ** 24;
/** Classes on a contact sheet. */
const MOST_ROWS = 100;

/** Opens a data set and reads all of it. Throws a UserError where it cannot be opened. */
export async function examineData({ settings, said = [], sheet = 0, tell }: ExamineDataOptions): Promise<DataReport> {
  // Bad files are to be told, not to end the telling.
  const configuration = parseConfiguration(settings, 'settings');
  refuseIdle(said, configuration);
  const options = datasetOptions(configuration, process.cwd());
  const reasons = new Map<string, string>();
  const dataset = await openDataset(configuration.data, {
    ...options,
    ...(hasImageFiles(configuration.data) ? { badImages: 'skip' } : {}),
    tellBad: (name, reason) => void reasons.set(name, reason),
    ...(tell ? { tell } : {}),
  });
  const range: [number, number] = [255, 0];
  const classes = Array.from({ length: dataset.classes }, (_, label) => ({
    name: dataset.classNames?.[label] ?? String(label),
    train: 0,
    test: 0,
  }));
  for (const split of ['train', 'test'] as const) {
    for (const label of dataset[split].labels) classes[label]![split]++;
    await readAll(dataset, dataset[split], (image) => {
      for (const raw of image) {
        if (raw < range[0]) range[0] = raw;
        if (raw > range[1]) range[1] = raw;
      }
    });
  }
  const { height, width, channels, name, scale, mean, deviation, labels, notes, badImages = [], sha256 } = dataset;
  return {
    ...{ name, description: describeData(dataset), image: { height, width, channels }, classes, scale },
    ...{ mean, deviation, range, labels, notes, badImages, sha256 },
    badReasons: badImages.map((name) => reasons.get(name)!),
    ...(sheet > 0 ? { sheet: await sheetOf(dataset, sheet) } : {}),
  };
}

async function readAll(dataset: Dataset, split: ImageSplit, use: (images: Uint8Array) => void): Promise<void> {
  const length = dataset.height * dataset.width * dataset.channels;
  const rows = Math.max(1, Math.min(256, Math.floor(AT_ONCE / length)));
  for (const selection of evaluationBatches(split, rows)) {
    const { inputs, targets } = await split.read(selection, rows);
    use((inputs.images as Uint8Array).subarray(0, targets * length));
  }
}

/** The first images of each class. */
async function sheetOf(dataset: Dataset, each: number): Promise<string> {
  const { train, classNames, height, width, channels, scale } = dataset;
  const length = height * width * channels;
  const rows = [];
  for (let label = 0; label < Math.min(dataset.classes, MOST_ROWS); label++) {
    const numbers: number[] = [];
    for (let k = 0; k < train.count && numbers.length < each; k++) if (train.labels[k] === label) numbers.push(k);
    if (numbers.length === 0) continue;
    const { inputs } = await train.read({ numbers: Int32Array.from(numbers) }, numbers.length);
    const pixels = inputs.images as Uint8Array;
    const images = numbers.map((_, k) => pixels.subarray(k * length, (k + 1) * length));
    rows.push({ title: classNames?.[label] ?? String(label), images });
  }
  return contactSheet(rows, { height, width, channels }, scale);
}
