// Which layers of a network a setting means: by their names, by patterns of them, or by a word for their kind. From
// that follows what each layer multiplies with: its operand widths, and whether it runs on the approximate multiplier
// or keeps an exact one of its own widths. A function of the settings and of facts of the layers that a manifest
// holds, so that a run folder tells it without its data or its model.
// Invariant: a selector that no layer answers to is an error that names near ones.

import type { MultiplyingLayer } from '../../nn/layers.ts';
import type { ModelCard } from '../../nn/models/model.ts';
import type { BatchNorm } from '../../quant/fold.ts';
import { UserError } from '../../tensor/errors.ts';
import { matchesPattern, unknownName } from '../../tensor/names.ts';
import type { Configuration } from './config.ts';
import { badValue, perOperand } from './values.ts';

/** What a manifest holds of a layer. */
export interface LayerFacts {
  readonly name: string;
  /** Multiplications per image. */
  readonly macs: number;
  /** Absent, as the next, in manifests of versions until 0.2, where every layer was approximated. */
  readonly kind?: MultiplyingLayer['kind'] | undefined;
  /** Whether it is approximated unless a run says otherwise. */
  readonly usual?: boolean | undefined;
}

/** A layer of a run's network. */
export interface RunLayer extends MultiplyingLayer {
  readonly usual: boolean;
  /** The batch norm behind it that could be folded into it. */
  readonly batchNorm?: BatchNorm;
}

/** Operand widths in bits, 2 … 8. */
export interface Widths {
  readonly weights: number;
  readonly activations: number;
}

type Word = (layer: LayerFacts, at: number, layers: readonly LayerFacts[]) => boolean;

/** Words that stand for layers; none could be the name of a layer that has weights. */
const words: Readonly<Record<string, Word>> = {
  all: () => true,
  usual: ({ usual }) => usual !== false,
  convolutions: ({ kind }) => kind === 'convolution',
  'linear-layers': ({ kind }) => kind === 'linear',
  first: (_, at) => at === 0,
  last: (_, at, layers) => at === layers.length - 1,
};

/** What selectors are, for help texts and errors. */
export const selectorForms = `names separated by commas, * for any characters in one; ${Object.keys(words).join(', ')}`;

/** So many names are listed where one was not found. */
const MOST_LISTED = 24;

/** Names that begin to match a pattern the longest stand first. */
function nearestFirst(pattern: string, names: readonly string[]): readonly string[] {
  const pieces = pattern.split('*').toSorted((a, b) => b.length - a.length);
  const shared = (name: string) => {
    let length = 0;
    while (length < pieces[0]!.length && name.includes(pieces[0]!.slice(0, length + 1))) length++;
    return length;
  };
  return names.toSorted((a, b) => shared(b) - shared(a));
}

/** Names of the layers that one of the selectors means. */
export function selectLayers(selectors: readonly string[], layers: readonly LayerFacts[]): ReadonlySet<string> {
  const names = layers.map(({ name }) => name);
  return new Set(
    selectors.flatMap((selector) => {
      const isMeant = Object.hasOwn(words, selector)
        ? words[selector]!
        : ({ name }: LayerFacts) => matchesPattern(selector, name);
      const found = layers.filter(isMeant);
      if (found.length > 0) return found.map(({ name }) => name);
      const listed = nearestFirst(selector, names).slice(0, MOST_LISTED);
      const more = names.length > listed.length ? [`… (${names.length} layers)`] : [];
      throw unknownName('layer', selector, names, [...listed, ...more]);
    }),
  );
}

/**
 * The layers that are approximated unless a run says otherwise: all but those that the model's card keeps exact.
 * Where no card says it, as in the paper: the convolutions; or, where linear layers have most of the multiplications,
 * as in a transformer, these but for the last one, which gives the logits.
 */
export function usualLayers(layers: readonly MultiplyingLayer[], card?: Pick<ModelCard, 'exact'>): readonly RunLayer[] {
  const { exact } = card ?? {};
  if (exact) {
    return layers.map((layer) => ({ ...layer, usual: !exact.some((pattern) => matchesPattern(pattern, layer.name)) }));
  }
  const macsOf = (kind: MultiplyingLayer['kind']) =>
    layers.reduce((sum, layer) => sum + (layer.kind === kind ? layer.macs : 0), 0);
  const kind = macsOf('linear') > macsOf('convolution') ? 'linear' : 'convolution';
  const last = layers.findLast((layer) => layer.kind === 'linear');
  return layers.map((layer) => ({ ...layer, usual: layer.kind === kind && layer !== last }));
}

/** Operand widths by layer: those of the run, or what `quantize.layerBits` gives it; the last that means a layer. */
export function layerWidths(
  { bits, quantize }: Pick<Configuration, 'bits' | 'quantize'>,
  layers: readonly LayerFacts[],
): ReadonlyMap<string, Widths> {
  return new Map([...layers.map(({ name }) => [name, bits] as const), ...widthsSaid(quantize.layerBits, layers)]);
}

/** Operand widths of the layers that `quantize.layerBits` means. */
export function widthsSaid(layerBits: readonly string[], layers: readonly LayerFacts[]): ReadonlyMap<string, Widths> {
  const widths = new Map<string, Widths>();
  for (const text of layerBits) {
    const { selector, bits: own } = parseLayerBits(text)!;
    for (const name of selectLayers([selector], layers)) widths.set(name, own);
  }
  return widths;
}

/** The same settings with widths for layers behind those that they have. */
export function withLayerBits<C extends Pick<Configuration, 'quantize'>>(
  configuration: C,
  found: readonly string[],
): C {
  const { quantize } = configuration;
  const before = quantize.layerBits.filter((one) => !found.includes(one));
  return { ...configuration, quantize: { ...quantize, layerBits: [...before, ...found] } };
}

/** "first=8", "blocks.*.fc2=8x6": a selector and widths of 2 to 8 bits; undefined where it is nothing of the kind. */
export function parseLayerBits(text: string): { readonly selector: string; readonly bits: Widths } | undefined {
  const [selector, widths, ...rest] = text.split('=');
  const bits = parseWidths(widths ?? '');
  return selector && rest.length === 0 && bits ? { selector, bits } : undefined;
}

/** "4x5" or "4": widths of 2 to 8 bits; undefined where it is nothing of the kind. */
export function parseWidths(text: string): Widths | undefined {
  const [weights, activations] = perOperand(text) ?? [];
  const isWidth = (bits: number | undefined): bits is number => bits !== undefined && bits >= 2 && bits <= 8;
  return isWidth(weights) && isWidth(activations) ? { weights, activations } : undefined;
}

type Choice = Pick<Configuration, 'approximate' | 'exactLayers' | 'bits' | 'quantize' | 'map'>;

/** What stands for the exact multiplier of each layer's widths in the place of one that is given. */
export const EXACT = 'exact';

/** `exact`, or `exact:4x5`, the exact multiplier of operands that have these widths. */
export const isExact = (multiplier: string): boolean => /^exact(:|$)/.test(multiplier);

/** The widths that `exact:4x5` says, none for `exact`; a UserError where it says no widths. */
export function exactWidths(multiplier: string, label: string): Widths | undefined {
  if (multiplier === EXACT) return undefined;
  const widths = parseWidths(multiplier.slice(EXACT.length + 1));
  if (widths) return widths;
  throw badValue(label, multiplier, 'exact, or exact:WxA with widths from 2 to 8');
}

/** Whether every layer that is approximated has a multiplier of its own widths, whichever these are. */
export function hasOwnWidths({ quantize, map }: Pick<Configuration, 'quantize' | 'map'>): boolean {
  return quantize.layerCost !== undefined || map.multiplier === EXACT;
}

/**
 * The layers that run on the run's multipliers, in their order. Where one multiplier is to serve them, those of other
 * operand widths do not: they keep an exact multiplier of their own widths.
 */
export function approximateLayers<L extends LayerFacts>(configuration: Choice, layers: readonly L[]): readonly L[] {
  const { bits, approximate, exactLayers } = configuration;
  const chosen = selectLayers(approximate, layers);
  const exact = selectLayers(exactLayers, layers);
  const widths = layerWidths(configuration, layers);
  const hasRunWidths = (name: string) => {
    const { weights, activations } = widths.get(name)!;
    return weights === bits.weights && activations === bits.activations;
  };
  const left = layers.filter(({ name }) => chosen.has(name) && !exact.has(name));
  if (left.length === 0) {
    throw new UserError(
      `every layer keeps the exact multiplier (approximate: ${approximate.join(', ')}; exactLayers: ${exactLayers.join(', ') || 'none'}); nothing is left to approximate`,
    );
  }
  const found = hasOwnWidths(configuration) ? left : left.filter(({ name }) => hasRunWidths(name));
  if (found.length > 0) return found;
  throw new UserError(
    `quantize.layerBits gives every layer that is to be approximated other widths than the ${bits.weights}×${bits.activations} bits of the multiplier; set bits to them instead`,
  );
}

/** The layers that run on the run's multipliers and have no widths of their own: those whose widths are searched. */
export function searchedLayers<L extends LayerFacts>(configuration: Choice, layers: readonly L[]): readonly L[] {
  const settled = widthsSaid(configuration.quantize.layerBits, layers);
  return approximateLayers(configuration, layers).filter(({ name }) => !settled.has(name));
}

/**
 * The share of a network's multiplications that run on the approximate multiplier, which its power is that of; the
 * matrix products of attention, which never do, are among the others.
 */
export function approximateShare(
  configuration: Choice,
  {
    layers,
    products = [],
  }: { readonly layers: readonly LayerFacts[]; readonly products?: readonly Counted[] | undefined },
): number {
  return macsOf(approximateLayers(configuration, layers)) / macsOf([...layers, ...products]);
}

type Counted = Pick<LayerFacts, 'macs'>;

function macsOf(all: readonly Counted[]): number {
  return all.reduce((sum, { macs }) => sum + macs, 0);
}
