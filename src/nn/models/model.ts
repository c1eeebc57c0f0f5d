// What a model definition is: a function from an image to logits in terms of Layers, with a name for people and a card
// of the facts that the function does not tell.

import type { Value } from '../../engine/graph/graph.ts';
import type { Layers } from '../layers.ts';

/** What is known of a published definition beside its layers (as the cards of public model collections have it). */
export interface ModelCard {
  /** Height and width of the images that it was made for. */
  readonly imageSize: number;
  /** The images themselves, where they are no squares of three channels; default: those. */
  readonly image?: { readonly height: number; readonly width: number; readonly channels: number };
  /** Classes that it was made for. */
  readonly classes: number;
  /** Name of the layer that gives the logits, such as `fc`. */
  readonly classifier: string;
  /** Where the definition comes from: the paper, and whose names and details its tensors follow. */
  readonly source: string;
  /** Mean and standard deviation of the channels that published weights were trained with, of values 0 … 1. */
  readonly normalization?: { readonly mean: readonly number[]; readonly deviation: readonly number[] };
  /**
   * Patterns of the layers that keep the exact multiplier unless a run says otherwise (`*`: any characters). Default:
   * all but the convolutions, or in a network whose multiplications are mostly those of linear layers all but these,
   * and the last linear layer.
   */
  readonly exact?: readonly string[];
  /**
   * Patterns of tensors that published state dicts of this model have and this definition does not need, such as those
   * of an auxiliary head; default: none.
   */
  readonly unused?: readonly string[];
}

/** Image f32 [N,H,W,C] → logits [N, classes], in terms of the layer library `nn`. */
export type ModelBuilder = (nn: Layers, image: Value, classes: number) => Value;

export interface Model {
  readonly name: string;
  readonly description: string;
  /** Least height and width of an image. */
  readonly minimumSize: number;
  readonly card?: ModelCard;
  readonly build: ModelBuilder;
}
