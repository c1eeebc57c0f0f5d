// What a form of export is: a function from a network at rest to files, which writes none itself. The one who asks
// writes them all or nothing (flow/results/).

import type { FrozenNetwork } from '../integer/frozen.ts';
import type { IntegerNetwork } from '../integer/network.ts';

/** Test images, raw: u8 [count, H, W, C], and their classes. */
export interface ExportImages {
  readonly count: number;
  readonly pixels: Uint8Array;
  readonly labels: Int32Array;
}

export interface ExportInput {
  readonly frozen: FrozenNetwork;
  /** The same network as integers. */
  readonly network: IntegerNetwork;
  /** The first test images of the run's data set. */
  readonly images: ExportImages;
}

/** Text or bytes by their path in the folder: letters, digits, `_`, `-`, `.`, `/` for folders. */
export type ExportFiles = ReadonlyMap<string, string | Uint8Array>;
