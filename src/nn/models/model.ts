// What a model definition is: a function from an image to logits in terms of Layers, with a name for people.

import type { Value } from '../../engine/graph/graph.ts';
import type { Layers } from '../layers.ts';

export interface Model {
  readonly name: string;
  readonly description: string;
  /** Least height and width of an image. */
  readonly minimumSize: number;
  /** Image f32 [N,H,W,C] → logits [N, classes]. */
  readonly build: (layers: Layers, image: Value, classes: number) => Value;
}
