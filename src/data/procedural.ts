// Images made by a formula, of any size and number, generated when a batch asks for them: for benches, and for steps of
// networks whose data nobody has at hand. A class is a slanted stripe of three smooth periodic colours; an image shows
// it at a phase of its own, under a box with the stripe of another class and under noise, so that telling classes apart
// has to be learnt. Rows are copied from tables: an image costs little more than its bytes.
// Not a benchmark of accuracy: whoever learns stripes has learnt nothing about photographs.

import { UserError } from '../tensor/errors.ts';
import { sha256 } from '../tensor/files.ts';
import { unknownName } from '../tensor/names.ts';
import { Random } from '../tensor/random.ts';
import { copyShifted, drawShift, noAugmentation } from './augment.ts';
import { completeDataset, type Dataset, RawHistogram } from './dataset.ts';
import type { ImageSize } from './image.ts';
import { type ImageSplit, streamedSplit } from './image-split.ts';
import { MOST_CLASSES } from './labels.ts';
import { alter, drawAlteration } from './pixels.ts';
import { bytesOf } from './view.ts';

/** Pixels after which a stripe repeats. */
const PERIOD = 64;
/** Stripes lie this far from 0 and from 255, and noise stays within it, so that bytes can be added four at a time. */
const DARKEST = 16;
/** Images that normalisation is measured on. */
const MEASURED = 512;
/** Streams of random numbers of their own (see tensor/random.ts for those of a run). */
const streams = { stripe: 101, image: 102 } as const;

interface Recipe extends ImageSize {
  readonly classes: number;
  readonly images: number;
  readonly test: number;
  readonly seed: number;
}

const defaults = { classes: 10, images: 10_000, seed: 1 };

/** Reads "224x224x3,classes=1000,images=10000,test=2000,seed=1"; all but the size may be left out. */
function parseRecipe(text: string): Recipe {
  const [first = '', ...rest] = text.split(',');
  const extents = /^(\d+)[x×](\d+)[x×]([13])$/.exec(first)?.slice(1).map(Number);
  const [height = 0, width = 0, channels = 0] = extents ?? [];
  const most = 2 ** 12;
  if (height < 1 || width < 1 || height > most || width > most) {
    throw new UserError(
      `the procedural data '${text}' begin with '${first}'; HEIGHTxWIDTHxCHANNELS with sides of 1 to ${most} and 1 or 3 channels was expected, for example procedural:224x224x3,classes=1000`,
    );
  }
  const given: Record<string, number> = {};
  for (const part of rest) {
    const [, name, value] = /^(\w+)=(\d+)$/.exec(part.trim()) ?? [];
    const names = ['classes', 'images', 'test', 'seed'];
    if (name === undefined) throw new UserError(`procedural data: '${part}' is not NAME=NUMBER`);
    if (!names.includes(name)) throw unknownName('setting of procedural data', name, names);
    given[name] = Number(value);
  }
  const { classes, images, seed, test = Math.max(classes, Math.ceil(images / 5)) } = { ...defaults, ...given };
  const ranges = {
    classes: [classes, 2, MOST_CLASSES],
    images: [images, 2, 2 ** 31 - 1],
    test: [test, 1, 2 ** 31 - 1],
  };
  for (const [name, [value, least, greatest]] of Object.entries(ranges) as [string, [number, number, number]][]) {
    if (!(value >= least && value <= greatest)) {
      throw new UserError(`procedural data: ${name} is ${value}; ${least} to ${greatest} was expected`);
    }
  }
  return { height, width, channels, classes, images, test, seed };
}

/** A row of a class's stripe, a period longer than an image, so that any phase is one copy; less DARKEST. */
function stripeOf(label: number, { width, channels, seed }: Recipe): { row: Uint8Array; slope: number } {
  const random = new Random(seed, streams.stripe, label);
  const waves = Array.from({ length: channels }, () => ({
    middle: 80 + random.integer(96),
    parts: [1, 2, 3, 5].map((frequency) => ({
      ...{ frequency, height: (28 * (0.3 + random.uniform())) / Math.sqrt(frequency) },
      phase: random.uniform(),
    })),
  }));
  const slope = random.integer(PERIOD);
  const length = (PERIOD + width) * channels;
  const row = Uint8Array.from({ length }, (_, k) => {
    const { middle, parts } = waves[k % channels]!;
    const x = Math.floor(k / channels) / PERIOD;
    const wave = parts.reduce(
      (sum, { frequency, height, phase }) => sum + height * Math.sin(2 * Math.PI * (frequency * x + phase)),
      middle,
    );
    return Math.min(DARKEST + 223, Math.max(DARKEST, Math.round(wave))) - DARKEST;
  });
  return { row, slope };
}

/** target[k] += source[from + k], where no sum exceeds 255. */
function addBytes(target: Uint8Array, source: Uint8Array, from: number): void {
  if (target.byteOffset % 4 === 0 && target.length % 4 === 0) {
    const words = new Uint32Array(target.buffer, target.byteOffset, target.length / 4);
    const added = new Uint32Array(source.buffer, source.byteOffset + from, target.length / 4);
    for (let k = 0; k < words.length; k++) words[k] = words[k]! + added[k]!;
  } else for (let k = 0; k < target.length; k++) target[k] = target[k]! + source[from + k]!;
}

/** What is the same for all images: stripes by class, and noise that is laid over at a place of its own. */
class Painter {
  readonly #recipe: Recipe;
  readonly #stripes = new Map<number, ReturnType<typeof stripeOf>>();
  readonly #noise: Uint8Array;

  constructor(recipe: Recipe) {
    this.#recipe = recipe;
    const random = new Random(recipe.seed, streams.stripe, -1);
    this.#noise = Uint8Array.from({ length: bytesOf(recipe) + 4096 }, () => random.integer(32));
  }

  /** Writes image `number` (training images first, test images behind them) of a class. */
  paint(number: number, label: number, target: Uint8Array): void {
    const { height, width, classes, seed } = this.#recipe;
    const random = new Random(seed, streams.image, number);
    this.#fill(label, { top: 0, left: 0, height, width }, random.integer(PERIOD), target);
    const box = { height: 1 + random.integer(Math.ceil(height / 2)), width: 1 + random.integer(Math.ceil(width / 2)) };
    const place = { top: random.integer(height - box.height + 1), left: random.integer(width - box.width + 1) };
    this.#fill(random.integer(classes), { ...box, ...place }, random.integer(PERIOD), target);
    addBytes(target, this.#noise, 4 * random.integer(1024));
  }

  #fill(
    label: number,
    { top, left, height, width }: { top: number; left: number; height: number; width: number },
    phase: number,
    target: Uint8Array,
  ): void {
    const { channels, width: whole } = this.#recipe;
    const { row, slope } = this.#stripe(label);
    for (let y = top; y < top + height; y++) {
      const shift = ((phase + slope * y) % PERIOD) * channels;
      target.set(row.subarray(shift, shift + width * channels), (y * whole + left) * channels);
    }
  }

  #stripe(label: number): ReturnType<typeof stripeOf> {
    const known = this.#stripes.get(label);
    if (known) return known;
    const made = stripeOf(label, this.#recipe);
    this.#stripes.set(label, made);
    return made;
  }
}

function splitOf(recipe: Recipe, painter: Painter, first: number, count: number): ImageSplit {
  const labels = Int32Array.from({ length: count }, (_, k) => k % recipe.classes);
  return streamedSplit(
    {
      labels,
      nameOf: (number) => `${first + number} of the procedural data`,
      draw: (augmentation) => {
        if (!augmentation) return undefined;
        const { options, random } = augmentation;
        const shift = new Int32Array(3);
        drawShift(shift, 0, options, random);
        // Turning and colours are the business of whoever asked for the view.
        const boxes = { ...options, rotate: 0, jitter: 0 };
        return { shift, box: drawAlteration({ options: boxes, random }) };
      },
      read: async (number, view, target) => {
        const image = view ? new Uint8Array(target.length) : target;
        painter.paint(first + number, labels[number]!, image);
        if (!view) return;
        const { shift, box } = view;
        if (box) alter(image, recipe, box);
        copyShifted(image, 0, target, 0, recipe, shift[0]!, shift[1]!, shift[2] === 1);
      },
    },
    recipe,
  );
}

/** Opens procedural data from what stands behind `procedural:`. */
export function openProcedural(text: string): Dataset {
  const recipe = parseRecipe(text);
  const { height, width, channels, classes, images, test } = recipe;
  const painter = new Painter(recipe);
  const histogram = new RawHistogram(channels);
  const image = new Uint8Array(bytesOf(recipe));
  const measured = Math.min(images, MEASURED);
  for (let k = 0; k < measured; k++) {
    painter.paint(k, k % classes, image);
    histogram.add(image);
  }
  return completeDataset(
    {
      ...{ height, width, channels, classes, scale: 255, augment: noAugmentation },
      name: 'procedural',
      location: `procedural:${text}`,
      train: splitOf(recipe, painter, 0, images),
      test: splitOf(recipe, painter, images, test),
      split: 'images behind the training images',
      labels: 'the number of the image modulo the classes',
      notes: measured < images ? [`mean and deviation were measured on the first ${measured} images`] : [],
    },
    { ...histogram.normalisation(255), sha256: () => sha256(`procedural 1 ${JSON.stringify(recipe)}`) },
  );
}
