// The models that a process has written for a run, as the tensors that it wrote: the phases behind need not read, hash
// and turn about 45 MB (ResNet18) that were in memory a moment ago. Guaranteed: a model is given only while its file is
// the one that was written. Whatever replaces the file, writes to it, or cuts it off, also with an earlier time set
// back, changes its state (`fileState`), and so do a copy or a restored backup; then it is not given, and whoever asks
// reads the file and holds it against its hash, as another process would. What is not seen is a disk that gives other
// bytes back without a word: `requireIntact` reads the files themselves. Files are what they are without this.

import { join } from 'node:path';
import { fileState } from '../../tensor/files.ts';
import { byteSize, type HostTensor } from '../../tensor/tensor.ts';

export interface WrittenModel {
  /** What `fileState` says of the file that was written. */
  readonly state: string;
  /** Of the file. */
  readonly sha256: string;
  /** In the engine's layouts; only to be read. */
  readonly tensors: ReadonlyMap<string, HostTensor>;
}

/** Bytes of all tensors that are kept; beyond, those that were written first go. */
const LIMIT = 2 ** 29;

export class WrittenModels {
  readonly #folder: string;
  readonly #limit: number;
  /** By the path in the folder, in the order of writing. */
  readonly #models = new Map<string, WrittenModel>();

  constructor(folder: string, limit = LIMIT) {
    this.#folder = folder;
    this.#limit = limit;
  }

  /** Keeps what was written to a path in the run folder, in the place of what was kept of it. */
  keep(path: string, model: WrittenModel): void {
    this.#models.delete(path);
    this.#models.set(path, model);
    let bytes = [...this.#models.values()].reduce((sum, one) => sum + bytesOf(one), 0);
    for (const [first, one] of this.#models) {
      if (bytes <= this.#limit) return;
      this.#models.delete(first);
      bytes -= bytesOf(one);
    }
  }

  /** What was written to the path, where the file is still that one. */
  find(path: string): WrittenModel | undefined {
    const model = this.#models.get(path);
    return model && fileState(join(this.#folder, path)) === model.state ? model : undefined;
  }
}

function bytesOf({ tensors }: WrittenModel): number {
  return [...tensors.values()].reduce((sum, tensor) => sum + byteSize(tensor), 0);
}
