// The changes of training images as a text, `crop:4,flip,cutmix:1`: the one list from which it is read, written and
// explained.

import { type AugmentOptions, noAugmentation } from './augment.ts';

interface Transform {
  readonly name: string;
  readonly key: keyof AugmentOptions;
  /** What stands behind the colon; a switch has nothing. */
  readonly value?: { readonly name: string; readonly whole?: boolean; readonly most: number };
  readonly meaning: string;
}

export const transforms: readonly Transform[] = [
  { name: 'crop', key: 'pad', value: { name: 'PIXELS', whole: true, most: 64 }, meaning: 'crop after zero padding' },
  { name: 'flip', key: 'flip', meaning: 'mirror every second image, at random' },
  { name: 'resized-crop', key: 'resizedCrop', value: { name: 'AREA', most: 1 }, meaning: 'resize a random box' },
  { name: 'rotate', key: 'rotate', value: { name: 'DEGREES', most: 180 }, meaning: 'rotate either way' },
  { name: 'jitter', key: 'jitter', value: { name: 'S', most: 1 }, meaning: 'brightness, contrast, saturation' },
  { name: 'erase', key: 'erase', value: { name: 'P', most: 1 }, meaning: 'erase a random box' },
  { name: 'cutout', key: 'cutout', value: { name: 'PIXELS', whole: true, most: 1024 }, meaning: 'erase a square' },
  { name: 'mixup', key: 'mixup', value: { name: 'ALPHA', most: 100 }, meaning: 'mix pairs of images' },
  { name: 'cutmix', key: 'cutmix', value: { name: 'ALPHA', most: 100 }, meaning: 'put boxes of others in' },
  { name: 'repeat', key: 'repeat', value: { name: 'N', whole: true, most: 64 }, meaning: 'repeat images in a batch' },
];

/** For help and errors: "none, or a list of crop:PIXELS, flip, …". */
export const transformForms = `none, or a list separated by commas of ${transforms
  .map(({ name, value }) => (value ? `${name}:${value.name}` : name))
  .join(', ')}`;

/** The options of a text, or what is wrong with it. */
export function parseTransforms(text: string): { readonly options: AugmentOptions } | { readonly wrong: string } {
  if (text === 'none') return { options: noAugmentation };
  const options: Record<string, number | boolean> = { ...noAugmentation };
  const seen = new Set<string>();
  for (const word of text.split(',')) {
    const [name = '', given, ...more] = word.trim().split(':');
    const transform = transforms.find((one) => one.name === name);
    if (!transform) return { wrong: `unknown transform '${name}'` };
    if (seen.has(name)) return { wrong: `${name} twice` };
    seen.add(name);
    const { key, value } = transform;
    if (!value) {
      if (given !== undefined) return { wrong: `${name} takes no value, got '${given}'` };
      options[key] = true;
      continue;
    }
    const number = given !== undefined && /^\d*\.?\d+$/.test(given) && more.length === 0 ? Number(given) : Number.NaN;
    if (!(number > 0 && number <= value.most) || (value.whole && !Number.isInteger(number))) {
      const kind = value.whole ? 'a whole number' : 'a number';
      return { wrong: `${name} is '${given ?? ''}'; ${kind} above 0 and up to ${value.most} was expected` };
    }
    options[key] = number;
  }
  // A box of one image is erased (mixing.ts), by either.
  if (seen.has('erase') && seen.has('cutout')) return { wrong: 'erase and cutout; one of them was expected' };
  return { options: options as unknown as AugmentOptions };
}

/** The text of options; what `parseTransforms` reads back. */
export function formatTransforms(options: AugmentOptions): string {
  const words = transforms.flatMap(({ name, key, value }) =>
    options[key] ? [value ? `${name}:${options[key]}` : name] : [],
  );
  return words.length === 0 ? 'none' : words.join(',');
}
