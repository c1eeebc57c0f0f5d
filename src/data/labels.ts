// Labels as they are written become class numbers 0 … classes − 1. Whole numbers keep their meaning: class = label, or
// label − 1 where the smallest is 1 (a note says so); texts are numbered in sorted order. Nothing is renumbered without
// a note, and a class that no label names is never dropped: the data set says that it is empty.

import { UserError } from '../tensor/errors.ts';

/** A network's last layer has a row of weights for each: what is beyond is a mistake, and no memory is taken for it. */
export const MOST_CLASSES = 1_000_000;
/** Up to as many classes are taken for granted, however few of them appear. */
const USUAL_CLASSES = 256;

/** One label of a file: its text, and where it stands first, for messages. */
export interface SeenLabel {
  readonly text: string;
  /** "digits.csv:2: the label '5' in column 65". */
  readonly at: string;
}

export interface Classes {
  readonly count: number;
  /** The class of a label's text. */
  readonly of: ReadonlyMap<string, number>;
  readonly notes: readonly string[];
  /** Where the labels are texts: the texts, by class. */
  readonly names?: readonly string[];
  /** What to add to the description of where labels come from; empty where class = label. */
  readonly rule: string;
}

const wholeNumber = (text: string): number => (text === '' ? Number.NaN : Number(text));
const isClassNumber = (value: number): boolean => Number.isInteger(value) && value >= 0 && value < MOST_CLASSES;

/** Numbers the classes of all labels of a data set; `declared` is the number of classes where the user gave it. */
export function numberClasses(labels: readonly SeenLabel[], declared?: number): Classes {
  const isText = ({ text }: SeenLabel) => text !== '' && Number.isNaN(Number(text));
  return labels.length > 0 && labels.every(isText) ? textClasses(labels, declared) : numberedClasses(labels, declared);
}

function numberedClasses(labels: readonly SeenLabel[], declared: number | undefined): Classes {
  const values = labels.map(({ text }) => wholeNumber(text));
  const limit = (declared ?? MOST_CLASSES) - 1;
  const smallest = values.reduce((least, value) => Math.min(least, value), Number.POSITIVE_INFINITY);
  const largest = values.reduce((most, value) => Math.max(most, value), 0);
  const shift = smallest === 1 && (declared ?? largest) <= largest ? 1 : 0;
  values.forEach((value, k) => {
    if (isClassNumber(value) && value - shift <= limit) return;
    throw new UserError(
      `${labels[k]!.at} is not an integer from 0 to ${limit}${declared === undefined ? '; if another column holds the label, name it with --label' : ''}`,
    );
  });
  const of = new Map(labels.map(({ text }, k) => [text, values[k]! - shift]));
  const count = declared ?? largest - shift + 1;
  const seen = new Set(values).size;
  if (declared === undefined && count > USUAL_CLASSES && 2 * seen < count) {
    const last = labels[values.indexOf(largest)]!.at;
    throw new UserError(
      `${last} would make ${count} classes, but only ${seen} different labels appear; --classes ${largest + 1} says that they are meant, --label names another column`,
    );
  }
  if (shift === 0) return { count, of, notes: [], rule: '' };
  return {
    count,
    of,
    notes: [`the labels begin with 1: class = label − 1 (--classes ${largest + 1} keeps them as they are)`],
    rule: ', class = label − 1',
  };
}

function textClasses(labels: readonly SeenLabel[], declared: number | undefined): Classes {
  const names = [...new Set(labels.map(({ text }) => text))].sort();
  const count = declared ?? names.length;
  if (names.length > count) {
    throw new UserError(
      `${labels.at(-1)!.at} is one of ${names.length} different labels; ${count} classes were expected`,
    );
  }
  const list = names.map((name, k) => `${k} = ${name}`);
  const shown = list.length > 12 ? [...list.slice(0, 12), '…'] : list;
  return {
    count,
    of: new Map(names.map((name, k) => [name, k])),
    ...(names.length === count ? { names } : {}),
    notes: [`the labels are texts, numbered in sorted order: ${shown.join(', ')}`],
    rule: `: ${(list.length > USUAL_CLASSES ? shown : list).join(', ')}`,
  };
}
